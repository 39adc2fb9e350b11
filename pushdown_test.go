package tapeline_test

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/tapeline/tapeline/internal/testenv"
)

const pushdownFlow = `name: pushdown
sources:
  in: {type: postgres, config: {connection_string: "${PG}", table: "${TABLE}"}}
transformations:
  some: {type: filter, inputs: [in], config: {condition: "symbol == 'S7' and price < 500 and id % 3 != 0"}}
destinations:
  out: {type: csv, inputs: [some], config: {path: out.csv}}
`

// TestPushdown: with and without the server's help the result is the same, and explain, report and
// preview say what is read.
func TestPushdown(t *testing.T) {
	dsn := testenv.Server(t, "TAPELINE_TEST_POSTGRES")
	table := makeCrashTable(t, dsn)
	onServer(t, dsn, func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, fmt.Sprintf(`insert into %s
			select n, 'S' || n %% 10, n %% 900, 'note' from generate_series(1, 9000) n`, table))
		return err
	})
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "flow.yaml"), pushdownFlow)
	env := []string{"PG=" + dsn, "TABLE=" + table}
	read := func(more ...string) (rows int64, digest string) {
		t.Helper()
		arguments := []string{"run", "flow.yaml", "--quiet", "--fresh", "--json-report", "report.json"}
		mustRun(t, dir, env, append(arguments, more...)...)
		for _, n := range readReport(t, filepath.Join(dir, "report.json")).Nodes {
			if n.ID == "in" {
				rows = n.RowsOut
			}
		}
		return rows, fileDigest(t, filepath.Join(dir, "out.csv"))
	}
	all, want := read("--set", "sources.in.config.pushdown=false")
	some, got := read()
	if got != want {
		t.Error("the result is another when the server filters")
	}
	// Of the 900 rows of S7, 500 have a price below 500.
	if all != 9000 || some != 500 {
		t.Errorf("%d rows read of all, %d when the server filters, want 9000 and 500", all, some)
	}
	if preview := mustRun(t, dir, env, "preview", "flow.yaml", "some", "--rows", "3"); !strings.Contains(
		preview.all(), "S7") {
		t.Errorf("preview: %s", preview.all())
	}

	pushed, unpushed := explained(t, dir, env)
	if want := []string{"symbol = 'S7'", "price < 500"}; !slices.Equal(pushed, want) {
		t.Errorf("pushed down: %q, want %q", pushed, want)
	}
	if want := []string{"id % 3 != 0: it can fail a row"}; !slices.Equal(unpushed, want) {
		t.Errorf("not pushed down: %q, want %q", unpushed, want)
	}
	if pushed, unpushed = explained(t, dir, env, "--set", "sources.in.config.pushdown=false"); len(pushed) > 0 ||
		len(unpushed) != 3 || unpushed[0] != "symbol == 'S7': pushdown: false" {
		t.Errorf("with pushdown: false: %q and %q", pushed, unpushed)
	}
	text := mustRun(t, dir, env, "explain", "flow.yaml").all()
	for _, line := range []string{
		"    pushed down: symbol = 'S7'\n", "    not pushed down: id % 3 != 0  [it can fail a row]\n",
	} {
		if !strings.Contains(text, line) {
			t.Errorf("explain lacks %q:\n%s", line, text)
		}
	}
}

// explained returns what explain says of the node "some".
func explained(t *testing.T, dir string, env []string, more ...string) (pushed, unpushed []string) {
	t.Helper()
	var x struct {
		Stages []struct {
			Nodes []struct {
				Pushed   []string                             `json:"pushed_down"`
				Unpushed []struct{ Condition, Reason string } `json:"not_pushed_down"`
			}
		}
	}
	out := mustRun(t, dir, env, append([]string{"explain", "flow.yaml", "--json"}, more...)...)
	if err := json.Unmarshal([]byte(out.all()), &x); err != nil {
		t.Fatal(err)
	}
	for _, s := range x.Stages {
		for _, n := range s.Nodes {
			pushed = append(pushed, n.Pushed...)
			for _, u := range n.Unpushed {
				unpushed = append(unpushed, u.Condition+": "+u.Reason)
			}
		}
	}
	return pushed, unpushed
}
