package expr

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tapeline/tapeline/batch"
)

// csvBatch is a batch of lazy columns over comma-separated lines without quotes.
func csvBatch(t testing.TB, schema *batch.Schema, lines ...string) *batch.Batch {
	t.Helper()
	spans := &batch.Spans{
		Stride: schema.Len() + 1, Step: 1, Gap: 1, Syntax: batch.Quoted, Quote: '"', Escape: '"',
		Nulls: []string{""},
	}
	for _, line := range lines {
		spans.Offsets = append(spans.Offsets, uint32(len(spans.Data)))
		for cell := range strings.SplitSeq(line, ",") {
			spans.Data = append(append(spans.Data, cell...), ',')
			spans.Offsets = append(spans.Offsets, uint32(len(spans.Data)))
		}
	}
	columns := make([]*batch.Column, schema.Len())
	for i := range columns {
		columns[i] = batch.LazyColumn(schema.Field(i).Type, spans, i)
	}
	return batch.New(schema, columns, len(lines))
}

func orders(t testing.TB) *batch.Batch {
	t.Helper()
	return csvBatch(t, batch.NewSchema(
		batch.Field{Name: "status", Type: batch.Of(batch.String), Nullable: true},
		batch.Field{Name: "price", Type: batch.Of(batch.Float64), Nullable: true},
		batch.Field{Name: "qty", Type: batch.Of(batch.Int64), Nullable: true},
	), "active,600.5,2", "inactive,n/a,3", "active,x,4", `"active",700,0`, ",1,1", "active,,5", "active,10,n")
}

func TestFilterReadsOnlyWhatItNeeds(t *testing.T) {
	t.Parallel()
	for _, interpret := range []bool{false, true} {
		b := orders(t)
		e := mustCompile(t, "status == 'active' && price > 500", b.Schema(), Options{Interpret: interpret}).NewEval()
		out, errs := e.Filter(b)
		if diff := cmp.Diff([]int{0, 3}, rowsOf(out)); diff != "" {
			t.Errorf("interpret %t: kept rows:\n%s", interpret, diff)
		}
		want := map[int]string{2: `price: "x" is not a value of type float64`}
		if diff := cmp.Diff(want, failures(errs)); diff != "" {
			t.Errorf("interpret %t: failed rows (row 1 is decided by its status):\n%s", interpret, diff)
		}
	}
}

func TestFilterLeavesTypedColumns(t *testing.T) {
	t.Parallel()
	b := orders(t)
	condition := "status == 'active' && price > 500"
	out, _ := mustCompile(t, condition, b.Schema(), Options{}).NewEval().Filter(b)
	if out.Column(1).Lazy() || !out.Column(0).Lazy() || !out.Column(2).Lazy() {
		t.Error("price alone should have been typed")
	}
	out, _ = mustCompile(t, condition, b.Schema(), Options{KeepLazy: true}).NewEval().Filter(b)
	if !out.Column(1).Lazy() {
		t.Error("KeepLazy should have left price as text")
	}
	// The right side of or is read for some of the kept rows only, so it must stay lazy.
	out, _ = mustCompile(t, "status == 'inactive' || price > 500", b.Schema(), Options{}).NewEval().Filter(b)
	if !out.Column(1).Lazy() {
		t.Error("price was typed for a part of the rows and must not be handed on")
	}
}

func TestFilterKeepsWhatIsNotItsOwn(t *testing.T) {
	t.Parallel()
	b := orders(t).WithOrigin(&batch.Origin{Name: "orders.csv", Record: 1, Line: 2}).
		WithOperations([]batch.Operation{0, 1, 2, 0, 1, 2, 0})
	e := mustCompile(t, "status != nil", b.Schema(), Options{Condition: true}).NewEval()
	out, errs := e.Filter(b)
	if len(errs) > 0 || out.Origin() != b.Origin() || out.Operation(2) != batch.Delete {
		t.Error("origin and operations should be the batch's own")
	}
	all, _ := mustCompile(t, "true", b.Schema(), Options{}).NewEval().Filter(b)
	if all.Selection() != nil {
		t.Error("a filter that drops nothing should not make a selection")
	}
	again, _ := e.Filter(b)
	again, _ = mustCompile(t, "qty > 1", b.Schema(), Options{}).NewEval().Filter(again)
	if diff := cmp.Diff([]int{0, 1, 2, 5}, rowsOf(again)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]int{0, 1, 2, 3, 5, 6}, rowsOf(out)); diff != "" {
		t.Errorf("an earlier result was altered:\n%s", diff)
	}
}

func TestShortCircuit(t *testing.T) {
	t.Parallel()
	b := orders(t)
	for _, c := range []struct {
		source string
		want   []string
	}{
		{"qty != 0 && 10 / qty > 3", []string{
			"true", "true", "false", "false", "true", "false",
			`ERROR "n" is not a value of type int64`,
		}},
		{"qty == nil ? -1 : qty", []string{"2", "3", "4", "0", "1", "5", `ERROR "n" is not a value of type int64`}},
		{"status == 'active' ? 'yes' : to_string(price)", []string{
			"yes", `ERROR "n/a" is not a value of type float64`, "yes", "yes", "1", "yes", "yes",
		}},
		{"10 / qty", []string{
			"5", "3.3333333333333335", "2.5", "ERROR division by zero in 10 / qty", "10", "2",
			`ERROR "n" is not a value of type int64`,
		}},
		{"price != nil", []string{"true", "true", "true", "true", "true", "false", "true"}},
		{"coalesce(status, 'none') + '!'", []string{
			"active!", "inactive!", "active!", "active!", "none!", "active!", "active!",
		}},
	} {
		if diff := cmp.Diff(c.want, both(t, c.source, b)); diff != "" {
			t.Errorf("%s:\n%s", c.source, diff)
		}
	}
}

func TestIntegerOverflow(t *testing.T) {
	t.Parallel()
	schema := batch.NewSchema(
		batch.Field{Name: "a", Type: batch.Of(batch.Int64)}, batch.Field{Name: "b", Type: batch.Of(batch.Int64)},
		batch.Field{Name: "u", Type: batch.Of(batch.Uint64)},
	)
	builder := batch.NewBuilder(schema)
	for _, row := range [][3]int64{
		{1, 2, 3}, {math.MaxInt64, 1, -1}, {math.MinInt64, -1, 0}, {math.MinInt64, 1, 1}, {3037000500, 3037000500, 2},
	} {
		builder.Column(0).Int(row[0])
		builder.Column(1).Int(row[1])
		builder.Column(2).Int(row[2])
	}
	b, err := builder.Batch()
	if err != nil {
		t.Fatal(err)
	}
	over := func(source string) string { return "ERROR " + reasonOverflow + " in " + source }
	for _, c := range []struct {
		source string
		want   []string
	}{
		{"a + b", []string{"3", over("a + b"), over("a + b"), "-9223372036854775807", "6074001000"}},
		{"a - b", []string{"-1", "9223372036854775806", "-9223372036854775807", over("a - b"), "0"}},
		{"a * b", []string{"2", "9223372036854775807", over("a * b"), "-9223372036854775808", over("a * b")}},
		{"a % b", []string{"1", "0", "0", "0", "0"}},
		{"u + 1", []string{"4", over("u + 1"), "1", "2", "3"}},
		{"u - 1", []string{"2", "18446744073709551614", over("u - 1"), "0", "1"}},
		{"u > a", []string{"true", "true", "true", "true", "false"}},
		{"-a", []string{"-1", "-9223372036854775807", over("-a"), over("-a"), "-3037000500"}},
	} {
		if diff := cmp.Diff(c.want, both(t, c.source, b)); diff != "" {
			t.Errorf("%s:\n%s", c.source, diff)
		}
	}
}

func TestMaps(t *testing.T) {
	t.Parallel()
	schema := batch.NewSchema(batch.Field{
		Name: "m", Type: batch.MapOf(batch.Of(batch.String), batch.Of(batch.Int32)), Nullable: true,
	})
	builder := batch.NewBuilder(schema)
	for _, v := range []any{map[string]any{"a": int64(1)}, map[string]any{}, nil} {
		if err := builder.Column(0).Any(v); err != nil {
			t.Fatal(err)
		}
	}
	b, err := builder.Batch()
	if err != nil {
		t.Fatal(err)
	}
	for source, want := range map[string][]string{
		"m['a'] + 1": {"2", "NULL", "NULL"},
		"m.a == 1":   {"true", "NULL", "NULL"},
		"'a' in m":   {"true", "false", "NULL"},
		"length(m)":  {"1", "0", "NULL"},
	} {
		if diff := cmp.Diff(want, both(t, source, b)); diff != "" {
			t.Errorf("%s:\n%s", source, diff)
		}
	}
}

// TestTextEquality holds the loops over raw cells and dense texts to a plain comparison.
func TestTextEquality(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		f := columnsOf()["text"][2]
		rows := rapid.IntRange(0, 12).Draw(t, "rows")
		c := drawLazy(t, f, rows)
		if rapid.Bool().Draw(t, "tokens") {
			c = drawTokens(t, f, rows)
		}
		dense, _ := c.Typed(nil)
		literal := rapid.SampledFrom([]string{"a", "active", "", "NULL", "a longer text", " a ", "1", `act"ive`}).
			Draw(t, "literal")
		for _, column := range []*batch.Column{c, dense} {
			b := batch.New(batch.NewSchema(f), []*batch.Column{column}, rows)
			for _, operator := range []string{"==", "!="} {
				p, err := Compile(f.Name+" "+operator+" '"+literal+"'", b.Schema(), Options{})
				if err != nil {
					t.Fatal(err)
				}
				out, errs := p.NewEval().Filter(b)
				var want []int
				for row := range rows {
					if !dense.IsNull(row) && bytes.Equal(dense.Bytes(row), []byte(literal)) == (operator == "==") {
						want = append(want, row)
					}
				}
				if diff := cmp.Diff(append([]int{}, want...), rowsOf(out)); diff != "" || len(errs) > 0 {
					t.Fatalf("%s '%s', lazy %t: %v\n%s", operator, literal, column.Lazy(), errs, diff)
				}
			}
		}
	})
}

func TestProgram(t *testing.T) {
	t.Parallel()
	schema := orders(t).Schema()
	p := mustCompile(t, "qty * 2 + price", schema, Options{})
	if diff := cmp.Diff([]int{1, 2}, p.Columns()); diff != "" {
		t.Error(diff)
	}
	if got := p.Type().String(); got != "float64" {
		t.Errorf("type %s, want float64", got)
	}
	if ok, reason := p.Vectorized(); !ok {
		t.Errorf("not vectorized: %s", reason)
	}
	p = mustCompile(t, "any([qty, 2], # > 1)", schema, Options{})
	if ok, reason := p.Vectorized(); ok || reason == "" {
		t.Errorf("vectorized %t (%s), want false with a reason", ok, reason)
	}
	if _, err := Compile("qty", schema, Options{Condition: true}); err == nil {
		t.Error("a condition that is no bool should be refused")
	}
}

// Operands used twice must not let short texts grow without bound.
func TestTooManyOperations(t *testing.T) {
	t.Parallel()
	source := "1"
	for range 60 {
		source = "nullif(" + source + " + qty, 1)"
	}
	_, err := Compile(source, orders(t).Schema(), Options{})
	if err == nil || !strings.Contains(err.Error(), "operations") {
		t.Errorf("got %v, want too many operations", err)
	}
}

// TestAllocations does not run in parallel: it counts the allocations of the process.
func TestAllocations(t *testing.T) {
	dense, lazy := benchBatch(t), lazyBatch(false)
	for _, c := range []struct {
		source string
		data   *batch.Batch
	}{
		{"status == 'active' && price * qty > 500", dense},
		{"status in ['active', 'x'] || amount < 5", dense},
		{"status == 'active' && price > 500", lazy},
		{"upper(status) contains 'ACT'", dense},
	} {
		e := mustCompile(t, c.source, c.data.Schema(), Options{}).NewEval()
		got := testing.AllocsPerRun(5, func() { e.Filter(c.data) })
		if got > 40 {
			t.Errorf("%s: %.0f allocations for %d rows", c.source, got, c.data.Rows())
		}
	}
}
