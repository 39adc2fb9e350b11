package batch

import (
	"fmt"
	"slices"
	"sort"
)

// Operation is what a row means to a keyed sink.
type Operation uint8

// The row operations. A batch without operations holds inserts.
const (
	Insert Operation = iota
	Upsert
	Delete
)

// String returns insert, upsert or delete.
func (o Operation) String() string { return [...]string{"insert", "upsert", "delete"}[o] }

// Batch is an immutable table chunk: a schema, its columns, and optionally a selection of the rows
// that count and an operation per row.
type Batch struct {
	schema     *Schema
	columns    []*Column
	rows       int
	selection  []int32
	operations []Operation
	origin     *Origin
}

// New returns a batch over columns of equal length. The batch owns the slice from now on.
func New(schema *Schema, columns []*Column, rows int) *Batch {
	if schema.Len() != len(columns) {
		panic(fmt.Sprintf("batch: %d columns for %d fields", len(columns), schema.Len()))
	}
	for i, c := range columns {
		if c.rows != rows {
			panic(fmt.Sprintf("batch: column %q has %d rows, want %d",
				schema.fields[i].Name, c.rows, rows))
		}
	}
	return &Batch{schema: schema, columns: columns, rows: rows}
}

// Schema returns the schema.
func (b *Batch) Schema() *Schema { return b.schema }

// Len returns the number of rows that count: the selected ones.
func (b *Batch) Len() int {
	if b.selection != nil {
		return len(b.selection)
	}
	return b.rows
}

// Rows returns the number of physical rows, selected or not.
func (b *Batch) Rows() int { return b.rows }

// Selection returns the ascending physical row numbers that count; nil means all. Not to be altered.
func (b *Batch) Selection() []int32 { return b.selection }

// Row maps logical row i (0..Len-1) to its physical row.
func (b *Batch) Row(i int) int {
	if b.selection != nil {
		return int(b.selection[i])
	}
	return i
}

// Column returns column i, which may be lazy.
func (b *Batch) Column(i int) *Column { return b.columns[i] }

// Columns returns the columns; the caller must not alter the slice.
func (b *Batch) Columns() []*Column { return b.columns }

// Operations returns the operation of each physical row, nil when all are inserts.
func (b *Batch) Operations() []Operation { return b.operations }

// Operation returns the operation of a physical row.
func (b *Batch) Operation(row int) Operation {
	if b.operations == nil {
		return Insert
	}
	return b.operations[row]
}

// Origin returns where the rows come from; nil when unknown.
func (b *Batch) Origin() *Origin { return b.origin }

// Select returns the batch narrowed to the given ascending physical rows, which must be among the
// selected ones. It owns the slice.
func (b *Batch) Select(rows []int32) *Batch {
	if rows == nil {
		rows = []int32{}
	}
	out := *b
	out.selection = rows
	return &out
}

// Slice returns logical rows from..to-1 without copying values.
func (b *Batch) Slice(from, to int) *Batch {
	out := *b
	if b.selection != nil {
		out.selection = b.selection[from:to:to]
		return &out
	}
	if from == 0 && to == b.rows {
		return b
	}
	out.selection = make([]int32, to-from)
	for i := range out.selection {
		out.selection[i] = int32(from + i)
	}
	return &out
}

// WithOperations returns the batch with one operation per physical row; nil means inserts.
func (b *Batch) WithOperations(operations []Operation) *Batch {
	out := *b
	out.operations = operations
	return &out
}

// WithOrigin returns the batch with the given origin.
func (b *Batch) WithOrigin(origin *Origin) *Batch {
	out := *b
	out.origin = origin
	return &out
}

// WithColumns returns the batch with other columns of the same physical rows; selection,
// operations and origin stay. It owns the slice.
func (b *Batch) WithColumns(schema *Schema, columns []*Column) *Batch {
	out := New(schema, columns, b.rows)
	out.selection, out.operations, out.origin = b.selection, b.operations, b.origin
	return out
}

// Replace returns the batch with column i replaced by one of the same type.
func (b *Batch) Replace(i int, c *Column) *Batch {
	columns := slices.Clone(b.columns)
	columns[i] = c
	out := *b
	out.columns = columns
	return &out
}

// Typed returns the batch with column i dense. Cells that do not read as the column's type are
// returned as errors by physical row and are null in the result.
func (b *Batch) Typed(i int) (*Batch, []RowError) {
	c := b.columns[i]
	if !c.Lazy() {
		return b, nil
	}
	typed, bad := c.Typed(b.selection)
	for k := range bad {
		bad[k].Column = b.schema.fields[i].Name
	}
	return b.Replace(i, typed), bad
}

// Dense returns the batch with every column typed and every row selected: what most sinks take.
// Rows with cells that do not read as their type, or are NULL where the schema has none, are left
// out and returned as errors by physical row of b, the first of each row. Columns that are so already
// are shared with b: who lets rows outlive the call that received them needs Keep.
func (b *Batch) Dense() (*Batch, []RowError) {
	var bad []RowError
	out := b
	for i, f := range b.schema.fields {
		typed, errs := out.Typed(i)
		out = typed
		bad = append(bad, errs...)
		if !f.Nullable {
			bad = append(bad, out.Without(errs).nulls(i)...)
		}
	}
	if len(bad) > 0 {
		bad = OncePerRow(bad)
		out = out.Without(bad)
	}
	if out.selection == nil {
		return out, bad
	}
	return out.Keep(), bad
}

// nulls returns the rows of a dense column that should have none. Types only Arrow knows are left
// alone: a union has the NULLs of its members, whatever its field says.
func (b *Batch) nulls(i int) (bad []RowError) {
	c := b.columns[i]
	if c.valid == nil && c.typ.Kind != Null || c.typ.Kind == Foreign {
		return nil
	}
	for k := range b.Len() {
		if row := b.Row(k); c.IsNull(row) {
			bad = append(bad, RowError{
				Row: row, Column: b.schema.fields[i].Name, Reason: "it is NULL, and the column has no NULLs",
			})
		}
	}
	return bad
}

// Without returns the batch without the rows named by errs.
func (b *Batch) Without(errs []RowError) *Batch {
	if len(errs) == 0 {
		return b
	}
	drop := make(map[int]bool, len(errs))
	for _, e := range errs {
		drop[e.Row] = true
	}
	kept := make([]int32, 0, b.Len())
	for i := range b.Len() {
		if row := b.Row(i); !drop[row] {
			kept = append(kept, int32(row))
		}
	}
	return b.Select(kept)
}

// RowError says why one row could not be used.
type RowError struct {
	Row    int    // physical row in the batch at hand
	Column string // "" when the whole row is meant
	Reason string // for people: what was found and what was wanted
}

// OncePerRow sorts errors by row and keeps the first of each: a row is refused once, however many of
// its cells are wrong.
func OncePerRow(errs []RowError) []RowError {
	slices.SortStableFunc(errs, func(a, b RowError) int { return a.Row - b.Row })
	return slices.CompactFunc(errs, func(a, b RowError) bool { return a.Row == b.Row })
}

// Error returns "row R, column C: reason".
func (e RowError) Error() string {
	if e.Column == "" {
		return fmt.Sprintf("row %d: %s", e.Row, e.Reason)
	}
	return fmt.Sprintf("row %d, column %s: %s", e.Row, e.Column, e.Reason)
}

// Origin tells where the physical rows of a batch were read, for errors and dead letters.
type Origin struct {
	Name   string  // file path, table, URL or node
	Record int64   // number of the first physical row in Name, from 1; 0 unknown
	Line   int64   // line of the first physical row, from 1; 0 unknown
	Lines  []int32 // line of each row relative to Line; nil when row i is on Line+i

	rows  []int32   // gathered: row i was row rows[i] of base
	base  *Origin   // gathered or joined
	parts []*Origin // joined: consecutive origins
	ends  []int     // joined: first row after each part
}

// Place is where one row was read.
type Place struct {
	Name   string
	Record int64 // from 1; 0 unknown
	Line   int64 // from 1; 0 unknown
}

// String returns "name:line", or "name record N" when lines are unknown.
func (p Place) String() string {
	switch {
	case p.Line > 0:
		return fmt.Sprintf("%s:%d", p.Name, p.Line)
	case p.Record > 0:
		return fmt.Sprintf("%s record %d", p.Name, p.Record)
	}
	return p.Name
}

// At returns the place of a physical row; the zero Place on a nil origin.
func (o *Origin) At(row int) Place {
	switch {
	case o == nil:
		return Place{}
	case o.parts != nil:
		i := sort.SearchInts(o.ends, row+1)
		start := 0
		if i > 0 {
			start = o.ends[i-1]
		}
		return o.parts[i].At(row - start)
	case o.base != nil:
		return o.base.At(int(o.rows[row]))
	}
	place := Place{Name: o.Name}
	if o.Record > 0 {
		place.Record = o.Record + int64(row)
	}
	if o.Line > 0 {
		place.Line = o.Line + int64(row)
		if o.Lines != nil {
			place.Line = o.Line + int64(o.Lines[row])
		}
	}
	return place
}

// Gather returns the origin of a batch made of the given rows of this one.
func (o *Origin) Gather(rows []int32) *Origin {
	if o == nil || rows == nil {
		return o
	}
	return &Origin{base: o, rows: rows}
}
