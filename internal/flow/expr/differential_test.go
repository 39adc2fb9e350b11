package expr

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tapeline/tapeline/batch"
)

// TestDifferential drives the column form and the row form of random expressions over random
// batches and wants the same values, NULLs and failed rows.
func TestDifferential(t *testing.T) {
	t.Parallel()
	rapid.Check(t, differential)
}

// The random expressions reach every function with arguments that it takes, but for those of columns
// by name and of maps, which random batches lack.
func TestDifferentialReachesEveryFunction(t *testing.T) {
	t.Parallel()
	var fields []batch.Field
	for _, kind := range kinds() {
		fields = append(fields, columnsOf()[kind]...)
	}
	schema := batch.NewSchema(fields...)
	calls := rapid.Custom(func(t *rapid.T) string { return (&generator{t: t}).anyCall(1) })
	bound := map[string]bool{"col": true, "map_get": true, "map_contains": true}
	for seed := range 20_000 {
		source := calls.Example(seed)
		name, _, _ := strings.Cut(source, "(")
		if bound[name] {
			continue
		}
		if _, err := Compile(source, schema, Options{Now: fixedNow}); err == nil {
			bound[name] = true
		}
		if len(bound) == len(Functions()) {
			return
		}
	}
	for _, f := range Functions() {
		if !bound[f.Name] {
			t.Errorf("no random call of %s compiles", f.Signature)
		}
	}
}

func FuzzDifferential(f *testing.F) { f.Fuzz(rapid.MakeFuzz(differential)) }

func differential(t *rapid.T) {
	b := drawBatch(t)
	g := &generator{t: t}
	kind := rapid.SampledFrom([]string{"bool", "bool", "number", "text", "moment", "any", "call", "call"}).Draw(t, "kind")
	var source string
	if kind == "call" {
		source = g.anyCall(2)
	} else {
		source = g.expression(kind, 4)
	}
	column, err := Compile(source, b.Schema(), Options{Now: fixedNow})
	row, rowErr := Compile(source, b.Schema(), Options{Now: fixedNow, Interpret: true})
	if (err == nil) != (rowErr == nil) {
		t.Fatalf("%s: column form %v, row form %v", source, err, rowErr)
	}
	if err != nil {
		var fault *Error
		if !errors.As(err, &fault) || strings.Contains(err.Error(), "unusable") {
			t.Fatalf("%s: %v", source, err)
		}
		return
	}
	columnEval, rowEval := column.NewEval(), row.NewEval()
	for range 2 { // the second time with used scratch memory
		got, gotOut, gotErrs := columnEval.Column(b)
		want, _, wantErrs := rowEval.Column(b)
		compareResults(t, source, b, [2]*batch.Column{got, want}, [2][]batch.RowError{gotErrs, wantErrs})
		compareDense(t, source, b, gotOut)
		if column.Type().Kind != batch.Bool {
			continue
		}
		gotBatch, gotErrs := columnEval.Filter(b)
		wantBatch, wantErrs := rowEval.Filter(b)
		if diff := cmp.Diff(rowsOf(wantBatch), rowsOf(gotBatch)); diff != "" {
			t.Fatalf("%s: kept rows, row form (-), column form (+):\n%s", source, diff)
		}
		if diff := cmp.Diff(failures(wantErrs), failures(gotErrs)); diff != "" {
			t.Fatalf("%s: failed rows of filter, row form (-), column form (+):\n%s", source, diff)
		}
		compareDense(t, source, gotBatch, gotBatch)
	}
}

func rowsOf(b *batch.Batch) []int {
	rows := []int{}
	for i := range b.Len() {
		rows = append(rows, b.Row(i))
	}
	return rows
}

func failures(errs []batch.RowError) map[int]string {
	out := map[int]string{}
	for _, e := range errs {
		out[e.Row] = e.Column + ": " + e.Reason
	}
	return out
}

func compareResults(t *rapid.T, source string, b *batch.Batch, columns [2]*batch.Column,
	errs [2][]batch.RowError,
) {
	bad := failures(errs[0])
	if diff := cmp.Diff(failures(errs[1]), bad); diff != "" {
		t.Fatalf("%s: failed rows, row form (-), column form (+):\n%s", source, diff)
	}
	if len(bad) != len(errs[0]) {
		t.Fatalf("%s: a row failed twice: %v", source, errs[0])
	}
	for i := range b.Len() {
		row := b.Row(i)
		if _, failed := bad[row]; failed {
			continue
		}
		got, want := show(columns[0], row), show(columns[1], row)
		if got != want {
			t.Fatalf("%s: row %d is %s in column form, %s in row form", source, row, got, want)
		}
	}
}

// compareDense checks that columns typed on the way hold what typing them anew gives.
func compareDense(t *rapid.T, source string, b, out *batch.Batch) {
	for i, c := range out.Columns() {
		before := b.Column(i)
		if c.Lazy() || !before.Lazy() {
			continue
		}
		fresh, _ := before.Typed(out.Selection())
		for k := range out.Len() {
			row := out.Row(k)
			if got, want := show(c, row), show(fresh, row); got != want {
				t.Fatalf("%s: column %d row %d was left as %s, want %s", source, i, row, got, want)
			}
		}
	}
}

// columnsOf are the columns of random batches by what an expression can do with them.
func columnsOf() map[string][]batch.Field {
	field := func(name string, typ batch.Type) batch.Field {
		return batch.Field{Name: name, Type: typ, Nullable: true}
	}
	return map[string][]batch.Field{
		"bool": {field("b", batch.Of(batch.Bool)), field("lazy_b", batch.Of(batch.Bool))},
		"number": {
			field("i8", batch.Of(batch.Int8)), field("i32", batch.Of(batch.Int32)),
			field("i64", batch.Of(batch.Int64)), field("u16", batch.Of(batch.Uint16)),
			field("u64", batch.Of(batch.Uint64)), field("f32", batch.Of(batch.Float32)),
			field("f64", batch.Of(batch.Float64)), field("dec", batch.DecimalOf(10, 2)),
			field("wide", batch.DecimalOf(30, 6)), field("lazy_i", batch.Of(batch.Int64)),
			field("lazy_f", batch.Of(batch.Float64)), field("lazy_d", batch.DecimalOf(10, 2)),
			field("token_i", batch.Of(batch.Int64)),
		},
		"text": {
			field("s", batch.Of(batch.String)), field("t", batch.Of(batch.String)),
			field("lazy_s", batch.Of(batch.String)), field("token_s", batch.Of(batch.String)),
		},
		"moment": {
			field("day", batch.Of(batch.Date)), field("at", batch.TimestampOf(batch.Microsecond, "UTC")),
			field("wall", batch.TimestampOf(batch.Millisecond, "")),
			field("berlin", batch.TimestampOf(batch.Second, "Europe/Berlin")),
			field("lazy_t", batch.TimestampOf(batch.Second, "")),
		},
		"list": {
			field("numbers", batch.ListOf(batch.Of(batch.Int32))), field("words", batch.ListOf(batch.Of(batch.String))),
		},
		"struct": {field("st", batch.StructOf(
			field("n", batch.Of(batch.Int16)), field("w", batch.Of(batch.String)),
			field("d", batch.Of(batch.Date))))},
		"json": {field("js", batch.Of(batch.JSON))},
	}
}

func kinds() []string {
	return []string{"bool", "number", "text", "moment", "list", "struct", "json"}
}

func drawBatch(t *rapid.T) *batch.Batch {
	rows := rapid.IntRange(0, 20).Draw(t, "rows")
	var fields []batch.Field
	var columns []*batch.Column
	for _, kind := range kinds() {
		for _, f := range columnsOf()[kind] {
			fields = append(fields, f)
			switch {
			case strings.HasPrefix(f.Name, "lazy_"):
				columns = append(columns, drawLazy(t, f, rows))
			case strings.HasPrefix(f.Name, "token_"):
				columns = append(columns, drawTokens(t, f, rows))
			default:
				columns = append(columns, drawDense(t, f, rows))
			}
		}
	}
	b := batch.New(batch.NewSchema(fields...), columns, rows)
	if rapid.Bool().Draw(t, "selected") {
		var selection []int32
		for row := range rows {
			if rapid.Bool().Draw(t, "in") {
				selection = append(selection, int32(row))
			}
		}
		b = b.Select(selection)
	}
	return b
}

func drawDense(t *rapid.T, f batch.Field, rows int) *batch.Column {
	a := batch.NewAppender(f.Type)
	nulls := rapid.Bool().Draw(t, "nulls")
	for range rows {
		appendDrawn(t, a, nulls)
	}
	return a.Column()
}

func appendDrawn(t *rapid.T, a *batch.Appender, nulls bool) {
	if nulls && rapid.IntRange(0, 3).Draw(t, "null") == 0 {
		a.Null()
		return
	}
	var err error
	switch typ := a.Type(); typ.Kind {
	case batch.Bool:
		a.Bool(rapid.Bool().Draw(t, "bool"))
	case batch.String:
		a.Text(drawText(t))
	case batch.JSON:
		a.Text(rapid.SampledFrom([]string{
			`{"a": 1, "b": "x"}`, `{"a": "2.5"}`, `[1, 2]`, `null`, `"a"`, `5`, `{"a": {"b": true}}`, `{`,
		}).Draw(t, "json"))
	case batch.Float32, batch.Float64:
		a.Float(rapid.SampledFrom([]float64{
			0, 1, -1, 0.5, 1.5, 2.5, 1e18, math.NaN(), math.Inf(1), math.Copysign(0, -1), 9007199254740992,
		}).Draw(t, "float"))
	case batch.Decimal:
		text := rapid.SampledFrom([]string{"0", "1", "-1", "0.5", "1.5", "2.5", "99999999.99", "-12.34"}).
			Draw(t, "decimal")
		err = a.Any(text)
	case batch.Date:
		a.Int(rapid.Int64Range(-800, 30000).Draw(t, "days"))
	case batch.Timestamp:
		a.Int(rapid.Int64Range(-1e6, 2e9).Draw(t, "seconds") * typ.Unit.PerSecond())
	case batch.List:
		for range rapid.IntRange(0, 3).Draw(t, "length") {
			appendDrawn(t, a.Element(0), nulls)
		}
		a.List()
	case batch.Struct:
		for i := range typ.Fields {
			appendDrawn(t, a.Element(i), nulls)
		}
		a.Struct()
	default:
		a.Int(drawInt(t, typ))
	}
	if err != nil {
		t.Fatal(err)
	}
}

func drawInt(t *rapid.T, typ batch.Type) int64 {
	switch typ.Kind {
	case batch.Int64:
		return rapid.SampledFrom([]int64{0, 1, 2, -1, 7, 9007199254740993, math.MaxInt64, math.MinInt64}).
			Draw(t, "int")
	case batch.Uint64:
		return rapid.SampledFrom([]int64{0, 1, 2, 7, -1, math.MaxInt64}).Draw(t, "uint")
	case batch.Uint16:
		return rapid.Int64Range(0, 9).Draw(t, "uint16")
	}
	return rapid.Int64Range(-4, 9).Draw(t, "small")
}

func drawText(t *rapid.T) string {
	return rapid.SampledFrom([]string{
		"", "a", "b", "active", "inactive", "a longer text", "a longer texu", "äö", "1", "2024-01-01", "a,b",
	}).Draw(t, "text")
}

// drawLazy makes a column of CSV cells, some quoted, some NULL, some unreadable.
func drawLazy(t *rapid.T, f batch.Field, rows int) *batch.Column {
	spans := &batch.Spans{
		Stride: 2, Step: 1, Gap: 1, Syntax: batch.Quoted, Quote: '"',
		Escape: rapid.SampledFrom([]byte{'"', '\\'}).Draw(t, "escape"),
		Trim:   rapid.Bool().Draw(t, "trim"),
		Nulls:  rapid.SampledFrom([][]string{nil, {""}, {"", "NULL"}, {"a"}}).Draw(t, "nulls"),
	}
	for range rows {
		cell := rapid.SampledFrom([]string{
			"", "1", "2.5", "-7", "true", "no", "2024-01-01", "a", "active", "NULL", "x", "a longer text",
			" a ", `"a"`, `"act""ive"`, `"active"`, `""`, "99999999.99", "12.345", "9223372036854775807",
		}).Draw(t, "cell")
		spans.Offsets = append(spans.Offsets, uint32(len(spans.Data)))
		spans.Data = append(append(spans.Data, cell...), ',')
		spans.Offsets = append(spans.Offsets, uint32(len(spans.Data)))
	}
	return batch.LazyColumn(f.Type, spans, 0)
}

// drawTokens makes a column of JSON tokens.
func drawTokens(t *rapid.T, f batch.Field, rows int) *batch.Column {
	spans := &batch.Spans{Stride: 2, Step: 2, Syntax: batch.Token, Data: []byte(" ")}
	for range rows {
		token := rapid.SampledFrom([]string{
			"", "null", "1", "-7", `"a"`, `"active"`, `"\u0061ctive"`, "true", `"x\n"`, `"1"`,
		}).Draw(t, "token")
		spans.Offsets = append(spans.Offsets, uint32(len(spans.Data)))
		spans.Data = append(spans.Data, token...)
		spans.Offsets = append(spans.Offsets, uint32(len(spans.Data)))
	}
	return batch.LazyColumn(f.Type, spans, 0)
}

// generator writes random expressions of a kind.
type generator struct{ t *rapid.T }

func (g *generator) pick(choices ...string) string {
	return rapid.SampledFrom(choices).Draw(g.t, "pick")
}

func (g *generator) name(kind string) string {
	fields := columnsOf()[kind]
	return fields[rapid.IntRange(0, len(fields)-1).Draw(g.t, "column")].Name
}

func (g *generator) expression(kind string, depth int) string {
	if kind == "any" {
		kind = g.pick("list", "struct", "json", "text", "bool", "number", "moment")
	}
	if depth == 0 || rapid.IntRange(0, 4).Draw(g.t, "leaf") == 0 {
		return g.leaf(kind)
	}
	same := func() string { return g.expression(kind, depth-1) }
	switch g.pick("choice", "conditional", "coalesce", "function", "own", "own", "own", "own") {
	case "function":
		return g.anyCall(depth - 1)
	case "conditional":
		return fmt.Sprintf("(%s ? %s : %s)", g.expression("bool", depth-1), same(), same())
	case "coalesce":
		return fmt.Sprintf("coalesce(%s, %s)", same(), same())
	case "choice":
		if kind == "number" || kind == "text" || kind == "moment" {
			return fmt.Sprintf("%s(%s, %s)", g.pick("least", "greatest", "nullif"), same(), same())
		}
	}
	switch kind {
	case "bool":
		return g.boolean(depth - 1)
	case "number":
		return g.number(depth - 1)
	case "text":
		return g.textual(depth - 1)
	case "moment":
		return g.moment(depth - 1)
	}
	return g.leaf(kind)
}

// anyCall calls a function of the registry by its signature, so that none is left out.
func (g *generator) anyCall(depth int) string {
	functions := Functions()
	f := functions[rapid.IntRange(0, len(functions)-1).Draw(g.t, "function")]
	e := registry().byName[f.Name]
	var args []string
	for _, p := range e.parameters {
		if p.optional && rapid.Bool().Draw(g.t, "left out") {
			break
		}
		args = append(args, g.argument(p, depth))
		for p.repeated && rapid.Bool().Draw(g.t, "again") && len(args) < 4 {
			args = append(args, g.argument(p, depth))
		}
	}
	return fmt.Sprintf("%s(%s)", f.Name, strings.Join(args, ", "))
}

func (g *generator) argument(p parameter, depth int) string {
	switch p.name {
	case "pattern":
		return g.pick("'a'", "'^(a)(.*)$'", "'[0-9]+'", "s")
	case "unit":
		return g.pick("'day'", "'month'", "'hour'", "'second'", "'week'", "'quarter'")
	case "zone":
		return g.pick("'UTC'", "'Europe/Berlin'", "'Asia/Shanghai'")
	case "format":
		return g.pick("'%Y-%m-%d'", "'%d/%b/%Y %H:%M:%S'", "'%s'")
	case "path":
		return g.pick("'$.a'", "'$.a.b'", "'$[0]'", "'$'")
	case "precision":
		return g.pick("10", "38")
	}
	switch p.typ {
	case "string", "bytes":
		return g.expression("text", depth)
	case "int":
		return g.pick("0", "1", "2", "-1", "i8", "nil")
	case "float", "number":
		return g.expression("number", depth)
	case "bool":
		return g.expression("bool", depth)
	case "moment":
		return g.expression("moment", depth)
	case "json":
		return g.pick("js", "s", "nil")
	case "list":
		return g.pick("numbers", "words", "split(s, 'a')")
	}
	return g.expression("any", depth)
}

func (g *generator) leaf(kind string) string {
	if rapid.IntRange(0, 2).Draw(g.t, "literal") > 0 || slices.Contains([]string{"list", "struct", "json"}, kind) {
		return g.name(kind)
	}
	switch kind {
	case "bool":
		return g.pick("true", "false", "nil")
	case "number":
		return g.pick("0", "1", "2", "-1", "0.5", "1.5", "2.50", "nil", "9007199254740993", "100", "1e3",
			"9223372036854775807")
	case "text":
		return g.pick("'a'", "'active'", "'a longer text'", "''", "nil", "'x'", "'NULL'")
	}
	return g.pick("date('2024-01-01')", "now()", "nil", "timestamp('1970-01-01T00:00:01.5Z')")
}

func (g *generator) boolean(depth int) string {
	of := func(kind string) string { return g.expression(kind, depth) }
	compare := g.pick("==", "!=", "<", "<=", ">", ">=")
	switch g.pick("and", "or", "not", "number", "text", "moment", "null", "in", "in", "test", "list", "member",
		"between", "chain") {
	case "and":
		return fmt.Sprintf("(%s and %s)", of("bool"), of("bool"))
	case "or":
		return fmt.Sprintf("(%s or %s)", of("bool"), of("bool"))
	case "not":
		return fmt.Sprintf("not (%s)", of("bool"))
	case "number":
		return fmt.Sprintf("(%s %s %s)", of("number"), compare, of("number"))
	case "text":
		return fmt.Sprintf("(%s %s %s)", of("text"), compare, of("text"))
	case "moment":
		return fmt.Sprintf("(%s %s %s)", of("moment"), compare,
			g.pick(of("moment"), "'2024-01-01'", "'2024-01-01 00:00:00.5'"))
	case "null":
		return fmt.Sprintf("(%s %s nil)", g.expression("any", depth), g.pick("==", "!="))
	case "in":
		if g.pick("number", "text") == "text" {
			return fmt.Sprintf("(%s in ['a', 'active', %s])", of("text"), g.leaf("text"))
		}
		return fmt.Sprintf("(%s %s [1, 2, %s])", of("number"), g.pick("in", "not in"), g.leaf("number"))
	case "test":
		return fmt.Sprintf("(%s %s %s)", of("text"),
			g.pick("contains", "startsWith", "endsWith", "matches"), g.pick("'a'", "'act'", g.leaf("text")))
	case "list":
		return g.pick("any(numbers, # > 1)", "all(words, # != 'a')", "(1 in numbers)", "('a' in words)",
			fmt.Sprintf("any(numbers, # > %s)", of("number")))
	case "member":
		return g.pick("js.a == 1", "js.b == 'x'", "js.a.b", "st.w == 'a'", "st.n > 1")
	case "between":
		return fmt.Sprintf("between(%s, 0, %s)", of("number"), of("number"))
	}
	return fmt.Sprintf("(0 <= %s < 3)", of("number"))
}

func (g *generator) number(depth int) string {
	of := func(kind string) string { return g.expression(kind, depth) }
	switch g.pick("operator", "operator", "operator", "function", "power", "length", "cast", "part", "list", "minus") {
	case "function":
		return fmt.Sprintf("%s(%s)", g.pick("abs", "round", "floor", "ceil", "sign", "trunc", "sqrt"), of("number"))
	case "power":
		return fmt.Sprintf("power(%s, 2)", of("number"))
	case "length":
		return fmt.Sprintf("%s(%s)", g.pick("length", "crc32", "xxhash64"), of("text"))
	case "cast":
		return fmt.Sprintf("%s(%s)", g.pick("int", "try_int", "uint", "float", "try_float", "decimal",
			"try_decimal"), g.pick(of("number"), of("text")))
	case "part":
		return fmt.Sprintf("%s(%s)", g.pick("year", "day", "week", "epoch_ms"), of("moment"))
	case "list":
		return g.pick("numbers[0]", "numbers[-1]", "list_sum(numbers)", "length(words)", "st.n", "js.a", "count(numbers, # > 0)")
	case "minus":
		return "-" + g.name("number")
	}
	return fmt.Sprintf("(%s %s %s)", of("number"), g.pick("+", "-", "*", "/", "%"), of("number"))
}

func (g *generator) textual(depth int) string {
	of := func(kind string) string { return g.expression(kind, depth) }
	switch g.pick("plus", "case", "concat", "substr", "string", "member", "replace", "format") {
	case "plus":
		return fmt.Sprintf("(%s + %s)", of("text"), of("text"))
	case "case":
		return fmt.Sprintf("%s(%s)", g.pick("upper", "lower", "trim", "reverse", "md5", "initcap"), of("text"))
	case "concat":
		return fmt.Sprintf("concat(%s, %s, %s)", of("text"), of("number"), of("moment"))
	case "substr":
		return fmt.Sprintf("%s(%s, %s)", g.pick("substr", "left", "right", "lpad"), of("text"), g.pick("1", "2", "0", "i8"))
	case "string":
		return fmt.Sprintf("to_string(%s)", g.expression("any", depth))
	case "member":
		return g.pick("st.w", "words[1]", "json_value(js, '$.a')", "to_string(st)", "list_join(words, '-')",
			"regex_extract(s, 'a(.)')", "split_part(t, ',', 2)")
	case "replace":
		return fmt.Sprintf("replace(%s, 'a', %s)", of("text"), g.leaf("text"))
	}
	return fmt.Sprintf("format_time(%s, '%%Y/%%m %%H')", of("moment"))
}

func (g *generator) moment(depth int) string {
	of := func(kind string) string { return g.expression(kind, depth) }
	switch g.pick("trunc", "add", "date", "timestamp", "zone") {
	case "trunc":
		return fmt.Sprintf("date_trunc('%s', %s)", g.pick("month", "week", "year", "day"), of("moment"))
	case "add":
		return fmt.Sprintf("date_add(%s, %s, '%s')", of("moment"), g.pick("1", "-3", "i8", "i64"),
			g.pick("day", "month", "year"))
	case "date":
		return fmt.Sprintf("%s(%s)", g.pick("date", "try_date"), g.pick(of("moment"), of("text")))
	case "timestamp":
		return fmt.Sprintf("%s(%s)", g.pick("timestamp", "try_timestamp"), g.pick(of("moment"), of("text")))
	}
	return fmt.Sprintf("to_zone(%s, 'America/New_York')", of("moment"))
}

// FuzzParse wants an error or a program for any text, and no panic.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"a == 'x' && b > 5", "not (a in [1, 2.5, nil])", "if a {1} else {2}", "a?.b[0]", "filter(l, # > 1)",
		"x = 1", "((((", "'\\u12", "1e400", "0x", "a ?? b ?? c", "$env['a b']", "a | upper()", "b'\\xff'",
	} {
		f.Add(seed)
	}
	schema := batch.NewSchema(
		batch.Field{Name: "a", Type: batch.Of(batch.String)}, batch.Field{Name: "b", Type: batch.Of(batch.Int64)},
		batch.Field{Name: "l", Type: batch.ListOf(batch.Of(batch.Int64))},
		batch.Field{Name: "x", Type: batch.DecimalOf(10, 2)}, batch.Field{Name: "j", Type: batch.Of(batch.JSON)},
	)
	b := batch.New(schema, []*batch.Column{
		batch.NullColumn(schema.Field(0).Type, 2), batch.NullColumn(schema.Field(1).Type, 2),
		batch.NullColumn(schema.Field(2).Type, 2), batch.NullColumn(schema.Field(3).Type, 2),
		batch.NullColumn(schema.Field(4).Type, 2),
	}, 2)
	f.Fuzz(func(t *testing.T, source string) {
		x, err := Parse(source)
		var fault *Error
		if err != nil {
			if !errors.As(err, &fault) || strings.Contains(err.Error(), "unreadable expression") {
				t.Fatalf("%q: %v", source, err)
			}
			return
		}
		x.References()
		p, err := x.Bind(schema, Options{Now: func() time.Time { return time.Unix(0, 0) }})
		if err != nil {
			if !errors.As(err, &fault) || strings.Contains(err.Error(), "unusable expression") {
				t.Fatalf("%q: %v", source, err)
			}
			return
		}
		p.NewEval().Column(b)
	})
}
