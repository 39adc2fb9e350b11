package op

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/internal/flow/expr"
)

// add turns a rule into checks.
func (v *validate) add(i int, rule Rule) error {
	columns := rule.Columns
	if rule.Column != "" {
		columns = append([]string{rule.Column}, columns...)
	}
	reaction := v.reaction(rule)
	if rule.OnFailure != "" { // that of all rules is checked once
		if err := oneOf("on_failure", reaction, reactions()...); err != nil {
			return err
		}
	}
	v.names = append(v.names, rule.title(columns))
	tests, err := rule.tests()
	if err != nil {
		return err
	}
	switch {
	case len(tests) > 0 && len(columns) == 0:
		return errors.New("the rule names no column")
	case len(tests) == 0 && rule.Expression == "" && !rule.Unique:
		return errors.New("the rule checks nothing: set not_null, range, regex, in_set, unique or expression")
	case rule.Unique && len(columns) == 0:
		return errors.New("unique names no column")
	case rule.Window != 0 && (!rule.Unique || rule.Window < 0):
		return errors.New("window counts rows from 1, and belongs to unique")
	}
	for _, column := range columns {
		for _, t := range tests {
			name := rule.Name
			if name == "" {
				name = t.name
			}
			source := t.violation("col(" + quoted(column) + ")")
			if err := v.check(check{i, name, column, t.wants, reaction, nil}, source); err != nil {
				return err
			}
		}
	}
	if rule.Expression != "" {
		c := check{i, v.names[i], "", "is false: " + rule.Expression, reaction, nil}
		if _, err := expr.Parse(rule.Expression); err != nil {
			return &ConfigError{"expression", err}
		}
		if err := v.check(c, "not ("+rule.Expression+")"); err != nil {
			return err
		}
	}
	if rule.Unique {
		u := &uniqueRule{
			rule: i, name: v.names[i], columns: columns, window: rule.Window, reaction: reaction,
			most: v.config.MaxKeys,
		}
		u.reset()
		v.uniques = append(v.uniques, u)
	}
	return nil
}

func (v *validate) check(c check, source string) error {
	x, err := expr.Parse(source)
	if err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	c.violation = x
	v.checks = append(v.checks, c)
	return nil
}

// title is the rule's name, or one made of what it checks.
func (r *Rule) title(columns []string) string {
	if r.Name != "" {
		return r.Name
	}
	var parts []string
	for _, part := range []struct {
		set  bool
		name string
	}{
		{r.NotNull, "not_null"},
		{r.Range != nil, "range"},
		{r.Regex != "", "regex"},
		{r.InSet != nil, "in_set"},
		{r.Unique, "unique"},
		{r.Expression != "", "expression"},
	} {
		if part.set {
			parts = append(parts, part.name)
		}
	}
	name := strings.Join(parts, ",")
	if len(columns) > 0 {
		name += " " + strings.Join(columns, ",")
	}
	return name
}

// columnTest is a test of any column.
type columnTest struct {
	name      string
	wants     string
	violation func(column string) string // expression that is true for bad rows
}

// not returns what is true where a test of the column is false.
func not(rest string) func(column string) string {
	return func(column string) string { return "not (" + column + rest + ")" }
}

func (r *Rule) tests() ([]columnTest, error) {
	var tests []columnTest
	if r.NotNull {
		tests = append(tests, columnTest{
			"not_null", "is not allowed", func(column string) string { return column + " == nil" },
		})
	}
	if r.Range != nil {
		t, err := r.Range.test()
		if err != nil {
			return nil, &ConfigError{"range", err}
		}
		tests = append(tests, t)
	}
	if r.Regex != "" {
		if _, err := regexp.Compile(r.Regex); err != nil {
			return nil, &ConfigError{"regex", err}
		}
		tests = append(tests, columnTest{
			"regex", "does not match " + r.Regex, not(" matches " + quoted(r.Regex)),
		})
	}
	if r.InSet != nil {
		items, err := literals(r.InSet)
		if err != nil {
			return nil, &ConfigError{"in_set", err}
		}
		tests = append(tests, columnTest{"in_set", "is none of " + items, not(" in [" + items + "]")})
	}
	return tests, nil
}

// test is written so that NaN, which is on neither side of a bound, violates it.
func (r *Range) test() (columnTest, error) {
	var bounds, holds, words []string
	for _, bound := range []struct {
		value    any
		operator string
		word     string
	}{{r.Min, ">=", "from "}, {r.Max, "<=", "up to "}} {
		if bound.value == nil {
			continue
		}
		text, err := literal(bound.value)
		if err != nil {
			return columnTest{}, err
		}
		bounds = append(bounds, text)
		holds = append(holds, " "+bound.operator+" "+text)
		words = append(words, bound.word+text)
	}
	switch {
	case len(holds) == 0:
		return columnTest{}, errors.New("has neither min nor max")
	case len(holds) == 2 && isTrue(bounds[0]+" > "+bounds[1]):
		return columnTest{}, fmt.Errorf("min %s is above max %s, so that no value passes", bounds[0], bounds[1])
	}
	return columnTest{
		"range", "is not in the range " + strings.Join(words, " "), func(column string) string {
			return "not (" + column + strings.Join(holds, " and "+column) + ")"
		},
	}, nil
}

// isTrue evaluates a condition without columns.
func isTrue(source string) bool {
	none := batch.NewSchema()
	p, err := expr.Compile(source, none, expr.Options{Condition: true})
	if err != nil {
		return false
	}
	kept, _ := p.NewEval().Filter(batch.New(none, nil, 1))
	return kept.Len() == 1
}

func literals(values []any) (string, error) {
	parts := make([]string, len(values))
	for i, v := range values {
		text, err := literal(v)
		if err != nil {
			return "", err
		}
		parts[i] = text
	}
	return strings.Join(parts, ", "), nil
}

// literal writes a value of a document as one of an expression.
func literal(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return quoted(v), nil
	case bool:
		return strconv.FormatBool(v), nil
	case int:
		return strconv.Itoa(v), nil
	case int64:
		return strconv.FormatInt(v, 10), nil
	case uint64:
		return strconv.FormatUint(v, 10), nil
	case float64:
		text := strconv.FormatFloat(v, 'f', -1, 64)
		if !strings.Contains(text, ".") {
			text += ".0"
		}
		return text, nil
	case time.Time:
		return quoted(v.Format(time.RFC3339Nano)), nil
	}
	return "", fmt.Errorf("%v (%T) is no number, text, bool or time", v, v)
}

// quoted writes a text literal of the expression language.
func quoted(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < 0x20 || r == 0x7f:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// uniqueRule remembers the values of rows that passed.
type uniqueRule struct {
	rule     int
	name     string
	columns  []string
	window   int64
	reaction string
	most     int64 // values remembered at once
	keys     *keySet
	types    keyTypes
	rows     int64
}

// reset forgets all values.
func (u *uniqueRule) reset() {
	u.keys, u.types, u.rows = newKeySet(u.window > 0), nil, 0
	u.keys.most = int(u.most)
}

// unique checks the unique rules on the rows that passed all others.
func (v *boundValidate) unique(b *batch.Batch, out *Output) (*batch.Batch, error) {
	for _, at := range v.uniqueAt {
		b = typedAll(b, at, out)
	}
	for k, at := range v.uniqueAt {
		for i := range at {
			v.columns[k][i] = b.Column(at[i])
		}
	}
	var gone, refused []batch.RowError
	for i := range b.Len() {
		row := b.Row(i)
		if b.Operation(row) != batch.Insert {
			continue
		}
		k, err := v.repeated(row)
		if err != nil {
			return nil, err
		}
		if k < 0 {
			continue
		}
		u := v.uniques[k]
		e := batch.RowError{
			Row: row, Column: u.columns[0],
			Reason: u.name + ": " + shownValue(b, v.uniqueAt[k][0], row) + " came before",
		}
		if u.reaction == fail {
			return nil, failRow(b, e)
		}
		gone = append(gone, e)
		if u.reaction == deadLetter {
			refused = append(refused, e)
		}
	}
	out.RejectAsked(b, refused)
	return b.Without(gone), nil
}

// repeated returns the rule that lets a row not pass, as its values came before, -1 for none. Only a
// row that passes is remembered. The last rule finds and remembers a value in one go.
func (v *boundValidate) repeated(row int) (int, error) {
	last := len(v.uniques) - 1
	for k, u := range v.uniques {
		u.rows++
		if u.window > 0 {
			u.keys.forget(u.rows - u.window)
		}
		if v.keys[k] = v.keys[k][:0]; anyNull(v.columns[k], row) { // NULL equals nothing
			continue
		}
		v.keys[k] = batch.AppendKey(v.keys[k], v.columns[k], row)
		known := k < last && u.keys.has(v.keys[k])
		if k == last {
			fresh, err := u.keys.add(v.keys[k], u.rows)
			if err != nil {
				return 0, err
			}
			known = !fresh
		}
		switch {
		case known && u.reaction == warn:
			v.warned[u.rule].Add(1)
		case known:
			return k, nil
		}
	}
	for k, u := range v.uniques[:last] {
		if len(v.keys[k]) == 0 {
			continue
		}
		if _, err := u.keys.add(v.keys[k], u.rows); err != nil {
			return 0, err
		}
	}
	return -1, nil
}

const validateState = 2 // version of the state's encoding

// Snapshot returns the values that unique rules saw since the last Snapshot, or all.
func (v *validate) Snapshot(base bool) ([]byte, error) {
	w := stateWriter{}
	w.uint(validateState)
	w.uint(uint64(len(v.uniques)))
	for _, u := range v.uniques {
		w.text(u.identity())
		w.uint(uint64(u.rows))
		u.types.write(&w)
		u.keys.write(&w, base)
	}
	return w.data, nil
}

// identity names what the stored values are; state of another rule cannot be read.
func (u *uniqueRule) identity() string {
	return fmt.Sprintf("%q window %t", u.columns, u.window > 0)
}

// Restore replaces the values seen.
func (v *validate) Restore(base []byte, increments [][]byte) error {
	for _, u := range v.uniques {
		u.reset()
	}
	if base != nil {
		increments = append([][]byte{base}, increments...)
	}
	for _, data := range increments {
		r := stateReader{data: data}
		if err := r.version(validateState); err != nil {
			return err
		}
		if n := r.count(1); r.err == nil && n != len(v.uniques) {
			return fmt.Errorf("state of %d unique rules, the node has %d", n, len(v.uniques))
		}
		for _, u := range v.uniques {
			if got := r.text(); r.err == nil && got != u.identity() {
				return fmt.Errorf("state of a unique rule on %s, the node has %s", got, u.identity())
			}
			u.rows = int64(r.uint())
			u.types = readKeyTypes(&r)
			if err := u.keys.read(&r); err != nil {
				return err
			}
		}
		if err := r.end(); err != nil {
			return err
		}
	}
	for _, u := range v.uniques {
		u.keys.finish()
	}
	return nil
}

// StateBytes is the memory of the values seen.
func (v *validate) StateBytes() int {
	size := 0
	for _, u := range v.uniques {
		size += u.keys.bytes()
	}
	return size
}
