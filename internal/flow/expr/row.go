package expr

import (
	"bytes"

	"github.com/tapeline/tapeline/batch"
)

// row evaluates a node for one physical row. A reason other than "" means that the row failed.
func (e *Eval) row(n *node, row int) (v value, reason string) {
	switch n.op {
	case opColumn:
		return e.cell(n.column, row)
	case opConstant:
		return n.constant, ""
	case opAnd, opOr:
		return e.rowLogical(n, row)
	case opNot:
		v, reason = e.row(n.args[0], row)
		if reason != "" || v.null {
			return nullValue(), reason
		}
		return boolValue(!v.bool()), ""
	case opIsNull:
		return e.rowIsNull(n.args[0], row)
	case opConditional:
		held, reason := e.holds(n.args[0], row, true)
		switch {
		case reason != "":
			return nullValue(), reason
		case held:
			return e.row(n.args[1], row)
		}
		return e.row(n.args[2], row)
	case opCoalesce:
		for _, arg := range n.args {
			v, reason = e.row(arg, row)
			if reason != "" || !v.null {
				return v, reason
			}
		}
		return v, ""
	case opCall:
		return e.rowCall(n, row)
	case opElement:
		return e.frame.element, ""
	case opIndex:
		return intValue(int64(e.frame.index)), ""
	case opList:
		return e.rowList(n, row)
	case opEach:
		return e.rowEach(n, row)
	}
	return e.rowStrict(n, row)
}

// rowStrict evaluates operations that are NULL when an operand is.
func (e *Eval) rowStrict(n *node, row int) (v value, reason string) {
	var operands [2]value
	null := false
	for i, arg := range n.args {
		if operands[i], reason = e.row(arg, row); reason != "" {
			return nullValue(), reason
		}
		null = null || operands[i].null
	}
	if null {
		return nullValue(), ""
	}
	a, b := operands[0], operands[1]
	switch n.op {
	case opCompare:
		order, ok := compareValues(n.args[0].typ, a, n.args[1].typ, b)
		return boolValue(compareHolds(n.compare, order, ok)), ""
	case opArithmetic:
		if n.arithmetic == concatenate {
			start := len(e.frame.arena)
			e.frame.arena = append(append(e.frame.arena, a.text...), b.text...)
			return textValue(e.frame.arena[start:]), ""
		}
		v, reason = calculate(n, a, b)
		return v, e.because(n, reason)
	case opCast:
		v, reason = n.cast(a)
		if reason != "" && n.try {
			return nullValue(), ""
		}
		return v, e.because(n, reason)
	case opIn:
		return inSet(n, a), ""
	case opText:
		return boolValue(testText(n.text, a.text, b.text)), ""
	case opMember:
		return load(a.column.Children()[n.column], int(a.low)), ""
	}
	panic("expr: operation without a row form")
}

// compareHolds applies a comparison; beside NaN only != holds.
func compareHolds(c comparison, order int, ok bool) bool {
	if !ok {
		return c == notEqual
	}
	return c.holds(order)
}

func inSet(n *node, v value) value {
	switch {
	case n.set.has(n.args[0].typ, v):
		return boolValue(true)
	case n.set.null:
		return nullValue()
	}
	return boolValue(false)
}

func testText(test textTest, text, part []byte) bool {
	switch test {
	case contains:
		return bytes.Contains(text, part)
	case startsWith:
		return bytes.HasPrefix(text, part)
	}
	return bytes.HasSuffix(text, part)
}

// rowLogical is Kleene's AND and OR; the right side is not evaluated where the left decides.
func (e *Eval) rowLogical(n *node, row int) (value, string) {
	decisive := n.op == opOr
	left, reason := e.row(n.args[0], row)
	if reason != "" || !left.null && left.bool() == decisive {
		return left, reason
	}
	right, reason := e.row(n.args[1], row)
	if reason != "" || !right.null && right.bool() == decisive {
		return right, reason
	}
	if left.null || right.null {
		return nullValue(), ""
	}
	return boolValue(!decisive), ""
}

// rowIsNull looks at a lazy cell without reading it as its type.
func (e *Eval) rowIsNull(n *node, row int) (value, string) {
	if n.op == opColumn {
		if c := e.b.Column(n.column); c.Lazy() {
			spans, cell := c.Spans()
			_, null, _ := spans.Text(row, cell, nil)
			return boolValue(null), ""
		}
	}
	v, reason := e.row(n, row)
	return boolValue(v.null), reason
}

// holds reports whether a condition is want (true or false) for a row, as narrow decides it: the
// right side of AND and OR is evaluated only where the left leaves the answer open.
func (e *Eval) holds(n *node, row int, want bool) (held bool, reason string) {
	switch n.op {
	case opNot:
		return e.holds(n.args[0], row, !want)
	case opAnd, opOr:
		left, reason := e.holds(n.args[0], row, want)
		// AND is true, and OR false, where both sides are; otherwise one side is enough.
		both := (n.op == opAnd) == want
		if reason != "" || left != both {
			return left, reason
		}
		return e.holds(n.args[1], row, want)
	case opConditional:
		condition, reason := e.holds(n.args[0], row, true)
		switch {
		case reason != "":
			return false, reason
		case condition:
			return e.holds(n.args[1], row, want)
		}
		return e.holds(n.args[2], row, want)
	}
	v, reason := e.row(n, row)
	return reason == "" && !v.null && v.bool() == want, reason
}

// cell reads one cell; a lazy one is parsed on its own.
func (e *Eval) cell(column, row int) (value, string) {
	c := e.b.Column(column)
	if !c.Lazy() {
		return load(c, row), ""
	}
	spans, cell := c.Spans()
	one := *spans
	one.Offsets = spans.Offsets[row*spans.Stride : (row+1)*spans.Stride]
	typed, bad := batch.LazyColumn(c.Type(), &one, cell).Typed(nil)
	if len(bad) > 0 {
		e.badColumn = e.b.Schema().Field(column).Name
		return nullValue(), bad[0].Reason
	}
	return load(typed, 0), ""
}

func (e *Eval) rowCall(n *node, row int) (value, string) {
	args := make([]value, len(n.args))
	null := false
	for i, arg := range n.args {
		v, reason := e.row(arg, row)
		if reason != "" {
			return nullValue(), reason
		}
		args[i] = v
		null = null || v.null
	}
	if null && n.strict {
		return nullValue(), ""
	}
	v, reason := n.run(&e.frame, args)
	return v, e.because(n, reason)
}

func (e *Eval) rowList(n *node, row int) (value, string) {
	elements := make([]value, len(n.args))
	for i, arg := range n.args {
		v, reason := e.row(arg, row)
		if reason != "" {
			return nullValue(), reason
		}
		elements[i] = v
	}
	return listValue(elements), ""
}

// rowEach runs a predicate over the elements of a list. NULL counts as false, as in a filter.
func (e *Eval) rowEach(n *node, row int) (value, string) {
	list, reason := e.row(n.args[0], row)
	if reason != "" || list.null {
		return nullValue(), reason
	}
	outer, outerIndex := e.frame.element, e.frame.index
	defer func() { e.frame.element, e.frame.index = outer, outerIndex }()
	var kept []value
	matched := 0
	for i := range list.length() {
		element := list.element(i)
		e.frame.element, e.frame.index = element, i
		v, reason := e.row(n.args[1], row)
		if reason != "" {
			return nullValue(), reason
		}
		if n.name == "map" {
			kept = append(kept, v)
			continue
		}
		if v.null || !v.bool() {
			continue
		}
		matched++
		kept = append(kept, element)
	}
	return eachResult(n.name, kept, matched, list.length()), ""
}

func eachResult(name string, kept []value, matched, length int) value {
	switch name {
	case "map", "filter":
		return listValue(kept)
	case "find":
		if matched == 0 {
			return nullValue()
		}
		return kept[0]
	case "count":
		return intValue(int64(matched))
	case "all":
		return boolValue(matched == length)
	case "any":
		return boolValue(matched > 0)
	case "none":
		return boolValue(matched == 0)
	}
	return boolValue(matched == 1)
}
