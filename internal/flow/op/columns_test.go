package op

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tapeline/tapeline/batch"
)

func TestFilterWithdrawsUpsertsWithWholeRows(t *testing.T) {
	// b is typed only where a passes; the withdrawn row must keep its own b.
	in := operations(lazy(t, "a int64; b int64", "1|7", "5|8", "5|1"), "~~-")
	filter := made(t, Filter(), Env{}, func(c *FilterConfig) { c.Condition = "a > 2 and b > 2" })
	out := apply(t, filter, in)
	same(t, "rows", lines(t, out, 0), `-{"a":1,"b":7}`, `~{"a":5,"b":8}`, `-{"a":5,"b":1}`)
}

func TestProjections(t *testing.T) {
	in := lazy(t, "a int64; b string; c string", "1|x|u", "2|y|")
	for _, c := range []struct {
		name     string
		operator Operator
		want     string
	}{
		{"select", made(t, Select(), Env{}, func(c *SelectConfig) { c.Columns = []string{"c", "a"} }), `{"c":null,"a":2}`},
		{"drop", made(t, Drop(), Env{}, func(c *DropConfig) { c.Columns = []string{"b"} }), `{"a":2,"c":null}`},
		{"rename", made(t, Rename(), Env{}, func(c *RenameConfig) {
			c.Columns = []RenamedColumn{{"a", "b"}, {"b", "a"}}
		}), `{"b":2,"a":"y","c":null}`},
	} {
		out := apply(t, c.operator, in.Select([]int32{1}))
		same(t, c.name, lines(t, out, 0), c.want)
	}
	_, err := tryApply(made(t, Rename(), Env{}, func(c *RenameConfig) {
		c.Columns = []RenamedColumn{{"a", "b"}}
	}), in)
	fails(t, err, `two columns would be named "b"`)
	_, err = tryApply(made(t, Select(), Env{}, func(c *SelectConfig) { c.Columns = []string{"a", "a"} }), in)
	fails(t, err, `columns: two columns would be named "a"`)
	_, err = tryApply(made(t, Select(), Env{}, func(c *SelectConfig) { c.Columns = []string{"z"} }), in)
	fails(t, err, `no column "z"`)
}

func TestComputeSeesColumnsBefore(t *testing.T) {
	compute := made(t, Compute(), Env{}, func(c *ComputeConfig) {
		c.Columns = []ComputedColumn{{"a", "a * 2"}, {"b", "a + 1"}}
	})
	out := apply(t, compute, lazy(t, "a int64; s string", "1|x", "z|y", "|w"))
	same(t, "rows", lines(t, out, 0), `{"a":2,"s":"x","b":3}`, `{"a":null,"s":"w","b":null}`)
	same(t, "refused", refusals(out), `2 a: "z" is not a value of type int64`)
}

func castTo(t *testing.T, mode string, columns ...TypedColumn) Operator {
	t.Helper()
	return made(t, Cast(), Env{}, func(c *CastConfig) { c.Columns, c.Mode = columns, mode })
}

func TestCastRefusesOrNulls(t *testing.T) {
	types := []TypedColumn{{"a", "int64"}, {"d", "decimal(6,2)"}}
	for name, in := range map[string]*batch.Batch{
		"lazy":  lazy(t, "a string; d string; k string", "1|1.005|p", "x|2|q", "|-0.005|r", "4|12345.6|s", "9|9|t"),
		"dense": dense(t, "a string; d string; k string", []any{"1", "1.005", "p"}, []any{"x", "2", "q"}, []any{nil, "-0.005", "r"}, []any{"4", "12345.6", "s"}, []any{"9", "9", "t"}),
	} {
		in = in.Select([]int32{0, 1, 2, 3})
		out := apply(t, castTo(t, "error", types...), in)
		same(t, name, lines(t, out, 0), `{"a":1,"d":1.01,"k":"p"}`, `{"a":null,"d":-0.01,"k":"r"}`)
		same(t, name+" refused", refusals(out), `2 a: "x" is not a value of type int64`,
			`4 d: "12345.6" is not a value of type decimal(6,2)`)
		out = apply(t, castTo(t, "null", types...), in)
		same(t, name+" null", lines(t, out, 0), `{"a":1,"d":1.01,"k":"p"}`, `{"a":null,"d":2.00,"k":"q"}`,
			`{"a":null,"d":-0.01,"k":"r"}`, `{"a":4,"d":null,"k":"s"}`)
	}
}

// A moment beyond the last date is refused: an epoch in nanoseconds that was taken for seconds.
func TestCastToDateIsBounded(t *testing.T) {
	in := dense(t, "n int64", []any{int64(1_700_000_000_000_000_000)}, []any{int64(86_400)})
	moments := apply(t, castTo(t, "error", TypedColumn{"n", "timestamp(s)"}), in).Parts[0].Batch
	out := apply(t, castTo(t, "error", TypedColumn{"n", "date"}), moments)
	same(t, "dates", lines(t, out, 0), `{"n":"1970-01-02"}`)
	same(t, "refused", refusals(out), `1 n: "53870857431-07-31T22:13:20" is not a value of type date`)
}

// A column that may hold NULL says so: JSON's null is none of the values of its column.
func TestCastOfJSONIsNullable(t *testing.T) {
	for _, c := range []struct {
		from, to string
		want     bool
	}{
		{"json", "int64", true},
		{"json", "string", true},
		{"string", "list<int64>", true},
		{"int64", "json", false},
		{"string", "int64", false},
	} {
		field := schemaOf(t, "x "+c.from).Field(0)
		field.Nullable = false
		bound, err := castTo(t, "error", TypedColumn{"x", c.to}).Bind(batch.NewSchema(field))
		if err != nil {
			t.Fatal(err)
		}
		if got := bound.(Shaper).Schema().Field(0).Nullable; got != c.want {
			t.Errorf("%s to %s: nullable %t, want %t", c.from, c.to, got, c.want)
		}
	}
}

func TestCastPairs(t *testing.T) {
	for _, c := range []struct {
		from string
		in   any
		to   string
		want string // JSON; "" refused
	}{
		{"int64", int64(300), "int8", ""},
		{"int64", int64(-128), "int8", `-128`},
		{"int64", int64(-1), "uint64", ""},
		{"uint64", uint64(1<<64 - 1), "decimal(20,0)", `18446744073709551615`},
		{"uint64", uint64(1<<64 - 1), "int64", ""},
		{"float64", 2.9, "int32", `2`},
		{"float64", -2.9, "int32", `-2`},
		{"float64", 1e300, "int64", ""},
		{"float64", 0.1, "decimal(4,2)", `0.10`},
		{"float64", 0.125, "decimal(4,2)", `0.13`},
		{"decimal(10,3)", "2.345", "decimal(5,2)", `2.35`},
		{"decimal(10,3)", "-2.345", "decimal(5,2)", `-2.35`},
		{"decimal(10,3)", "2.345", "float64", `2.345`},
		{"decimal(10,3)", "-2.9", "int64", `-2`},
		{"decimal(38,0)", "9999999999999999999999999999999999999", "decimal(38,2)", ""},
		{"int32", int64(7), "decimal(3,2)", `7.00`},
		{"int32", int64(70), "decimal(3,2)", ""},
		{"bool", true, "int64", `1`},
		{"int64", int64(0), "bool", `false`},
		{"int64", int64(1700000000), "timestamp(s,UTC)", `"2023-11-14T22:13:20Z"`},
		{"timestamp(ms,UTC)", int64(1700000000123), "timestamp(s,UTC)", `"2023-11-14T22:13:20Z"`},
		{"timestamp(ms,UTC)", int64(1700000000123), "timestamp(us)", `"2023-11-14T22:13:20.123000"`},
		{"timestamp(s)", "2024-01-01 00:00:00", "timestamp(s,Asia/Shanghai)", `"2024-01-01T00:00:00+08:00"`},
		{"timestamp(s,Asia/Shanghai)", "2024-01-01 00:00:00", "date", `"2024-01-01"`},
		{"timestamp(s,Asia/Shanghai)", "2024-01-01 07:00:00", "timestamp(s,UTC)", `"2023-12-31T23:00:00Z"`},
		{"timestamp(s)", "1969-12-31 23:00:01", "time(s)", `"23:00:01"`},
		{"date", "1969-12-31", "timestamp(s,UTC)", `"1969-12-31T00:00:00Z"`},
		{"timestamp(s,UTC)", "1970-01-01 00:01:00Z", "int64", `60`},
		{"timestamp(s,UTC)", int64(1 << 60), "timestamp(ns,UTC)", ""},
		{"string", "2024-03-10 12:00:00", "timestamp(s,America/New_York)", `"2024-03-10T12:00:00-04:00"`},
		{"string", `[1,2]`, "list<int64>", `[1,2]`},
		{"string", `[1,"x"]`, "list<int64>", ""},
		{"string", `{"a": {"b": [1.50, null]}}`, "struct<a:struct<b:list<decimal(5,2)>>>", `{"a":{"b":[1.50,null]}}`},
		{"string", `{"a": 5`, "json", ""},
		{"string", `{"a": 5}`, "json", `{"a": 5}`},
		{"json", `"a\nb"`, "string", `"a\nb"`},
		{"json", `null`, "string", `null`},
		{"json", `"12"`, "int64", `12`},
		{"json", `12.50`, "decimal(4,1)", `12.5`},
		{"struct<a:int64>", map[string]any{"a": int64(1)}, "map<string,int64>", `{"a":1}`},
		{"list<int64>", []any{int64(1), nil}, "string", `"[1,null]"`},
		{"list<int64>", []any{int64(1), nil}, "list<float64>", `[1,null]`},
		{"string", "7", "int16", `7`},
		{"string", "7", "uint8", `7`},
		{"string", "300", "uint8", ""},
		{"string", "1.5", "float32", `1.5`},
		{"string", "Yes", "bool", `true`},
		{"string", "x", "binary", `"eA=="`},
		{"binary", "\xff", "string", ""},
		{"binary", "x", "string", `"x"`},
		{"uint8", int64(200), "float64", `200`},
		{"bool", true, "float64", `1`},
		{"bool", false, "int8", `0`},
		{"int64", int64(-2), "float32", `-2`},
		{"float32", 1.5, "decimal(3,1)", `1.5`},
		{"float64", 1.8e19, "uint64", `18000000000000000000`},
		{"decimal(4,2)", "1.50", "string", `"1.50"`},
		{"decimal(4,2)", "0.00", "bool", `false`},
		{"time(s)", "10:00:01", "time(ms)", `"10:00:01.000"`},
		{"timestamp(s,UTC)", "2024-01-02 00:00:00Z", "json", `"2024-01-02T00:00:00Z"`},
		{"string", "NaN", "decimal(4,2)", ""},
		{
			"string", `{"a":"y","b":"2024-01-01","c":"10:00:00","d":"2024-01-01T00:00:00","e":"18446744073709551615","f":1.5,"g":-128,"h":{"z":null}}`,
			"struct<a:bool,b:date,c:time(s),d:timestamp(s),e:uint64,f:float64,g:int8,h:json>",
			`{"a":true,"b":"2024-01-01","c":"10:00:00","d":"2024-01-01T00:00:00","e":18446744073709551615,"f":1.5,"g":-128,"h":{"z":null}}`,
		},
		{"string", `{"g":128}`, "struct<g:int8>", ""},
		{"string", `[{"g":"x"}]`, "list<struct<g:date>>", ""},
		{"string", `"text"`, "list<int64>", ""},
		{"string", `[]`, "map<string,int64>", ""},
		{"string", "1e2", "int64", ""},
		{"string", "1e2", "decimal(5,1)", `100.0`},
		{"string", "1e-400000000", "decimal(5,1)", ""},
		{"int64", int64(5), "string", `"5"`},
	} {
		in := dense(t, "v "+c.from, []any{c.in}, []any{nil})
		out := apply(t, castTo(t, "null", TypedColumn{"v", c.to}), in)
		want := c.want
		if want == "" {
			want = "null"
		}
		got := lines(t, out, 0)
		same(t, c.from+" to "+c.to, got, `{"v":`+want+`}`, `{"v":null}`)
		out = apply(t, castTo(t, "error", TypedColumn{"v", c.to}), in)
		if refused := len(out.Rejected) == 1; refused != (c.want == "") {
			t.Errorf("%v %s to %s: refused %v", c.in, c.from, c.to, refusals(out))
		}
	}
}

func TestCastFaults(t *testing.T) {
	in := dense(t, "v date; w struct<a:int64>")
	_, err := tryApply(castTo(t, "error", TypedColumn{"v", "bool"}), in)
	fails(t, err, "columns.v: date cannot become bool")
	_, err = tryApply(castTo(t, "error", TypedColumn{"w", "int64"}), in)
	fails(t, err, "struct<a:int64> cannot become int64")
	_, err = tryApply(castTo(t, "error", TypedColumn{"x", "int64"}), in)
	fails(t, err, `no column "x"`)
	_, err = tryMake(Cast(), Env{}, func(c *CastConfig) { c.Columns = []TypedColumn{{"v", "int63"}} })
	fails(t, err, "columns.v")
	_, err = tryMake(Cast(), Env{}, func(c *CastConfig) { c.Mode = "loose" })
	fails(t, err, `mode: "loose"`)
}

func TestFlatten(t *testing.T) {
	in := dense(t, "id int64; p struct<x:int64,q:struct<y:string,z:list<int64>>>; n int64",
		[]any{int64(1), map[string]any{"x": int64(5), "q": map[string]any{"y": "a", "z": []any{int64(1)}}}, int64(9)},
		[]any{int64(2), map[string]any{"x": int64(6), "q": nil}, nil},
		[]any{int64(3), nil, int64(8)})
	out := apply(t, made(t, Flatten(), Env{}, func(*FlattenConfig) {}), in)
	same(t, "all", lines(t, out, 0),
		`{"id":1,"p_x":5,"p_q_y":"a","p_q_z":[1],"n":9}`,
		`{"id":2,"p_x":6,"p_q_y":null,"p_q_z":null,"n":null}`,
		`{"id":3,"p_x":null,"p_q_y":null,"p_q_z":null,"n":8}`)
	empty := ""
	out = apply(t, made(t, Flatten(), Env{}, func(c *FlattenConfig) {
		c.Columns, c.Prefix, c.Depth = []string{"p"}, &empty, 1
	}), in.Select([]int32{0}))
	same(t, "one level", lines(t, out, 0), `{"id":1,"x":5,"q":{"y":"a","z":[1]},"n":9}`)
	_, err := tryApply(made(t, Flatten(), Env{}, func(c *FlattenConfig) { c.Columns = []string{"id"} }), in)
	fails(t, err, "id is int64, not a struct")
	_, err = tryApply(made(t, Flatten(), Env{}, func(c *FlattenConfig) { c.Prefix = &empty }),
		dense(t, "x int64; p struct<x:int64>"))
	fails(t, err, `two columns would be named "x"`)
}

func TestExplode(t *testing.T) {
	in := dense(t, "id int64; a list<int64>; b list<string>",
		[]any{int64(1), []any{int64(10), nil}, []any{"x"}},
		[]any{int64(2), []any{}, nil},
		[]any{int64(3), []any{int64(30)}, []any{"y", "z"}})
	explode := func(configure func(*ExplodeConfig)) Operator { return made(t, Explode(), Env{}, configure) }
	out := apply(t, explode(func(c *ExplodeConfig) { c.Columns = []string{"a"} }), in)
	same(t, "one", lines(t, out, 0), `{"id":1,"a":10,"b":["x"]}`, `{"id":1,"a":null,"b":["x"]}`,
		`{"id":3,"a":30,"b":["y","z"]}`)
	if got := out.Parts[0].Batch.Origin().At(2).Line; got != 3 {
		t.Errorf("third row comes from line %d, want 3", got)
	}
	both := explode(func(c *ExplodeConfig) {
		c.Columns, c.Outer, c.Position = []string{"a", "b"}, true, "n"
	})
	same(t, "parallel outer", lines(t, apply(t, both, in), 0), `{"id":1,"a":10,"b":"x","n":1}`,
		`{"id":1,"a":null,"b":null,"n":2}`, `{"id":2,"a":null,"b":null,"n":null}`,
		`{"id":3,"a":30,"b":"y","n":1}`, `{"id":3,"a":null,"b":"z","n":2}`)
	same(t, "selected", lines(t, apply(t, both, in.Select([]int32{2})), 0),
		`{"id":3,"a":30,"b":"y","n":1}`, `{"id":3,"a":null,"b":"z","n":2}`)
	same(t, "all empty", lines(t, apply(t, both, in.Select([]int32{1})), 0),
		`{"id":2,"a":null,"b":null,"n":null}`)
	_, err := tryApply(both, operations(in, "+~+"))
	fails(t, err, "an upsert at in:2 cannot pass")
	if out, err := tryApply(both, operations(in, "+++")); err != nil || len(out.Parts) != 1 {
		t.Errorf("inserts were refused: %v", err)
	}
	_, err = tryApply(both, dense(t, "a string; b list<int64>"))
	fails(t, err, "a is string, not a list; read it first with parse or cast")
}

func TestExplodeStructsAndMaps(t *testing.T) {
	in := dense(t, "id int64; l list<struct<p:decimal(5,2),q:int64>>; m map<string,int64>",
		[]any{int64(1), []any{map[string]any{"p": "1.5", "q": int64(2)}, nil}, map[string]any{"k": int64(7)}})
	out := apply(t, made(t, Explode(), Env{}, func(c *ExplodeConfig) {
		c.Columns, c.Fields, c.Prefix = []string{"l", "m"}, true, "e_"
	}), in)
	same(t, "rows", lines(t, out, 0), `{"id":1,"e_p":1.50,"e_q":2,"e_key":"k","e_value":7}`,
		`{"id":1,"e_p":null,"e_q":null,"e_key":null,"e_value":null}`)
	_, err := tryApply(made(t, Explode(), Env{}, func(c *ExplodeConfig) {
		c.Columns, c.Fields = []string{"l"}, true
	}), dense(t, "q int64; l list<struct<q:int64>>"))
	fails(t, err, `two columns would be named "q"`)
}

func TestExplodeRefusesCellsThatDoNotRead(t *testing.T) {
	in := dense(t, "id int64; l list<int64>", []any{int64(1), []any{int64(5)}}, []any{int64(2), []any{int64(6)}})
	ids := lazy(t, "id int64", "x", "2")
	in = in.Replace(0, ids.Column(0))
	out := apply(t, made(t, Explode(), Env{}, func(c *ExplodeConfig) { c.Columns = []string{"l"} }), in)
	same(t, "rows", lines(t, out, 0), `{"id":2,"l":6}`)
	same(t, "refused", refusals(out), `1 id: "x" is not a value of type int64`)
}

// TestOperatorsNeverAlterABatch runs operators over one batch and compares it with what it was.
// invariant: an operator never alters a batch; it emits new ones that share columns
func TestOperatorsNeverAlterABatch(t *testing.T) {
	rows := []any{int64(1), "5", map[string]any{"x": int64(1)}, []any{int64(1), int64(2)}}
	for name, operator := range map[string]Operator{
		"filter":   made(t, Filter(), Env{}, func(c *FilterConfig) { c.Condition = "a >= 1" }),
		"select":   made(t, Select(), Env{}, func(c *SelectConfig) { c.Columns = []string{"a"} }),
		"compute":  made(t, Compute(), Env{}, func(c *ComputeConfig) { c.Columns = []ComputedColumn{{"a", "a + 1"}} }),
		"cast":     castTo(t, "null", TypedColumn{"s", "int64"}, TypedColumn{"a", "string"}),
		"flatten":  made(t, Flatten(), Env{}, func(*FlattenConfig) {}),
		"explode":  made(t, Explode(), Env{}, func(c *ExplodeConfig) { c.Columns = []string{"l"} }),
		"route":    routes(t, "first", "rest", Branch{"p", "a >= 1"}),
		"validate": validated(t, Rule{Column: "s", Regex: "^[0-9]$", Unique: true}),
		"dedupe":   deduped(t, func(c *DedupeConfig) { c.Key = []string{"s"} }),
		"parse":    parsed(t, func(c *ParseConfig) { c.Column, c.Format = "s", "json" }),
		"union":    unionOf(t, TypedColumn{"a", "decimal(30,2)"}, TypedColumn{"s", "string"}, TypedColumn{"p", "struct<x:int64>"}, TypedColumn{"l", "list<int64>"}),
	} {
		in := dense(t, "a int64; s string; p struct<x:int64>; l list<int64>", rows,
			[]any{int64(2), "x", nil, nil}, []any{nil, "5", nil, []any{}}).Select([]int32{0, 2})
		columns := slices.Clone(in.Columns())
		before := strings.Join(physical(in), "\n")
		out := apply(t, operator, in)
		if len(out.Parts) == 0 {
			t.Errorf("%s emitted nothing", name)
		}
		if after := strings.Join(physical(in), "\n"); after != before || !slices.Equal(columns, in.Columns()) {
			t.Errorf("%s altered its input:\n%s\nwas\n%s", name, after, before)
		}
	}
}

// physical renders all rows of a batch, selected or not, and its selection.
func physical(b *batch.Batch) []string {
	rows := []string{fmt.Sprint(b.Selection())}
	for row := range b.Rows() {
		rows = append(rows, string(batch.AppendRow(nil, b, row)))
	}
	return rows
}
