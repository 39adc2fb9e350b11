package expr

import (
	"slices"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
)

// Conjunct is one part of a condition; a row passes only if all parts are true.
type Conjunct struct {
	Source    string               // as the document writes it; for parts of x in 1..9 all of it
	Predicate *connector.Predicate // nil: Why
	Why       string               // why it is no simple predicate
}

// Conjuncts returns the parts of a condition in the order they are evaluated. Behind a part that can
// fail a row there are no predicates: a source that applied one would hide the failure.
func (p *Program) Conjuncts() []Conjunct {
	var parts []*node
	flatten(p.root, &parts)
	out := make([]Conjunct, len(parts))
	var seen []string
	failing := false
	for i, n := range parts {
		c := Conjunct{Source: p.excerpt(n.at)}
		switch {
		case failing:
			c.Why = "a part before it can fail a row"
		case !infallible(n):
			failing, c.Why = true, "it can fail a row"
		default:
			if c.Predicate, c.Why = p.predicate(n, false); c.Predicate != nil {
				c.Predicate.After = slices.Clip(seen)
			}
		}
		seen = p.reads(n, seen)
		out[i] = c
	}
	return out
}

func flatten(n *node, out *[]*node) {
	if n.op != opAnd {
		*out = append(*out, n)
		return
	}
	for _, arg := range n.args {
		flatten(arg, out)
	}
}

func (p *Program) excerpt(at span) string {
	source := []rune(p.source)
	if at.from < 0 || at.to > len(source) || at.from >= at.to {
		return p.source
	}
	return string(source[at.from:at.to])
}

// reads appends the names of the columns below n.
func (p *Program) reads(n *node, names []string) []string {
	if n.op == opColumn {
		names = append(names, p.schema.Field(n.column).Name)
	}
	for _, arg := range n.args {
		names = p.reads(arg, names)
	}
	return names
}

// infallible reports whether no row of typed columns fails the node.
func infallible(n *node) bool {
	switch n.op {
	case opColumn, opConstant, opCompare, opAnd, opOr, opNot, opIsNull, opIn, opText:
	case opCast:
		if !n.try && !n.typ.Equal(widened(n.args[0].typ)) {
			return false
		}
	default:
		return false
	}
	for _, arg := range n.args {
		if !infallible(arg) {
			return false
		}
	}
	return true
}

const notSimple = "it does not compare a column with a literal of its type"

// predicate returns the node, or its negation, as a predicate; nil and why when it is none.
func (p *Program) predicate(n *node, negated bool) (*connector.Predicate, string) {
	switch n.op {
	case opNot:
		return p.predicate(n.args[0], !negated)
	case opColumn: // of type Bool
		literal := batch.NewAppender(n.typ)
		literal.Bool(!negated)
		return p.on(n, connector.Equal, literal)
	case opIsNull:
		if negated {
			return p.on(n.args[0], connector.NotNull, nil)
		}
		return p.on(n.args[0], connector.IsNull, nil)
	case opCompare:
		compare, literal := n.compare, n.args[1]
		if negated {
			// An order with NaN is false, and so its negation true: no comparison says that.
			if compare != equal && compare != notEqual && literal.typ.Kind == batch.Float64 {
				return nil, notSimple
			}
			compare = compare.negated()
		}
		if literal.op == opConstant && !literal.constant.null {
			return p.on(n.args[0], comparisons[compare], literals(literal.typ, literal.constant))
		}
	case opIn:
		if !negated {
			return p.on(n.args[0], connector.In, literals(n.args[0].typ, n.set.values...))
		}
	}
	return nil, notSimple
}

// on returns a predicate on a node that is a column, if need be widened.
func (p *Program) on(
	n *node, compare connector.Comparison, literals *batch.Appender,
) (*connector.Predicate, string) {
	column := n
	if n.op == opCast && n.typ.Equal(widened(n.args[0].typ)) {
		column = n.args[0]
	}
	out := connector.Predicate{Compare: compare}
	if literals != nil {
		out.Literals = literals.Column()
	}
	if column.op != opColumn || out.Literals != nil && !comparesAs(column.typ, out.Literals) {
		return nil, notSimple
	}
	out.Column = p.schema.Field(column.column).Name
	return &out, ""
}

// comparesAs reports whether literals are of the type in which a column is compared.
func comparesAs(column batch.Type, literals *batch.Column) bool {
	typ := literals.Type()
	return literals.Len() > 0 &&
		(typ.Equal(widened(column)) || typ.Kind == batch.Decimal && column.Kind == batch.Decimal)
}

var comparisons = [...]connector.Comparison{
	equal: connector.Equal, notEqual: connector.NotEqual, less: connector.Less,
	lessEqual: connector.LessEqual, greater: connector.Greater, greaterEqual: connector.GreaterEqual,
}

// negated returns the comparison that is true where c is false.
func (c comparison) negated() comparison {
	return [...]comparison{notEqual, equal, greaterEqual, greater, lessEqual, less}[c]
}

// literals returns values of types that a predicate can have; without rows for others.
func literals(typ batch.Type, values ...value) *batch.Appender {
	out := batch.NewAppender(typ)
	for _, v := range values {
		switch typ.Kind {
		case batch.Bool:
			out.Bool(v.bool())
		case batch.Int64, batch.Uint64, batch.Date, batch.Time, batch.Timestamp, batch.Duration:
			out.Int(v.int())
		case batch.Float64:
			out.Float(v.float())
		case batch.Decimal:
			out.Decimal(v.decimal())
		case batch.String, batch.Binary:
			out.Bytes(v.text)
		}
	}
	return out
}
