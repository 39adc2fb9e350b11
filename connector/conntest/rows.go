package conntest

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"github.com/tapeline/tapeline/batch"
)

// AllTypes returns the column types that a sink is tested with unless its case says otherwise.
func AllTypes() []batch.Type {
	return []batch.Type{
		batch.Of(batch.Bool), batch.Of(batch.Int8), batch.Of(batch.Int16), batch.Of(batch.Int32),
		batch.Of(batch.Int64), batch.Of(batch.Uint8), batch.Of(batch.Uint16),
		batch.Of(batch.Uint32), batch.Of(batch.Uint64), batch.Of(batch.Float32),
		batch.Of(batch.Float64), batch.DecimalOf(18, 4), batch.DecimalOf(38, 10),
		batch.Of(batch.String), batch.Of(batch.Binary), batch.Of(batch.JSON), batch.Of(batch.Date),
		batch.Of(batch.Time), batch.TimestampOf(batch.Microsecond, ""),
		batch.TimestampOf(batch.Microsecond, "UTC"), batch.Of(batch.Duration),
		batch.ListOf(batch.Of(batch.Int64)),
		batch.StructOf(
			batch.Field{Name: "a", Type: batch.Of(batch.Int64), Nullable: true},
			batch.Field{Name: "b", Type: batch.Of(batch.String), Nullable: true}),
		batch.MapOf(batch.Of(batch.String), batch.Of(batch.Int64)),
	}
}

// Schema returns the schema of the rows that Sink writes: id, then one column a type.
func Schema(types ...batch.Type) *batch.Schema {
	fields := []batch.Field{{Name: "id", Type: batch.Of(batch.Int64)}}
	for i, typ := range types {
		name := fmt.Sprintf("c%02d_%s", i+1, typ.Kind)
		fields = append(fields, batch.Field{Name: name, Type: typ, Nullable: true})
	}
	return batch.NewSchema(fields...)
}

// Rows returns rows from..to-1 of the endless table that Sink writes. A row depends on its number
// and version only: edge values, texts that need quoting, and every fifth value null.
func Rows(schema *batch.Schema, from, to, version int) *batch.Batch {
	b := batch.NewBuilder(schema)
	for row := from; row < to; row++ {
		b.Column(0).Int(int64(row))
		for i := 1; i < schema.Len(); i++ {
			if (row+i)%5 == 0 {
				b.Column(i).Null()
				continue
			}
			appendValue(b.Column(i), row+7*version)
		}
	}
	out, err := b.Batch()
	if err != nil {
		panic("conntest: a column lacks a value")
	}
	return out.WithOrigin(&batch.Origin{Name: "conntest", Record: int64(from) + 1})
}

// appendValue appends the nth value of a type.
func appendValue(a *batch.Appender, n int) {
	typ := a.Type()
	switch kind := typ.Kind; {
	case kind == batch.Bool:
		a.Bool(n%2 == 0)
	case kind >= batch.Uint8 && kind <= batch.Uint64:
		limit := uint64(math.MaxUint64) >> (64 - 8*typ.Width())
		a.Uint([]uint64{uint64(n) & limit, 0, limit}[n%3])
	case typ.Integer():
		limit := int64(math.MaxInt64) >> (64 - 8*typ.Width())
		a.Int([]int64{int64(n) % limit, -limit - 1, limit, 0}[n%4])
	case kind == batch.Float32:
		a.Float(float64([]float32{float32(n), 0.1, -1.5e20}[n%3]))
	case kind == batch.Float64:
		a.Float([]float64{float64(n), 0.1, -1e300, 5e-324, 123456789.125}[n%5])
	case kind == batch.Decimal:
		digits := "12345678901234567890123456789012345678"[:typ.Precision]
		edge, err := decimal128.FromString(digits, int32(len(digits)), 0)
		if err != nil {
			panic("conntest: digits are no number")
		}
		a.Decimal([]decimal128.Num{
			decimal128.FromI64(int64(n) % 10), edge.Negate(), decimal128.FromI64(0), edge,
		}[n%4])
	case kind == batch.String:
		a.Text(texts()[n%len(texts())])
	case kind == batch.Binary:
		a.Bytes([][]byte{{0, 1, 2, 0xff}, {}, []byte("plain"), {'"', ',', '\n', '\\'}}[n%4])
	case kind == batch.JSON:
		a.Text([]string{`{"a": [1, 2.50, null], "b": "x\"y"}`, `[]`, `"text"`, `12345678901234567890`}[n%4])
	case kind == batch.Date:
		a.Int([]int64{int64(n), 0, -1, 19000, 47482}[n%5])
	case kind == batch.Time:
		per := typ.Unit.PerSecond()
		a.Int([]int64{0, 86399 * per, 45296*per + per/10}[n%3])
	case kind == batch.Timestamp:
		per := typ.Unit.PerSecond()
		a.Int([]int64{int64(n) * per, 0, -per / 2, 1_700_000_000*per + per/1000, -2_000_000_000 * per}[n%5])
	case kind == batch.Duration:
		a.Int([]int64{int64(n), -1, 0, 1 << 40}[n%4])
	default:
		appendNested(a, n)
	}
}

func texts() []string {
	return []string{
		"plain", "", " blanks around ", "a,b;c\td", `say "hi"`, "two\nlines", "crlf\r\nend",
		`back\slash \N`, "Grüße, 世界 🚀", "'quoted'", "null", "NULL", "-12.50", "true",
		strings.Repeat("long ", 200),
	}
}

func appendNested(a *batch.Appender, n int) {
	switch typ := a.Type(); typ.Kind {
	case batch.List:
		for i := range n % 3 {
			appendValue(a.Element(0), n+i)
		}
		a.List()
	case batch.Map:
		for i := range n % 3 {
			a.Element(0).Text(fmt.Sprintf("k%d", i))
			appendValue(a.Element(1), n+i)
		}
		a.List()
	case batch.Struct:
		for i := range typ.Fields {
			appendValue(a.Element(i), n+i)
		}
		a.Struct()
	default:
		a.Null()
	}
}

// cells returns the logical rows of a batch as canonical text, one string a cell.
func cells(b *batch.Batch) ([][]string, error) {
	dense, bad := b.Dense()
	if len(bad) > 0 {
		return nil, fmt.Errorf("cell does not read as its type: %w", bad[0])
	}
	out := make([][]string, dense.Len())
	for i := range out {
		for _, c := range dense.Columns() {
			out[i] = append(out[i], cell(c, i))
		}
	}
	return out, nil
}

// nullCell stands for NULL, so that no text is mistaken for it.
const nullCell = "\x00NULL"

func cell(c *batch.Column, row int) string {
	if c.IsNull(row) {
		return nullCell
	}
	text := string(batch.AppendText(nil, c, row))
	if c.Type().Kind == batch.JSON || c.Type().Nested() {
		return normalJSON(text)
	}
	return text
}

// normalJSON sorts members and drops blanks; numbers keep their value but not trailing zeros, which
// databases drop.
func normalJSON(text string) string {
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return text
	}
	out, err := json.Marshal(normalNumbers(value))
	if err != nil {
		return text
	}
	return string(out)
}

func normalNumbers(value any) any {
	switch v := value.(type) {
	case json.Number:
		if s := string(v); strings.Contains(s, ".") && !strings.ContainsAny(s, "eE") {
			return json.Number(strings.TrimSuffix(strings.TrimRight(s, "0"), "."))
		}
	case []any:
		for i := range v {
			v[i] = normalNumbers(v[i])
		}
	case map[string]any:
		for key := range v {
			v[key] = normalNumbers(v[key])
		}
	}
	return value
}

// boxedCells turns rows of boxed values, as a test reads them back, into canonical text. A value
// is read as the column's type; schema nil takes it as it is.
func boxedCells(rows [][]any, schema *batch.Schema) [][]string {
	out := make([][]string, len(rows))
	for r, row := range rows {
		for i, value := range row {
			if schema == nil || i >= schema.Len() {
				out[r] = append(out[r], boxedCell(value))
				continue
			}
			a := batch.NewAppender(schema.Field(i).Type)
			if err := a.Any(value); err != nil {
				out[r] = append(out[r], fmt.Sprintf("%v (%v)", value, err))
				continue
			}
			out[r] = append(out[r], cell(a.Column(), 0))
		}
	}
	return out
}

// boxedCell renders a value without knowing its column.
func boxedCell(value any) string {
	switch v := value.(type) {
	case nil:
		return nullCell
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano)
	case float64:
		return string(batch.AppendFloat(nil, v, 64))
	case []any, map[string]any:
		text, err := json.Marshal(v)
		if err == nil {
			return normalJSON(string(text))
		}
	}
	return fmt.Sprint(value)
}

// compare reports the first rows in which got differs from want; order false compares multisets.
func compare(t testing.TB, what string, got, want [][]string, ordered bool) {
	t.Helper()
	if diff := difference(got, want, ordered); diff != "" {
		t.Errorf("%s: %s", what, diff)
	}
}

func difference(got, want [][]string, ordered bool) string {
	if !ordered {
		got, want = slices.Clone(got), slices.Clone(want)
		slices.SortFunc(got, slices.Compare)
		slices.SortFunc(want, slices.Compare)
	}
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			return fmt.Sprintf("%d rows, want %d; missing %s", len(got), len(want), show(want[i]))
		case i >= len(want):
			return fmt.Sprintf("%d rows, want %d; too much %s", len(got), len(want), show(got[i]))
		case !slices.Equal(got[i], want[i]):
			return fmt.Sprintf("row %d of %d (want %d rows): got %s, want %s",
				i, len(got), len(want), showOther(got[i], want[i]), showOther(want[i], got[i]))
		}
	}
	return ""
}

func show(row []string) string { return cut(fmt.Sprintf("%q", row)) }

// showOther shows the cells of a row that differ from those of another.
func showOther(row, other []string) string {
	var parts []string
	for i, text := range row {
		if i >= len(other) || other[i] != text {
			parts = append(parts, fmt.Sprintf("[%d]=%q", i, text))
		}
	}
	return cut(fmt.Sprintf("%s %s", row[:min(1, len(row))], strings.Join(parts, " ")))
}

func cut(text string) string {
	const most = 400
	if len(text) > most {
		return text[:most] + "..."
	}
	return text
}

// digest hashes everything a batch holds, also rows that are not selected.
func digest(b *batch.Batch) uint64 {
	h := fnv.New64a()
	fmt.Fprint(h, b.Schema(), b.Rows(), b.Selection(), string(b.Operations()))
	var scratch []byte
	for i, c := range b.Columns() {
		if spans, at := c.Spans(); spans != nil {
			for row := range c.Len() {
				_, _ = h.Write(spans.Raw(row, at))
				_, _ = h.Write([]byte{0})
			}
			continue
		}
		fmt.Fprint(h, i)
		for row := range c.Len() {
			scratch = batch.AppendKey(scratch[:0], b.Columns()[i:i+1], row)
			_, _ = h.Write(scratch)
		}
	}
	return h.Sum64()
}
