package http

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	nethttp "net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/connector/conntest"
)

func sinkConfig(change func(*SinkConfig)) *SinkConfig {
	cfg := *Connector().Sink.Config.(*SinkConfig)
	change(&cfg)
	return &cfg
}

func openSink(t testing.TB, cfg *SinkConfig) connector.Sink {
	t.Helper()
	sink, err := Connector().Sink.New(connector.Env{}, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sink.Close() })
	if err := sink.Open(t.Context(), connector.Task{Run: "run", Index: 2}); err != nil {
		t.Fatal(err)
	}
	return sink
}

// received is what a server got.
type received struct {
	mu     sync.Mutex
	bodies []string
	keys   []string
	types  []string
}

func (r *received) take(req *nethttp.Request) string {
	body, _ := io.ReadAll(req.Body)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bodies = append(r.bodies, string(body))
	r.keys = append(r.keys, req.Header.Get("Idempotency-Key"))
	r.types = append(r.types, req.Method+" "+req.URL.Path+" "+req.Header.Get("Content-Type"))
	return string(body)
}

func rows(t testing.TB, from, to int) *batch.Batch {
	t.Helper()
	b := batch.NewBuilder(batch.NewSchema(
		batch.Field{Name: "id", Type: batch.Of(batch.Int64)},
		batch.Field{Name: "name", Type: batch.Of(batch.String), Nullable: true}))
	for i := from; i < to; i++ {
		b.Column(0).Int(int64(i))
		b.Column(1).Text(fmt.Sprintf("n%d", i))
	}
	out, err := b.Batch()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestSinkConformance(t *testing.T) {
	conntest.Sink(t, conntest.SinkCase{
		Connector: Connector(),
		Target: func(t testing.TB) conntest.Target {
			var got received
			base := serve(t, func(_ nethttp.ResponseWriter, r *nethttp.Request) { got.take(r) })
			return conntest.Target{
				Config:   sinkConfig(func(c *SinkConfig) { c.URL = base }),
				ReadBack: func(t testing.TB) [][]any { return got.boxed(t) },
			}
		},
		Unordered: true,
	})
}

// boxed reads the rows of all NDJSON bodies, members in their order.
func (r *received) boxed(t testing.TB) [][]any {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	var out [][]any
	lines := bufio.NewScanner(strings.NewReader(strings.Join(r.bodies, "")))
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var row []any
		decoder := json.NewDecoder(bytes.NewReader(lines.Bytes()))
		decoder.UseNumber()
		if _, err := decoder.Token(); err != nil {
			t.Fatal(err)
		}
		for decoder.More() {
			name, err := decoder.Token()
			if err != nil {
				t.Fatal(err)
			}
			var text json.RawMessage
			if err := decoder.Decode(&text); err != nil {
				t.Fatal(err)
			}
			row = append(row, boxed(t, name.(string), text))
		}
		out = append(out, row)
	}
	return out
}

// boxed reads one member of the suite's schema, whose names end in the column's kind.
func boxed(t testing.TB, name string, text json.RawMessage) any {
	t.Helper()
	if strings.HasSuffix(name, "_json") && string(text) != "null" {
		return string(text)
	}
	var value any
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&value); err != nil {
		t.Fatal(err)
	}
	if encoded, ok := value.(string); ok && strings.HasSuffix(name, "_binary") {
		raw, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	return value
}

func TestBodiesByFormat(t *testing.T) {
	for format, want := range map[string]string{
		"ndjson": "{\"id\":1,\"name\":\"n1\"}\n{\"id\":2,\"name\":\"n2\"}\n",
		"json":   `[{"id":1,"name":"n1"},{"id":2,"name":"n2"}]`,
		"csv":    "id,name\n1,n1\n2,n2\n",
	} {
		var got received
		base := serve(t, func(_ nethttp.ResponseWriter, r *nethttp.Request) { got.take(r) })
		sink := openSink(t, sinkConfig(func(c *SinkConfig) {
			c.URL, c.Format, c.Method = base+"/{table}", format, "PUT"
		}))
		chunk := connector.Chunk{Table: "a b", Batch: rows(t, 0, 4).Select([]int32{1, 2})}
		if err := sink.Write(t.Context(), chunk); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{want}, got.bodies); diff != "" {
			t.Errorf("%s: %s", format, diff)
		}
		if !strings.HasPrefix(got.types[0], "PUT /a b ") {
			t.Errorf("%s: request %s", format, got.types[0])
		}
	}
}

// A repeated write has the key it had, another one of the same rows has not.
func TestKeysNameRequests(t *testing.T) {
	var got received
	fail := true
	base := serve(t, func(w nethttp.ResponseWriter, r *nethttp.Request) {
		got.take(r)
		if fail {
			w.WriteHeader(502)
		}
	})
	cfg := sinkConfig(func(c *SinkConfig) { c.URL = base })
	write := func(sink connector.Sink, at string) error {
		return sink.Write(t.Context(), connector.Chunk{Batch: rows(t, 0, 2), Position: connector.Position(at)})
	}
	sink := openSink(t, cfg)
	var e *connector.Error
	if err := write(sink, "p1"); !errors.As(err, &e) || e.Class != connector.Transient {
		t.Fatalf("502: %v", err)
	}
	fail = false
	for _, at := range []string{"p1", "p1", "p2"} {
		if err := write(sink, at); err != nil {
			t.Fatal(err)
		}
	}
	if err := write(openSink(t, cfg), "p1"); err != nil { // after a restart
		t.Fatal(err)
	}
	k := got.keys
	if k[0] != k[1] || k[1] == k[2] || k[2] == k[3] || k[4] != k[0] || !strings.HasPrefix(k[0], "run-2-") {
		t.Errorf("keys %q: want 0 = 1 = 4, and others for 2 and 3", k)
	}
}

func TestSinkStatuses(t *testing.T) {
	for status, want := range map[int]connector.Class{
		400: connector.Data, 422: connector.Data, 413: connector.Data, 404: connector.Permanent,
		409: connector.Permanent, 401: connector.Auth, 429: connector.Throttled, 500: connector.Transient,
	} {
		base := serve(t, func(w nethttp.ResponseWriter, _ *nethttp.Request) { w.WriteHeader(status) })
		sink := openSink(t, sinkConfig(func(c *SinkConfig) { c.URL = base }))
		var e *connector.Error
		if err := sink.Write(t.Context(), connector.Chunk{Batch: rows(t, 0, 2)}); !errors.As(err, &e) ||
			e.Class != want {
			t.Errorf("%d: %v, want class %s", status, err, want)
		}
	}
}

func TestMultiStatusNamesRows(t *testing.T) {
	var got received
	answers := []string{
		`{"items": [{"status": 201}, {"status": 400, "error": {"why": "bad"}}, {"status": 503}, {"status": 429}]}`,
		`{"items": [{"index": 1, "status": 409}]}`,
	}
	base := serve(t, func(w nethttp.ResponseWriter, r *nethttp.Request) {
		got.take(r)
		w.Header().Set("Retry-After", "3")
		w.WriteHeader(nethttp.StatusMultiStatus)
		io.WriteString(w, answers[0])
		answers = answers[1:]
	})
	sink := openSink(t, sinkConfig(func(c *SinkConfig) { c.URL = base }))
	chunk := connector.Chunk{Batch: rows(t, 0, 8).Select([]int32{1, 3, 5, 7})}
	var e *connector.Error
	err := sink.Write(t.Context(), chunk)
	if !errors.As(err, &e) || e.Class != connector.Throttled || e.After != 3*time.Second {
		t.Fatalf("first write: %v", err)
	}
	var partial *connector.PartialError
	if err := sink.Write(t.Context(), chunk); !errors.As(err, &partial) {
		t.Fatalf("second write: %v", err)
	}
	want := []batch.RowError{
		{Row: 3, Reason: `the server refused it: 400 {"why":"bad"}`},
		{Row: 7, Reason: "the server refused it: 409"},
	}
	if diff := cmp.Diff(want, partial.Rows); diff != "" {
		t.Error(diff)
	}
	if want := "{\"id\":5,\"name\":\"n5\"}\n{\"id\":7,\"name\":\"n7\"}\n"; got.bodies[1] != want {
		t.Errorf("sent again: %q, want %q", got.bodies[1], want)
	}
}

func TestUnreadableRowsAreNamedAndTheRestIsSent(t *testing.T) {
	var got received
	base := serve(t, func(_ nethttp.ResponseWriter, r *nethttp.Request) { got.take(r) })
	sink := openSink(t, sinkConfig(func(c *SinkConfig) { c.URL = base }))
	spans := &batch.Spans{Data: []byte("1|x|3|"), Offsets: []uint32{0, 2, 2, 4, 4, 6}, Stride: 2, Step: 1, Gap: 1}
	schema := batch.NewSchema(batch.Field{Name: "id", Type: batch.Of(batch.Int64)})
	b := batch.New(schema, []*batch.Column{batch.LazyColumn(batch.Of(batch.Int64), spans, 0)}, 3)
	var partial *connector.PartialError
	err := sink.Write(t.Context(), connector.Chunk{Batch: b})
	if !errors.As(err, &partial) || len(partial.Rows) != 1 || partial.Rows[0].Row != 1 {
		t.Errorf("write: %v", err)
	}
	if want := "{\"id\":1}\n{\"id\":3}\n"; len(got.bodies) != 1 || got.bodies[0] != want {
		t.Errorf("sent %q, want %q", got.bodies, want)
	}
}

func TestWrongAnswersAreErrors(t *testing.T) {
	for _, body := range []string{"", "{}", `[{"status":200}]`, `[{"index":9}]`, `{"errors":[5]}`} {
		base := serve(t, func(w nethttp.ResponseWriter, _ *nethttp.Request) {
			w.WriteHeader(nethttp.StatusMultiStatus)
			io.WriteString(w, body)
		})
		sink := openSink(t, sinkConfig(func(c *SinkConfig) { c.URL = base }))
		var e *connector.Error
		if err := sink.Write(t.Context(), connector.Chunk{Batch: rows(t, 0, 2)}); !errors.As(err, &e) ||
			e.Class != connector.Permanent {
			t.Errorf("207 with %q: %v", body, err)
		}
	}
}

func TestSinkConfigProblemsAreNamed(t *testing.T) {
	for want, change := range map[string]func(*SinkConfig){
		"method": func(c *SinkConfig) { c.Method = "GET" }, "format": func(c *SinkConfig) { c.Format = "xml" },
		"batch_size": func(c *SinkConfig) { c.BatchSize = 0 }, "url": func(c *SinkConfig) { c.URL = "h" },
		"idempotency_header": func(c *SinkConfig) { c.Idempotency = "a b" },
	} {
		cfg := sinkConfig(func(c *SinkConfig) { c.URL = "http://h"; change(c) })
		if _, err := Connector().Sink.New(connector.Env{}, cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q in it", err, want)
		}
	}
}
