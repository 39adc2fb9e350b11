package batch

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// A dense batch goes to Arrow and comes back, whole and as any slice, with values and types. Times
// of seconds and milliseconds come back in microseconds, as Arrow's 64-bit times have no others.
func TestArrowKeepsDrawnBatches(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b, m := drawBatch(t)
		dense, _ := b.Dense()
		record := ToArrow(dense)
		defer record.Release()
		if err := validate(record); err != nil {
			t.Fatal(err)
		}
		back, err := FromArrow(record)
		if err != nil {
			t.Fatal(err)
		}
		for i, f := range dense.Schema().Fields() {
			got := back.Schema().Field(i)
			if want := strings.ReplaceAll(strings.ReplaceAll(f.Type.String(), "time(s)", "time(us)"),
				"time(ms)", "time(us)"); got.Type.String() != want || got.Name != f.Name {
				t.Fatalf("field %s %s, want %s %s", got.Name, got.Type, f.Name, want)
			}
		}
		m.compareValues(t, "whole", back)
		from := rapid.IntRange(0, dense.Len()).Draw(t, "from")
		to := rapid.IntRange(from, dense.Len()).Draw(t, "to")
		slice := record.NewSlice(int64(from), int64(to))
		defer slice.Release()
		sliced, err := FromArrow(slice)
		if err != nil {
			t.Fatal(err)
		}
		part := m.pick(numbersTo(len(m.rows))[from:to])
		part.compareValues(t, "slice", sliced)
		part.compareValues(t, "kept slice", sliced.Keep())
		// Concat reads the offsets of slices, which do not begin at 0.
		joined, _ := Concat([]*Batch{sliced, back})
		m.pick(append(numbersTo(len(m.rows))[from:to], numbersTo(len(m.rows))...)).
			compareValues(t, "joined", joined)
		if again := ToArrow(sliced.Keep()); int(again.NumRows()) != to-from {
			t.Fatalf("%d rows, want %d", again.NumRows(), to-from)
		}
		round, err := FromArrow(ToArrow(sliced))
		if err != nil {
			t.Fatal(err)
		}
		part.compareValues(t, "slice to arrow and back", round)
	})
}

// compareValues compares the values of a dense batch only.
func (m model) compareValues(t *rapid.T, what string, b *Batch) {
	t.Helper()
	if b.Len() != len(m.rows) {
		t.Fatalf("%s: %d rows, want %d", what, b.Len(), len(m.rows))
	}
	for k, row := range m.rows {
		for i := range row {
			if diff := cmp.Diff(row[i], b.Column(i).Value(k), equalValues()); diff != "" {
				t.Fatalf("%s: row %d, column %d (%s): %s", what, k, i, b.Column(i).Type(), diff)
			}
		}
	}
}

// validate lets Arrow itself read every value.
func validate(record arrow.RecordBatch) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("arrow cannot read the record: %v", r)
		}
	}()
	text, err := record.MarshalJSON()
	if err == nil && len(text) == 0 {
		err = fmt.Errorf("no text")
	}
	return err
}

// arrowArray builds an array of a type from JSON.
func arrowArray(t *testing.T, typ arrow.DataType, text string) arrow.Array {
	t.Helper()
	a, _, err := array.FromJSON(memory.DefaultAllocator, typ, strings.NewReader(text))
	if err != nil {
		t.Fatalf("%s: %v", typ, err)
	}
	return a
}

func TestForeignLayoutsBecomeOurs(t *testing.T) {
	for _, c := range []struct {
		typ  arrow.DataType
		text string
		want Type
	}{
		{arrow.BinaryTypes.LargeString, `["a", null, "ccc", ""]`, Of(String)},
		{arrow.BinaryTypes.StringView, `["a", null, "a text of more than twelve bytes", ""]`, Of(String)},
		{arrow.BinaryTypes.LargeBinary, `["YQ==", null, "Yg=="]`, Of(Binary)},
		{arrow.BinaryTypes.BinaryView, `["YQ==", null, "Yg=="]`, Of(Binary)},
		{&arrow.FixedSizeBinaryType{ByteWidth: 2}, `["YWI=", null, "Y2Q="]`, Of(Binary)},
		{arrow.FixedWidthTypes.Date64, `["2024-02-29", null, "1969-12-31"]`, Of(Date)},
		{arrow.FixedWidthTypes.Time32s, `["01:02:03", null, "23:59:59"]`, Of(Time)},
		{arrow.FixedWidthTypes.Time32ms, `["01:02:03.004", null, "23:59:59.999"]`, Of(Time)},
		{arrow.FixedWidthTypes.Time64ns, `["01:02:03.004", null, "23:59:59.999"]`, Type{Kind: Time, Unit: Nanosecond}},
		{
			&arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String},
			`["x", null, "y", "x"]`, Of(String),
		},
		{
			&arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Uint32, ValueType: arrow.PrimitiveTypes.Int64},
			`[5, null, 7, 5]`, Of(Int64),
		},
		{arrow.LargeListOf(arrow.PrimitiveTypes.Int32), `[[1,2], null, [], [3]]`, ListOf(Of(Int32))},
		{arrow.FixedSizeListOf(2, arrow.PrimitiveTypes.Int32), `[[1,2], null, [3,null]]`, ListOf(Of(Int32))},
	} {
		a := arrowArray(t, c.typ, c.text)
		for from := range a.Len() {
			slice := array.NewSlice(a, int64(from), int64(a.Len()))
			schema := arrow.NewSchema([]arrow.Field{{Name: "c", Type: c.typ, Nullable: true}}, nil)
			b, err := FromArrow(array.NewRecordBatch(schema, []arrow.Array{slice}, int64(slice.Len())))
			if err != nil {
				t.Errorf("%s: %v", c.typ, err)
				continue
			}
			if got := b.Column(0).Type(); !got.Equal(c.want) {
				t.Errorf("%s became %s, want %s", c.typ, got, c.want)
			}
			back, err := FromArrow(ToArrow(b))
			if err != nil {
				t.Fatal(err)
			}
			for i := range slice.Len() {
				want := arrowText(slice, i)
				for what, column := range map[string]*Column{
					"read": b.Column(0), "gathered": b.Column(0).Gather(nil), "returned": back.Column(0),
				} {
					if got := columnText(column, i); got != want {
						t.Errorf("%s from row %d, row %d, %s: got %s, want %s", c.typ, from, i, what, got, want)
					}
				}
			}
		}
	}
}

// arrowText is what Arrow says of a value, without the zeros at the end of times.
func arrowText(a arrow.Array, i int) string {
	if a.IsNull(i) {
		return "null"
	}
	return shorten(strings.Trim(a.ValueStr(i), `"`))
}

func columnText(c *Column, i int) string {
	if c.IsNull(i) {
		return "null"
	}
	return shorten(string(AppendText(nil, c, i)))
}

func shorten(text string) string {
	if strings.Count(text, ":") == 2 && strings.Contains(text, ".") {
		return strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	return text
}

func TestTypesOfNoFormPassThrough(t *testing.T) {
	typ := arrow.FixedWidthTypes.MonthInterval
	a := arrowArray(t, typ, `[{"months": 3}, null, {"months": 5}]`)
	schema := arrow.NewSchema([]arrow.Field{{Name: "c", Type: typ, Nullable: true}}, nil)
	b, err := FromArrow(array.NewRecordBatch(schema, []arrow.Array{a}, 3))
	if err != nil {
		t.Fatal(err)
	}
	if b.Column(0).Type().Kind != Foreign {
		t.Fatalf("type %s, want foreign", b.Column(0).Type())
	}
	var shown struct{ C struct{ Months int } }
	if err := json.Unmarshal(AppendRow(nil, b, 0), &shown); err != nil || shown.C.Months != 3 {
		t.Errorf("as JSON it is %s (%v)", AppendRow(nil, b, 0), err)
	}
	kept := b.Select([]int32{2, 1}[1:]).Keep()
	joined, _ := Concat([]*Batch{b, kept, b.Select([]int32{2})})
	record := ToArrow(joined)
	var got []string
	for i := range int(record.NumRows()) {
		got = append(got, record.Column(0).ValueStr(i))
	}
	want := []string{a.ValueStr(0), a.ValueStr(1), a.ValueStr(2), a.ValueStr(1), a.ValueStr(2)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// A value of a type that only Arrow has is written as Arrow's own JSON, and its nulls are nulls.
func TestForeignValuesAsText(t *testing.T) {
	days := array.NewDayTimeIntervalBuilder(memory.DefaultAllocator)
	days.Append(arrow.DayTimeInterval{Days: 3, Milliseconds: 4})
	days.AppendNull()
	months := array.NewMonthIntervalBuilder(memory.DefaultAllocator)
	months.Append(7)
	months.AppendNull()
	lists := array.NewListBuilder(memory.DefaultAllocator,
		&arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String})
	lists.Append(true)
	if err := lists.ValueBuilder().AppendValueFromString(`say "x"`); err != nil {
		t.Fatal(err)
	}
	lists.AppendNull()
	members := array.NewDenseUnionBuilder(memory.DefaultAllocator, arrow.DenseUnionOf(
		[]arrow.Field{{Name: "n", Type: arrow.PrimitiveTypes.Int32, Nullable: true}}, []arrow.UnionTypeCode{5}))
	members.Append(5)
	members.Child(0).(*array.Int32Builder).Append(9)
	members.Append(5)
	members.Child(0).AppendNull()
	for _, test := range []struct {
		array arrow.Array
		want  string
	}{
		{members.NewArray(), `[5,9]`},
		{days.NewArray(), `{"days":3,"milliseconds":4}`},
		{months.NewArray(), `{"months":7}`},
		{lists.NewArray(), `["say \"x\""]`},
	} {
		schema := arrow.NewSchema([]arrow.Field{{Name: "c", Type: test.array.DataType(), Nullable: true}}, nil)
		b, err := FromArrow(array.NewRecordBatch(schema, []arrow.Array{test.array}, 2))
		if err != nil {
			t.Fatal(err)
		}
		c := b.Column(0)
		if c.IsNull(0) || !c.IsNull(1) {
			t.Errorf("%s: the second row alone should be null", c.Type())
		}
		got := string(AppendJSON(nil, c, 0))
		if got != test.want || !json.Valid([]byte(got)) {
			t.Errorf("%s: JSON is %s, want %s", c.Type(), got, test.want)
		}
	}
}

func TestMetadataAndJSONSurviveArrow(t *testing.T) {
	schema := NewSchema(Field{Name: "j", Type: Of(JSON), Nullable: true}, Field{Name: "n", Type: Of(Int64)}).
		WithMetadata(map[string]string{"k": "v"})
	back := SchemaFromArrow(ArrowSchema(schema))
	if !back.Equal(schema) || back.Metadata()["k"] != "v" || back.Field(0).Type.Kind != JSON {
		t.Errorf("schema %s %v, want %s", back, back.Metadata(), schema)
	}
}

func TestNegativeScaleAndWideDecimalsAreForeign(t *testing.T) {
	for _, typ := range []arrow.DataType{
		&arrow.Decimal128Type{Precision: 5, Scale: -2}, &arrow.Decimal256Type{Precision: 50, Scale: 2},
	} {
		if got := TypeFromArrow(typ); got.Kind != Foreign {
			t.Errorf("%s became %s", typ, got)
		}
	}
}

func TestToArrowRefusesWhatIsNotDense(t *testing.T) {
	b := lazyBatch()
	for name, f := range map[string]func(){
		"lazy":      func() { ToArrow(b) },
		"selection": func() { dense, _ := b.Dense(); ToArrow(dense.Select([]int32{0})) },
		"width":     func() { Values[int32](FixedColumn(Of(Int64), []int64{1}, nil)) },
		"columns":   func() { New(NewSchema(Field{Name: "a", Type: Of(Bool)}), nil, 0) },
		"rows": func() {
			New(NewSchema(Field{Name: "a", Type: Of(Bool)}), []*Column{NullColumn(Of(Bool), 2)}, 1)
		},
		"as": func() { FixedColumn(Of(Int64), []int64{1}, nil).As(Of(String)) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}

func TestNullColumnsOfEveryType(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		typ := drawType(t, 3)
		n := rapid.IntRange(0, 9).Draw(t, "rows")
		c := NullColumn(typ, n)
		b := New(NewSchema(Field{Name: "c", Type: typ, Nullable: true}), []*Column{c}, n)
		joined, _ := Concat([]*Batch{b, b.Keep()})
		for i := range 2 * n {
			if v := joined.Column(0).Value(i); v != nil {
				t.Fatalf("%s: row %d is %v", typ, i, v)
			}
		}
		if back, err := FromArrow(ToArrow(joined)); err != nil || back.Len() != 2*n {
			t.Fatalf("%s: %v", typ, err)
		}
	})
}

// TestNullColumnsOfForeignTypes: types without a form of our own have null columns too.
func TestNullColumnsOfForeignTypes(t *testing.T) {
	t.Parallel()
	member := arrow.Field{Name: "i", Type: arrow.PrimitiveTypes.Int64, Nullable: true}
	for _, foreign := range []arrow.DataType{
		arrow.FixedWidthTypes.MonthInterval, arrow.ListOf(arrow.FixedWidthTypes.MonthDayNanoInterval),
		arrow.DenseUnionOf([]arrow.Field{member}, []arrow.UnionTypeCode{5}),
		arrow.SparseUnionOf([]arrow.Field{member}, []arrow.UnionTypeCode{7}),
	} {
		field := SchemaFromArrow(arrow.NewSchema([]arrow.Field{{Name: "c", Type: foreign, Nullable: true}}, nil)).Field(0)
		for _, rows := range []int{0, 3} {
			record := ToArrow(New(NewSchema(field), []*Column{NullColumn(field.Type, rows)}, rows))
			if record.NumRows() != int64(rows) || !arrow.TypeEqual(record.Column(0).DataType(), foreign) {
				t.Errorf("%s: %d rows of %s, want %d", foreign, record.NumRows(), record.Column(0).DataType(), rows)
			}
			if err := array.ValidateRecordFull(record); err != nil {
				t.Errorf("%s, %d rows: %v", foreign, rows, err)
			}
		}
	}
}

func TestDecimalsOfBothSigns(t *testing.T) {
	values := []decimal128.Num{decimal128.FromI64(-1), decimal128.New(1, 2), decimal128.New(-1, 5), {}}
	c := FixedColumn(DecimalOf(38, 3), values, nil)
	var got []string
	for i := range values {
		got = append(got, string(AppendText(nil, c, i)))
	}
	want := []string{"-0.001", "18446744073709551.618", "-18446744073709551.611", "0.000"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestUnionsAreKeptAndJoined: unions of both kinds, also in structs and of unions, are gathered,
// sliced and joined as their values say; what cannot be is refused when it comes.
func TestUnionsAreKeptAndJoined(t *testing.T) {
	t.Parallel()
	number := arrow.Field{Name: "n", Type: arrow.PrimitiveTypes.Int64, Nullable: true}
	text := arrow.Field{Name: "s", Type: arrow.BinaryTypes.String, Nullable: true}
	codes := []arrow.UnionTypeCode{5, 7}
	dense := arrow.DenseUnionOf([]arrow.Field{number, text}, codes)
	sparse := arrow.SparseUnionOf([]arrow.Field{number, text}, codes)
	nested := arrow.DenseUnionOf([]arrow.Field{number, {Name: "u", Type: dense, Nullable: true}}, codes)
	values := `[[5, 1], [7, "two"], [5, null], [7, "four"], [7, "five"], [5, 6]]`
	for _, c := range []struct {
		typ  arrow.DataType
		rows string
	}{
		{dense, values},
		{sparse, values},
		{nested, `[[5, 1], [7, [7, "two"]], [5, null], [7, [5, 4]], [7, [7, "five"]], [5, 6]]`},
		{
			arrow.StructOf(arrow.Field{Name: "u", Type: dense, Nullable: true}),
			`[{"u": [5, 1]}, {"u": [7, "two"]}, {"u": [5, null]}, {"u": [7, "four"]}, {"u": [7, "five"]}, {"u": [5, 6]}]`,
		},
	} {
		a := arrowArray(t, c.typ, c.rows)
		schema := arrow.NewSchema([]arrow.Field{{Name: "c", Type: c.typ, Nullable: true}}, nil)
		whole := array.NewRecordBatch(schema, []arrow.Array{a}, 6)
		b, err := FromArrow(whole)
		if err != nil {
			t.Fatal(err)
		}
		part, err := FromArrow(whole.NewSlice(2, 5))
		if err != nil {
			t.Fatal(err)
		}
		joined, bad := Concat([]*Batch{
			b.Select([]int32{4, 0}).Keep(), part, part.Slice(1, 3).Keep(), b.Select(nil).Keep(), b,
		})
		record := ToArrow(joined)
		if err := array.ValidateRecordFull(record); err != nil || len(bad) > 0 {
			t.Fatalf("%s: %v, %v", c.typ, err, bad)
		}
		var got, want []string
		for _, row := range []int{4, 0, 2, 3, 4, 3, 4, 0, 1, 2, 3, 4, 5} {
			want = append(want, a.ValueStr(row))
		}
		for i := range int(record.NumRows()) {
			got = append(got, record.Column(0).ValueStr(i))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", c.typ, diff)
		}
	}
	odd := arrow.ListViewOf(dense)
	schema := arrow.NewSchema([]arrow.Field{{Name: "c", Type: odd, Nullable: true}}, nil)
	a := array.NewBuilder(memory.DefaultAllocator, odd).NewArray()
	if _, err := FromArrow(array.NewRecordBatch(schema, []arrow.Array{a}, 0)); err == nil ||
		!strings.Contains(err.Error(), "union") {
		t.Errorf("%s: got %v, want to be told of the union", odd, err)
	}
}
