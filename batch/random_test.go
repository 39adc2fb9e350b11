package batch

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// leafTypes are the types without fields, parameters varied.
func leafTypes() []Type {
	return []Type{
		Of(Bool), Of(Int8), Of(Int16), Of(Int32), Of(Int64), Of(Uint8), Of(Uint16), Of(Uint32),
		Of(Uint64), Of(Float32), Of(Float64), DecimalOf(9, 2), DecimalOf(38, 10), DecimalOf(18, 18),
		Of(String), Of(Binary), Of(JSON), Of(Date),
		{Kind: Time, Unit: Second},
		{Kind: Time, Unit: Millisecond},
		Of(Time),
		{Kind: Time, Unit: Nanosecond},
		TimestampOf(Second, ""), TimestampOf(Millisecond, "UTC"), TimestampOf(Microsecond, "Asia/Shanghai"),
		TimestampOf(Nanosecond, "UTC"), Of(Duration),
		{Kind: Duration, Unit: Nanosecond},
		Of(Null),
	}
}

// drawType draws a type, nested at most so deep.
func drawType(t *rapid.T, depth int) Type {
	if depth > 0 {
		switch rapid.IntRange(0, 5).Draw(t, "nested") {
		case 0:
			return ListOf(drawType(t, depth-1))
		case 1:
			fields := make([]Field, rapid.IntRange(1, 3).Draw(t, "members"))
			for i := range fields {
				fields[i] = Field{Name: fmt.Sprintf("m%d", i), Type: drawType(t, depth-1), Nullable: true}
			}
			return StructOf(fields...)
		case 2:
			return MapOf(Of(String), drawType(t, depth-1))
		}
	}
	return rapid.SampledFrom(leafTypes()).Draw(t, "type")
}

// drawValue draws a value as Column.Value returns it, nil for NULL.
func drawValue(t *rapid.T, typ Type, nullable bool) any {
	if typ.Kind == Null || nullable && rapid.IntRange(0, 4).Draw(t, "null") == 0 {
		return nil
	}
	bits := typ.Width() * 8
	switch typ.Kind {
	case Bool:
		return rapid.Bool().Draw(t, "bool")
	case Int8, Int16, Int32, Int64:
		limit := int64(1)<<(bits-1) - 1
		return rapid.Int64Range(-limit-1, limit).Draw(t, "int")
	case Uint8, Uint16, Uint32, Uint64:
		return rapid.Uint64Range(0, math.MaxUint64>>(64-bits)).Draw(t, "uint")
	case Float32:
		return float64(rapid.Float32().Draw(t, "float32"))
	case Float64:
		return rapid.Float64().Draw(t, "float64")
	case Decimal:
		return DecimalValue{drawDecimal(t, int(typ.Precision)), int(typ.Scale)}
	case String:
		return rapid.String().Draw(t, "string")
	case Binary:
		return append([]byte{}, rapid.SliceOf(rapid.Byte()).Draw(t, "binary")...)
	case JSON:
		return rapid.SampledFrom([]string{`{}`, `[1, 2.50]`, `"a\"b"`, `-1e400`}).Draw(t, "json")
	case Date:
		return time.Unix(rapid.Int64Range(-700000, 2900000).Draw(t, "days")*86400, 0).UTC()
	case Time:
		step := int64(time.Second) / typ.Unit.PerSecond()
		return time.Duration(rapid.Int64Range(0, int64(24*time.Hour)/step-1).Draw(t, "time") * step)
	case Duration:
		step := int64(time.Second) / typ.Unit.PerSecond()
		return time.Duration(rapid.Int64Range(math.MinInt64/step, math.MaxInt64/step).Draw(t, "duration") * step)
	case Timestamp:
		return drawTimestamp(t, typ)
	}
	return drawNested(t, typ)
}

func drawDecimal(t *rapid.T, precision int) decimal128.Num {
	digits := rapid.StringOfN(rapid.RuneFrom([]rune("0123456789")), 1, precision, -1).Draw(t, "digits")
	v, _ := new(big.Int).SetString(digits, 10)
	if rapid.Bool().Draw(t, "negative") {
		v.Neg(v)
	}
	return decimal128.FromBigInt(v)
}

// drawTimestamp stays within the years of all units.
func drawTimestamp(t *rapid.T, typ Type) time.Time {
	seconds := rapid.Int64Range(-9_000_000_000, 9_000_000_000).Draw(t, "seconds")
	step := int64(time.Second) / typ.Unit.PerSecond()
	part := rapid.Int64Range(0, typ.Unit.PerSecond()-1).Draw(t, "part")
	at := time.Unix(seconds, part*step).UTC()
	if location, err := time.LoadLocation(typ.Zone); err == nil && typ.Zone != "" {
		return at.In(location)
	}
	return at
}

func drawNested(t *rapid.T, typ Type) any {
	switch typ.Kind {
	case List:
		list := []any{}
		for range rapid.IntRange(0, 3).Draw(t, "elements") {
			list = append(list, drawValue(t, typ.Fields[0].Type, true))
		}
		return list
	case Struct:
		members := map[string]any{}
		for _, f := range typ.Fields {
			members[f.Name] = drawValue(t, f.Type, true)
		}
		return members
	}
	entries := map[string]any{}
	for i := range rapid.IntRange(0, 3).Draw(t, "entries") {
		entries[fmt.Sprintf("k%d", i)] = drawValue(t, typ.Fields[1].Type, true)
	}
	return entries
}

// appendBoxed appends by the typed methods, as a connector does.
func appendBoxed(a *Appender, v any) {
	switch v := v.(type) {
	case nil:
		a.Null()
	case bool:
		a.Bool(v)
	case int64:
		a.Int(v)
	case uint64:
		a.Uint(v)
	case float64:
		a.Float(v)
	case DecimalValue:
		a.Decimal(v.Unscaled)
	case string:
		a.Text(v)
	case []byte:
		a.Bytes(v)
	case time.Time:
		a.Time(v)
	case time.Duration:
		a.Int(int64(v) / (int64(time.Second) / a.Type().Unit.PerSecond()))
	case []any:
		for _, element := range v {
			appendBoxed(a.Element(0), element)
		}
		a.List()
	case map[string]any:
		if a.Type().Kind == Struct {
			for i, f := range a.Type().Fields {
				appendBoxed(a.Element(i), v[f.Name])
			}
			a.Struct()
			return
		}
		for key, value := range v {
			a.Element(0).Text(key)
			appendBoxed(a.Element(1), value)
		}
		a.List()
	}
}

// model is the naive twin of a batch: its logical rows, boxed.
type model struct {
	names  []string
	rows   [][]any
	ops    []Operation
	places []string
}

// drawBatch draws a batch and its twin: dense columns, and lazy ones of one syntax.
func drawBatch(t *rapid.T) (*Batch, model) {
	fields := make([]Field, rapid.IntRange(1, 4).Draw(t, "columns"))
	for i := range fields {
		fields[i] = Field{Name: fmt.Sprintf("c%d", i), Type: drawType(t, 2), Nullable: true}
	}
	lazy := rapid.IntRange(0, 3).Draw(t, "lazy columns")
	for i := range lazy {
		typ := rapid.SampledFrom(lazyTypes()).Draw(t, "lazy type")
		fields = append(fields, Field{Name: fmt.Sprintf("l%d", i), Type: typ, Nullable: true})
	}
	return drawRows(t, NewSchema(fields...), lazy)
}

// drawRows draws rows of a schema whose last lazy columns are lazy.
func drawRows(t *rapid.T, schema *Schema, lazy int) (*Batch, model) {
	m := model{names: schema.Names()}
	n := rapid.IntRange(0, 20).Draw(t, "rows")
	dense := schema.Len() - lazy
	appenders := make([]*Appender, dense)
	for i := range appenders {
		appenders[i] = NewAppender(schema.Field(i).Type)
	}
	line := rapid.Int64Range(1, 100).Draw(t, "line")
	for row := range n {
		values := make([]any, schema.Len())
		for i, f := range schema.Fields() {
			values[i] = drawValue(t, f.Type, true)
			if i < dense {
				appendBoxed(appenders[i], values[i])
			}
		}
		m.rows = append(m.rows, values)
		m.places = append(m.places, fmt.Sprintf("f:%d", line+int64(row)))
	}
	columns := make([]*Column, schema.Len())
	for i := range appenders {
		columns[i] = appenders[i].Column()
	}
	if lazy > 0 {
		spans := drawSpans(t, schema.Fields()[dense:], m.rows, dense)
		for i := range lazy {
			columns[dense+i] = LazyColumn(schema.Field(dense+i).Type, spans, i)
		}
	}
	b := New(schema, columns, n).WithOrigin(&Origin{Name: "f", Line: line})
	m.ops = make([]Operation, n)
	if rapid.Bool().Draw(t, "operations") {
		for i := range m.ops {
			m.ops[i] = Operation(rapid.IntRange(0, 2).Draw(t, "operation"))
		}
		b = b.WithOperations(append([]Operation(nil), m.ops...))
	}
	return b, m
}

// lazyTypes are the types that text is read as.
func lazyTypes() []Type {
	var types []Type
	for _, typ := range leafTypes() {
		if typ.Kind != Null && typ.Kind != Binary {
			types = append(types, typ)
		}
	}
	return types
}

// drawSpans spells columns from..of the rows in a drawn syntax.
func drawSpans(t *rapid.T, fields []Field, rows [][]any, from int) *Spans {
	syntax := Syntax(rapid.IntRange(0, 2).Draw(t, "syntax"))
	if syntax == Token {
		return tokenSpans(t, fields, rows, from)
	}
	const null = "NULL!"
	s := &Spans{Syntax: syntax, Stride: len(fields) + 1, Step: 1, Gap: 1, Nulls: []string{null}, Clean: true}
	if syntax == Quoted {
		s.Quote, s.Clean = '"', false
		s.Escape = rapid.SampledFrom([]byte{'"', '\\'}).Draw(t, "escape")
	}
	for _, row := range rows {
		for i, f := range fields {
			s.Offsets = append(s.Offsets, uint32(len(s.Data)))
			text := null
			if v := row[from+i]; v != nil {
				text = spell(f.Type, v)
				if syntax == Quoted && (strings.ContainsAny(text, "\"\\|\n") || rapid.Bool().Draw(t, "quoted")) {
					text = quoteCell(text, s.Escape)
				}
			}
			s.Data = append(append(s.Data, text...), '|')
		}
		s.Offsets = append(s.Offsets, uint32(len(s.Data)))
	}
	return s
}

func quoteCell(text string, escape byte) string {
	if escape == '"' {
		return `"` + strings.ReplaceAll(text, `"`, `""`) + `"`
	}
	return `"` + strings.NewReplacer(`"`, `\"`, `\`, `\\`).Replace(text) + `"`
}

// tokenSpans spells rows as JSON objects whose members stand in any order, or are absent for NULL.
func tokenSpans(t *rapid.T, fields []Field, rows [][]any, from int) *Spans {
	s := &Spans{Syntax: Token, Stride: 2 * len(fields), Step: 2}
	s.Data = append(s.Data, rapid.SampledFrom([]string{"", "  ", "[1,2]"}).Draw(t, "before")...)
	for _, row := range rows {
		at := make([]uint32, 2*len(fields))
		for _, i := range rapid.Permutation(numbersTo(len(fields))).Draw(t, "order") {
			v := row[from+i]
			if v == nil && rapid.Bool().Draw(t, "absent") {
				continue
			}
			s.Data = append(s.Data, fmt.Sprintf(`,"m%d":`, i)...)
			at[2*i] = uint32(len(s.Data))
			s.Data = append(s.Data, token(fields[i].Type, v)...)
			at[2*i+1] = uint32(len(s.Data))
		}
		s.Data = append(s.Data, '\n')
		s.Offsets = append(s.Offsets, at...)
	}
	return s
}

func numbersTo(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

// token spells a value in JSON: numbers bare, the rest as strings.
func token(typ Type, v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool, int64, uint64, float64, DecimalValue:
		return spell(typ, v)
	}
	if typ.Kind == JSON {
		return v.(string)
	}
	text, err := json.Marshal(spell(typ, v))
	if err != nil {
		panic(fmt.Sprint("marshal ", err))
	}
	return string(text)
}

// spell writes a value as text with the standard library only.
func spell(typ Type, v any) string {
	switch v := v.(type) {
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case DecimalValue:
		power := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(v.Scale)), nil)
		return new(big.Rat).SetFrac(v.Unscaled.BigInt(), power).FloatString(v.Scale)
	case time.Time:
		switch {
		case typ.Kind == Date:
			return v.Format("2006-01-02")
		case typ.Zone == "":
			return v.Format("2006-01-02T15:04:05.999999999")
		}
		if _, offset := v.Zone(); offset%60 != 0 {
			v = v.UTC()
		}
		return v.Format(time.RFC3339Nano)
	case time.Duration:
		if typ.Kind == Time {
			return time.Unix(0, int64(v)).UTC().Format("15:04:05.999999999")
		}
		return strconv.FormatInt(int64(v)/(int64(time.Second)/typ.Unit.PerSecond()), 10)
	}
	return fmt.Sprint(v)
}

// equalValues compares boxed rows: decimals by value, times by instant, NaN with NaN.
func equalValues() cmp.Options {
	return cmp.Options{
		cmpopts.EquateNaNs(), cmpopts.EquateEmpty(),
		cmp.Comparer(func(a, b DecimalValue) bool {
			return a.Scale == b.Scale && a.Unscaled.Cmp(b.Unscaled) == 0
		}),
		cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) && a.Format(time.RFC3339) == b.Format(time.RFC3339) }),
	}
}
