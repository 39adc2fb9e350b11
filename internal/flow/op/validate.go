package op

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/flow/expr"
)

// ValidateConfig configures validate.
type ValidateConfig struct {
	Rules      []Rule        `yaml:"rules" doc:"quality rules, each checked on every row"`
	OnFailure  string        `yaml:"on_failure" enum:"dead_letter,drop,fail,warn" doc:"reaction of rules that state none"`
	Schema     []TypedColumn `yaml:"schema" doc:"contract: mapping of columns that the rows must have to their types"`
	Exact      bool          `yaml:"exact" doc:"the contract is complete: a column it does not name fails the run"`
	MaxKeys    int64         `yaml:"max_keys" min:"0" resume:"ignore" doc:"values that a unique rule remembers at once; one more fails the run; 0: as many as memory holds"`
	Vectorized *bool         `yaml:"vectorized" doc:"false forces the row interpreter; default true"`
}

// Rule is one quality rule. What it states besides its columns must all hold.
type Rule struct {
	Name       string   `yaml:"name" doc:"shown in reasons and counts; default: what the rule checks and the column"`
	Column     string   `yaml:"column" doc:"column to check"`
	Columns    []string `yaml:"columns" doc:"columns to check, each on its own; for unique: together"`
	NotNull    bool     `yaml:"not_null" doc:"the value is not NULL"`
	Range      *Range   `yaml:"range" doc:"bounds of a number, text, date or time"`
	Regex      string   `yaml:"regex" doc:"RE2 pattern that occurs in the text; anchor it with ^ and $"`
	InSet      []any    `yaml:"in_set" doc:"the allowed values"`
	Unique     bool     `yaml:"unique" doc:"no earlier row that passed has the value"`
	Window     int64    `yaml:"window" min:"0" doc:"rows that unique looks back; 0: all"`
	Expression string   `yaml:"expression" example:"bid <= ask" doc:"expression that must not be false"`
	OnFailure  string   `yaml:"on_failure" enum:"dead_letter,drop,fail,warn" doc:"reaction of this rule"`
}

// Range bounds a value; both ends belong to it.
type Range struct {
	Min any `yaml:"min" doc:"smallest value; none: no bound"`
	Max any `yaml:"max" doc:"largest value; none: no bound"`
}

// Validate checks rows against quality rules.
func Validate() Spec {
	return newSpec(Spec{
		Name:    "validate",
		Summary: "Checks rows against quality rules.",
		Doc: "All rules but `not_null` let NULL pass, as SQL's CHECK does; state `not_null` beside " +
			"them where a value must be there. NaN is in no range. Rules are checked in the order " +
			"written, `unique` after the others and only against rows that passed.\n\n" +
			"`on_failure` says what becomes of a row: `dead_letter` refuses it with the rule, column " +
			"and value as reason; `drop` leaves it out; `fail` ends the run; `warn` lets it pass and " +
			"counts it. The first rule whose reaction is not `warn` decides; the reason names all " +
			"rules of that reaction that the row breaks. A cell that does not read as its type " +
			"refuses the row as everywhere.\n\n" +
			"`schema` is a contract on the columns themselves; breaking it fails the run at once.\n\n" +
			"Deletes pass unchecked: they often carry only their key. A refused or dropped upsert " +
			"leaves the earlier version of the row in place. `unique` checks inserts only. With a " +
			"`unique` rule rows are checked in order, one batch at a time, and the values seen " +
			"survive a restart; without, the node runs in parallel.\n\n" + continues +
			"A `unique` rule remembers the values of `window` rows, or of all, in full: each takes memory " +
			"as a key of `dedupe` does, and `max_keys` bounds them in the same way. Its columns keep their " +
			"types for the whole run.",
		Continues: true,
	}, ValidateConfig{OnFailure: "dead_letter", MaxKeys: defaultMaxKeys}, newValidate).orderedFor(
		func(config any) bool {
			return slices.ContainsFunc(config.(*ValidateConfig).Rules, func(r Rule) bool { return r.Unique })
		})
}

func (s Spec) orderedFor(ordered func(config any) bool) Spec {
	s.OrderedFor = ordered
	return s
}

// Warner is an operator that counts rows it lets pass all the same. Safe for concurrent use.
type Warner interface {
	Operator
	// Warnings returns the rows per rule so far, in the order of the rules.
	Warnings() []Warning
}

// Warning is one count of a Warner.
type Warning struct {
	Rule string
	Rows int64
}

type validate struct {
	config    ValidateConfig
	interpret bool
	schema    []batch.Field
	checks    []check
	uniques   []*uniqueRule
	warned    []atomic.Int64 // per rule
	names     []string       // per rule
}

var (
	_ Stateful = (*validate)(nil)
	_ Warner   = (*validate)(nil)
)

// check is one test of one rule on one column, as the expression that is true for bad rows.
type check struct {
	rule      int
	name      string
	column    string // "" for expressions
	wants     string
	reaction  string
	violation *expr.Expression
}

func newValidate(env Env, config *ValidateConfig) (Operator, error) {
	v := &validate{config: *config, interpret: interprets(env, config.Vectorized)}
	var bad faults
	bad.join(oneOf("on_failure", config.OnFailure, reactions()...))
	var err error
	v.schema, err = typedFields("schema", config.Schema)
	bad.join(err)
	if len(config.Rules) == 0 && len(config.Schema) == 0 {
		bad.add("rules", errors.New("there is neither a rule nor a schema"))
	}
	v.warned = make([]atomic.Int64, len(config.Rules))
	for i, rule := range config.Rules {
		bad.add(fmt.Sprintf("rules[%d]", i), v.add(i, rule))
	}
	return v, bad.err()
}

func reactions() []string { return []string{deadLetter, drop, fail, warn} }

const (
	deadLetter = "dead_letter"
	drop       = "drop"
	fail       = "fail"
	warn       = "warn"
)

// Bind checks the contract and compiles the rules.
func (v *validate) Bind(in *batch.Schema) (Bound, error) {
	if err := v.contract(in); err != nil {
		return nil, err
	}
	b := &boundValidate{validate: v}
	options := expr.Options{Interpret: v.interpret, Condition: true, KeepLazy: true}
	var sources []string
	for _, c := range v.checks {
		p, err := c.violation.Bind(in, options)
		if err != nil {
			return nil, &ConfigError{fmt.Sprintf("rules[%d]", c.rule), err}
		}
		b.evals = append(b.evals, p.NewEval())
		sources = append(sources, "("+c.violation.Source()+")")
	}
	if len(sources) > 0 {
		x, err := expr.Parse(strings.Join(sources, " or "))
		if err != nil {
			return nil, fmt.Errorf("all rules together: %w", err)
		}
		p, err := x.Bind(in, options)
		if err != nil {
			return nil, fmt.Errorf("all rules together: %w", err)
		}
		b.any = p.NewEval()
	}
	for _, u := range v.uniques {
		at, err := positionsOf(fmt.Sprintf("rules[%d]", u.rule), in, u.columns)
		if err != nil {
			return nil, err
		}
		if err := u.types.see(fmt.Sprintf("rules[%d]", u.rule), in, at); err != nil {
			return nil, err
		}
		b.uniqueAt = append(b.uniqueAt, at)
		b.columns = append(b.columns, make([]*batch.Column, len(at)))
	}
	b.keys = make([][]byte, len(v.uniques))
	return b, nil
}

func (v *validate) contract(in *batch.Schema) error {
	var problems []error
	for _, want := range v.schema {
		at := in.Index(want.Name)
		switch {
		case at < 0:
			problems = append(problems, fmt.Errorf("column %s %s is missing", want.Name, want.Type))
		case !in.Field(at).Type.Equal(want.Type):
			problems = append(problems, fmt.Errorf("column %s is %s, the contract says %s",
				want.Name, in.Field(at).Type, want.Type))
		}
	}
	for _, field := range in.Fields() {
		named := slices.ContainsFunc(v.schema, func(f batch.Field) bool { return f.Name == field.Name })
		if v.config.Exact && len(v.schema) > 0 && !named {
			problems = append(problems, fmt.Errorf("column %s %s is not in the contract",
				field.Name, field.Type))
		}
	}
	if len(problems) == 0 {
		return nil
	}
	return &ConfigError{"schema", &connector.Error{
		Class: connector.Schema, Err: errors.Join(problems...), Hint: "the rows are (" + in.String() + ")",
	}}
}

// Warnings returns how many rows each rule with reaction warn let pass.
func (v *validate) Warnings() []Warning {
	var out []Warning
	for i, name := range v.names {
		if v.reaction(v.config.Rules[i]) == warn {
			out = append(out, Warning{name, v.warned[i].Load()})
		}
	}
	return out
}

func (v *validate) reaction(r Rule) string {
	if r.OnFailure != "" {
		return r.OnFailure
	}
	return v.config.OnFailure
}

type boundValidate struct {
	*validate
	any      *expr.Eval // some check is violated; nil without checks
	evals    []*expr.Eval
	uniqueAt [][]int           // per unique rule
	columns  [][]*batch.Column // likewise, of one batch
	keys     [][]byte          // likewise, of one row; empty: it holds a NULL
}

var _ Expressive = (*boundValidate)(nil)

// Expressions returns what each rule checks; they are true for bad rows.
func (v *boundValidate) Expressions() []Expression {
	var out []Expression
	for i, c := range v.checks {
		out = append(out, Expression{fmt.Sprintf("rules[%d]", c.rule), v.names[c.rule], v.evals[i].Program()})
	}
	return out
}

// Apply runs all checks as one condition, and each on its own only on the rows that break some.
func (v *boundValidate) Apply(b *batch.Batch, out *Output) error {
	checked := withoutDeletes(b)
	gone := make([]batch.RowError, 0) // rows that leave, whatever the reason
	if v.any != nil && checked.Len() > 0 {
		violating, bad := v.any.Filter(checked)
		if len(bad) > 0 {
			out.Reject(b, bad)
			gone = append(gone, bad...)
		}
		if violating.Len() > 0 {
			left, err := v.settle(b, violating, out)
			if err != nil {
				return err
			}
			gone = append(gone, left...)
		}
	}
	b = b.Without(gone)
	if len(v.uniques) > 0 {
		var err error
		if b, err = v.unique(b, out); err != nil {
			return err
		}
	}
	out.Emit(b)
	return nil
}

func withoutDeletes(b *batch.Batch) *batch.Batch {
	if b.Operations() == nil {
		return b
	}
	kept := make([]int32, 0, b.Len())
	for i := range b.Len() {
		if row := b.Row(i); b.Operation(row) != batch.Delete {
			kept = append(kept, int32(row))
		}
	}
	return b.Select(kept)
}

// settle finds which rules the rows break and follows the reaction of the first that is not warn.
func (v *boundValidate) settle(b, violating *batch.Batch, out *Output) ([]batch.RowError, error) {
	broken := make(map[int][]int, violating.Len()) // row -> checks
	for i, eval := range v.evals {
		rows, _ := eval.Filter(violating)
		for k := range rows.Len() {
			broken[rows.Row(k)] = append(broken[rows.Row(k)], i)
		}
	}
	var gone, refused []batch.RowError
	for i := range violating.Len() {
		row := violating.Row(i)
		reaction := v.count(broken[row])
		e := batch.RowError{Row: row}
		switch reaction {
		case "":
			continue
		case deadLetter, fail:
			e.Column, e.Reason = v.reasons(b, row, broken[row], reaction)
		}
		if reaction == fail {
			return nil, failRow(b, e)
		}
		gone = append(gone, e)
		if reaction == deadLetter {
			refused = append(refused, e)
		}
	}
	out.RejectAsked(b, refused)
	return gone, nil
}

// count adds to the warnings and returns the reaction that decides, "" when all warn.
func (v *boundValidate) count(checks []int) string {
	reaction := ""
	last := -1
	for _, i := range checks {
		c := &v.checks[i]
		if c.reaction == warn && c.rule != last {
			v.warned[c.rule].Add(1)
			last = c.rule
		}
		if c.reaction != warn && reaction == "" {
			reaction = c.reaction
		}
	}
	return reaction
}

// reasons describes the checks of one reaction that a row breaks.
func (v *boundValidate) reasons(
	b *batch.Batch, row int, checks []int, reaction string,
) (column, reason string) {
	for _, i := range checks {
		c := &v.checks[i]
		if c.reaction != reaction {
			continue
		}
		if reason != "" {
			reason += "; "
		} else {
			column = c.column
		}
		reason += c.name + ": "
		if c.column != "" {
			reason += shownValue(b, b.Schema().Index(c.column), row) + " "
		}
		reason += c.wants
	}
	return column, reason
}

// failRow is the error of a row that ends the run.
func failRow(b *batch.Batch, e batch.RowError) error {
	reason := e.Reason
	if e.Column != "" {
		reason = "column " + e.Column + ": " + reason
	}
	return &connector.Error{
		Op: "validate row at " + b.Origin().At(e.Row).String(), Class: connector.Data,
		Err: errors.New(reason),
	}
}

// shownValue is a cell for people.
func shownValue(b *batch.Batch, at, row int) string {
	c := b.Column(at)
	typed, _ := c.Typed([]int32{int32(row)})
	if typed.IsNull(row) {
		return "NULL"
	}
	text := batch.AppendText(nil, typed, row)
	const shown = 60
	if len(text) > shown {
		text = append(text[:shown:shown], "..."...)
	}
	return fmt.Sprintf("%q", text)
}
