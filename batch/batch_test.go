package batch

import (
	"testing"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/google/go-cmp/cmp"
)

func csvSpans(data string, offsets ...uint32) *Spans {
	return &Spans{
		Data: []byte(data), Offsets: offsets, Stride: 3, Step: 1, Gap: 1,
		Syntax: Quoted, Quote: '"', Escape: '"', Nulls: []string{""},
	}
}

// Two records of two cells: 1,"a ""b""" and ,x.
func lazyBatch() *Batch {
	data := "1,\"a \"\"b\"\"\"\n,x\n"
	spans := csvSpans(data, 0, 2, 12, 12, 13, 15)
	schema := NewSchema(Field{"id", Of(Int64), true}, Field{"name", Of(String), true})
	return New(schema, []*Column{LazyColumn(Of(Int64), spans, 0), LazyColumn(Of(String), spans, 1)}, 2).
		WithOrigin(&Origin{Name: "f.csv", Record: 1, Line: 2})
}

func rowsOf(b *Batch) [][]any {
	var rows [][]any
	for i := range b.Len() {
		var row []any
		for _, c := range b.Columns() {
			v := c.Value(b.Row(i))
			if d, ok := v.(DecimalValue); ok {
				v = d.String()
			}
			row = append(row, v)
		}
		rows = append(rows, row)
	}
	return rows
}

func TestDenseTypesLazyCells(t *testing.T) {
	dense, bad := lazyBatch().Dense()
	if len(bad) > 0 {
		t.Fatalf("row errors: %v", bad)
	}
	want := [][]any{{int64(1), `a "b"`}, {nil, "x"}}
	if diff := cmp.Diff(want, rowsOf(dense)); diff != "" {
		t.Error(diff)
	}
}

func TestKeepOutlivesTheSource(t *testing.T) {
	b := lazyBatch().Select([]int32{1})
	spans, _ := b.Column(0).Spans()
	kept := b.Keep()
	for i := range spans.Data {
		spans.Data[i] = '?'
	}
	dense, _ := kept.Dense()
	if diff := cmp.Diff([][]any{{nil, "x"}}, rowsOf(dense)); diff != "" {
		t.Error(diff)
	}
	if got := kept.Origin().At(0).String(); got != "f.csv:3" {
		t.Errorf("origin %q, want f.csv:3", got)
	}
}

func TestTypedReportsCellsThatDoNotRead(t *testing.T) {
	spans := csvSpans("x,1\n", 0, 2, 4)
	schema := NewSchema(Field{"id", Of(Int64), true})
	b := New(schema, []*Column{LazyColumn(Of(Int64), spans, 0)}, 1)
	dense, bad := b.Dense()
	if dense.Len() != 0 || len(bad) != 1 || bad[0].Column != "id" {
		t.Fatalf("got %d rows, errors %v", dense.Len(), bad)
	}
	if want := `"x" is not a value of type int64`; bad[0].Reason != want {
		t.Errorf("reason %q, want %q", bad[0].Reason, want)
	}
}

// What a type cannot hold is refused, never bent to fit.
func TestCellsThatAreNotOfTheirType(t *testing.T) {
	for _, c := range []struct {
		typ        Type
		text, want string // as JSON; "" is refused
	}{
		{Of(Null), "abc", ""},
		{Of(Null), "", "null"},
		{Of(Float32), "1e39", ""},
		{Of(Float32), "-Inf", "null"},
		{Of(Float32), "3.4028235e38", "3.4028235e+38"},
		// Rounded to a float64 first this lies half way, and would become 16777216.
		{Of(Float32), "16777217.000000000001", "16777218"},
		{Of(JSON), "hello", ""},
		{Of(JSON), "{\"a\": 1}", "{\"a\": 1}"},
		{Of(JSON), "\"\xff\"", ""},
		{TimestampOf(Microsecond, "+02:00"), "2024-07-01 12:00:00", "\"2024-07-01T12:00:00.000000+02:00\""},
	} {
		spans := &Spans{
			Data: []byte(c.text), Offsets: []uint32{0, uint32(len(c.text))}, Stride: 2, Step: 2, Nulls: []string{""},
		}
		typed, bad := LazyColumn(c.typ, spans, 0).Typed(nil)
		if (len(bad) > 0) != (c.want == "") {
			t.Errorf("%s of %q: errors %v, want %q", c.typ, c.text, bad, c.want)
			continue
		}
		if got := string(AppendJSON(nil, typed, 0)); c.want != "" && got != c.want {
			t.Errorf("%s of %q: %s, want %s", c.typ, c.text, got, c.want)
		}
	}
}

func TestUnknownZonesAreRefused(t *testing.T) {
	for _, text := range []string{"timestamp(us,Mars/Base)", "timestamp(us,+2)", "timestamp(ms,+99:00)"} {
		if typ, err := ParseType(text); err == nil {
			t.Errorf("%s reads as %s", text, typ)
		}
	}
}

// A row with several wrong cells is refused once, by the first of them.
func TestDenseRefusesARowOnce(t *testing.T) {
	spans := csvSpans("x,\xff\n1,\xfe\n", 0, 2, 4, 4, 6, 8)
	schema := NewSchema(Field{"id", Of(Int64), true}, Field{"name", Of(String), true})
	b := New(schema, []*Column{LazyColumn(Of(Int64), spans, 0), LazyColumn(Of(String), spans, 1)}, 2)
	dense, bad := b.Dense()
	want := []RowError{
		{0, "id", `"x" is not a value of type int64`},
		{1, "name", `"\xfe" is not UTF-8; set the encoding of its source`},
	}
	if diff := cmp.Diff(want, bad); diff != "" || dense.Len() != 0 {
		t.Errorf("%d rows left, %s", dense.Len(), diff)
	}
}

func TestArrowRoundTrip(t *testing.T) {
	schema := NewSchema(
		Field{"i", Of(Int32), true}, Field{"d", DecimalOf(10, 2), true}, Field{"s", Of(String), true},
		Field{"l", ListOf(Of(Int64)), true}, Field{"b", Of(Bool), true},
		Field{"m", StructOf(Field{"x", Of(Float64), true}), true}, Field{"j", Of(JSON), true},
	)
	builder := NewBuilder(schema)
	for _, row := range [][]any{
		{int64(1), "1.50", "a", []any{int64(1), nil}, true, map[string]any{"x": 1.5}, "{}"},
		{nil, nil, nil, nil, nil, nil, nil},
		{int64(-7), "-0.01", "", []any{}, false, map[string]any{"x": nil}, "[1]"},
	} {
		for i, v := range row {
			if err := builder.Column(i).Any(v); err != nil {
				t.Fatal(err)
			}
		}
	}
	b, err := builder.Batch()
	if err != nil {
		t.Fatal(err)
	}
	record := ToArrow(b)
	defer record.Release()
	back, err := FromArrow(record)
	if err != nil {
		t.Fatal(err)
	}
	if !back.Schema().Equal(schema) {
		t.Errorf("schema %s, want %s", back.Schema(), schema)
	}
	if diff := cmp.Diff(rowsOf(b), rowsOf(back)); diff != "" {
		t.Error(diff)
	}
	doubled, _ := Concat([]*Batch{b.Select([]int32{2, 0}), back})
	if doubled.Len() != 5 {
		t.Errorf("concat has %d rows, want 5", doubled.Len())
	}
	sliced, err := FromArrow(record.NewSlice(1, 3))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(rowsOf(b)[1:], rowsOf(sliced)); diff != "" {
		t.Error(diff)
	}
}

func TestParseDecimalIsExact(t *testing.T) {
	for text, want := range map[string]string{
		"12.30": "12.30", "-0.01": "-0.01", "1e2": "100.00", "0.010": "0.01", "7": "7.00",
		"123456789012345678901234.5": "123456789012345678901234.50",
	} {
		v, ok := ParseDecimal([]byte(text), 38, 2)
		if got := string(AppendDecimal(nil, v, 2)); !ok || got != want {
			t.Errorf("%s read as %s (ok %t), want %s", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "1.234", "x", "1e", "--1", "."} {
		if v, ok := ParseDecimal([]byte(text), 38, 2); ok {
			t.Errorf("%q read as %v, want refused", text, v)
		}
	}
	if _, ok := ParseDecimal([]byte("100"), 4, 2); ok {
		t.Error("100 does not fit decimal(4,2)")
	}
	if got := string(AppendDecimal(nil, decimal128.FromI64(-5), 3)); got != "-0.005" {
		t.Errorf("got %s", got)
	}
}

func TestTimestampsReadBack(t *testing.T) {
	for _, typ := range []Type{
		TimestampOf(Millisecond, "UTC"), TimestampOf(Nanosecond, ""), TimestampOf(Second, "Asia/Shanghai"),
		TimestampOf(Microsecond, "America/New_York"),
	} {
		for _, v := range []int64{0, -1, 1700000000, 86399, -86400 * 400, 951782400} {
			text := AppendTimestamp(nil, v, typ)
			back, ok := ParseTimestamp(text, typ)
			if !ok || back != v {
				t.Errorf("%s: %d wrote %s, read %d (%t)", typ, v, text, back, ok)
			}
		}
	}
}

// TestDenseShares: what is dense already is not copied.
func TestDenseShares(t *testing.T) {
	t.Parallel()
	b := NewBuilder(NewSchema(Field{Name: "n", Type: Of(Int64)}))
	b.Column(0).Int(7)
	made, err := b.Batch()
	if err != nil {
		t.Fatal(err)
	}
	if dense, bad := made.Dense(); len(bad) > 0 || dense != made {
		t.Errorf("got another batch, and %v", bad)
	}
}
