package expr

import (
	"bytes"

	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"github.com/tapeline/tapeline/batch"
)

// narrow returns the rows of s for which a condition is want: true, or false. NULL is neither.
func (e *Eval) narrow(n *node, s *scope, want bool) *scope {
	if s.count == 0 {
		return s
	}
	if n.rowOnly != "" {
		return e.filterRows(n, s, want)
	}
	switch n.op {
	case opConstant:
		if n.constant.null || n.constant.bool() != want {
			return child(s, []int32{})
		}
		return s
	case opNot:
		return e.narrow(n.args[0], s, !want)
	case opAnd, opOr:
		first := e.narrow(n.args[0], s, want)
		if both := (n.op == opAnd) == want; both {
			return e.narrow(n.args[1], first, want)
		}
		return e.union(s, first, e.narrow(n.args[1], e.minus(s, first), want))
	case opConditional:
		chosen := e.narrow(n.args[0], s, true)
		rest := e.minus(s, chosen)
		return e.union(s, e.narrow(n.args[1], chosen, want), e.narrow(n.args[2], rest, want))
	case opIsNull:
		return e.narrowNull(n.args[0], s, want)
	case opCompare:
		return e.narrowCompare(n, s, want)
	case opIn:
		return e.narrowIn(n, s, want)
	case opText:
		return e.narrowText(n, s, want)
	}
	mark := e.mark()
	c := e.vector(n, s)
	return e.narrowBits(c, e.alive(s, mark), want)
}

// narrowBits keeps the rows whose bit is want.
func (e *Eval) narrowBits(c *batch.Column, s *scope, want bool) *scope {
	bits := c.Bits()
	rows := e.buffer(s.count)[:s.count]
	k, flip := 0, bit(!want)
	for i := range s.count {
		row := s.row(i)
		rows[k] = row
		k += int(bits[row>>3]>>(row&7)&1) ^ flip
	}
	return child(s, dropNulls(c.Validity(), rows[:k]))
}

// dropNulls removes the rows that are NULL, in place.
func dropNulls(valid batch.Bitmap, rows []int32) []int32 {
	if valid == nil {
		return rows
	}
	k := 0
	for _, row := range rows {
		rows[k] = row
		k += int(valid[row>>3] >> (row & 7) & 1)
	}
	return rows[:k]
}

// narrowNull keeps NULL rows (want) or the others. A lazy cell is not read as its type.
func (e *Eval) narrowNull(n *node, s *scope, want bool) *scope {
	if n.op == opColumn {
		if c := e.b.Column(n.column); c.Lazy() {
			return e.narrowLazyNull(c, s, want)
		}
	}
	mark := e.mark()
	c := e.vector(n, s)
	s = e.alive(s, mark)
	valid := c.Validity()
	if valid == nil {
		if want {
			return child(s, []int32{})
		}
		return s
	}
	rows := e.buffer(s.count)[:s.count]
	k, flip := 0, bit(want)
	for i := range s.count {
		row := s.row(i)
		rows[k] = row
		k += int(valid[row>>3]>>(row&7)&1) ^ flip
	}
	return child(s, rows[:k])
}

func (e *Eval) narrowLazyNull(c *batch.Column, s *scope, want bool) *scope {
	spans, cell := c.Spans()
	rows := e.buffer(s.count)[:s.count]
	k := 0
	var null bool
	for i := range s.count {
		row := s.row(i)
		_, null, e.scratch = spans.Text(int(row), cell, e.scratch[:0])
		rows[k] = row
		k += bit(null == want)
	}
	return child(s, rows[:k])
}

// narrowCompare picks the loop for the operands at hand.
func (e *Eval) narrowCompare(n *node, s *scope, want bool) *scope {
	x, y := n.args[0], n.args[1]
	literal := y.op == opConstant && !y.constant.null
	if literal && x.op == opColumn && n.compare <= notEqual && x.typ.Kind == batch.String {
		if c := e.b.Column(x.column); c.Lazy() && e.columnTyped(x.column, s) == nil {
			spans, cell := c.Spans()
			test := newSpansTest(spans, cell, y.constant.text)
			rows := e.buffer(s.count)[:s.count]
			k := test.run(e, s.rows, rows, (n.compare == equal) == want)
			return child(s, rows[:k])
		}
	}
	mark := e.mark()
	left := e.vector(x, s)
	s = e.alive(s, mark)
	if literal {
		rows := e.buffer(s.count)[:s.count]
		if k, ok := compareConstant(n, left, y.constant, pass{s.rows, rows, bit(!want)}); ok {
			return child(s, dropNulls(left.Validity(), rows[:k]))
		}
	}
	mark = e.mark()
	right := e.operand(y, s)
	s = e.alive(s, mark)
	rows := e.buffer(s.count)[:s.count]
	if right.column != nil {
		if k, ok := compareColumns(n, left, right.column, pass{s.rows, rows, bit(!want)}); ok {
			rows = dropNulls(left.Validity(), rows[:k])
			return child(s, dropNulls(right.column.Validity(), rows))
		}
	}
	return e.narrowCompareRows(n, [2]operand{{column: left}, right}, s, want)
}

// columnTyped returns a lazy column's values when they are known for all rows of s.
func (e *Eval) columnTyped(i int, s *scope) *batch.Column {
	for _, t := range e.typed {
		if t.column == i && s.within(t.scope) {
			return t.values
		}
	}
	return nil
}

// narrowCompareRows compares what has no loop of its own: kinds of numbers that differ, orders of
// texts.
func (e *Eval) narrowCompareRows(n *node, operands [2]operand, s *scope, want bool) *scope {
	rows := e.buffer(s.count)
	x, y := n.args[0].typ, n.args[1].typ
	for i := range s.count {
		row := int(s.row(i))
		a, b := operands[0].load(row), operands[1].load(row)
		if a.null || b.null {
			continue
		}
		order, ok := compareValues(x, a, y, b)
		if compareHolds(n.compare, order, ok) == want {
			rows = append(rows, int32(row))
		}
	}
	return child(s, rows)
}

// operand is a column or one value for all rows.
type operand struct {
	column   *batch.Column
	constant value
}

func (o operand) load(row int) value {
	if o.column == nil {
		return o.constant
	}
	return load(o.column, row)
}

// operand evaluates an argument without spreading constants over a column.
func (e *Eval) operand(n *node, s *scope) operand {
	if n.op == opConstant {
		return operand{constant: n.constant}
	}
	return operand{column: e.vector(n, s)}
}

// compareConstant compares a column with a literal of its own type. It writes the rows that hold,
// NULLs included, and returns how many; ok is false when there is no loop for the type.
func compareConstant(n *node, c *batch.Column, v value, p pass) (k int, ok bool) {
	if !n.args[0].typ.Equal(n.args[1].typ) {
		return 0, false
	}
	switch c.Type().Kind {
	case batch.Int64, batch.Time, batch.Timestamp, batch.Duration:
		r := rangeOfInt(n.compare, v.int(), p.flip)
		return keepRange(batch.Values[int64](c), r, p.rows, p.out), true
	case batch.Date:
		r := rangeOfDate(n.compare, v.int(), p.flip)
		return keepRange(batch.Values[int32](c), r, p.rows, p.out), true
	case batch.Uint64:
		r := rangeOfUint(n.compare, v.uint(), p.flip)
		return keepRange(batch.Values[uint64](c), r, p.rows, p.out), true
	case batch.Float64:
		r := rangeOfFloat(n.compare, v.float(), p.flip)
		return keepRange(batch.Values[float64](c), r, p.rows, p.out), true
	case batch.Decimal:
		values := batch.Values[decimal128.Num](c)
		return keepDecimals(n.compare, values, v.decimal(), p), true
	case batch.String, batch.Binary:
		if n.compare > notEqual {
			return 0, false
		}
		test := newTextTest(c, v.text)
		return test.run(p.rows, p.out, p.flip^bit(n.compare == notEqual)), true
	}
	return 0, false
}

// compareColumns compares two columns of one fixed-width type, as compareConstant.
func compareColumns(n *node, x, y *batch.Column, p pass) (k int, ok bool) {
	c := n.compare
	if !n.args[0].typ.Equal(n.args[1].typ) {
		return 0, false
	}
	if c == greater || c == greaterEqual {
		x, y, c = y, x, c.swapped()
	}
	switch x.Type().Kind {
	case batch.Int64, batch.Time, batch.Timestamp, batch.Duration:
		return keepPairs(c, batch.Values[int64](x), batch.Values[int64](y), p), true
	case batch.Date:
		return keepPairs(c, batch.Values[int32](x), batch.Values[int32](y), p), true
	case batch.Uint64:
		return keepPairs(c, batch.Values[uint64](x), batch.Values[uint64](y), p), true
	case batch.Float64:
		return keepPairs(c, batch.Values[float64](x), batch.Values[float64](y), p), true
	}
	return 0, false
}

func (e *Eval) narrowIn(n *node, s *scope, want bool) *scope {
	mark := e.mark()
	c := e.vector(n.args[0], s)
	s = e.alive(s, mark)
	if n.set.null && !want {
		return child(s, []int32{}) // not found among NULLs is NULL, never false
	}
	rows := e.buffer(s.count)[:s.count]
	k := 0
	if n.set.fixed != nil && c.Type().Width() == 8 && c.Type().Kind != batch.Float64 {
		words := batch.Values[uint64](c)
		for i := range s.count {
			row := s.row(i)
			rows[k] = row
			k += bit(n.set.hasWord(words[row]) == want)
		}
		return child(s, dropNulls(c.Validity(), rows[:k]))
	}
	typ := n.args[0].typ
	for i := range s.count {
		row := s.row(i)
		v := load(c, int(row))
		if v.null {
			continue
		}
		rows[k] = row
		k += bit(n.set.has(typ, v) == want)
	}
	return child(s, rows[:k])
}

func (e *Eval) narrowText(n *node, s *scope, want bool) *scope {
	mark := e.mark()
	text := e.operand(n.args[0], s)
	s = e.alive(s, mark)
	mark = e.mark()
	part := e.operand(n.args[1], s)
	s = e.alive(s, mark)
	rows := e.buffer(s.count)
	if text.column != nil && part.column == nil && !part.constant.null {
		offsets, data := text.column.Text()
		wanted := part.constant.text
		for i := range s.count {
			row := s.row(i)
			if testText(n.text, data[offsets[row]:offsets[row+1]], wanted) == want {
				rows = append(rows, row)
			}
		}
		return child(s, dropNulls(text.column.Validity(), rows))
	}
	for i := range s.count {
		row := s.row(i)
		a, b := text.load(int(row)), part.load(int(row))
		if !a.null && !b.null && testText(n.text, a.text, b.text) == want {
			rows = append(rows, row)
		}
	}
	return child(s, rows)
}

// spansTest compares the raw cells of a lazy column with a literal.
type spansTest struct {
	spans     *batch.Spans
	cell      int
	want      []byte
	word      uint64 // the first 8 bytes of want
	mask      uint64
	quote     int  // a cell that starts with it is decoded; -1 for none
	decode    bool // cells may need decoding beyond a leading quote
	nullWords [][]byte
	wantNull  bool // an unquoted cell equal to the literal is NULL
}

func newSpansTest(spans *batch.Spans, cell int, want []byte) *spansTest {
	t := &spansTest{spans: spans, cell: cell, want: want, quote: -1}
	t.word, t.mask = firstWord(want)
	switch {
	case spans.Syntax == batch.Token:
		t.decode = true
	case spans.Trim:
		t.decode = true
	case spans.Syntax == batch.Quoted && !spans.Clean:
		if spans.Quote != 0 {
			t.quote = int(spans.Quote)
		}
		t.decode = spans.Escape != spans.Quote && spans.Escape != 0
	}
	for _, null := range spans.Nulls {
		t.nullWords = append(t.nullWords, []byte(null))
		t.wantNull = t.wantNull || null == string(want)
	}
	return t
}

// run keeps the rows that equal the literal, or with want false those that differ and are not NULL.
func (t *spansTest) run(e *Eval, rows, out []int32, want bool) int {
	if t.decode {
		return t.runDecoded(e, rows, out, want)
	}
	if want && !t.wantNull {
		return t.runEqual(e, rows, out)
	}
	k := 0
	for i := range out {
		row := i
		if rows != nil {
			row = int(rows[i])
		}
		raw := t.spans.Raw(row, t.cell)
		out[k] = int32(row)
		if len(raw) > 0 && int(raw[0]) == t.quote {
			k += bit(t.decoded(e, row, want))
			continue
		}
		k += bit(bytes.Equal(raw, t.want) == want && !t.isNull(raw))
	}
	return k
}

func (t *spansTest) isNull(raw []byte) bool {
	for _, null := range t.nullWords {
		if bytes.Equal(raw, null) {
			return true
		}
	}
	return false
}

// decoded compares one cell the slow way.
func (t *spansTest) decoded(e *Eval, row int, want bool) bool {
	var text []byte
	var null bool
	text, null, e.scratch = t.spans.Text(row, t.cell, e.scratch[:0])
	return !null && bytes.Equal(text, t.want) == want
}

func (t *spansTest) runDecoded(e *Eval, rows, out []int32, want bool) int {
	k := 0
	for i := range out {
		row := i
		if rows != nil {
			row = int(rows[i])
		}
		out[k] = int32(row)
		k += bit(t.decoded(e, row, want))
	}
	return k
}
