package expr

import (
	"fmt"
	"regexp"
	"time"

	"github.com/tapeline/tapeline/batch"
)

// Eval runs one program on batch after batch. It holds scratch memory and belongs to one
// goroutine.
type Eval struct {
	program   *Program
	frame     frame
	b         *batch.Batch
	errs      []batch.RowError
	failed    batch.Bitmap // rows of errs; nil while there are none
	badColumn string       // column whose cell failed last
	typed     []typedColumn
	buffers   [][]int32
	used      int
	operands  []operand
	constants map[*node]*batch.Column
	words     [][]uint64 // memory of intermediate columns, reused from batch to batch
	usedWords int
	sizes     []int // bytes of text each node gave for the last batch
	scratch   []byte
}

// typedColumn is a lazy column read for the rows of a scope.
type typedColumn struct {
	column int
	scope  *scope
	values *batch.Column
}

// frame is what functions see of an evaluation.
type frame struct {
	arena   []byte // texts built for the row at hand
	now     func() time.Time
	moment  time.Time // now, read once a batch
	regexes map[string]*regexp.Regexp
	element value // inside a predicate
	index   int
}

// scope is a set of rows, narrowed from its parent: what is known for all rows of a scope is known
// for all scopes below it.
type scope struct {
	rows   []int32 // ascending physical rows; nil: all count rows
	count  int
	parent *scope
}

func (s *scope) within(o *scope) bool {
	for ; s != nil; s = s.parent {
		if s == o {
			return true
		}
	}
	return false
}

// NewEval returns scratch memory for one goroutine.
func (p *Program) NewEval() *Eval {
	return &Eval{
		program: p, frame: frame{now: p.options.Now}, constants: map[*node]*batch.Column{},
		sizes: make([]int, p.nodes),
	}
}

// Program returns what is evaluated.
func (e *Eval) Program() *Program { return e.program }

func (e *Eval) start(b *batch.Batch) *scope {
	if b.Schema() != e.program.schema {
		e.checkSchema(b.Schema())
	}
	e.b, e.errs, e.failed, e.badColumn = b, nil, nil, ""
	e.typed, e.used, e.usedWords, e.frame.moment = e.typed[:0], 0, 0, time.Time{}
	return &scope{rows: b.Selection(), count: b.Len()}
}

// checkSchema holds a batch to the columns the program was bound to.
func (e *Eval) checkSchema(schema *batch.Schema) {
	for _, i := range e.program.columns {
		want := e.program.schema.Field(i)
		if i >= schema.Len() || !schema.Field(i).Type.Equal(want.Type) {
			panic(fmt.Sprintf("expr: batch of (%s), bound to (%s)", schema, e.program.schema))
		}
	}
}

// Column computes the expression for the selected rows of b. The result has b.Rows() physical rows
// and a value for each selected one that did not fail; its memory is the caller's, but a bare
// column is b's own and a part of one shares its memory. out is b with the lazy columns that were
// typed for all its rows replaced by dense ones (unless Options.KeepLazy). errs are the rows that
// failed, by physical row, in no particular order; they stay selected in out.
func (e *Eval) Column(
	b *batch.Batch,
) (result *batch.Column, out *batch.Batch, errs []batch.RowError) {
	s := e.start(b)
	defer e.release()
	if e.program.options.Interpret {
		result = e.interpreted(e.program.root, s)
	} else {
		result = e.vector(e.program.root, s)
	}
	return result, e.dense(b, s), e.errs
}

// Filter narrows b to the rows for which the condition is true; NULL and false drop, and so do the
// rows that failed, which are returned. The program must be of type Bool. Without a row dropped
// the batch keeps its selection.
func (e *Eval) Filter(b *batch.Batch) (out *batch.Batch, errs []batch.RowError) {
	if e.program.root.typ.Kind != batch.Bool {
		panic("expr: filter by " + e.program.root.typ.String())
	}
	s := e.start(b)
	defer e.release()
	kept := s
	if e.program.options.Interpret {
		kept = e.filterRows(e.program.root, s, true)
	} else {
		kept = e.narrow(e.program.root, s, true)
	}
	out = e.dense(b, kept)
	if kept.count == s.count {
		return out, e.errs
	}
	return out.Select(append(make([]int32, 0, kept.count), kept.rows...)), e.errs
}

// release drops references to the batch.
func (e *Eval) release() {
	clear(e.typed)
	clear(e.operands)
	e.b, e.typed, e.operands = nil, e.typed[:0], e.operands[:0]
}

// dense replaces lazy columns by those typed for all rows of s.
func (e *Eval) dense(b *batch.Batch, s *scope) *batch.Batch {
	if e.program.options.KeepLazy {
		return b
	}
	for _, t := range e.typed {
		if s.within(t.scope) && b.Column(t.column).Lazy() {
			b = b.Replace(t.column, t.values)
		}
	}
	return b
}

// fail records that a row failed; a row fails once.
func (e *Eval) fail(row int, column, reason string) {
	if e.failed == nil {
		e.failed = batch.NewBitmap(e.b.Rows())
	}
	if e.failed.Get(row) {
		return
	}
	e.failed.Set(row)
	e.errs = append(e.errs, batch.RowError{Row: row, Column: column, Reason: reason})
}

// because adds the failing part of the source to a reason.
func (e *Eval) because(n *node, reason string) string {
	if reason == "" || e.program == nil {
		return reason
	}
	text := []rune(e.program.source)
	from, to := max(0, n.at.from), min(n.at.to, len(text))
	const shown = 60
	if to <= from {
		return reason
	}
	if to-from > shown {
		return reason + " in " + string(text[from:from+shown]) + "..."
	}
	return reason + " in " + string(text[from:to])
}

// mark and alive take failed rows out of a scope: what fails between the two is left out.
func (e *Eval) mark() int { return len(e.errs) }

func (e *Eval) alive(s *scope, mark int) *scope {
	if len(e.errs) == mark {
		return s
	}
	rows := e.buffer(s.count)
	for i := range s.count {
		if row := s.row(i); !e.failed.Get(int(row)) {
			rows = append(rows, row)
		}
	}
	return &scope{rows: rows, count: len(rows), parent: s}
}

func (s *scope) row(i int) int32 {
	if s.rows != nil {
		return s.rows[i]
	}
	return int32(i)
}

// buffer returns an empty row list of the given capacity, valid until the next batch.
func (e *Eval) buffer(capacity int) []int32 {
	if e.used == len(e.buffers) {
		e.buffers = append(e.buffers, nil)
	}
	b := e.buffers[e.used]
	if cap(b) < max(capacity, 1) {
		b = make([]int32, 0, max(capacity, 1))
		e.buffers[e.used] = b
	}
	e.used++
	return b[:0]
}

// fixed returns the memory of an 8-byte column a node computes: reused and holding anything, unless
// the column may reach the caller.
func (e *Eval) fixed(n *node) []uint64 {
	rows := e.b.Rows()
	if n.shared {
		return make([]uint64, rows)
	}
	if e.usedWords == len(e.words) {
		e.words = append(e.words, nil)
	}
	if cap(e.words[e.usedWords]) < rows {
		e.words[e.usedWords] = make([]uint64, rows)
	}
	e.usedWords++
	return e.words[e.usedWords-1][:rows]
}

// child returns the scope of rows narrowed from s; all of them are s itself.
func child(s *scope, rows []int32) *scope {
	if len(rows) == s.count {
		return s
	}
	return &scope{rows: rows, count: len(rows), parent: s}
}

// minus returns the rows of s that are neither in taken, a scope below it, nor failed.
func (e *Eval) minus(s, taken *scope) *scope {
	if taken == s {
		return &scope{rows: []int32{}, parent: s}
	}
	rows := e.buffer(s.count)
	next := 0
	for i := range s.count {
		row := s.row(i)
		if next < taken.count && taken.rows[next] == row {
			next++
			continue
		}
		if e.failed == nil || !e.failed.Get(int(row)) {
			rows = append(rows, row)
		}
	}
	return child(s, rows)
}

// union merges two disjoint scopes below s.
func (e *Eval) union(s, x, y *scope) *scope {
	switch {
	case x.count == 0:
		return y
	case y.count == 0:
		return x
	}
	rows := e.buffer(x.count + y.count)
	i, k := 0, 0
	for i < x.count && k < y.count {
		if a, b := x.row(i), y.row(k); a < b {
			rows = append(rows, a)
			i++
		} else {
			rows = append(rows, b)
			k++
		}
	}
	for ; i < x.count; i++ {
		rows = append(rows, x.row(i))
	}
	for ; k < y.count; k++ {
		rows = append(rows, y.row(k))
	}
	return child(s, rows)
}

// column returns a column dense for the rows of s; cells that do not read fail their rows.
func (e *Eval) column(i int, s *scope) *batch.Column {
	c := e.b.Column(i)
	if !c.Lazy() {
		return c
	}
	for _, t := range e.typed {
		if t.column == i && s.within(t.scope) {
			return t.values
		}
	}
	typed, bad := c.Typed(s.rows)
	for _, fault := range bad {
		e.fail(fault.Row, e.b.Schema().Field(i).Name, fault.Reason)
	}
	e.typed = append(e.typed, typedColumn{i, s, typed})
	return typed
}

// interpreted computes a node row by row.
func (e *Eval) interpreted(n *node, s *scope) *batch.Column {
	if n.op == opColumn {
		return e.column(n.column, s)
	}
	w := newWriter(n.typ, e.b.Rows())
	for i := range s.count {
		row := int(s.row(i))
		e.frame.arena = e.frame.arena[:0]
		v, reason := e.row(n, row)
		if reason != "" {
			e.failRow(row, reason)
			continue
		}
		e.put(w, row, v)
	}
	return w.finish()
}

func (e *Eval) failRow(row int, reason string) {
	e.fail(row, e.badColumn, reason)
	e.badColumn = ""
}

// filterRows narrows row by row.
func (e *Eval) filterRows(n *node, s *scope, want bool) *scope {
	rows := e.buffer(s.count)
	for i := range s.count {
		row := int(s.row(i))
		e.frame.arena = e.frame.arena[:0]
		held, reason := e.holds(n, row, want)
		if reason != "" {
			e.failRow(row, reason)
			continue
		}
		if held {
			rows = append(rows, int32(row))
		}
	}
	return child(s, rows)
}
