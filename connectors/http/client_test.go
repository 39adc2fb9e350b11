package http

import (
	"context"
	"errors"
	"fmt"
	"io"
	nethttp "net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/connector/conntest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func serve(t testing.TB, f nethttp.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	return server.URL
}

func sourceConfig(change func(*SourceConfig)) *SourceConfig {
	cfg := *Connector().Source.Config.(*SourceConfig)
	change(&cfg)
	return &cfg
}

func env(limits connector.Limits, run string) connector.Env {
	return connector.Env{Node: "in", Run: run, Budget: connector.NewBudget(limits)}
}

func usual() connector.Limits { return connector.Limits{Rows: 16384, Bytes: 1 << 20} }

func open(t testing.TB, cfg *SourceConfig, e connector.Env, at connector.Position) connector.Source {
	t.Helper()
	source, err := Connector().Source.New(e, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = source.Close() })
	if err := source.Open(t.Context(), connector.Partition{}, at); err != nil {
		t.Fatal(err)
	}
	return source
}

// outcome is what a source delivered up to its end or error.
type outcome struct {
	rows     []string // as JSON
	rejected []string
	at       connector.Position
	err      error
}

// read reads at most the given number of chunks.
func read(t testing.TB, source connector.Source, chunks int) outcome {
	t.Helper()
	var out outcome
	for range chunks {
		chunk, err := source.Read(t.Context())
		if err != nil {
			if !errors.Is(err, io.EOF) {
				out.err = err
			}
			return out
		}
		out.at = chunk.Position
		for _, r := range chunk.Rejected {
			out.rejected = append(out.rejected, fmt.Sprintf("%s: %s", r.Place, r.Record))
		}
		if chunk.Batch == nil {
			continue
		}
		dense, bad := chunk.Batch.Dense()
		if len(bad) > 0 {
			t.Fatalf("rows that do not read: %v", bad)
		}
		for row := range dense.Len() {
			out.rows = append(out.rows, string(batch.AppendRow(nil, dense, row)))
		}
		if chunk.Release != nil {
			chunk.Release()
		}
	}
	return out
}

const all = 1 << 20

func ids(from, to int) []string {
	var out []string
	for i := from; i < to; i++ {
		out = append(out, fmt.Sprintf(`{"id":%d,"name":"n%d"}`, i, i))
	}
	return out
}

// api is a server of numbered records in pages of at most size, by every pagination.
func api(total, size int) nethttp.HandlerFunc {
	return func(w nethttp.ResponseWriter, r *nethttp.Request) {
		q := r.URL.Query()
		number := func(name string, fallback int) int {
			if v, err := strconv.Atoi(q.Get(name)); err == nil {
				return v
			}
			return fallback
		}
		from := number("offset", 0)
		if q.Has("page") {
			from = (number("page", 1) - 1) * size
		}
		if cursor := q.Get("after"); cursor != "" {
			from, _ = strconv.Atoi(strings.TrimPrefix(cursor, "id-"))
		}
		from += number("since", 0)
		to := min(total, from+size)
		next := "null"
		if to < total {
			next = fmt.Sprintf(`"id-%d"`, to)
			w.Header().Set("X-Next", fmt.Sprintf("id-%d", to))
			w.Header().Set("Link", fmt.Sprintf(`</?offset=0>; rel="first", </?offset=%d>; rel=next`, to))
		}
		records := strings.Join(ids(min(from, to), to), ",\n")
		if r.URL.Path == "/array" {
			fmt.Fprintf(w, "[%s]", records)
			return
		}
		if records == "" && from > 0 {
			fmt.Fprintf(w, `{"data": {"items": null}, "meta": {"next": null}}`)
			return
		}
		fmt.Fprintf(w, `{"meta": {"next": %s}, "data": {"items": [%s], "more": [7]}}`, next, records)
	}
}

func paginations() map[string]PaginationConfig {
	return map[string]PaginationConfig{
		"page":   {Type: "page", Start: 1},
		"offset": {Type: "offset"},
		"link":   {Type: "link"},
		"cursor": {Type: "cursor", Param: "after", Next: "$.meta.next"},
		"header": {Type: "cursor", Param: "after", NextHeader: "X-Next"},
	}
}

func TestPaginationsReadEveryRecordOnce(t *testing.T) {
	for name, p := range paginations() {
		for _, total := range []int{0, 1, 9, 10, 11, 95} {
			base := serve(t, api(total, 10))
			cfg := sourceConfig(func(c *SourceConfig) {
				c.URL, c.Records, c.Pagination = base, "$.data.items", p
			})
			got := read(t, open(t, cfg, env(usual(), "r"), nil), all)
			if got.err != nil {
				t.Fatalf("%s, %d records: %v", name, total, got.err)
			}
			if diff := cmp.Diff(ids(0, total), got.rows); diff != "" {
				t.Errorf("%s, %d records: %s", name, total, diff)
			}
		}
	}
}

func TestConformance(t *testing.T) {
	for name, p := range paginations() {
		t.Run(name, func(t *testing.T) {
			conntest.Source(t, conntest.SourceCase{
				Connector: Connector(),
				Config: func(t testing.TB) any {
					base := serve(t, api(53, 9))
					return sourceConfig(func(c *SourceConfig) {
						c.URL, c.Records, c.Pagination = base, "data.items", p
					})
				},
				Blocking: func(t testing.TB) any {
					base := serve(t, api(20, 9))
					return sourceConfig(func(c *SourceConfig) {
						c.URL, c.Records, c.Pagination, c.Poll = base, "data.items", p, time.Hour
					})
				},
			})
		})
	}
}

func TestFormats(t *testing.T) {
	for name, c := range map[string]struct {
		body string
		set  func(*SourceConfig)
		want []string
		bad  int
	}{
		"array":  {`[{"a":1},{"a":2}]`, func(*SourceConfig) {}, []string{`{"a":1}`, `{"a":2}`}, 0},
		"object": {` {"a":1} `, func(*SourceConfig) {}, []string{`{"a":1}`}, 0},
		"empty":  {``, func(*SourceConfig) {}, nil, 0},
		"none":   {` [ ] `, func(*SourceConfig) {}, nil, 0},
		"ndjson": {
			"{\"a\":1}\nno\n{\"a\":2}", func(c *SourceConfig) { c.Format = "ndjson" },
			[]string{`{"a":1}`, `{"a":2}`},
			1,
		},
		"csv": {
			"\ufeffa,b\n1,x\n2\n3,\"y,\nz\"\n", func(c *SourceConfig) { c.Format = "csv" },
			[]string{`{"a":1,"b":"x"}`, `{"a":3,"b":"y,\nz"}`},
			1,
		},
		"no header": {
			"1;x\n", func(c *SourceConfig) { c.Format, c.Header, c.Delimiter = "csv", false, ";" },
			[]string{`{"column_1":1,"column_2":"x"}`},
			0,
		},
		"lines": {"a\nb", func(c *SourceConfig) { c.Format = "lines" }, []string{`{"line":"a"}`, `{"line":"b"}`}, 0},
		"declared": {
			`[{"a":1,"z":0},{}]`,
			func(c *SourceConfig) { c.Schema.Columns = []ColumnConfig{{"a", "decimal(9,2)"}} },
			[]string{`{"a":1.00}`, `{"a":null}`},
			0,
		},
	} {
		base := serve(t, func(w nethttp.ResponseWriter, _ *nethttp.Request) { io.WriteString(w, c.body) })
		cfg := sourceConfig(func(cfg *SourceConfig) { cfg.URL = base; c.set(cfg) })
		got := read(t, open(t, cfg, env(usual(), "r"), nil), all)
		if got.err != nil || len(got.rejected) != c.bad {
			t.Errorf("%s: error %v, rejected %q", name, got.err, got.rejected)
		}
		if diff := cmp.Diff(c.want, got.rows); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// A second run asks only for what is new; without incremental or keep it reads all again.
func TestNextRunContinuesWhereTheLastEnded(t *testing.T) {
	var total atomic.Int64
	total.Store(25)
	base := serve(t, func(w nethttp.ResponseWriter, r *nethttp.Request) {
		api(int(total.Load()), 10)(w, r)
	})
	incremental := sourceConfig(func(c *SourceConfig) {
		c.URL, c.Records = base, "$.data.items"
		c.Pagination = PaginationConfig{Type: "page", Start: 1}
		c.Incremental = IncrementalConfig{Param: "since", Field: "id", InitialValue: "0"}
	})
	plain := sourceConfig(func(c *SourceConfig) {
		c.URL, c.Records = base, "$.data.items"
		c.Pagination = PaginationConfig{Type: "cursor", Param: "after", Next: "$.meta.next"}
	})
	for name, c := range map[string]struct {
		cfg  *SourceConfig
		want []string
	}{
		// since is inclusive at this server, so id 24 comes again.
		"incremental": {incremental, ids(24, 27)}, "plain": {plain, ids(0, 27)},
	} {
		total.Store(25)
		first := read(t, open(t, c.cfg, env(usual(), "one"), nil), all)
		if len(first.rows) < 25 {
			t.Fatalf("%s: first run has %d rows, error %v", name, len(first.rows), first.err)
		}
		if same := read(t, open(t, c.cfg, env(usual(), "one"), first.at), all); len(same.rows) > 0 {
			t.Errorf("%s: the finished run, resumed, reads %q", name, same.rows)
		}
		total.Store(27)
		second := read(t, open(t, c.cfg, env(usual(), "two"), first.at), all)
		if diff := cmp.Diff(c.want, second.rows); diff != "" || second.err != nil {
			t.Errorf("%s: second run (%v): %s", name, second.err, diff)
		}
	}
}

func TestPollContinuesAFeedAtItsLastToken(t *testing.T) {
	var total atomic.Int64
	total.Store(3)
	base := serve(t, func(w nethttp.ResponseWriter, r *nethttp.Request) {
		from, _ := strconv.Atoi(r.URL.Query().Get("cursor"))
		n := int(total.Load())
		fmt.Fprintf(w, `{"items":[%s],"next":%d}`, strings.Join(ids(from, n), ","), n)
		total.Add(2)
	})
	cfg := sourceConfig(func(c *SourceConfig) {
		c.URL, c.Records, c.Poll = base, "items", time.Millisecond
		c.Pagination = PaginationConfig{Type: "cursor", Next: "next", Keep: true, MaxPages: 10}
	})
	source := open(t, cfg, env(usual(), "r"), nil)
	got := read(t, source, 4)
	if diff := cmp.Diff(ids(0, 9), got.rows); diff != "" || got.err != nil {
		t.Fatalf("%v %s", got.err, diff)
	}
	again := read(t, open(t, cfg, env(usual(), "r"), got.at), 1)
	if len(again.rows) == 0 || again.rows[0] != ids(9, 10)[0] {
		t.Errorf("resumed feed begins with %q", again.rows)
	}
}

func TestTemplatesAreFilledAndNotSentTwice(t *testing.T) {
	var got atomic.Value
	base := serve(t, func(w nethttp.ResponseWriter, r *nethttp.Request) {
		body, _ := io.ReadAll(r.Body)
		got.Store(fmt.Sprintf("%s %s %s %s", r.Method, r.URL.RequestURI(), body, r.Header.Get("X-Since")))
		io.WriteString(w, "[]")
	})
	cfg := sourceConfig(func(c *SourceConfig) {
		c.URL, c.Method, c.Body = base+"/p/${page}?q=${since}", "POST", `{"since": "${since}", "n": ${size}}`
		c.Headers = map[string]string{"X-Since": "after ${since}"}
		c.Query = map[string]string{"k": "${offset}"}
		c.Pagination = PaginationConfig{Type: "page", Start: 4, Size: 7}
		c.Incremental = IncrementalConfig{Field: "id", Param: "named", InitialValue: `a"&b`}
	})
	if out := read(t, open(t, cfg, env(usual(), "r"), nil), all); out.err != nil {
		t.Fatal(out.err)
	}
	want := `POST /p/4?k=0&named=a%22%26b&q=a%22%26b {"since": "a\"&b", "n": 7} after a"&b`
	if got.Load() != want {
		t.Errorf("got  %s\nwant %s", got.Load(), want)
	}
}

func TestRateLimitSpacesRequests(t *testing.T) {
	base := serve(t, api(50, 10))
	cfg := sourceConfig(func(c *SourceConfig) {
		c.URL, c.Records, c.RateLimit = base, "$.data.items", 100
		c.Pagination = PaginationConfig{Type: "page", Start: 1}
	})
	start := time.Now()
	got := read(t, open(t, cfg, env(usual(), "r"), nil), all)
	if took := time.Since(start); got.err != nil || took < 49*time.Millisecond {
		t.Errorf("6 requests at 100 a second took %v (%v)", took, got.err)
	}
}

func TestPagesThatLeadNowhereAreErrors(t *testing.T) {
	base := serve(t, func(w nethttp.ResponseWriter, r *nethttp.Request) {
		if r.URL.Path == "/object" {
			io.WriteString(w, `{"items":[{"a":1}],"next":{"x":1}}`)
			return
		}
		if r.URL.Path == "/two" {
			io.WriteString(w, `{"items":[{"a":1},{"a":2}]}`)
			return
		}
		io.WriteString(w, `{"items":[{"a":1}],"next":"same"}`)
	})
	cursor := PaginationConfig{Type: "cursor", Next: "next"}
	few := PaginationConfig{Type: "page", Start: 1, MaxPages: 3}
	for want, c := range map[string]struct {
		url string
		p   PaginationConfig
	}{
		"names itself": {base, cursor}, "neither text nor a number": {base + "/object", cursor},
		"page 3: raise": {base, few}, "page before again": {base + "/two", PaginationConfig{Type: "offset"}},
	} {
		cfg := sourceConfig(func(cfg *SourceConfig) { cfg.URL, cfg.Records, cfg.Pagination = c.url, "items", c.p })
		if got := read(t, open(t, cfg, env(usual(), "r"), nil), all); got.err == nil ||
			!strings.Contains(got.err.Error(), want) {
			t.Errorf("%s: %v", want, got.err)
		}
	}
}

func TestCloseAndCancelEndASlowRequest(t *testing.T) {
	arrived := make(chan struct{}, 2)
	base := serve(t, func(_ nethttp.ResponseWriter, r *nethttp.Request) {
		arrived <- struct{}{}
		<-r.Context().Done()
	})
	cfg := sourceConfig(func(c *SourceConfig) { c.URL, c.Timeout = base, time.Hour })
	source := open(t, cfg, env(usual(), "r"), nil)
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { _, err := source.Read(ctx); ended <- err }()
	<-arrived
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled read: %v", err)
	}
	go func() { _, err := source.Read(t.Context()); ended <- err }()
	<-arrived
	if err := source.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("closed read: %v", err)
	}
}

func TestConfigProblemsAreNamed(t *testing.T) {
	for want, change := range map[string]func(*SourceConfig){
		"url: want":          func(c *SourceConfig) { c.URL = "ftp://x" },
		"exclude each other": func(c *SourceConfig) { c.Listen = "127.0.0.1:0" },
		"method":             func(c *SourceConfig) { c.Method = "BREW" },
		"records: needs":     func(c *SourceConfig) { c.Records, c.Format = "a", "csv" },
		"one of since":       func(c *SourceConfig) { c.Body = "${nope}" },
		"no ${since}":        func(c *SourceConfig) { c.Incremental.Field = "id" },
		"incremental.field":  func(c *SourceConfig) { c.Incremental.Param = "id" },
		"needs next":         func(c *SourceConfig) { c.Pagination.Type = "cursor" },
		"pagination.type":    func(c *SourceConfig) { c.Pagination.Type = "guess" },
		"pagination.keep":    func(c *SourceConfig) { c.Pagination.Keep = true },
		"one of bearer":      func(c *SourceConfig) { c.Auth = AuthConfig{Bearer: "a", Username: "b"} },
		"belong together":    func(c *SourceConfig) { c.Auth.Header = "X" },
		"timeout":            func(c *SourceConfig) { c.Timeout = 0 },
		"schema.columns.a":   func(c *SourceConfig) { c.Schema.Columns = []ColumnConfig{{"a", "int65"}} },
		"headers.A B":        func(c *SourceConfig) { c.Headers = map[string]string{"A B": ""} },
		"token: needed":      func(c *SourceConfig) { c.URL, c.Listen = "", "0.0.0.0:0" },
		"listen: want":       func(c *SourceConfig) { c.URL, c.Listen = "", "8080" },
		"queue":              func(c *SourceConfig) { c.URL, c.Listen, c.Queue = "", "localhost:0", 0 },
		`reply: "later"`:     func(c *SourceConfig) { c.URL, c.Listen, c.Reply = "", "localhost:0", "later" },
	} {
		cfg := sourceConfig(func(c *SourceConfig) { c.URL = "http://h/"; change(c) })
		if _, err := Connector().Source.New(env(usual(), ""), cfg); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q in it", err, want)
		}
	}
}

func TestFromURLGuessesTheFormat(t *testing.T) {
	for text, want := range map[string]any{
		"https://h/a.csv": "csv", "http://h/x.jsonl?q=1": "ndjson", "http://h/": nil,
	} {
		config, err := Connector().FromURL(text)
		if err != nil || config["format"] != want || config["url"] != text {
			t.Errorf("%s: %v, %v", text, config, err)
		}
	}
}

func FuzzLinkNext(f *testing.F) {
	f.Add(`<https://h/?p=2>; rel="next", <https://h/?p=9>; rel="last"`, `$.a.b`, `{"a":{"b":"x"}}`)
	f.Add(`</x>;rel=prev next;title="a, b"`, "a", `{"a":null}`)
	f.Fuzz(func(t *testing.T, header, path, body string) {
		if link := linkNext([]string{header}); !strings.Contains(header, "<"+link+">") && link != "" {
			t.Errorf("%q has no target %q", header, link)
		}
		if value, found := lookup([]byte(body), path); found && len(value) > 0 {
			_, _ = tokenText(value)
		}
		if text, err := expand(header, func(name string) string { return "${" + name + "}" }); err == nil &&
			text != header {
			t.Errorf("expanded %q to %q", header, text)
		}
		if p, err := parsePosition(connector.Position(body)); err == nil {
			if again, err := parsePosition(p.encode()); err != nil || again != p {
				t.Errorf("position %+v reads back as %+v, %v", p, again, err)
			}
		}
	})
}

// A source that is opened again at the end of a reading, as after a first page that failed, does not
// wait for the poll interval; nor does it forget the rate limit.
func TestOpenedAgainBetweenPolls(t *testing.T) {
	var requests atomic.Int64
	base := serve(t, func(w nethttp.ResponseWriter, r *nethttp.Request) {
		requests.Add(1)
		io.WriteString(w, `[{"id":1}]`)
	})
	cfg := sourceConfig(func(c *SourceConfig) {
		c.URL, c.Poll, c.RateLimit = base, time.Hour, 20
		c.Incremental = IncrementalConfig{Field: "id", Param: "since"}
	})
	var idle atomic.Int64
	e := env(usual(), "r")
	e.Idle = func(d time.Duration) { idle.Add(int64(d)) }
	end := read(t, open(t, cfg, e, nil), 1).at
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	began := time.Now()
	if _, err := open(t, cfg, e, end).Read(ctx); err != nil || requests.Load() != 2 {
		t.Fatalf("%d requests, want a second at once: %v", requests.Load(), err)
	}
	const interval = 50 * time.Millisecond
	if took := time.Since(began); took < interval || idle.Load() < int64(interval)*9/10 {
		t.Errorf("the rate limit was kept for %v, %v of it called idle", took, time.Duration(idle.Load()))
	}
}

// What Discover tells without a request is what is delivered; it tells nothing that bodies decide.
func TestDiscoverMakesNoRequest(t *testing.T) {
	var requests atomic.Int64
	base := serve(t, func(w nethttp.ResponseWriter, r *nethttp.Request) {
		requests.Add(1)
		if r.URL.Path == "/csv" {
			io.WriteString(w, "more,id\n1,2\n")
			return
		}
		io.WriteString(w, `[{"id":1,"more":true}]`)
	})
	declared := SchemaConfig{Columns: []ColumnConfig{{Name: "id", Type: "int64"}}}
	for _, c := range []struct {
		path, format, extra string
		schema              SchemaConfig
		want                string
	}{
		{"/", "json", "", declared, "id int64"},
		{"/", "json", "error", declared, "id int64"},
		{"/", "json", "capture", declared, "id int64, _extra json"},
		{"/csv", "csv", "", declared, "id int64"},
		{"/", "lines", "", SchemaConfig{}, "body string"},
		{"/", "json", "evolve", declared, ""},
		{"/", "json", "", SchemaConfig{}, ""},
		{"/csv", "csv", "", SchemaConfig{}, ""},
	} {
		cfg := sourceConfig(func(s *SourceConfig) {
			s.URL, s.Format, s.Extra, s.Schema, s.Column = base+c.path, c.format, c.extra, c.schema, "body"
		})
		source := open(t, cfg, env(usual(), "r"), nil)
		before := requests.Load()
		got, err := source.(connector.Discoverer).Discover(t.Context())
		if err != nil || requests.Load() != before {
			t.Errorf("%+v: %d requests: %v", c, requests.Load()-before, err)
		}
		text := ""
		if got != nil {
			text = got.String()
		}
		if text != c.want {
			t.Errorf("%+v: discovered (%s)", c, text)
		}
		chunk, err := source.Read(t.Context())
		if c.want != "" && c.extra != "error" && (err != nil || chunk.Batch.Schema().String() != c.want) {
			t.Errorf("%+v: delivered %v: %v", c, chunk.Batch, err)
		}
	}
}
