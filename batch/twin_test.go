package batch

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// check compares a batch with its twin: values, operations and places of the logical rows.
func (m model) check(t *rapid.T, what string, b *Batch) {
	t.Helper()
	if b.Len() != len(m.rows) {
		t.Fatalf("%s: %d rows, want %d", what, b.Len(), len(m.rows))
	}
	if diff := cmp.Diff(m.names, b.Schema().Names()); diff != "" {
		t.Fatalf("%s: names %s", what, diff)
	}
	for i, f := range b.Schema().Fields() {
		typed, bad := b.Typed(i)
		if len(bad) > 0 {
			t.Fatalf("%s: column %s: %v", what, f.Name, bad[0])
		}
		c := typed.Column(i)
		if !c.Type().Equal(f.Type) || c.Len() != b.Rows() {
			t.Fatalf("%s: column %s is %s of %d rows, want %s of %d",
				what, f.Name, c.Type(), c.Len(), f.Type, b.Rows())
		}
		for k := range m.rows {
			if diff := cmp.Diff(m.rows[k][i], c.Value(b.Row(k)), equalValues()); diff != "" {
				t.Fatalf("%s: row %d, column %s (%s): %s", what, k, f.Name, f.Type, diff)
			}
		}
	}
	for k := range m.rows {
		if got := b.Operation(b.Row(k)); got != m.ops[k] {
			t.Fatalf("%s: row %d is an %s, want %s", what, k, got, m.ops[k])
		}
		if got := b.Origin().At(b.Row(k)).String(); got != m.places[k] {
			t.Fatalf("%s: row %d was read at %s, want %s", what, k, got, m.places[k])
		}
	}
}

// pick is the twin of a selection of logical rows.
func (m model) pick(rows []int) model {
	out := model{names: m.names}
	for _, row := range rows {
		out.rows = append(out.rows, m.rows[row])
		out.ops = append(out.ops, m.ops[row])
		out.places = append(out.places, m.places[row])
	}
	return out
}

// drawSubset draws some of the logical rows, in order.
func drawSubset(t *rapid.T, n int) []int {
	rows := []int{}
	for i := range n {
		if rapid.Bool().Draw(t, "selected") {
			rows = append(rows, i)
		}
	}
	return rows
}

func physical(b *Batch, rows []int) []int32 {
	out := make([]int32, len(rows))
	for i, row := range rows {
		out[i] = int32(b.Row(row))
	}
	return out
}

// Any sequence of row operations does to a batch what it does to a slice of rows.
func TestRowOperationsAgreeWithTheirTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b, m := drawBatch(t)
		m.check(t, "drawn", b)
		for range rapid.IntRange(1, 6).Draw(t, "steps") {
			var name string
			name, b, m = drawStep(t, b, m)
			m.check(t, name, b)
		}
	})
}

func drawStep(t *rapid.T, b *Batch, m model) (string, *Batch, model) {
	switch rapid.IntRange(0, 7).Draw(t, "step") {
	case 0:
		rows := drawSubset(t, b.Len())
		return "select", b.Select(physical(b, rows)), m.pick(rows)
	case 1:
		from := rapid.IntRange(0, b.Len()).Draw(t, "from")
		to := rapid.IntRange(from, b.Len()).Draw(t, "to")
		return "slice", b.Slice(from, to), m.pick(numbersTo(b.Len())[from:to])
	case 7:
		from := rapid.IntRange(0, b.Len()).Draw(t, "from")
		to := rapid.IntRange(from, b.Len()).Draw(t, "to")
		return "part", b.Part(from, to), m.pick(numbersTo(b.Len())[from:to])
	case 2:
		return "keep", b.Keep(), m
	case 3:
		dense, bad := b.Dense()
		if len(bad) > 0 {
			t.Fatalf("dense: %v", bad)
		}
		if dense.Selection() != nil || slices.ContainsFunc(dense.Columns(), (*Column).Lazy) {
			t.Fatal("dense has a selection or lazy columns")
		}
		return "dense", dense, m
	case 4:
		dropped := drawSubset(t, b.Len())
		var errs []RowError
		kept := slices.DeleteFunc(numbersTo(b.Len()), func(i int) bool { return slices.Contains(dropped, i) })
		for _, i := range dropped {
			errs = append(errs, RowError{Row: b.Row(i)})
		}
		return "without", b.Without(errs), m.pick(kept)
	case 5:
		if len(m.names) == 0 {
			return "nothing", b, m
		}
		i := rapid.IntRange(0, len(m.names)-1).Draw(t, "typed")
		typed, _ := b.Typed(i)
		return "typed", typed, m
	}
	rows := drawSubset(t, b.Len())
	other := b.Select(physical(b, rows))
	joined, bad := Concat([]*Batch{b, other, b.Select(nil)})
	if len(bad) > 0 {
		t.Fatalf("concat: %v", bad)
	}
	return "concat", joined, m.pick(append(numbersTo(b.Len()), rows...))
}

// Kept rows are in memory of their own, whatever becomes of the source's.
func TestKeepSharesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b, m := drawBatch(t)
		rows := drawSubset(t, b.Len())
		selected := b.Select(physical(b, rows))
		kept := selected.Keep()
		for _, c := range b.Columns() {
			overwrite(c)
		}
		clear(b.operations)
		for i := range selected.selection {
			selected.selection[i] = 0
		}
		m.pick(rows).check(t, "kept", kept)
	})
}

func overwrite(c *Column) {
	if c.Lazy() {
		fillBytes(c.spans.Data)
		for i := range c.spans.Offsets {
			c.spans.Offsets[i] = 0
		}
		return
	}
	fillBytes(c.valid)
	fillBytes(c.fixed)
	fillBytes(c.bytes)
	clear(c.offsets)
	for _, child := range c.children {
		overwrite(child)
	}
}

func fillBytes(b []byte) {
	for i := range b {
		b[i] ^= 0x5a
	}
}

// Gather takes rows in any order, also twice.
func TestGatherAgreesWithItsTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		typ := drawType(t, 3)
		a := NewAppender(typ)
		var values []any
		for range rapid.IntRange(0, 20).Draw(t, "rows") {
			v := drawValue(t, typ, true)
			values = append(values, v)
			appendBoxed(a, v)
		}
		c := a.Column()
		rows := []int32{}
		var want []any
		if len(values) > 0 {
			for range rapid.IntRange(0, 30).Draw(t, "gathered") {
				row := rapid.IntRange(0, len(values)-1).Draw(t, "row")
				rows, want = append(rows, int32(row)), append(want, values[row])
			}
		}
		for what, c := range map[string]struct {
			got  *Column
			want []any
		}{"some": {c.Gather(rows), want}, "all": {c.Gather(nil), values}, "again": {c.Gather(rows).Gather(nil), want}} {
			if c.got.Len() != len(c.want) {
				t.Fatalf("%s: %d rows, want %d", what, c.got.Len(), len(c.want))
			}
			for i := range c.want {
				if diff := cmp.Diff(c.want[i], c.got.Value(i), equalValues()); diff != "" {
					t.Fatalf("%s: row %d of %s: %s", what, i, typ, diff)
				}
			}
		}
	})
}

// Equal keys give equal bytes and different ones different bytes, NULL being a value of its own.
func TestAppendKeyTellsKeysApart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b, m := drawBatch(t)
		dense, _ := b.Dense()
		for i := range m.rows {
			for k := range i + 1 {
				x := string(AppendKey(nil, dense.Columns(), i))
				y := string(AppendKey(nil, dense.Columns(), k))
				if same := sameKey(dense, i, k); same != (x == y) {
					t.Fatalf("rows %d and %d (%v and %v): equal %t, keys %x and %x",
						i, k, m.rows[i], m.rows[k], same, x, y)
				}
			}
		}
	})
}

// sameKey compares two rows by their values; floats by bits, as keys do.
func sameKey(b *Batch, i, k int) bool {
	for _, c := range b.Columns() {
		if c.Type().Nested() {
			if string(AppendJSON(nil, c, i)) != string(AppendJSON(nil, c, k)) || c.IsNull(i) != c.IsNull(k) {
				return false
			}
			continue
		}
		x, y := c.Value(i), c.Value(k)
		if v, ok := x.(float64); ok && y != nil {
			if fmt.Sprintf("%x", v) != fmt.Sprintf("%x", y.(float64)) {
				return false
			}
			continue
		}
		if !reflect.DeepEqual(x, y) {
			return false
		}
	}
	return true
}

func TestLastPerKeyAgreesWithItsTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		types := []Type{Of(Int64), Of(String), Of(Bool), DecimalOf(9, 2), Of(Date)}
		schema := NewSchema(
			Field{Name: "k1", Type: rapid.SampledFrom(types).Draw(t, "k1"), Nullable: true},
			Field{Name: "v", Type: Of(Int64)},
			Field{Name: "k2", Type: rapid.SampledFrom(types).Draw(t, "k2"), Nullable: true})
		b := NewBuilder(schema)
		var rows [][]any
		pool := map[int][]any{0: drawFew(t, schema.Field(0).Type), 2: drawFew(t, schema.Field(2).Type)}
		for i := range rapid.IntRange(0, 20).Draw(t, "rows") {
			row := []any{rapid.SampledFrom(pool[0]).Draw(t, "key"), int64(i), rapid.SampledFrom(pool[2]).Draw(t, "key")}
			for k, v := range row {
				appendBoxed(b.Column(k), v)
			}
			rows = append(rows, row)
		}
		whole, err := b.Batch()
		if err != nil {
			t.Fatal(err)
		}
		subset := drawSubset(t, len(rows))
		got, err := LastPerKey(whole.Select(physical(whole, subset)), []string{"k2", "k1"})
		if err != nil {
			t.Fatal(err)
		}
		var want []int64
		for at, i := range subset {
			again := slices.ContainsFunc(subset[at+1:], func(k int) bool {
				return cmp.Equal(rows[i][0], rows[k][0], equalValues()) && cmp.Equal(rows[i][2], rows[k][2], equalValues())
			})
			if !again || rows[i][0] == nil || rows[i][2] == nil {
				want = append(want, int64(i))
			}
		}
		var have []int64
		for i := range got.Len() {
			have = append(have, got.Column(1).Int(got.Row(i)))
		}
		if !slices.Equal(have, want) {
			t.Fatalf("rows %v, want %v", have, want)
		}
	})
}

// drawFew draws a handful of values, so that keys repeat.
func drawFew(t *rapid.T, typ Type) []any {
	values := []any{nil}
	for range 3 {
		values = append(values, drawValue(t, typ, false))
	}
	return values
}

func TestLastPerKeyNamesAMissingColumn(t *testing.T) {
	_, err := LastPerKey(lazyBatch(), []string{"nope"})
	if err == nil || !strings.Contains(err.Error(), `"nope"`) {
		t.Errorf("error %v", err)
	}
}

// Rows whose cells do not read, or are NULL where there is none, are left out, named by physical row and column, and nothing else is.
func TestUnreadableCellsAgreeWithTheirTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 20).Draw(t, "rows")
		s := &Spans{Stride: 3, Step: 1, Gap: 1, Syntax: Plain, Clean: true, Nulls: []string{""}}
		good := make([]bool, n)
		for i := range n {
			good[i] = true
			for k := range 2 {
				text := rapid.SampledFrom([]string{"1", "22", "", "x", "9223372036854775808"}).Draw(t, "cell")
				good[i] = good[i] && text != "x" && len(text) < 5 && (k == 0 || text != "")
				s.Offsets = append(s.Offsets, uint32(len(s.Data)))
				s.Data = append(append(s.Data, text...), ',')
			}
			s.Offsets = append(s.Offsets, uint32(len(s.Data)))
		}
		schema := NewSchema(Field{Name: "a", Type: Of(Int64), Nullable: true}, Field{Name: "b", Type: Of(Int64)})
		b := New(schema, []*Column{LazyColumn(Of(Int64), s, 0), LazyColumn(Of(Int64), s, 1)}, n)
		subset := drawSubset(t, n)
		dense, bad := b.Select(physical(b, subset)).Dense()
		want := slices.DeleteFunc(slices.Clone(subset), func(i int) bool { return !good[i] })
		if dense.Len() != len(want) {
			t.Fatalf("%d rows, want %d", dense.Len(), len(want))
		}
		named := map[int]bool{}
		for _, e := range bad {
			named[e.Row] = true
			if good[e.Row] || !slices.Contains(subset, e.Row) || e.Column == "" || e.Reason == "" {
				t.Fatalf("row error %+v", e)
			}
		}
		if len(named) != len(subset)-len(want) {
			t.Fatalf("%d rows named, %d left out", len(named), len(subset)-len(want))
		}
	})
}
