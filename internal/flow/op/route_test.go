package op

import (
	"slices"
	"testing"

	"github.com/tapeline/tapeline/batch"
)

func routes(t testing.TB, match, fallback string, branches ...Branch) Operator {
	t.Helper()
	return made(t, Route(), Env{}, func(c *RouteConfig) {
		c.Routes, c.Match, c.Default = branches, match, fallback
	})
}

func TestRouteFirstMatchWins(t *testing.T) {
	for name, in := range map[string]*batch.Batch{
		"lazy":  lazy(t, "a int64; s string", "1|x", "5|y", "9|z", "|n", "7|skip"),
		"dense": dense(t, "a int64; s string", []any{int64(1), "x"}, []any{int64(5), "y"}, []any{int64(9), "z"}, []any{nil, "n"}, []any{int64(7), "skip"}),
	} {
		in = in.Select([]int32{0, 1, 2, 3})
		out := apply(t, routes(t, "first", "rest", Branch{"big", "a > 4"}, Branch{"odd", "a % 2 == 1"}), in)
		same(t, name+" big", lines(t, out, 0), `{"a":5,"s":"y"}`, `{"a":9,"s":"z"}`)
		same(t, name+" odd", lines(t, out, 1), `{"a":1,"s":"x"}`)
		same(t, name+" rest", lines(t, out, 2), `{"a":null,"s":"n"}`)
		out = apply(t, routes(t, "all", "", Branch{"big", "a > 4"}, Branch{"odd", "a % 2 == 1"}), in)
		same(t, name+" all big", lines(t, out, 0), `{"a":5,"s":"y"}`, `{"a":9,"s":"z"}`)
		same(t, name+" all odd", lines(t, out, 1), `{"a":1,"s":"x"}`, `{"a":5,"s":"y"}`, `{"a":9,"s":"z"}`)
		same(t, name+" no default", lines(t, out, 2))
	}
}

func TestRouteEvaluatesOnlyWhereNeeded(t *testing.T) {
	in := lazy(t, "a int64; b int64", "1|x", "2|7", "3|y", "4|")
	for _, match := range []string{"first", "all"} {
		out := apply(t, routes(t, match, "rest", Branch{"p", "a == 1"}, Branch{"q", "b == 7 or b == 8"}, Branch{"r", "b > 0"}), in.Select([]int32{0, 1, 2, 3}))
		if match == "first" {
			same(t, "refused", refusals(out), `3 b: "y" is not a value of type int64`)
			p := out.Parts[0].Batch
			if p.Len() != 1 || p.Row(0) != 0 || !p.Column(1).Lazy() {
				t.Errorf("port p has rows %v, b lazy %t", p.Selection(), p.Column(1).Lazy())
			}
		} else {
			same(t, "refused", refusals(out), `1 b: "x" is not a value of type int64`,
				`3 b: "y" is not a value of type int64`)
		}
		same(t, "q", lines(t, out, 1), `{"a":2,"b":7}`)
		same(t, "rest", lines(t, out, 3), `{"a":4,"b":null}`)
	}
}

func TestRouteSendsOperationsToEveryOutput(t *testing.T) {
	in := operations(lazy(t, "k int64; v int64", "1|5", "2|50", "3|5", "4|"), "~+-~")
	out := apply(t, routes(t, "first", "rest", Branch{"low", "v < 10"}, Branch{"high", "v >= 10"}), in)
	same(t, "low", lines(t, out, 0), `~{"k":1,"v":5}`, `-{"k":3,"v":5}`, `-{"k":4,"v":null}`)
	same(t, "high", lines(t, out, 1), `-{"k":1,"v":5}`, `+{"k":2,"v":50}`, `-{"k":3,"v":5}`, `-{"k":4,"v":null}`)
	same(t, "rest", lines(t, out, 2), `-{"k":1,"v":5}`, `-{"k":3,"v":5}`, `~{"k":4,"v":null}`)
}

func TestRoutePorts(t *testing.T) {
	config := &RouteConfig{Routes: []Branch{{"a", "true"}, {"b", "true"}}, Default: "c"}
	if got := Route().Ports(config); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("ports %v", got)
	}
	_, err := tryMake(Route(), Env{}, func(c *RouteConfig) {
		c.Routes, c.Default = []Branch{{"a", "true"}}, "a"
	})
	fails(t, err, `output "a" is empty or named twice`)
	_, err = tryMake(Route(), Env{}, func(c *RouteConfig) { c.Routes = []Branch{{"a", "x ="}} })
	fails(t, err, "routes.a: ")
	_, err = routes(t, "first", "", Branch{"a", "zz > 1"}).Bind(schemaOf(t, "z int64"))
	fails(t, err, `unknown column "zz"`)
}

func unionOf(t testing.TB, columns ...TypedColumn) *union {
	t.Helper()
	return made(t, Union(), Env{}, func(c *UnionConfig) { c.Columns = columns }).(*union)
}

func TestUnionAlignsToDeclaredColumns(t *testing.T) {
	u := unionOf(t, TypedColumn{"id", "int64"}, TypedColumn{"p", "decimal(22,2)"}, TypedColumn{"s", "string"})
	if Union().OrderedFor(&UnionConfig{Columns: []TypedColumn{{"id", "int64"}}}) {
		t.Error("a declared union is ordered")
	}
	first := apply(t, u, operations(dense(t, "s string; id int32", []any{"a", int64(1)}, []any{nil, nil}), "~-"))
	same(t, "reordered", lines(t, first, 0), `~{"id":1,"p":null,"s":"a"}`, `-{"id":null,"p":null,"s":null}`)
	second := apply(t, u, lazy(t, "id int32; p int32", "1|2", "x|3", "4|z"))
	same(t, "widened", lines(t, second, 0), `{"id":1,"p":2.00,"s":null}`)
	same(t, "refused", refusals(second), `2 id: "x" is not a value of type int32`,
		`3 p: "z" is not a value of type int32`)
	if !first.Parts[0].Batch.Schema().Equal(second.Parts[0].Batch.Schema()) {
		t.Error("two schemas left the union")
	}
	_, err := tryApply(u, dense(t, "id float64; s string"))
	fails(t, err, "column id is float64 in one input and int64 in the output")
	_, err = tryApply(u, dense(t, "id int64; extra int64"))
	fails(t, err, "column extra int64 is not in the output")
}

func TestUnionTakesTheFirstColumns(t *testing.T) {
	u := unionOf(t)
	if !Union().OrderedFor(&UnionConfig{}) {
		t.Error("an undeclared union is not ordered")
	}
	lazyIn := lazy(t, "id int64; s string", "1|a")
	out := apply(t, u, lazyIn)
	if out.Parts[0].Batch.Column(0) != lazyIn.Column(0) {
		t.Error("an equal column was not shared")
	}
	same(t, "narrower", lines(t, apply(t, u, dense(t, "id int16", []any{int64(7)})), 0), `{"id":7,"s":null}`)
	state, err := u.Snapshot(false)
	if err != nil {
		t.Fatal(err)
	}
	resumed := unionOf(t)
	if err := resumed.Restore(nil, [][]byte{state}); err != nil {
		t.Fatal(err)
	}
	same(t, "after restart", lines(t, apply(t, resumed, dense(t, "s string", []any{"z"})), 0), `{"id":null,"s":"z"}`)
	_, err = tryApply(resumed, dense(t, "id int64; more int64"))
	fails(t, err, "declare the output in columns: the first rows fixed it to (id int64, s string)")
	drops := made(t, Union(), Env{}, func(c *UnionConfig) {
		c.Columns, c.Extra = []TypedColumn{{"id", "int64"}}, "drop"
	})
	same(t, "drop", lines(t, apply(t, drops, dense(t, "id int64; more int64", []any{int64(1), int64(2)})), 0), `{"id":1}`)
}

func numbers(t testing.TB, from, to int) *batch.Batch {
	t.Helper()
	values := make([]int64, to-from)
	for i := range values {
		values[i] = int64(from + i)
	}
	return batch.New(schemaOf(t, "n int64"), []*batch.Column{
		batch.FixedColumn(batch.Of(batch.Int64), values, nil),
	}, len(values))
}

// passing runs rows 0..total-1 in pieces of the given size, restarting the operator from its state
// after each restartAfter pieces, and returns the rows that passed.
func passing(t *testing.T, construct func() Operator, total, piece, restartAfter int) []int64 {
	t.Helper()
	operator := construct()
	var got []int64
	var base []byte
	var increments [][]byte
	for from, n := 0, 1; from < total; from, n = from+piece, n+1 {
		out := apply(t, operator, numbers(t, from, min(from+piece, total)))
		for _, part := range out.Parts {
			for i := range part.Batch.Len() {
				got = append(got, batch.Values[int64](part.Batch.Column(0))[part.Batch.Row(i)])
			}
		}
		if n%restartAfter != 0 {
			continue
		}
		data, err := operator.(Stateful).Snapshot(base == nil)
		if err != nil {
			t.Fatal(err)
		}
		if base == nil {
			base = data
		} else {
			increments = append(increments, data)
		}
		operator = construct()
		if err := operator.(Stateful).Restore(base, increments); err != nil {
			t.Fatal(err)
		}
	}
	return got
}

func TestLimitAndSampleDoNotDependOnBatches(t *testing.T) {
	for name, construct := range map[string]func() Operator{
		"limit": func() Operator { return made(t, Limit(), Env{}, func(c *LimitConfig) { c.Rows = 37 }) },
		"rate":  func() Operator { return made(t, Sample(), Env{}, func(c *SampleConfig) { c.Rate, c.Seed = 0.25, 7 }) },
		"every": func() Operator { return made(t, Sample(), Env{}, func(c *SampleConfig) { c.Every, c.First = 10, 2 }) },
	} {
		whole := passing(t, construct, 4000, 4000, 2)
		for _, piece := range []int{1, 7, 1000} {
			if got := passing(t, construct, 4000, piece, 3); !slices.Equal(got, whole) {
				t.Errorf("%s: batches of %d rows and restarts keep %d rows, want %d", name, piece, len(got), len(whole))
			}
		}
		switch {
		case name == "limit" && (len(whole) != 37 || whole[36] != 36):
			t.Errorf("limit kept %v", whole)
		case name == "rate" && (len(whole) < 900 || len(whole) > 1100):
			t.Errorf("a quarter of 4000 rows is %d", len(whole))
		case name == "every" && !slices.Equal(whole[:4], []int64{0, 1, 10, 11}):
			t.Errorf("every kept %v", whole[:4])
		}
	}
}

func TestLimitSaysWhenItIsDone(t *testing.T) {
	l := made(t, Limit(), Env{}, func(c *LimitConfig) { c.Rows = 3 })
	if out := apply(t, l, numbers(t, 0, 2)); out.Done {
		t.Error("done after 2 of 3 rows")
	}
	out := apply(t, l, numbers(t, 2, 9).Select([]int32{1, 3, 5}))
	same(t, "rows", lines(t, out, 0), `{"n":3}`)
	if !out.Done {
		t.Error("not done after 3 rows")
	}
	if out := apply(t, l, numbers(t, 9, 12)); len(out.Parts) != 0 || !out.Done {
		t.Error("rows passed after the limit")
	}
	_, err := tryApply(l, operations(numbers(t, 0, 1), "-"))
	fails(t, err, "delete")
}

func TestSampleConfig(t *testing.T) {
	for _, configure := range []func(*SampleConfig){
		func(c *SampleConfig) { c.Rate, c.Every = 0.5, 2 },
		func(c *SampleConfig) { c.Rate = 1.5 },
		func(*SampleConfig) {},
		func(c *SampleConfig) { c.Every, c.First = 5, 0 },
	} {
		if _, err := tryMake(Sample(), Env{}, configure); err == nil {
			t.Error("a wrong config was accepted")
		}
	}
	all := made(t, Sample(), Env{}, func(c *SampleConfig) { c.Rate = 1 })
	if out := apply(t, all, numbers(t, 0, 1000)); out.Parts[0].Batch.Len() != 1000 {
		t.Error("rate 1 dropped rows")
	}
}

func TestRestoreRefusesDamage(t *testing.T) {
	l := made(t, Limit(), Env{}, func(c *LimitConfig) { c.Rows = 3 }).(*limit)
	for _, data := range []string{"", "\x01", "\x02\x01", "\x01\x01\x01", "\x01\xff"} {
		if err := l.Restore([]byte(data), nil); err == nil {
			t.Errorf("state %q was read", data)
		}
	}
	if err := l.Restore([]byte("\x01\x02"), nil); err != nil || l.rows != 2 {
		t.Errorf("rows %d, error %v", l.rows, err)
	}
}
