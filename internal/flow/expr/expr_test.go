package expr

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tapeline/tapeline/batch"
)

// oneRow is a batch of one row without columns.
func oneRow() *batch.Batch { return batch.New(batch.NewSchema(), nil, 1) }

// show returns the text of a row, "NULL" for NULL.
func show(c *batch.Column, row int) string {
	if c.IsNull(row) {
		return "NULL"
	}
	return string(batch.AppendText(nil, c, row))
}

func mustCompile(t testing.TB, source string, schema *batch.Schema, options Options) *Program {
	t.Helper()
	p, err := Compile(source, schema, options)
	if err != nil {
		t.Fatalf("compile %s: %v", source, err)
	}
	return p
}

// both computes an expression in both forms and fails unless they agree; a failed row shows as
// "ERROR reason".
func both(t testing.TB, source string, b *batch.Batch) []string {
	t.Helper()
	var results [2][]string
	for i, interpret := range []bool{false, true} {
		p := mustCompile(t, source, b.Schema(), Options{Interpret: interpret, Now: fixedNow})
		c, _, errs := p.NewEval().Column(b)
		reasons := map[int]string{}
		for _, e := range errs {
			reasons[e.Row] = e.Reason
		}
		for k := range b.Len() {
			row := b.Row(k)
			if reason, ok := reasons[row]; ok {
				results[i] = append(results[i], "ERROR "+reason)
				continue
			}
			results[i] = append(results[i], show(c, row))
		}
	}
	if diff := cmp.Diff(results[1], results[0]); diff != "" {
		t.Errorf("%s: row form (-) and column form (+) differ:\n%s", source, diff)
	}
	return results[0]
}

func fixedNow() time.Time { return time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC) }

func TestFunctionExamples(t *testing.T) {
	t.Parallel()
	for _, f := range Functions() {
		if len(f.Examples) == 0 && !f.Volatile && f.Name != "col" && !strings.HasPrefix(f.Name, "map_") {
			t.Errorf("%s has no example", f.Name)
		}
		if f.Doc == "" || f.Group == "" {
			t.Errorf("%s is not described", f.Name)
		}
		for _, example := range f.Examples {
			if got := both(t, example.Expression, oneRow())[0]; got != example.Result {
				t.Errorf("%s = %s, want %s", example.Expression, got, example.Result)
			}
		}
	}
}

func TestOperators(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ source, want string }{
		{"1 + 2", "3"},
		{"7 / 2", "3.5"},
		{"-7 % 3", "-1"},
		{"2 ** 3", "8"},
		{"1 / 0", "ERROR division by zero in 1 / 0"},
		{"9223372036854775807 + 1", "ERROR the result is out of range in 9223372036854775807 + 1"},
		{"1.0 / 0 > 1", "true"},
		{"'a' + \"b\"", "ab"},
		{"'a' == \"a\"", "true"},
		{"nil == nil", "true"},
		{"nil != nil", "false"},
		{"1 > nil", "NULL"},
		{"nil and false", "false"},
		{"nil and true", "NULL"},
		{"nil or true", "true"},
		{"nil || false", "NULL"},
		{"not nil", "NULL"},
		{"!(1 > 2)", "true"},
		{"1 + nil", "NULL"},
		{"1 in [1, 2]", "true"},
		{"3 in [1, nil]", "NULL"},
		{"3 not in [1, 2]", "true"},
		{"5 in 1..10", "true"},
		{"'abc' contains 'b'", "true"},
		{"'abc' not startsWith 'b'", "true"},
		{"'abc' endsWith 'c'", "true"},
		{"'abc' matches '^a.c$'", "true"},
		{"1 < 2 ? 'x' : 'y'", "x"},
		{"nil ? 'x' : 'y'", "y"},
		{"if 1 > 2 {'x'} else {'y'}", "y"},
		{"nil ?? nil ?? 3", "3"},
		{"1 == 1.0", "true"},
		{"9007199254740993 == 9007199254740992.0", "false"},
		{"decimal('12.30', 10, 2) == 12.30", "true"},
		{"decimal('12.30', 10, 2) * 3", "36.90"},
		{"decimal('12.30', 10, 2) + 0.005", "12.305"},
		{"decimal('1', 10, 2) / 3", "0.33333333"},
		{"decimal('2', 10, 0) / 3", "0.666667"},
		{"decimal('0.1', 4, 2) + 0.2 == 0.3", "true"},
		{"decimal('5.5', 4, 1) % 2", "1.5"},
		{"decimal('1', 4, 1) > 0.5 + 0.25", "true"},
		{"date('2024-01-31') < '2024-02-01'", "true"},
		{"timestamp('2024-01-01T00:00:00Z') >= '2024-01-01'", "true"},
		{"1 < 2 < 3", "true"},
		{"'a,b' | split(',') | length()", "2"},
		{"any([1, 2, 3], # > 2)", "true"},
		{"filter([1, 2, 3], # % 2 == 1)", "[1,3]"},
		{"map([1, 2], # * 10)", "[10,20]"},
		{"count([1, 2, 3], # > 1)", "2"},
		{"[1, 2, 3][-1]", "3"},
		{"parse_json('{\"p\": {\"q\": [1, \"x\"]}}').p.q[1] == 'x'", "true"},
		{"parse_json('{\"p\": \"1.5\"}').p * 2", "3"},
		{"now() == '2024-02-29T12:00:00Z'", "true"},
		{"-decimal('1.5', 4, 1)", "-1.5"},
		{"- -5", "5"},
		{"null", "NULL"},
		{"round(uint(1250), -2)", "1300"},
		{"round(uint('18446744073709551615'), -1)", "ERROR the result is out of range in round"},
		{"round(-1250, -2)", "-1300"},
		{"date('2300-01-01T10:00:00')", "2300-01-01"},
		{"date('1500-01-01 23:59:59.999999+08:00')", "1500-01-01"},
		{"date('2024-01-01 00:00:00.123456789')", "2024-01-01"},
	} {
		if got := both(t, c.source, oneRow())[0]; got != c.want {
			t.Errorf("%s = %s, want %s", c.source, got, c.want)
		}
	}
}

// Days of the calendar have 23 hours, and begin at 01:00, where clocks change.
func TestClockChanges(t *testing.T) {
	t.Parallel()
	berlin := func(text string) string { return "to_zone(timestamp('" + text + "'), 'Europe/Berlin')" }
	saoPaulo := "to_zone(timestamp('2018-11-04T15:00:00Z'), 'America/Sao_Paulo')"
	for _, c := range []struct{ source, want string }{
		{"date_diff('day', " + berlin("2024-03-30T11:00:00Z") + ", " + berlin("2024-03-31T10:00:00Z") + ")", "1"},
		{"date_diff('day', " + berlin("2024-03-30T11:00:00Z") + ", " + berlin("2024-03-31T09:59:59Z") + ")", "0"},
		{"date_diff('day', " + berlin("2024-10-26T10:00:00Z") + ", " + berlin("2024-10-27T10:59:59Z") + ")", "0"},
		{"date_diff('day', " + berlin("2024-03-31T10:00:00Z") + ", " + berlin("2024-03-30T11:00:00Z") + ")", "-1"},
		{"date_diff('week', " + berlin("2024-03-25T11:00:00Z") + ", " + berlin("2024-04-01T10:00:00Z") + ")", "1"},
		{"date_diff('hour', " + berlin("2024-03-30T11:00:00Z") + ", " + berlin("2024-03-31T10:00:00Z") + ")", "23"},
		{"date_diff('day', '1969-12-31', '1960-01-01')", "-3652"},
		{"date_trunc('day', " + saoPaulo + ")", "2018-11-04T01:00:00.000000-02:00"},
		{"date_trunc('hour', " + saoPaulo + ")", "2018-11-04T13:00:00.000000-02:00"},
		{"date(date_trunc('day', " + saoPaulo + "))", "2018-11-04"},
	} {
		if got := both(t, c.source, oneRow())[0]; got != c.want {
			t.Errorf("%s = %s, want %s", c.source, got, c.want)
		}
	}
	nanos := newCalendar(batch.TimestampOf(batch.Nanosecond, ""))
	if v, reason := nanos.value(time.Unix(math.MaxInt64/1_000_000_000, 999_999_999)); reason == "" {
		t.Errorf("beyond the last nanosecond lies %d", v.int())
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	schema := batch.NewSchema(
		batch.Field{Name: "price", Type: batch.Of(batch.Float64)},
		batch.Field{Name: "qty", Type: batch.Of(batch.Int32)},
		batch.Field{Name: "status", Type: batch.Of(batch.String)},
		batch.Field{Name: "day", Type: batch.Of(batch.Date)},
		batch.Field{Name: "data", Type: batch.StructOf(batch.Field{Name: "event", Type: batch.Of(batch.String)})},
	)
	for _, c := range []struct{ source, want string }{
		{
			"pric * qty > 5",
			"unknown column \"pric\" at 1:1\n  pric * qty > 5\n  ^^^^\ndid you mean \"price\"?",
		},
		{"status = 'a'", "\"=\" does not compare at 1:8\n  status = 'a'\n         ^\nuse \"==\""},
		{"price > '5'", "write the number without quotes"},
		{"status > 5", "convert the text with int(...)"},
		{"price >\n  qtyy", "unknown column \"qtyy\" at 2:3\n    qtyy\n    ^^^^\ndid you mean \"qty\"?"},
		{"status AND price > 1", "use \"and\" or \"&&\""},
		{"uper(status)", "did you mean \"upper\"?"},
		{"upper(price)", "convert it with to_string(...)"},
		{"upper()", "upper takes 1 argument, not 0"},
		{"day > '2024-13-01'", "\"2024-13-01\" is not a value of type date"},
		{"status.upper()", "write upper(x)"},
		{"price + status", "convert it with to_string"},
		{"data.evnt == 'x'", "did you mean \"event\"?"},
		{"price >", "the expression ends too early"},
		{"let x = 1; x", "let is not supported"},
		{"status matches '['", "unreadable pattern"},
		{"(((", "at 1:"},
		{"", "expression is empty"},
		{"price ? 1 : 2", "a condition must be a bool, this is float64"},
		{"price <> 5", "use \"!=\""},
		{"reduce([1], # + 1)", "not supported"},
		{strings.Repeat("(", 300) + "1" + strings.Repeat(")", 300), "nests deeper than 200"},
		{strings.Repeat("!", 300) + "true", "nests deeper than 200"},
		{strings.Repeat("1+", 40000) + "1", "the limit is 65536"},
	} {
		_, err := Compile(c.source, schema, Options{})
		if _, ok := errors.AsType[*Error](err); !ok {
			t.Errorf("%.40s: got %v, want an *Error", c.source, err)
			continue
		}
		if !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.40s:\n%v\nwant it to contain\n%s", c.source, err, c.want)
		}
	}
}

// What is wrong whatever the columns is said before there are any, and SQL's spellings are answered
// by ours.
func TestErrorsWithoutSchema(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ source, want string }{
		{"upperr(x)", "unknown function \"upperr\" at 1:1\n  upperr(x)\n  ^^^^^^\ndid you mean \"upper\"?"},
		{"x > 1 and\n  nosuch(1)", "unknown function \"nosuch\" at 2:3"},
		{"round(x, 1, 2)", "round takes 1 to 2 arguments, not 3"},
		{"coalesce()", "coalesce takes 1 or more arguments, not 0"},
		{"x matches '('", "unreadable pattern: missing closing ): `(` at 1:11"},
		{"regex_extract(x, '[')", "unreadable pattern"},
		{"reduce(x, # + 1)", "reduce is not supported"},
		{"price is null", "use \"== nil\" or \"!= nil\""},
		{"price is not null", "use \"== nil\" or \"!= nil\""},
		{"price IS NOT NULL", "use \"== nil\" or \"!= nil\""},
		{"s like 'a%'", "use contains, startsWith, endsWith or matches"},
		{"s ILIKE 'a%'", "over lower(x)"},
		{"x between 1 and 2", "use between(x, low, high)"},
		{"x BETWEEN 1 AND 2", "use between(x, low, high)"},
		{"x NOT IN (1, 2)", "use \"not\" or \"!\""},
		{"x IN (1, 2)", "use \"in\" with a list"},
		{"NOT (x > 1)", "use \"not\" or \"!\""},
		{"x > 1 OR y", "use \"or\" or \"||\""},
		{"case when x then 1 end", "use condition ? a : b"},
		{"CASE x WHEN 1 THEN 2 END", "use condition ? a : b"},
		{"cast(x as int)", "convert with int(x)"},
		{"x::int", "convert with int(x)"},
		{"s ~ 'a'", "\"~\" is not an operator at 1:3\n  s ~ 'a'\n    ^\nuse matches"},
		{"if(x > 1, 'a', 'b')", "use condition ? a : b"},
		{"count(*)", "there are no aggregates"},
		{"1e999", "beyond the range of a float64"},
		{"a b", "unexpected \"b\" at 1:3"},
	} {
		_, err := Parse(c.source)
		if _, ok := errors.AsType[*Error](err); !ok {
			t.Errorf("%s: got %v, want an *Error", c.source, err)
			continue
		}
		if !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s:\n%v\nwant it to contain\n%s", c.source, err, c.want)
		}
	}
	for _, source := range []string{
		"if (x > 1) {'a'} else {'b'}", "if (f(x, 1)) {2} else {3}", "like == 1", "is", "case + 1", "x in [1]",
		"any(xs, # > 1)", "round(x, 2) ?? 0", "x | f(2)", "col('is') == 1",
	} {
		if _, err := Parse(strings.ReplaceAll(source, "f(", "round(")); err != nil {
			t.Errorf("%s: %v", source, err)
		}
	}
}

func TestReferences(t *testing.T) {
	t.Parallel()
	x, err := Parse("upper(a) == b.c and d > 1 || a in [e] and col('f g') != null")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a", "b", "d", "e", "f g"}, x.References()); diff != "" {
		t.Error(diff)
	}
}

// A moment beyond the last date is no date: an epoch in nanoseconds that was taken for seconds.
func TestDateOfAFarMoment(t *testing.T) {
	t.Parallel()
	typ := batch.TimestampOf(batch.Second, "UTC")
	column := batch.FixedColumn(typ, []int64{1_700_000_000_000_000_000, 86_400}, nil)
	b := batch.New(batch.NewSchema(batch.Field{Name: "at", Type: typ}), []*batch.Column{column}, 2)
	got := both(t, "date(at)", b)
	if !strings.HasPrefix(got[0], "ERROR ") || got[1] != "1970-01-02" {
		t.Errorf("got %q", got)
	}
}
