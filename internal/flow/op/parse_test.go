package op

import (
	"bufio"
	"compress/gzip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/internal/testenv"
)

func parsed(t testing.TB, configure func(*ParseConfig)) Operator {
	t.Helper()
	return made(t, Parse(), Env{}, configure)
}

func TestParseJSONFields(t *testing.T) {
	operator := parsed(t, func(c *ParseConfig) {
		c.Column, c.Format, c.DropSource, c.Prefix = "raw", "json", true, "j_"
		c.Fields = []ParsedField{
			{Name: "id", Type: "int64"},
			{Name: "px", Type: "decimal(10,2)", Path: "$.data.p"},
			{Name: "levels", Type: "list<list<decimal(10,2)>>", Path: "data.b"},
			{Name: "last", Type: "string", Path: `data.b[-1][0]`},
			{Name: "odd", Type: "json", Path: `["a b"].x`},
		}
	})
	records := []string{
		`{"id": 9007199254740993, "data": {"p": "1.5", "b": [["1.00","2"], ["3", "4.5"]]}, "a b": {"x": {"y": 1.50}}}`,
		`{"id": 1, "id": 2, "data": null}`,
		`{"id": "x"}`,
		`{"id": 3`,
		``,
		`{"id": 4, "data": {"b": [["1.0"]]}}`,
		`{"id": 5, "data": {"b": [["1.005"]]}}`,
		` {"id": 6, "d\u0061ta": {"p": 2, "b": []}} `,
	}
	rows := make([][]any, len(records))
	for i, r := range records {
		rows[i] = []any{int64(i), r, "z"}
		if r == "" {
			rows[i][1] = nil
		}
	}
	for name, in := range map[string]*batch.Batch{
		"dense": dense(t, "n int64; raw string; k string", rows...),
		"json":  nil,
	} {
		if in == nil { // the same as a json column, without what is none
			in = dense(t, "n int64; raw json; k string", rows...)
		}
		out := apply(t, operator, in)
		same(t, name, lines(t, out, 0),
			`{"n":0,"j_id":9007199254740993,"j_px":1.50,"j_levels":[[1.00,2.00],[3.00,4.50]],"j_last":"3","j_odd":{"y": 1.50},"k":"z"}`,
			`{"n":1,"j_id":1,"j_px":null,"j_levels":null,"j_last":null,"j_odd":null,"k":"z"}`,
			`{"n":4,"j_id":null,"j_px":null,"j_levels":null,"j_last":null,"j_odd":null,"k":"z"}`,
			`{"n":5,"j_id":4,"j_px":null,"j_levels":[[1.00]],"j_last":"1.0","j_odd":null,"k":"z"}`,
			`{"n":7,"j_id":6,"j_px":2.00,"j_levels":[],"j_last":null,"j_odd":null,"k":"z"}`)
		same(t, name+" refused", refusals(out), `4 raw: "{\"id\": 3" is not JSON`,
			`3 j_id: "x" is not a value of type int64`,
			`7 j_levels: "[[\"1.005\"]]" is not a value of type list<list<decimal(10,2)>>`)
	}
}

func TestParseJSONWhole(t *testing.T) {
	in := lazy(t, "raw string; k int64", `{"a":1,"b":[1,2]}`+"|1", `[]|2`, "|3")
	whole := parsed(t, func(c *ParseConfig) {
		c.Column, c.Format, c.Type, c.Into = "raw", "json", "struct<b:list<int64>,c:string>", "v"
	})
	out := apply(t, whole, in)
	same(t, "rows", lines(t, out, 0), `{"raw":"{\"a\":1,\"b\":[1,2]}","v":{"b":[1,2],"c":null},"k":1}`,
		`{"raw":null,"v":null,"k":3}`)
	same(t, "refused", refusals(out), `2 v: "[]" is not a value of type struct<b:list<int64>,c:string>`)
	place := parsed(t, func(c *ParseConfig) { c.Column, c.Format = "raw", "json" })
	same(t, "in place", lines(t, apply(t, place, in.Select([]int32{0})), 0), `{"raw":{"a":1,"b":[1,2]},"k":1}`)
}

// TestBinanceCapture takes a real feed apart: prefix, event type, price levels.
func TestBinanceCapture(t *testing.T) {
	dir := testenv.Data(t, "binance_feed_ndjson")
	split := parsed(t, func(c *ParseConfig) {
		c.Column, c.Format, c.DropSource = "line", "regex", true
		c.Pattern = `^(?P<received>\d{19}) (?P<body>.*)$`
		c.Fields = []ParsedField{{Name: "received", Type: "int64"}, {Name: "body"}}
	})
	events := parsed(t, func(c *ParseConfig) {
		c.Column, c.Format, c.DropSource = "body", "json", true
		c.Fields = []ParsedField{
			{Name: "stream"},
			{Name: "bids", Type: "json", Path: "data.b"},
			{Name: "asks", Type: "json", Path: "data.a"},
		}
	})
	kinds := routes(t, "first", "snapshot", Branch{"depth", "stream contains '@depth'"},
		Branch{"ticker", "stream endsWith '@bookTicker'"}, Branch{"trade", "stream endsWith '@trade'"})
	level := "list<list<decimal(20,8)>>"
	typed := castTo(t, "error", TypedColumn{"bids", level}, TypedColumn{"asks", level})
	side := func(column string) Operator {
		return made(t, Explode(), Env{}, func(c *ExplodeConfig) { c.Columns = []string{column} })
	}
	keep := func(column string) Operator {
		return made(t, Select(), Env{}, func(c *SelectConfig) { c.Columns = []string{"stream", column} })
	}
	names, err := filepath.Glob(filepath.Join(dir, "*.gz"))
	if err != nil {
		t.Fatal(err)
	}
	counts := make([]int, 4)
	levels := 0
	for _, name := range names {
		in := linesOf(t, name)
		routed := apply(t, kinds, only(t, apply(t, events, only(t, apply(t, split, in)))))
		for _, part := range routed.Parts {
			counts[part.Port] += part.Batch.Len()
			if part.Port != 0 {
				continue
			}
			depth := only(t, apply(t, typed, part.Batch))
			for _, column := range []string{"bids", "asks"} {
				levels += only(t, apply(t, side(column), only(t, apply(t, keep(column), depth)))).Len()
			}
		}
	}
	if want := []int{9985, 90166, 27419, 2}; !slices.Equal(counts, want) {
		t.Errorf("%v events, want %v", counts, want)
	}
	if levels != 550335 {
		t.Errorf("%d levels, want 550335", levels)
	}
}

// only returns the one batch of an output that refused nothing.
func only(t *testing.T, out *Output) *batch.Batch {
	t.Helper()
	if len(out.Rejected) > 0 || len(out.Parts) != 1 {
		t.Fatalf("%d parts, refused %v", len(out.Parts), refusals(out)[:min(3, len(out.Rejected))])
	}
	return out.Parts[0].Batch
}

func linesOf(t *testing.T, name string) *batch.Batch {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	unzipped, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	builder := batch.NewBuilder(schemaOf(t, "line string"))
	scanner := bufio.NewScanner(unzipped)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		builder.Column(0).Bytes(scanner.Bytes())
	}
	if err := scanner.Err(); err != nil {
		t.Fatal(err)
	}
	b, err := builder.Batch()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestJSONPaths(t *testing.T) {
	for _, bad := range []string{"a..b", "a[x]", "a[", `["a`, "."} {
		_, err := tryMake(Parse(), Env{}, func(c *ParseConfig) {
			c.Column, c.Format, c.Fields = "r", "json", []ParsedField{{Name: "f", Path: bad}}
		})
		fails(t, err, "fields.f.path")
	}
	text := []byte(`{"a":[{"b":"x,]}\""},-1.5e3,true], "":{"c":null}}`)
	for path, want := range map[string]string{
		"$": string(text), "a[0].b": `"x,]}\""`, "a[1]": "-1.5e3", "a[-1]": "true", "a[3]": "",
		"a[-4]": "", "a.b": "", `[""].c`: "null", "a[0]": `{"b":"x,]}\""}`,
	} {
		steps, err := parseJSONPath(path)
		if err != nil {
			t.Fatal(err)
		}
		r := &jsonReader{walk: 1}
		r.root.add(steps, 0)
		cells := make([]uint32, 2)
		r.locate(text, text, &r.root, cells, 0)
		if got := string(text[cells[0]:cells[1]]); got != want {
			t.Errorf("%s is %s, want %s", path, got, want)
		}
	}
}

func TestParseCSV(t *testing.T) {
	operator := parsed(t, func(c *ParseConfig) {
		c.Column, c.Format = "raw", "csv"
		c.Fields = []ParsedField{{Name: "a", Type: "int64"}, {Name: "b"}, {Name: "c", Type: "date"}}
		c.DropSource = true
	})
	in := dense(t, "raw string", []any{`1,"x,""y""",2024-01-01`}, []any{`2,,`}, []any{nil}, []any{`3,x`},
		[]any{`4,x,2024-01-01,z`}, []any{`x,y,2024-01-01`}, []any{`5,"",2024-01-01`}, []any{`6,"open,2024-01-01`})
	out := apply(t, operator, in)
	same(t, "rows", lines(t, out, 0), `{"a":1,"b":"x,\"y\"","c":"2024-01-01"}`, `{"a":2,"b":null,"c":null}`,
		`{"a":null,"b":null,"c":null}`, `{"a":5,"b":"","c":"2024-01-01"}`)
	same(t, "refused", refusals(out), `4 raw: 2 csv cells, want 3`, `5 raw: 4 csv cells, want 3`,
		`8 raw: csv record ends within quotes`, `6 a: "x" is not a value of type int64`)
}

func TestParseRegex(t *testing.T) {
	text := parsed(t, func(c *ParseConfig) {
		c.Column, c.Format, c.Pattern, c.DropSource = "line", "regex", `^(?P<n>\d+) (?P<w>\w+)?`, true
	})
	in := lazy(t, "line string; k int64", "12 ab|1", "x|2", "7 |3", "|4")
	out := apply(t, text, in)
	same(t, "rows", lines(t, out, 0), `{"n":"12","w":"ab","k":1}`, `{"n":"7","w":null,"k":3}`,
		`{"n":null,"w":null,"k":4}`)
	same(t, "refused", refusals(out), `2 line: "x" does not match the pattern`)
	for part, configure := range map[string]func(*ParseConfig){
		"no named group": func(c *ParseConfig) { c.Pattern = "x" },
		"pattern: error": func(c *ParseConfig) { c.Pattern = "(" },
		"has no group":   func(c *ParseConfig) { c.Pattern, c.Fields = "(?P<a>x)", []ParsedField{{Name: "b"}} },
		"a group is no": func(c *ParseConfig) {
			c.Pattern, c.Fields = "(?P<a>x)", []ParsedField{{Name: "a", Type: "list<int64>"}}
		},
		"only format json":                  func(c *ParseConfig) { c.Pattern, c.Fields = "(?P<a>x)", []ParsedField{{Name: "a", Path: "x"}} },
		"fields.a: \"int63\" is not a type": func(c *ParseConfig) { c.Pattern, c.Fields = "(?P<a>x)", []ParsedField{{Name: "a", Type: "int63"}} },
	} {
		_, err := tryMake(Parse(), Env{}, func(c *ParseConfig) {
			c.Column, c.Format = "line", "regex"
			configure(c)
		})
		fails(t, err, part)
	}
}

func TestParseTimestamps(t *testing.T) {
	for _, c := range []struct{ layout, typ, zone, text, want string }{
		{"", "timestamp(ms,UTC)", "", "2024-01-02T03:04:05.678+08:00", "2024-01-01T19:04:05.678Z"},
		{"iso8601", "timestamp(s,UTC)", "Asia/Shanghai", "2024-01-02 03:04:05.9", "2024-01-01T19:04:05Z"},
		{"iso8601", "timestamp(s)", "Asia/Shanghai", "2024-01-01T19:04:05Z", "2024-01-02T03:04:05"},
		{"iso8601", "timestamp(s)", "", "2024-01-02 03:04:05", "2024-01-02T03:04:05"},
		{"iso8601", "timestamp(s,UTC)", "", "9999-12-31 23:59:59", "9999-12-31T23:59:59Z"},
		{"iso8601", "timestamp(s,UTC)", "", "9999-12-31 23:59:59+01:00", "9999-12-31T22:59:59Z"},
		{"iso8601", "timestamp(s,UTC)", "", "31.12.2024", ""},
		{"%d/%m/%Y %H:%M:%S.%f", "timestamp(us,UTC)", "", "02/01/2024 03:04:05.25", "2024-01-02T03:04:05.250000Z"},
		{"%Y%m%d%H%M%S", "timestamp(s)", "", "20240102030405", "2024-01-02T03:04:05"},
		{"%d %b %Y %I:%M %p %z", "timestamp(s,UTC)", "", "02 Jan 2024 03:04 PM -0500", "2024-01-02T20:04:00Z"},
		{"%d %b %Y", "timestamp(s,UTC)", "America/New_York", "02 Jan 2024", "2024-01-02T05:00:00Z"},
		{"%Y-%m-%d", "timestamp(s,UTC)", "", "2024-13-01", ""},
		{"%Y-%m-%d %H:%M %Z", "timestamp(s,UTC)", "", "2024-01-02 03:04 UTC", "2024-01-02T03:04:00Z"},
		{"%Y-%m-%d %H:%M %Z", "timestamp(s,UTC)", "", "2024-01-02 03:04 GMT", "2024-01-02T03:04:00Z"},
		{"%Y-%m-%d %H:%M %Z", "timestamp(s,UTC)", "America/New_York", "2024-07-02 03:04 EDT", "2024-07-02T07:04:00Z"},
		{"%Y-%m-%d %H:%M %Z", "timestamp(s,UTC)", "", "2024-01-02 03:04 PST", ""},
		{"%Y-%m-%d %H:%M %z %Z", "timestamp(s,UTC)", "", "2024-01-02 03:04 -0800 PST", "2024-01-02T11:04:00Z"},
		{"%Y-%m-%dT%H:%M:%S%z", "timestamp(s,UTC)", "", "2024-01-02T03:04:05Z", "2024-01-02T03:04:05Z"},
		{"epoch_ms", "timestamp(s,UTC)", "", "1700000000999", "2023-11-14T22:13:20Z"},
		{"epoch_s", "timestamp(ms,UTC)", "", "1700000000.25", "2023-11-14T22:13:20.250Z"},
		{"epoch_s", "timestamp(s,UTC)", "", "-1.5", "1969-12-31T23:59:58Z"},
		{"epoch_ns", "timestamp(us,UTC)", "", "1723130000123456789", "2024-08-08T15:13:20.123456Z"},
		{"epoch_s", "timestamp(ns,UTC)", "", "99999999999999", ""},
		{"epoch_s", "timestamp(s,UTC)", "", "soon", ""},
	} {
		operator := parsed(t, func(p *ParseConfig) {
			p.Column, p.Format, p.Layout, p.Type, p.Zone = "t", "timestamp", c.layout, c.typ, c.zone
		})
		out := apply(t, operator, dense(t, "t string", []any{c.text}, []any{nil}))
		want := []string{`{"t":"` + c.want + `"}`, `{"t":null}`}
		if c.want == "" {
			want = want[1:]
		}
		same(t, c.layout+" "+c.text, lines(t, out, 0), want...)
		if refused := len(out.Rejected) > 0; refused != (c.want == "") {
			t.Errorf("%s %s: refused %v", c.layout, c.text, refusals(out))
		}
	}
	integers := parsed(t, func(c *ParseConfig) { c.Column, c.Format, c.Layout, c.Into = "n", "timestamp", "epoch_s", "at" })
	same(t, "integers", lines(t, apply(t, integers, numbers(t, 60, 61)), 0), `{"n":60,"at":"1970-01-01T00:01:00.000000Z"}`)
	for _, layout := range []string{"%Q", "%", "yyyy-MM-dd", "%Y 12", "%f", "%d Mon %H"} {
		_, err := tryMake(Parse(), Env{}, func(c *ParseConfig) { c.Column, c.Format, c.Layout = "t", "timestamp", layout })
		fails(t, err, "layout: ")
	}
}

func TestParseFaults(t *testing.T) {
	_, err := parsed(t, func(c *ParseConfig) { c.Column, c.Format = "a", "json" }).Bind(schemaOf(t, "a int64"))
	fails(t, err, "column a is int64, not text")
	_, err = tryMake(Parse(), Env{}, func(c *ParseConfig) { c.Format = "xml" })
	fails(t, err, `format: "xml" is none of`)
	same(t, "lines", []string{strings.Repeat("x", 60) + "..."}, string(shortened([]byte(strings.Repeat("x", 99)))))
}

func FuzzParseJSON(f *testing.F) {
	f.Add(`{"a":{"b":[1,"2",null,{"c":"\u00e9"}]}}`, "a.b[1]")
	f.Add(`[[],{}]`, "$[0]")
	f.Add(`"x"`, "$")
	operator := func(t *testing.T, path, typ string) Operator {
		return parsed(t, func(c *ParseConfig) {
			c.Column, c.Format, c.Into = "v", "json", "o"
			if path == "" {
				c.Type = typ
				return
			}
			c.Fields = []ParsedField{{Name: "o", Path: path, Type: typ}}
		})
	}
	f.Fuzz(func(t *testing.T, text, path string) {
		if _, err := parseJSONPath(path); err != nil {
			path = ""
		}
		in := dense(t, "v string", []any{text})
		for _, typ := range []string{"json", "string", "int64", "list<struct<c:string>>", "map<string,decimal(9,2)>"} {
			out := apply(t, operator(t, path, typ), in)
			if rows := lines(t, out, 0); len(rows)+len(out.Rejected) != 1 {
				t.Fatalf("%q at %q as %s: rows %v, refused %v", text, path, typ, rows, refusals(out))
			}
		}
	})
}
