package connector

import (
	"context"
	"fmt"
	"strings"

	"github.com/tapeline/tapeline/batch"
)

// Filterer is a Source that can leave rows out by itself, as a database does, so that they need not
// travel. It delivers typed columns and plain inserts only. The engine filters what arrives all the
// same: a source that applies less than it is offered is slower, never wrong.
type Filterer interface {
	Source
	// Filter comes at most once, before Open, on every source made for a run. offer returns the
	// predicates for the schema of the rows to come; a row is wanted only if all of them are true
	// for it. The answer tells for each predicate why it is not applied, "" for one that is.
	//
	// A row may be left out only where an applied predicate is certainly false or NULL for it, and
	// where its values of all columns looked at until then have a form in the schema: wrong data
	// that the condition meets is still refused. Positions stay valid whatever was applied.
	Filter(ctx context.Context, offer func(*batch.Schema) []Predicate) (refused []string, err error)
}

// Predicate is one simple condition on a column of the schema it is offered for. It is true, false or
// NULL as the expression language says: texts compare byte by byte, NaN equals nothing and has no
// order, moments and decimals are exact.
type Predicate struct {
	Column  string
	Compare Comparison
	// Literals are dense and not NULL: one for a comparison, one or more for In, none (nil) for
	// IsNull and NotNull. Their type is the column's, but small integers are Int64 or Uint64,
	// Float32 is Float64, and decimals may have another precision and scale.
	Literals *batch.Column
	// After names the columns that the condition looks at before this predicate, in any order.
	After []string
}

// Comparison says how a predicate compares its column.
type Comparison string

// The comparisons of predicates.
const (
	Equal        Comparison = "="
	NotEqual     Comparison = "<>"
	Less         Comparison = "<"
	LessEqual    Comparison = "<="
	Greater      Comparison = ">"
	GreaterEqual Comparison = ">="
	In           Comparison = "in"
	IsNull       Comparison = "is null"
	NotNull      Comparison = "is not null"
)

// String returns the predicate for people: status = 'active'.
func (p Predicate) String() string {
	text := p.Column + " " + string(p.Compare)
	if p.Literals == nil {
		return text
	}
	literals := make([]string, p.Literals.Len())
	for i := range literals {
		literals[i] = string(batch.AppendText(nil, p.Literals, i))
		if !p.Literals.Type().Numeric() && p.Literals.Type().Kind != batch.Bool {
			literals[i] = "'" + strings.ReplaceAll(literals[i], "'", "''") + "'"
		}
	}
	if p.Compare == In {
		return fmt.Sprintf("%s (%s)", text, strings.Join(literals, ", "))
	}
	return text + " " + literals[0]
}
