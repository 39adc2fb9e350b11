package sqlkit

import (
	"fmt"
	"strings"
)

// mostTies is how many rows of one value of the incremental column a position names. Of more, those
// that appear later with a key before the last one are not seen.
const mostTies = 1000

// Ties are the keys of the rows read that share the newest value of the incremental column. A row of
// that value that is committed later is found by them, wherever its key lies. Part of a position.
type Ties struct {
	Keys [][]string `json:"ties,omitempty"`
	// Ordered: there were too many to name. Rows come after the last key, and are not among Keys.
	Ordered bool `json:"ordered,omitempty"`

	named int // keys that the position opened with names: their rows may lie after the last key
}

// Resume takes over what a position says.
func (t *Ties) Resume() { t.named, t.Ordered = len(t.Keys), t.Ordered || len(t.Keys) == 0 }

// Reset begins another value.
func (t *Ties) Reset() { *t = Ties{} }

// Add names one more row, which comes after those before in the order of keys.
func (t *Ties) Add(key []string) {
	switch {
	case t.Ordered:
	case len(t.Keys) >= mostTies:
		t.Keys, t.Ordered = t.Keys[:t.named], true
	default:
		t.Keys = append(t.Keys, key)
	}
}

// After returns the condition that rows lie after the given values in the order of the columns, or
// share the first value and are not among the ties. All are SQL text.
func (d Dialect) After(columns, values []string, ties Ties) string {
	if len(columns) == 1 {
		return columns[0] + " > " + values[0]
	}
	later := columns[0] + " >= " + values[0]
	if len(ties.Keys) == 0 || ties.Ordered {
		later = d.afterAll(columns, values)
	}
	if len(ties.Keys) == 0 {
		return later
	}
	return fmt.Sprintf("%s AND NOT (%s = %s AND %s)", later, columns[0], values[0],
		d.among(columns[1:], ties.Keys))
}

func (d Dialect) afterAll(columns, values []string) string {
	if d != MySQL {
		return "(" + strings.Join(columns, ", ") + ") > (" + strings.Join(values, ", ") + ")"
	}
	// MySQL uses an index for the expanded form alone.
	var alternatives []string
	for i := range columns {
		var terms []string
		for k := range i {
			terms = append(terms, columns[k]+" = "+values[k])
		}
		terms = append(terms, columns[i]+" > "+values[i])
		alternatives = append(alternatives, "("+strings.Join(terms, " AND ")+")")
	}
	return "(" + strings.Join(alternatives, " OR ") + ")"
}

// among returns the condition that the columns have one of the values.
func (d Dialect) among(columns []string, values [][]string) string {
	rows := make([]string, len(values))
	for i, v := range values {
		rows[i] = strings.Join(v, ", ")
		if len(columns) > 1 {
			rows[i] = "(" + rows[i] + ")"
		}
	}
	list := strings.Join(rows, ", ")
	if len(columns) == 1 {
		return columns[0] + " IN (" + list + ")"
	}
	if d == SQLite {
		list = "VALUES " + list
	}
	return "(" + strings.Join(columns, ", ") + ") IN (" + list + ")"
}
