package tapeline_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/tapeline/tapeline/internal/flow/run"
	"github.com/tapeline/tapeline/internal/testenv"
)

// wantRepeated checks that a run went on in place: its source was repeated, the run not restarted.
func wantRepeated(t *testing.T, r run.Report, rows, retries int64) {
	t.Helper()
	if r.Status != run.Completed || r.Restarts != 0 || r.RowsIn != rows || r.RowsOut != rows ||
		r.Nodes[0].Retries < retries {
		t.Errorf("%s with %d restarts and %d retries, %d rows in and %d out; want completed, 0, %d, %d",
			r.Status, r.Restarts, r.Nodes[0].Retries, r.RowsIn, r.RowsOut, retries, rows)
	}
}

// A server that throttles and fails in the middle is asked again for the same page, as late as it
// says.
func TestThrottledPages(t *testing.T) {
	const pages, size = 5, 100
	var asked [pages + 1]atomic.Int64
	var throttled, again atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		page, _ := strconv.Atoi(r.URL.Query().Get("page"))
		switch attempt := asked[page-1].Add(1); {
		case page == 3 && attempt == 1:
			throttled.Store(time.Now().UnixNano())
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		case page == 3:
			again.Store(time.Now().UnixNano())
		case page == 4 && attempt <= 2:
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		io.WriteString(w, "[")
		for i := range size {
			if page > pages {
				break
			}
			if i > 0 {
				io.WriteString(w, ",")
			}
			fmt.Fprintf(w, `{"id":%d}`, (page-1)*size+i)
		}
		io.WriteString(w, "]")
	}))
	defer server.Close()
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "flow.yaml"), fmt.Sprintf(`name: pages
execution: {restart_strategy: {type: none}}
sources:
  in: {type: http, config: {url: %q, pagination: {type: page}}}
destinations:
  out: {type: csv, inputs: [in], config: {path: out.csv}}
`, server.URL))
	mustRun(t, dir, nil, "run", "flow.yaml", "--json-report", "r.json")
	wantRepeated(t, readReport(t, filepath.Join(dir, "r.json")), pages*size, 3)
	if waited := time.Duration(again.Load() - throttled.Load()); waited < time.Second {
		t.Errorf("page 3 was asked for again after %v, want 1 s", waited)
	}
	if got := lineCount(t, filepath.Join(dir, "out.csv")); got != pages*size+1 {
		t.Errorf("%d lines, want %d", got, pages*size+1)
	}
}

// A database connection that is lost while rows are read is opened again behind the last of them.
func TestLostConnectionOfSource(t *testing.T) {
	address := testenv.Server(t, "TAPELINE_TEST_POSTGRES")
	conn, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	const rows, kills = 20000, 3
	table := fmt.Sprintf("lost_%d", time.Now().UnixNano())
	if _, err := conn.Exec(t.Context(), fmt.Sprintf(`CREATE TABLE %s AS
		SELECT i AS id, repeat('x', 1000) AS padding FROM generate_series(1, %d) i`, table, rows)); err != nil {
		t.Fatal(err)
	}
	defer conn.Exec(t.Context(), "DROP TABLE "+table)
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "flow.yaml"), fmt.Sprintf(`name: lost
execution: {restart_strategy: {type: none}}
sources:
  %s: {type: postgres, config: {connection_string: %q, table: %s, batch_size: 500}}
transformations:
  slow: {type: rate_limit, inputs: [%s], config: {rows_per_second: 10000}}
destinations:
  out: {type: csv, inputs: [slow], config: {path: out.csv}}
`, table, address, table, table))
	ended := make(chan outcome, 1)
	go func() { ended <- tapelineIn(t, dir, nil, "run", "flow.yaml", "--json-report", "r.json") }()
	for killed := 0; killed < kills; {
		var n int
		err := conn.QueryRow(t.Context(), `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
			WHERE application_name = 'tapeline ' || $1 AND state = 'active' AND query ILIKE 'copy%'`, table).Scan(&n)
		if err != nil {
			t.Fatal(err)
		}
		killed += n
		select {
		case got := <-ended:
			t.Fatalf("ended after %d of %d kills: %s", killed, kills, got.all())
		case <-time.After(100 * time.Millisecond):
		}
	}
	if got := <-ended; got.code != 0 {
		t.Fatal(got.all())
	}
	wantRepeated(t, readReport(t, filepath.Join(dir, "r.json")), rows, 1)
	got := sortedLines(t, dir, "out.csv")[1:]
	seen := map[string]bool{}
	for _, line := range got {
		seen[line] = true
	}
	if len(got) != rows || len(seen) != rows {
		t.Errorf("%d rows, %d different ones, want %d", len(got), len(seen), rows)
	}
}

// --limit reads no more than it needs, says what it read, and waits for no source that has more: not
// for a rate, a poll interval or an answer.
func TestLimitEndsAtOnce(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("page") != "1" {
			<-r.Context().Done() // it never answers
			return
		}
		io.WriteString(w, `[{"id":1},{"id":2},{"id":3},{"id":4}]`)
	}))
	defer server.Close()
	const most = 1000 // rows read: a few chunks of the limit's size on their way
	dir := t.TempDir()
	numberedCSV(t, filepath.Join(dir, "in.csv"), 50000)
	for name, c := range map[string]struct {
		source string
		limit  int64
	}{
		"rate":   {"{type: generate, config: {rate: 0.001, fields: {id: sequence}}}", 1},
		"answer": {fmt.Sprintf("{type: http, config: {url: %q, pagination: {type: page}}}", server.URL), 4},
		"page":   {fmt.Sprintf("{type: http, config: {url: %q, pagination: {type: page}}}", server.URL), 2},
		"poll":   {fmt.Sprintf("{type: http, config: {url: %q, poll: 1h}}", server.URL+"?page=1"), 4},
		"file":   {"{type: csv, config: {path: in.csv}}", 10},
	} {
		writeFile(t, filepath.Join(dir, name+".yaml"), fmt.Sprintf(`name: %s
sources: {in: %s}
destinations: {out: {type: csv, inputs: [in], config: {path: %s.csv}}}
`, name, c.source, name))
		got := mustRun(t, dir, nil, "run", name+".yaml", "--json-report", name+".json", "--limit",
			strconv.FormatInt(c.limit, 10))
		r := readReport(t, filepath.Join(dir, name+".json"))
		if r.Status != run.Completed || r.RowsOut != c.limit || r.RowsIn > most || r.Seconds > 20 {
			t.Errorf("%s: %s with %d rows in and %d out after %.1f s, want %d out", name, r.Status, r.RowsIn,
				r.RowsOut, r.Seconds, c.limit)
		}
		rowsIn := strings.ReplaceAll(got.all(), ",", "")
		wantAll(t, rowsIn, fmt.Sprintf("%d rows in %d out", r.RowsIn, r.RowsOut))
		if lines := lineCount(t, filepath.Join(dir, name+".csv")); lines != int(c.limit)+1 {
			t.Errorf("%s: %d lines, want %d and a header", name, lines, c.limit)
		}
	}
}
