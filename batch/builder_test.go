package batch

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// Any takes what Value returns, and a refused value leaves the column as it was.
func TestAnyReadsBackAndRefusesWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		typ := drawType(t, 3)
		a := NewAppender(typ)
		var want []any
		for range rapid.IntRange(0, 8).Draw(t, "rows") {
			if wrong, ok := drawWrong(t, typ); ok {
				if err := a.Any(wrong); err == nil {
					t.Fatalf("%s took %#v", typ, wrong)
				}
			}
			v := drawValue(t, typ, true)
			if err := a.Any(v); err != nil {
				t.Fatalf("%s refused %#v: %v", typ, v, err)
			}
			want = append(want, v)
		}
		c := a.Column()
		if c.Len() != len(want) {
			t.Fatalf("%s has %d rows, want %d", typ, c.Len(), len(want))
		}
		for i := range want {
			if diff := cmp.Diff(want[i], c.Value(i), equalValues()); diff != "" {
				t.Fatalf("%s, row %d: %s", typ, i, diff)
			}
		}
		if a.Len() != 0 || a.Column().Len() != 0 {
			t.Fatal("Column did not empty the appender")
		}
	})
}

// drawWrong draws a value that does not fit, wrong at its end where it has parts.
func drawWrong(t *rapid.T, typ Type) (any, bool) {
	if !rapid.Bool().Draw(t, "wrong first") {
		return nil, false
	}
	switch typ.Kind {
	case String, JSON, Binary:
		return struct{}{}, true
	case List:
		inner, ok := drawWrong(t, typ.Fields[0].Type)
		return []any{drawValue(t, typ.Fields[0].Type, true), inner}, ok
	case Struct:
		members := drawNested(t, typ).(map[string]any)
		last := typ.Fields[len(typ.Fields)-1]
		inner, ok := drawWrong(t, last.Type)
		members[last.Name] = inner
		return members, ok
	case Map:
		inner, ok := drawWrong(t, typ.Fields[1].Type)
		return map[string]any{"a": drawValue(t, typ.Fields[1].Type, true), "b": inner}, ok
	}
	return rapid.SampledFrom([]any{"no such value", []any{1}, map[string]any{}, struct{}{}, "1x"}).Draw(t, "wrong"), true
}

func TestAnyConverts(t *testing.T) {
	at := time.Date(2024, 2, 29, 23, 30, 0, 123456789, time.FixedZone("", 8*3600))
	for _, c := range []struct {
		typ  Type
		v    any
		want string // as text; "" is refused
	}{
		{Of(Int64), "42", "42"},
		{Of(Int64), 42.0, "42"},
		{Of(Int64), 42.5, ""},
		{Of(Int64), json.Number("7"), "7"},
		{Of(Int64), uint64(math.MaxUint64), ""},
		{Of(Uint64), uint64(math.MaxUint64), "18446744073709551615"},
		{Of(Int8), int64(127), "127"},
		{Of(Int8), int64(128), ""},
		{Of(Uint8), -1, ""},
		{Of(Uint8), 255, "255"},
		{Of(Float64), "1e3", "1000"},
		{Of(Float32), 0.5, "0.5"},
		{Of(Float64), int64(3), "3"},
		{DecimalOf(5, 2), 1.25, "1.25"},
		{DecimalOf(5, 2), 1.255, ""},
		{DecimalOf(5, 2), int64(7), "7.00"},
		{DecimalOf(5, 2), DecimalValue{Scale: 1}, "0.00"},
		{DecimalOf(3, 2), int64(10), ""},
		{Of(Bool), "yes", "true"},
		{Of(Bool), int64(1), "true"},
		{Of(Bool), int64(2), ""},
		{Of(String), true, "true"},
		{Of(String), 1.5, "1.5"},
		{Of(String), at, "2024-02-29T23:30:00.123456789+08:00"},
		{Of(Date), at, "2024-02-29"},
		{Of(Date), "2024-02-30", ""},
		{TimestampOf(Millisecond, "UTC"), at, "2024-02-29T15:30:00.123Z"},
		{Of(Int64), at, ""},
		{TimestampOf(Nanosecond, ""), time.Date(2262, 4, 12, 0, 0, 0, 0, time.UTC), ""},
		{TimestampOf(Nanosecond, ""), time.Date(1677, 9, 21, 0, 0, 0, 0, time.UTC), ""},
		{TimestampOf(Microsecond, ""), time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC), "9999-12-31T00:00:00.000000"},
		{Of(Float64), int64(1<<53 + 1), ""},
		{Of(Float64), int64(math.MaxInt64), ""},
		{Of(Float64), int64(1 << 53), "9007199254740992"},
		{Of(Float32), 1e39, ""},
		{Of(Float32), math.Inf(1), "+Inf"},
		{Of(Time), 24*time.Hour + 1, ""},
		{Of(Time), -time.Second, ""},
		{Of(Duration), 1500 * time.Nanosecond, "1"},
		{Of(Time), time.Hour, "01:00:00.000000"},
		{Of(String), time.Hour, "1h0m0s"},
		{Of(JSON), []any{1.0, "x"}, `[1,"x"]`},
		{Of(String), map[string]any{"a": nil}, `{"a":null}`},
		{ListOf(Of(Int64)), []any{"1", 2.0, nil}, "[1,2,null]"},
		{ListOf(Of(Int64)), "[1]", ""},
		{Of(Int64), []any{}, ""},
		{Of(Int64), struct{}{}, ""},
		{Of(Null), "x", ""},
		{MapOf(Of(Int64), Of(Bool)), map[string]any{"5": true}, `{"5":true}`},
		{Of(Binary), []byte{0xff}, "/w=="},
	} {
		a := NewAppender(c.typ)
		err := a.Any(c.v)
		if (err == nil) != (c.want != "") {
			t.Errorf("%s of %#v: error %v, want %q", c.typ, c.v, err, c.want)
			continue
		}
		if err != nil {
			if a.Len() != 0 {
				t.Errorf("%s of %#v was refused and appended", c.typ, c.v)
			}
			continue
		}
		if got := string(AppendText(nil, a.Column(), 0)); got != c.want {
			t.Errorf("%s of %#v: %s, want %s", c.typ, c.v, got, c.want)
		}
	}
}

func TestBuilderEmptiesItselfAndChecksLengths(t *testing.T) {
	schema := NewSchema(Field{Name: "a", Type: Of(Int16)}, Field{Name: "b", Type: Of(String), Nullable: true})
	b := NewBuilder(schema)
	for round := range 3 {
		for i := range 20 {
			b.Column(0).Int(int64(round*100 + i))
			b.Column(1).Null()
		}
		out, err := b.Batch()
		if err != nil {
			t.Fatal(err)
		}
		if out.Len() != 20 || out.Column(0).Int(19) != int64(round*100+19) || !out.Column(1).IsNull(0) || b.Len() != 0 {
			t.Fatalf("round %d: %d rows, last %d, %d left", round, out.Len(), out.Column(0).Int(19), b.Len())
		}
	}
	b.Column(0).Int(1)
	if _, err := b.Batch(); err == nil || !strings.Contains(err.Error(), `"b" has 0 rows, others 1`) {
		t.Errorf("unequal columns: %v", err)
	}
}

func TestBitmaps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := rapid.SliceOf(rapid.Bool()).Draw(t, "x")
		y := rapid.SliceOfN(rapid.Bool(), len(x), len(x)).Draw(t, "y")
		n, a, b := len(x), NewBitmap(len(x)), NewBitmapSet(len(x))
		count := 0
		for i := range n {
			if x[i] {
				a.Set(i)
				count++
			}
			if !y[i] {
				b.Clear(i)
			}
		}
		if got := a.Count(n); got != count {
			t.Fatalf("count %d, want %d", got, count)
		}
		both, first := And(a, b, n), And(a, nil, n)
		for i := range n {
			if both.Get(i) != (x[i] && y[i]) || first.Get(i) != x[i] || a.Get(i) != x[i] {
				t.Fatalf("bit %d", i)
			}
		}
	})
	if And(nil, nil, 8) != nil {
		t.Error("two absent bitmaps have a conjunction")
	}
}

func TestRowErrorsAndPlacesSayWhere(t *testing.T) {
	for got, want := range map[string]string{
		RowError{Row: 3, Reason: "no"}.Error():                             "row 3: no",
		RowError{Row: 3, Column: "a", Reason: "no"}.Error():                "row 3, column a: no",
		Place{Name: "f", Line: 7, Record: 2}.String():                      "f:7",
		Place{Name: "f", Record: 2}.String():                               "f record 2",
		Place{Name: "f"}.String():                                          "f",
		(&Origin{Name: "f", Record: 10}).At(4).String():                    "f record 14",
		(&Origin{Name: "f", Line: 5, Lines: []int32{0, 3}}).At(1).String(): "f:8",
		fmt.Sprint((*Origin)(nil).At(3)):                                   "",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestAppendRowShowsCellsAsTheyWere(t *testing.T) {
	if got, want := string(AppendRow(nil, lazyBatch(), 0)), `{"id":"1","name":"a \"b\""}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	dense, _ := lazyBatch().Dense()
	if got, want := string(AppendRow(nil, dense, 1)), `{"id":null,"name":"x"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
