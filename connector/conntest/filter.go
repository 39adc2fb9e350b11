package conntest

import (
	"slices"
	"strconv"
	"testing"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
)

// offer hands the predicates of the check to a source that is not opened yet.
func (s *sourceCheck) offer(t testing.TB, source connector.Source) {
	t.Helper()
	if s.offered == nil {
		return
	}
	filterer, ok := source.(connector.Filterer)
	if !ok {
		t.Fatal("does not implement Filterer")
	}
	var predicates []connector.Predicate
	refused, err := filterer.Filter(t.Context(), func(schema *batch.Schema) []connector.Predicate {
		predicates = s.offered(schema)
		return predicates
	})
	if err != nil {
		t.Fatalf("filter: %v", err)
	}
	if len(refused) != len(predicates) {
		t.Fatalf("filter: answers %d of %d predicates", len(refused), len(predicates))
	}
	s.applied = 0
	for _, why := range refused {
		if why == "" {
			s.applied++
		}
	}
}

// filter: whatever is offered, every row for which the predicate is true comes, in order, and none is
// made up; behind a position the rest follows. What is said to be applied leaves something out.
func (s *sourceCheck) filter(t testing.TB) {
	r := s.open(t, usual(), connector.Partition{}, nil)
	chunk, ok := r.next()
	if !ok || chunk.Batch == nil {
		t.Fatal("the case reads no rows")
	}
	schema := chunk.Batch.Schema()
	release(chunk)
	r.close()
	all := s.want(t)
	spared, applied := 0, 0
	for column, field := range schema.Fields() {
		for _, p := range predicatesOn(t, field, all, column) {
			s.offered = func(*batch.Schema) []connector.Predicate { return []connector.Predicate{p} }
			got := s.all(t, s.Limits)
			if s.Unordered {
				slices.SortFunc(all, slices.Compare[[]string])
				slices.SortFunc(got.rows, slices.Compare[[]string])
			}
			if applied += s.applied; s.applied > 0 {
				spared += len(all) - len(got.rows)
			}
			wanted := slices.DeleteFunc(slices.Clone(all), func(row []string) bool {
				return !holds(p, row[column])
			})
			if missed := without(wanted, got.rows); missed != nil {
				t.Fatalf("%s: leaves out %s, which is true for it", p, show(missed))
			}
			if invented := without(got.rows, all); invented != nil {
				t.Fatalf("%s: makes up %s", p, show(invented))
			}
			if n := len(got.at); n > 0 && s.Connector.Source.Capabilities.Resumable && !s.Unordered {
				rest := s.open(t, s.Limits, connector.Partition{}, got.copies[n/2]).rest()
				compare(t, p.String()+": resumed behind its half", rest.rows, got.rows[got.ends[n/2]:], true)
			}
		}
	}
	if applied > 0 && spared == 0 {
		t.Errorf("applies %d predicates and leaves no row out", applied)
	}
}

// without returns a row of some that all lacks, in order; nil when there is none.
func without(some, all [][]string) []string {
	for _, row := range some {
		i := slices.IndexFunc(all, func(other []string) bool { return slices.Equal(row, other) })
		if i < 0 {
			return row
		}
		all = all[i+1:]
	}
	return nil
}

// predicatesOn returns predicates with a value that the column has.
func predicatesOn(
	t testing.TB, field batch.Field, rows [][]string, column int,
) []connector.Predicate {
	out := []connector.Predicate{
		{Column: field.Name, Compare: connector.IsNull},
		{Column: field.Name, Compare: connector.NotNull},
	}
	typ := field.Type
	compares := []connector.Comparison{connector.Equal, connector.In, connector.NotEqual}
	switch typ.Kind {
	case batch.Int8, batch.Int16, batch.Int32, batch.Int64:
		typ = batch.Of(batch.Int64)
		compares = append(compares, connector.Less, connector.LessEqual, connector.Greater,
			connector.GreaterEqual)
	case batch.Float32, batch.Float64:
		typ, compares = batch.Of(batch.Float64), compares[:2]
	case batch.Bool, batch.String, batch.Decimal, batch.Date, batch.Timestamp:
	default:
		return out
	}
	at := slices.IndexFunc(rows[len(rows)/2:], func(row []string) bool { return row[column] != nullCell })
	if at < 0 {
		return out
	}
	for _, compare := range compares {
		literal := batch.NewAppender(typ)
		if err := literal.Any(rows[len(rows)/2+at][column]); err != nil {
			t.Fatalf("column %s: %v", field.Name, err)
		}
		out = append(out, connector.Predicate{
			Column: field.Name, Compare: compare, Literals: literal.Column(),
		})
	}
	return out
}

// holds reports whether a predicate of predicatesOn is true for a cell.
func holds(p connector.Predicate, cell string) bool {
	switch {
	case p.Compare == connector.IsNull:
		return cell == nullCell
	case cell == nullCell:
		return false
	case p.Compare == connector.NotNull:
		return true
	}
	literal := string(batch.AppendText(nil, p.Literals, 0))
	switch p.Compare {
	case connector.Equal, connector.In:
		return cell == literal
	case connector.NotEqual:
		return cell != literal
	}
	v, err := strconv.ParseInt(cell, 10, 64)
	bound := p.Literals.Int(0)
	return err == nil && (p.Compare == connector.Less && v < bound ||
		p.Compare == connector.LessEqual && v <= bound ||
		p.Compare == connector.Greater && v > bound || p.Compare == connector.GreaterEqual && v >= bound)
}
