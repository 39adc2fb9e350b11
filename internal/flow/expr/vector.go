package expr

import (
	"math"
	"slices"

	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"github.com/tapeline/tapeline/batch"
)

// vector computes a node for the rows of s. The column has a value for each of them that did not
// fail on the way; it may be shared, so it is never altered.
func (e *Eval) vector(n *node, s *scope) *batch.Column {
	if n.rowOnly != "" {
		return e.interpreted(n, s)
	}
	switch n.op {
	case opColumn:
		return e.column(n.column, s)
	case opConstant:
		return e.spread(n)
	case opCompare, opIn, opText:
		return e.vectorPredicate(n, s)
	case opAnd, opOr:
		return e.vectorLogical(n, s)
	case opNot:
		return e.vectorNot(n, s)
	case opIsNull:
		w := newWriter(n.typ, e.b.Rows())
		setBits(w.bits, e.narrowNull(n.args[0], s, true))
		return w.finish()
	case opConditional:
		return e.vectorConditional(n, s)
	case opCoalesce:
		return e.vectorCoalesce(n, s)
	case opArithmetic:
		return e.vectorArithmetic(n, s)
	case opCast:
		return e.vectorCast(n, s)
	case opMember:
		return e.vectorMember(n, s)
	}
	return e.vectorCall(n, s)
}

// spread returns a column of one value, kept for the batches to come.
func (e *Eval) spread(n *node) *batch.Column {
	rows := e.b.Rows()
	if c := e.constants[n]; c != nil && c.Len() == rows {
		return c
	}
	var c *batch.Column
	if n.constant.null {
		c = batch.NullColumn(n.typ, rows)
	} else {
		w := newWriter(n.typ, rows)
		for row := range rows {
			w.put(row, n.constant)
		}
		c = w.finish()
	}
	if n != e.program.root {
		e.constants[n] = c
	}
	return c
}

func setBits(bits batch.Bitmap, s *scope) {
	if s.rows == nil {
		for i := range bits {
			bits[i] = 0xff
		}
		return
	}
	for _, row := range s.rows {
		bits.Set(int(row))
	}
}

// vectorPredicate makes a column of a comparison: what is neither true nor false is NULL.
func (e *Eval) vectorPredicate(n *node, s *scope) *batch.Column {
	mark := e.mark()
	held := e.narrow(n, s, true)
	s = e.alive(s, mark)
	rows := e.b.Rows()
	bits := batch.NewBitmap(rows)
	setBits(bits, held)
	if held.count == s.count {
		return batch.BoolColumn(bits, rows, nil)
	}
	rest := e.minus(s, held)
	if refused := e.narrow(n, rest, false); refused.count < rest.count {
		valid := batch.NewBitmap(rows)
		setBits(valid, held)
		setBits(valid, refused)
		return batch.BoolColumn(bits, rows, valid)
	}
	return batch.BoolColumn(bits, rows, nil)
}

// vectorLogical is Kleene's AND and OR; the right side is computed where the left does not decide.
func (e *Eval) vectorLogical(n *node, s *scope) *batch.Column {
	decisive := n.op == opOr
	mark := e.mark()
	left := e.vector(n.args[0], s)
	s = e.alive(s, mark)
	decided := e.narrowBits(left, s, decisive)
	rest := e.minus(s, decided)
	mark = e.mark()
	right := e.vector(n.args[1], rest)
	rest = e.alive(rest, mark)
	w := newWriter(n.typ, e.b.Rows())
	if decisive {
		setBits(w.bits, decided)
	}
	for i := range rest.count {
		row := int(rest.row(i))
		switch {
		case !right.IsNull(row) && right.Bits().Get(row) == decisive:
			if decisive {
				w.bits.Set(row)
			}
		case right.IsNull(row) || left.IsNull(row):
			w.null(row)
		case !decisive:
			w.bits.Set(row)
		}
	}
	return w.finish()
}

func (e *Eval) vectorNot(n *node, s *scope) *batch.Column {
	c := e.vector(n.args[0], s)
	bits := slices.Clone(c.Bits())
	for i := range bits {
		bits[i] = ^bits[i]
	}
	return batch.BoolColumn(bits, c.Len(), c.Validity())
}

func (e *Eval) vectorConditional(n *node, s *scope) *batch.Column {
	mark := e.mark()
	chosen := e.narrow(n.args[0], s, true)
	rest := e.minus(e.alive(s, mark), chosen)
	parts := [2]part{}
	for i, p := range []*scope{chosen, rest} {
		mark := e.mark()
		parts[i].operand = e.operand(n.args[1+i], p)
		parts[i].scope = e.alive(p, mark)
	}
	return e.merge(n.typ, parts[:])
}

func (e *Eval) vectorCoalesce(n *node, s *scope) *batch.Column {
	parts := make([]part, 0, len(n.args))
	for i, arg := range n.args {
		mark := e.mark()
		values := e.operand(arg, s)
		s = e.alive(s, mark)
		if i == 0 && values.column != nil && values.column.Validity() == nil {
			return values.column
		}
		last := i == len(n.args)-1
		if last || values.column == nil && !values.constant.null {
			parts = append(parts, part{values, s})
			break
		}
		rest := child(s, []int32{})
		if values.column == nil {
			rest = s
		} else if valid := values.column.Validity(); valid != nil {
			rows := e.buffer(s.count)
			for k := range s.count {
				if row := s.row(k); !valid.Get(int(row)) {
					rows = append(rows, row)
				}
			}
			rest = child(s, rows)
		}
		parts = append(parts, part{values, e.minus(s, rest)})
		s = rest
	}
	return e.merge(n.typ, parts)
}

// part is the values of some rows.
type part struct {
	operand operand
	scope   *scope
}

// merge makes one column of disjoint parts.
func (e *Eval) merge(typ batch.Type, parts []part) *batch.Column {
	w := newWriter(typ, e.b.Rows())
	if w.offsets == nil && w.nested == nil {
		for _, p := range parts {
			p.write(w)
		}
		return w.finish()
	}
	// Forms that are appended to need the rows of all parts in order.
	at := make([]int, len(parts))
	for {
		best, bestRow := -1, int32(math.MaxInt32)
		for i, p := range parts {
			if at[i] < p.scope.count {
				if row := p.scope.row(at[i]); row < bestRow {
					best, bestRow = i, row
				}
			}
		}
		if best < 0 {
			return w.finish()
		}
		w.put(int(bestRow), parts[best].operand.load(int(bestRow)))
		at[best]++
	}
}

func (p part) write(w *writer) {
	s := p.scope
	if c := p.operand.column; c != nil && w.words != nil {
		copyWords(w, batch.Values[uint64](c), c.Validity(), s)
		return
	}
	for i := range s.count {
		row := int(s.row(i))
		w.put(row, p.operand.load(row))
	}
}

func copyWords(w *writer, values []uint64, valid batch.Bitmap, s *scope) {
	if s.rows == nil {
		copy(w.words, values)
	}
	for _, row := range s.rows {
		w.words[row] = values[row]
	}
	if valid == nil {
		return
	}
	for i := range s.count {
		if row := int(s.row(i)); !valid.Get(row) {
			w.null(row)
		}
	}
}

// vectorArithmetic computes both operands, then the loop of the result's kind.
func (e *Eval) vectorArithmetic(n *node, s *scope) *batch.Column {
	mark := e.mark()
	x := e.operand(n.args[0], s)
	s = e.alive(s, mark)
	mark = e.mark()
	y := e.operand(n.args[1], s)
	s = e.alive(s, mark)
	if n.arithmetic == concatenate {
		return e.arithmeticRows(n, [2]operand{x, y}, s)
	}
	left, right := e.dense2(x, n.args[0]), e.dense2(y, n.args[1])
	valid := batch.And(left.Validity(), right.Validity(), e.b.Rows())
	if n.typ.Kind == batch.Decimal {
		a, b := batch.Values[decimal128.Num](left), batch.Values[decimal128.Num](right)
		out := make([]decimal128.Num, e.b.Rows())
		if decimalLoop(n, [2][]decimal128.Num{a, b}, out, s.rows) {
			return batch.FixedColumn(n.typ, out, valid)
		}
		return e.arithmeticRows(n, [2]operand{{column: left}, {column: right}}, s)
	}
	c := batch.FixedColumn(n.typ, e.fixed(n), valid)
	switch n.typ.Kind {
	case batch.Float64:
		a, b := batch.Values[float64](left), batch.Values[float64](right)
		floatLoop(n.arithmetic, a, b, batch.Values[float64](c), s.rows)
		if n.checkZero {
			e.checkZero(n, b, valid, s)
		}
		return c
	case batch.Int64:
		a, b := batch.Values[int64](left), batch.Values[int64](right)
		if n.arithmetic != remainder && intLoop(n.arithmetic, a, b, batch.Values[int64](c), s.rows) {
			return c
		}
	case batch.Uint64:
		a, b := batch.Values[uint64](left), batch.Values[uint64](right)
		if n.arithmetic != remainder && uintLoop(n.arithmetic, a, b, batch.Values[uint64](c), s.rows) {
			return c
		}
	}
	return e.arithmeticRows(n, [2]operand{{column: left}, {column: right}}, s)
}

// writer returns a writer for a node's column, with room for as much text as the last one had.
func (e *Eval) writer(n *node) *writer {
	w := newWriter(n.typ, e.b.Rows())
	if w.offsets != nil {
		if size := e.sizes[n.id]; size > 0 {
			w.bytes = make([]byte, 0, size+size/8)
		}
		w.size = &e.sizes[n.id]
	}
	return w
}

// put writes a value and fails the row whose text the column cannot hold.
func (e *Eval) put(w *writer, row int, v value) {
	if w.put(row, v); w.full {
		w.full = false
		e.fail(row, "", "the texts of the batch exceed 2 GiB")
	}
}

// dense2 spreads a constant operand.
func (e *Eval) dense2(o operand, n *node) *batch.Column {
	if o.column == nil {
		return e.spread(n)
	}
	return o.column
}

// checkZero fails the rows of an integer division by zero.
func (e *Eval) checkZero(n *node, divisors []float64, valid batch.Bitmap, s *scope) {
	for i := range s.count {
		row := int(s.row(i))
		if divisors[row] == 0 && (valid == nil || valid.Get(row)) {
			e.fail(row, "", e.because(n, reasonZero))
		}
	}
}

// arithmeticRows is the careful form: decimals, texts, and integers of which some row failed.
func (e *Eval) arithmeticRows(n *node, operands [2]operand, s *scope) *batch.Column {
	w := e.writer(n)
	for i := range s.count {
		row := int(s.row(i))
		a, b := operands[0].load(row), operands[1].load(row)
		if a.null || b.null {
			w.null(row)
			continue
		}
		if n.arithmetic == concatenate {
			e.scratch = append(append(e.scratch[:0], a.text...), b.text...)
			e.put(w, row, textValue(e.scratch))
			continue
		}
		v, reason := calculate(n, a, b)
		if reason != "" {
			e.fail(row, "", e.because(n, reason))
			continue
		}
		e.put(w, row, v)
	}
	return w.finish()
}

func (e *Eval) vectorCast(n *node, s *scope) *batch.Column {
	mark := e.mark()
	c := e.vector(n.args[0], s)
	s = e.alive(s, mark)
	if out := e.widenColumn(n, c, s.rows); out != nil {
		return out
	}
	w := e.writer(n)
	from := n.args[0].typ
	for i := range s.count {
		row := int(s.row(i))
		v := load(c, row)
		if v.null {
			w.null(row)
			continue
		}
		if n.typ.Kind == batch.String && !from.Text() {
			e.scratch = render(e.scratch[:0], from, v)
			e.put(w, row, textValue(e.scratch))
			continue
		}
		v, reason := n.cast(v)
		switch {
		case reason == "":
			w.put(row, v)
		case n.try:
			w.null(row)
		default:
			e.fail(row, "", e.because(n, reason))
		}
	}
	return w.finish()
}

// vectorMember is a struct's child, NULL also where the struct is.
func (e *Eval) vectorMember(n *node, s *scope) *batch.Column {
	c := e.vector(n.args[0], s)
	member := c.Children()[n.column]
	if c.Validity() == nil {
		return member
	}
	if out := withValidity(member, batch.And(c.Validity(), member.Validity(), c.Len())); out != nil {
		return out
	}
	w := newWriter(n.typ, e.b.Rows())
	for i := range s.count {
		row := int(s.row(i))
		if c.IsNull(row) {
			w.null(row)
			continue
		}
		w.put(row, load(member, row))
	}
	return w.finish()
}

// withValidity returns a column with other NULLs over the same values, nil for types that need a
// copy.
func withValidity(c *batch.Column, valid batch.Bitmap) *batch.Column {
	typ := c.Type()
	switch {
	case typ.Text():
		offsets, data := c.Text()
		return batch.TextColumn(typ, offsets, data, valid)
	case typ.Kind == batch.Bool:
		return batch.BoolColumn(c.Bits(), c.Len(), valid)
	case typ.Kind == batch.Struct:
		return batch.StructColumn(typ, c.Len(), c.Children(), valid)
	case typ.Kind == batch.List || typ.Kind == batch.Map:
		return batch.ListColumn(typ, c.Offsets(), c.Children(), valid)
	case typ.Kind == batch.Decimal:
		return batch.FixedColumn(typ, batch.Values[decimal128.Num](c), valid)
	case typ.Width() == 8:
		return batch.FixedColumn(typ, batch.Values[int64](c), valid)
	case typ.Width() == 4:
		return batch.FixedColumn(typ, batch.Values[int32](c), valid)
	}
	return nil
}

// vectorCall computes the arguments as columns and runs the function along them.
func (e *Eval) vectorCall(n *node, s *scope) *batch.Column {
	from := len(e.operands)
	for _, arg := range n.args {
		mark := e.mark()
		o := e.operand(arg, s)
		e.operands = append(e.operands, o)
		s = e.alive(s, mark)
	}
	operands := e.operands[from:]
	args := make([]value, len(n.args))
	w := e.writer(n)
rows:
	for i := range s.count {
		row := int(s.row(i))
		for k := range operands {
			args[k] = operands[k].load(row)
			if args[k].null && n.strict {
				w.null(row)
				continue rows
			}
		}
		e.frame.arena = e.frame.arena[:0]
		v, reason := n.run(&e.frame, args)
		if reason != "" {
			e.fail(row, "", e.because(n, reason))
			continue
		}
		e.put(w, row, v)
	}
	e.operands = e.operands[:from]
	return w.finish()
}
