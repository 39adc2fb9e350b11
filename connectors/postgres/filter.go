package postgres

import (
	"context"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/sqlkit"
)

// Filter makes a condition for the server of what is offered. What a position counts must not depend
// on it, so only physical scans take one: their position is the last row's place, whatever was left
// out before it.
func (s *source) Filter(
	ctx context.Context, offer func(*batch.Schema) []connector.Predicate,
) ([]string, error) {
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	predicates := offer(s.plan.schema)
	refused := make([]string, len(predicates))
	why := ""
	switch {
	case !s.config.Pushdown:
		why = "pushdown: false"
	case s.plan.order == sorted:
		why = "incremental.column has to see every row"
	case s.plan.order == counted:
		why = "the rows of a query or view are counted to find the position"
	}
	if why != "" {
		for i := range refused {
			refused[i] = why
		}
		return refused, nil
	}
	unicode := s.session.conn.ParameterStatus("server_encoding") == "UTF8"
	s.plan.pushed = s.plan.push(predicates, refused, unicode)
	return refused, nil
}

// push returns the condition, and why a predicate is no part of it. A value without a form here lets
// its row through, to be refused, where the filter looks at it before the row is dropped:
// odd(a) OR a = 1 AND (odd(b) OR b = 2).
func (p *plan) push(predicates []connector.Predicate, refused []string, unicode bool) string {
	conditions, odd := make([]string, len(predicates)), make([][]string, len(predicates))
	seen, hidden := map[string]bool{}, ""
	for i, predicate := range predicates {
		for _, name := range append(slices.Clone(predicate.After), predicate.Column) {
			values, known := p.odd(name)
			switch {
			case !known && hidden == "":
				hidden = "values of " + name + ", which may be refused, are looked at before"
			case !seen[name] && values != "":
				odd[i] = append(odd[i], values)
			}
			seen[name] = true
		}
		conditions[i], refused[i] = p.condition(predicate, unicode)
		if conditions[i] != "" && hidden != "" {
			conditions[i], refused[i] = "", hidden
		}
	}
	condition := ""
	for i, own := range slices.Backward(conditions) {
		if condition = joined(" AND ", own, condition); condition != "" {
			condition = joined(" OR ", strings.Join(odd[i], " OR "), condition)
		}
	}
	return condition
}

func joined(operator, left, right string) string {
	if left == "" || right == "" {
		return left + right
	}
	return "(" + left + operator + right + ")"
}

// comparable returns a column the server compares as the engine does; nil for others, among them domains
// and types that travel as text.
func (p *plan) comparable(name string) *column {
	i := p.schema.Index(name)
	declared, ok := p.declared[name]
	if i < 0 || !ok || declared.oid != p.columns[i].oid {
		return nil
	}
	c := &p.columns[i]
	switch c.oid {
	case oidBool, oidInt2, oidInt4, oidInt8, oidFloat4, oidFloat8, oidDate, oidTimestamp,
		oidTimestamptz, oidText, oidVarchar, oidBpchar:
		return c
	case oidNumeric:
		// Without precision of its own a value may not fit, and is then refused.
		if _, ok := numericType(declared.modifier, batch.Type{}); ok {
			return c
		}
	}
	return nil
}

// condition returns a predicate as SQL that is not true only where the predicate is not.
func (p *plan) condition(predicate connector.Predicate, unicode bool) (sql, why string) {
	c := p.comparable(predicate.Column)
	if c == nil {
		return "", "the server may compare columns of this type in another way"
	}
	left := c.ordering()
	if predicate.Literals == nil {
		return "(" + left + " " + strings.ToUpper(string(predicate.Compare)) + ")", ""
	}
	if !c.takes(predicate.Literals, unicode) {
		return "", "the server has no such literal"
	}
	literals := make([]string, predicate.Literals.Len())
	for i := range literals {
		literals[i] = c.constant(string(appendInput(nil, predicate.Literals, i)))
		if c.oid == oidFloat4 {
			literals[i] = sqlkit.Postgres.Literal(string(batch.AppendText(nil, predicate.Literals, i))) +
				"::double precision"
		}
	}
	switch {
	case predicate.Compare == connector.In:
		return "(" + left + " IN (" + strings.Join(literals, ", ") + "))", ""
	case predicate.Compare != connector.Equal && c.typ.Kind == batch.String:
		// Order and difference are those of bytes in this collation alone.
		if !unicode {
			return "", "the server's encoding is not UTF-8, so that it orders texts in another way"
		}
		left = "(" + left + `::text COLLATE "C")`
		literals[0] = sqlkit.Postgres.Literal(string(predicate.Literals.Bytes(0))) + "::text"
	}
	return "(" + left + " " + string(predicate.Compare) + " " + literals[0] + ")", ""
}

// takes reports whether the server reads all literals as the values they are.
func (c *column) takes(literals *batch.Column, unicode bool) bool {
	if c.typ.Kind != batch.Decimal && !literals.Type().Equal(comparedAs(c.typ)) {
		return false
	}
	for i := range literals.Len() {
		switch literals.Type().Kind {
		case batch.String:
			text := literals.Bytes(i)
			ascii := !slices.ContainsFunc(text, func(ch byte) bool { return ch >= utf8.RuneSelf })
			if slices.Contains(text, 0) || !utf8.Valid(text) || !unicode && !ascii {
				return false
			}
		case batch.Float64:
			if v := literals.Float(i); math.IsNaN(v) || math.IsInf(v, 0) {
				return false
			}
		case batch.Date, batch.Timestamp:
			if text := batch.AppendText(nil, literals, i); len(text) < 5 || text[4] != '-' ||
				text[0] == '-' || string(text[:4]) == "0000" {
				return false // years that are written with a sign or an era
			}
		}
	}
	return true
}

// comparedAs returns the type of the literals for a column.
func comparedAs(t batch.Type) batch.Type {
	switch t.Kind {
	case batch.Int16, batch.Int32:
		return batch.Of(batch.Int64)
	case batch.Float32:
		return batch.Of(batch.Float64)
	}
	return t
}

// odd is true for values of a column that refuse their row, "" when none does; not known when any
// value may.
func (p *plan) odd(name string) (sql string, known bool) {
	i := p.schema.Index(name)
	if i < 0 {
		return "", false
	}
	c := &p.columns[i]
	switch c.form {
	case formNumeric:
		return c.ordering() + " = 'NaN'::numeric", p.comparable(name) != nil
	case formDate:
		return c.ordering() + " IN ('infinity'::date, '-infinity'::date)", true
	case formTimestamp:
		// Years after 294246 begin to exceed an int64 that counts microseconds from 1970.
		typ := regtype(c.oid)
		return c.ordering() + " = '-infinity'::" + typ + " OR " + c.ordering() +
			" >= '294247-01-01'::" + typ, true
	case formList:
		return "", false
	}
	return "", true
}
