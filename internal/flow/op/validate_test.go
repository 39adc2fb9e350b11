package op

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
)

func validated(t testing.TB, rules ...Rule) *validate {
	t.Helper()
	return made(t, Validate(), Env{}, func(c *ValidateConfig) { c.Rules = rules }).(*validate)
}

func TestValidateRules(t *testing.T) {
	for _, c := range []struct {
		name    string
		rule    Rule
		schema  string
		good    []string
		bad     string
		because string
	}{
		{
			"not null",
			Rule{Column: "v", NotNull: true},
			"v string",
			[]string{"x"},
			"",
			`1 v: not_null: NULL is not allowed`,
		},
		{
			"range",
			Rule{Column: "v", Range: &Range{Min: int64(0), Max: 9.5}},
			"v float64",
			[]string{"0", "9.5", ""},
			"9.6",
			`1 v: range: "9.6" is not in the range from 0 up to 9.5`,
		},
		{
			"not a number",
			Rule{Column: "v", Range: &Range{Max: 9}},
			"v float64",
			[]string{"9"},
			"NaN",
			`1 v: range: "NaN" is not in the range up to 9`,
		},
		{
			"decimal range",
			Rule{Column: "v", Range: &Range{Min: 0.01}},
			"v decimal(12,4)",
			[]string{"0.01"},
			"0.0099",
			`1 v: range: "0.0099" is not in the range from 0.01`,
		},
		{
			"date range",
			Rule{Column: "v", Range: &Range{Min: "2024-01-01"}},
			"v date",
			[]string{"2024-01-01"},
			"2023-12-31",
			`1 v: range: "2023-12-31" is not in the range from "2024-01-01"`,
		},
		{
			"regex",
			Rule{Column: "v", Regex: `^[A-Z]+\.SH$`},
			"v string",
			[]string{"ABC.SH", ""},
			"abc.SH",
			`1 v: regex: "abc.SH" does not match ^[A-Z]+\.SH$`,
		},
		{
			"set of texts",
			Rule{Column: "v", InSet: []any{"a", `q"\`, "é"}},
			"v string",
			[]string{"a", `q"\`, "é", ""},
			"b",
			`1 v: in_set: "b" is none of "a", "q\"\\", "é"`,
		},
		{
			"set of numbers",
			Rule{Column: "v", InSet: []any{int64(1), int64(2)}},
			"v int32",
			[]string{"1", "2"},
			"3",
			`1 v: in_set: "3" is none of 1, 2`,
		},
		{
			"expression",
			Rule{Name: "even", Expression: "v % 2 == 0"},
			"v int64",
			[]string{"2", ""},
			"3",
			`1 : even: is false: v % 2 == 0`,
		},
	} {
		for _, forceRows := range []bool{false, true} {
			vectorized := !forceRows
			v := made(t, Validate(), Env{}, func(k *ValidateConfig) {
				k.Rules, k.Vectorized = []Rule{c.rule}, &vectorized
			})
			out := apply(t, v, lazy(t, c.schema, c.good...))
			if len(out.Rejected) > 0 || out.Parts[0].Batch.Len() != len(c.good) {
				t.Errorf("%s: good rows were refused: %v", c.name, refusals(out))
			}
			out = apply(t, v, lazy(t, c.schema, c.bad))
			same(t, c.name, refusals(out), c.because)
			if len(out.Parts) > 0 {
				t.Errorf("%s: the bad row passed", c.name)
			}
		}
	}
}

func TestValidateReactions(t *testing.T) {
	positive := func(reaction string) Rule {
		return Rule{Name: "positive", Column: "a", Range: &Range{Min: 1}, OnFailure: reaction}
	}
	short := Rule{Name: "short", Column: "s", Regex: "^.{0,2}$"}
	in := lazy(t, "a int64; s string", "1|x", "-1|y", "2|long", "-2|long", "z|w")
	out := apply(t, validated(t, positive(drop), short), in)
	same(t, "drop", lines(t, out, 0), `{"a":1,"s":"x"}`)
	same(t, "drop refused", refusals(out), `5 a: "z" is not a value of type int64`,
		`3 s: short: "long" does not match ^.{0,2}$`)

	warns := validated(t, positive(warn), short)
	out = apply(t, warns, in)
	same(t, "warn", lines(t, out, 0), `{"a":1,"s":"x"}`, `{"a":-1,"s":"y"}`)
	if diff := cmp.Diff([]Warning{{"positive", 2}}, warns.Warnings()); diff != "" {
		t.Error(diff)
	}

	both := apply(t, validated(t, positive(""), short), in.Select([]int32{3}))
	same(t, "both reasons", refusals(both),
		`4 a: positive: "-2" is not in the range from 1; short: "long" does not match ^.{0,2}$`)

	_, err := tryApply(validated(t, short, positive(fail)), in.Select([]int32{0, 1}))
	fails(t, err, `validate row at in:2: column a: positive: "-1" is not in the range from 1`)
	var classified *connector.Error
	if !errors.As(err, &classified) || classified.Class != connector.Data {
		t.Errorf("error %v is not of class data", err)
	}
}

func TestValidateKeepsColumnsLazy(t *testing.T) {
	in := lazy(t, "a int64; s string", "1|x", "0|y")
	out := apply(t, validated(t, Rule{Column: "a", NotNull: true, Range: &Range{Min: 1}}), in)
	if b := out.Parts[0].Batch; !b.Column(0).Lazy() || b.Len() != 1 {
		t.Errorf("column a is dense, or %d rows passed", b.Len())
	}
}

func TestValidateOperations(t *testing.T) {
	in := operations(lazy(t, "k int64; v int64", "1|", "2|", "3|3", "3|4"), "-~+~")
	out := apply(t, validated(t, Rule{Column: "v", NotNull: true}, Rule{Column: "k", Unique: true}), in)
	same(t, "rows", lines(t, out, 0), `-{"k":1,"v":null}`, `+{"k":3,"v":3}`, `~{"k":3,"v":4}`)
	same(t, "refused", refusals(out), `2 v: not_null: NULL is not allowed`)
}

func TestValidateUnique(t *testing.T) {
	config := &ValidateConfig{Rules: []Rule{{Columns: []string{"a", "s"}, Unique: true}}}
	if !Validate().OrderedFor(config) || Validate().OrderedFor(&ValidateConfig{}) {
		t.Error("only unique rules need order")
	}
	unique := Rule{Columns: []string{"a", "s"}, Unique: true}
	v := validated(t, Rule{Column: "a", Range: &Range{Max: 5}}, unique)
	out := apply(t, v, lazy(t, "a int64; s string", "1|x", "01|x", "1|y", "|x", "|x", "6|z"))
	same(t, "rows", lines(t, out, 0), `{"a":1,"s":"x"}`, `{"a":1,"s":"y"}`, `{"a":null,"s":"x"}`,
		`{"a":null,"s":"x"}`)
	same(t, "refused", refusals(out), `6 a: range: "6" is not in the range up to 5`,
		`2 a: unique a,s: "1" came before`)

	state, err := v.Snapshot(true)
	if err != nil {
		t.Fatal(err)
	}
	resumed := validated(t, Rule{Column: "a", Range: &Range{Max: 5}}, unique)
	if err := resumed.Restore(state, nil); err != nil {
		t.Fatal(err)
	}
	out = apply(t, resumed, lazy(t, "a int64; s string", "1|y", "2|y"))
	same(t, "after restart", lines(t, out, 0), `{"a":2,"s":"y"}`)
	other := validated(t, Rule{Column: "s", Unique: true})
	fails(t, other.Restore(state, nil), `unique rule on ["a" "s"]`)

	window := validated(t, Rule{Column: "n", Unique: true, Window: 3, OnFailure: drop})
	out = apply(t, window, dense(t, "n int64", []any{int64(1)}, []any{int64(2)}, []any{int64(1)}, []any{int64(3)}, []any{int64(1)}))
	same(t, "window", lines(t, out, 0), `{"n":1}`, `{"n":2}`, `{"n":3}`, `{"n":1}`)
}

// TestValidateUniqueRemembersRowsThatPass: a row that one unique rule refuses is no reason for another
// to refuse the next.
func TestValidateUniqueRemembersRowsThatPass(t *testing.T) {
	a, b := Rule{Column: "a", Unique: true}, Rule{Column: "b", Unique: true, Window: 9}
	for name, rules := range map[string][]Rule{"a first": {a, b}, "b first": {b, a}} {
		out := apply(t, validated(t, rules...), lazy(t, "a int64; b int64", "1|1", "2|1", "2|2", "3|", "3|4", "4|4"))
		same(t, name, lines(t, out, 0), `{"a":1,"b":1}`, `{"a":2,"b":2}`, `{"a":3,"b":null}`, `{"a":4,"b":4}`)
		same(t, name+" refused", refusals(out), `2 b: unique b: "1" came before`, `5 a: unique a: "3" came before`)
	}
}

func TestValidateContract(t *testing.T) {
	v := made(t, Validate(), Env{}, func(c *ValidateConfig) {
		c.Schema, c.Exact = []TypedColumn{{"a", "int64"}, {"s", "string"}}, true
	})
	if _, err := v.Bind(schemaOf(t, "s string; a int64")); err != nil {
		t.Error(err)
	}
	_, err := v.Bind(schemaOf(t, "a int32; more bool"))
	for _, part := range []string{
		"schema: ", "column a is int32, the contract says int64", "column s string is missing",
		"column more bool is not in the contract", "the rows are (a int32, more bool)",
	} {
		fails(t, err, part)
	}
}

func TestValidateConfigFaults(t *testing.T) {
	for part, rule := range map[string]Rule{
		"checks nothing":     {Column: "a"},
		"names no column":    {NotNull: true},
		"rules[0]: regex":    {Column: "a", Regex: "("},
		"neither min nor":    {Column: "a", Range: &Range{}},
		"on_failure":         {Column: "a", NotNull: true, OnFailure: "ignore"},
		"window counts":      {Column: "a", NotNull: true, Window: 5},
		"expression":         {Expression: "a >"},
		"is no number, text": {Column: "a", InSet: []any{[]any{}}},
	} {
		_, err := tryMake(Validate(), Env{}, func(c *ValidateConfig) { c.Rules = []Rule{rule} })
		fails(t, err, part)
	}
	_, err := validated(t, Rule{Column: "zz", NotNull: true}).Bind(schemaOf(t, "a int64"))
	fails(t, err, "rules[0]: ")
	_, err = tryMake(Validate(), Env{}, func(*ValidateConfig) {})
	fails(t, err, "neither a rule nor a schema")
}

func TestValidateRebindsToAnotherSchema(t *testing.T) {
	v := validated(t, Rule{Column: "a", Range: &Range{Min: 1}, OnFailure: warn})
	for _, in := range []*batch.Batch{
		lazy(t, "a int64", "0"), lazy(t, "s string; a float64", "x|0.5"), lazy(t, "a int64", "3"),
	} {
		apply(t, v, in)
	}
	if got := v.Warnings()[0].Rows; got != 2 {
		t.Errorf("%d warnings over rebinds, want 2", got)
	}
}
