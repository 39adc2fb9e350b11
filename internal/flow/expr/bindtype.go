package expr

import (
	"fmt"
	"strings"

	"github.com/tapeline/tapeline/batch"
)

// decimalScaleOf returns the fractional digits of a number literal, and its digits in all.
func decimalScaleOf(literal string) (precision, scale int, ok bool) {
	mantissa, exponent := literal, 0
	if i := strings.IndexAny(literal, "eE"); i >= 0 {
		if _, err := fmt.Sscan(literal[i+1:], &exponent); err != nil {
			return 0, 0, false
		}
		mantissa = literal[:i]
	}
	mantissa = strings.TrimPrefix(mantissa, "-")
	whole, fraction, _ := strings.Cut(mantissa, ".")
	scale = max(0, len(fraction)-exponent)
	precision = max(len(strings.TrimLeft(whole, "0"))+exponent, 0) + scale
	return max(1, precision, scale), scale, scale <= 38 && precision <= 38
}

// decimalOf returns the decimal type that holds a node's numbers exactly.
func decimalOf(n *node) (batch.Type, bool) {
	if n.literal != "" {
		precision, scale, ok := decimalScaleOf(n.literal)
		if !ok {
			return batch.Type{}, false
		}
		return batch.DecimalOf(precision, scale), true
	}
	switch t := widened(n.typ); t.Kind {
	case batch.Int64:
		return batch.DecimalOf(19, 0), true
	case batch.Uint64:
		return batch.DecimalOf(20, 0), true
	case batch.Decimal:
		return t, true
	}
	return batch.Type{}, false
}

// numericKind returns the kind in which two numbers are computed.
func numericKind(x, y *node) batch.Kind {
	kx, ky := widened(x.typ).Kind, widened(y.typ).Kind
	if kx == ky {
		return kx
	}
	if kx > ky {
		x, kx, ky = y, ky, kx
	}
	// From here kx < ky in the order Int64, Uint64, Float64, Decimal.
	switch {
	case ky == batch.Decimal && kx == batch.Float64 && x.literal == "":
		return batch.Float64
	case ky == batch.Decimal:
		return batch.Decimal
	case ky == batch.Float64:
		return batch.Float64
	case x.literal != "" && x.constant.int() >= 0:
		return batch.Uint64
	}
	return batch.Int64
}

// arithmetic binds an operator on two numbers.
func (b *binder) arithmetic(op arithmetic, x, y *node, at span) *node {
	for _, n := range []*node{x, y} {
		if b.err == nil && n.typ.Kind != batch.Null && n.typ.Kind != batch.JSON && !n.typ.Numeric() {
			return b.fail(n.at, arithmeticHint(n), "%q needs numbers, this is %s",
				arithmeticNames[op], n.typ)
		}
	}
	x, y = b.jsonNumber(x), b.jsonNumber(y)
	if x.typ.Kind == batch.Null {
		x = &node{op: opConstant, typ: widened(y.typ), constant: nullValue(), at: x.at}
	}
	if y.typ.Kind == batch.Null {
		y = &node{op: opConstant, typ: widened(x.typ), constant: nullValue(), at: y.at}
	}
	kind := numericKind(x, y)
	if x.typ.Kind == batch.Null {
		return b.null(at)
	}
	out := &node{op: opArithmetic, arithmetic: op, at: at}
	switch kind {
	case batch.Decimal:
		return b.decimalArithmetic(out, x, y)
	case batch.Int64, batch.Uint64:
		if op == divide {
			kind, out.checkZero = batch.Float64, true
		}
	}
	out.typ = batch.Of(kind)
	out.args = []*node{b.coerce(x, out.typ), b.coerce(y, out.typ)}
	return b.folded(out)
}

func (b *binder) jsonNumber(n *node) *node {
	if n.typ.Kind == batch.JSON {
		return b.coerce(n, batch.Of(batch.Float64))
	}
	return n
}

func arithmeticHint(n *node) string {
	switch n.typ.Kind {
	case batch.String:
		return "convert it with int(...), float(...) or decimal(..., precision, scale)"
	case batch.Date, batch.Timestamp, batch.Time, batch.Duration:
		return "use date_add(x, n, 'day') or date_diff('day', a, b)"
	case batch.Bool:
		return "write condition ? 1 : 0"
	}
	return ""
}

// Scales of decimal results: + and - and % keep the larger, * adds both, / takes six more than
// the larger one (at most 38), rounding half away from zero.
func (b *binder) decimalArithmetic(out, x, y *node) *node {
	tx, okX := decimalOf(x)
	ty, okY := decimalOf(y)
	if !okX || !okY {
		return b.fail(out.at, "", "number has more than 38 digits")
	}
	wholeX, wholeY := int(tx.Precision-tx.Scale), int(ty.Precision-ty.Scale)
	scale := int(max(tx.Scale, ty.Scale))
	precision := max(wholeX, wholeY) + scale + 1
	switch out.arithmetic {
	case multiply:
		scale = int(tx.Scale + ty.Scale)
		precision = int(tx.Precision) + int(ty.Precision)
		if scale > 38 {
			return b.fail(out.at, "lower the scales with decimal(x, precision, scale)",
				"the product has %d fractional digits, the limit is 38", scale)
		}
	case divide:
		scale = min(38, scale+6)
		precision = 38
	case remainder:
		precision--
	}
	out.typ = batch.DecimalOf(min(38, max(precision, scale, 1)), scale)
	out.args = []*node{b.coerce(x, tx), b.coerce(y, ty)}
	return b.folded(out)
}

// plus adds numbers and joins texts.
func (b *binder) plus(x, y *node, at span) *node {
	if x.typ.Kind != batch.String && y.typ.Kind != batch.String {
		return b.arithmetic(add, x, y, at)
	}
	for _, n := range []*node{x, y} {
		if k := n.typ.Kind; k != batch.String && k != batch.Null && k != batch.JSON {
			return b.fail(n.at, "convert it with to_string(...), or use concat(...)",
				"\"+\" joins texts, this is %s", n.typ)
		}
	}
	text := batch.Of(batch.String)
	return b.folded(&node{
		op: opArithmetic, arithmetic: concatenate, typ: text, at: at,
		args: []*node{b.coerce(x, text), b.coerce(y, text)},
	})
}

func (b *binder) textTest(test textTest, x, y *node, at span) *node {
	text := batch.Of(batch.String)
	for _, n := range []*node{x, y} {
		if k := n.typ.Kind; k != batch.String && k != batch.Null && k != batch.JSON {
			return b.fail(n.at, "convert it with to_string(...); to look in a list write x in list",
				"%s tests texts, this is %s", textTestNames[test], n.typ)
		}
	}
	return b.folded(&node{
		op: opText, text: test, typ: batch.Of(batch.Bool), at: at,
		args: []*node{b.coerce(x, text), b.coerce(y, text)},
	})
}

var textTestNames = [...]string{"contains", "startsWith", "endsWith"}

// comparison binds one of the six comparisons.
func (b *binder) comparison(c comparison, x, y *node, at span) *node {
	if x.typ.Kind == batch.Null || y.typ.Kind == batch.Null {
		return b.compareNull(c, x, y, at)
	}
	if x.op == opConstant && y.op != opConstant {
		x, y, c = y, x, c.swapped()
	}
	x, y = b.comparable(x, y, at)
	n := &node{op: opCompare, compare: c, typ: batch.Of(batch.Bool), args: []*node{x, y}, at: at}
	return b.folded(n)
}

// compareNull: == nil and != nil ask for NULL, an order with NULL is NULL.
func (b *binder) compareNull(c comparison, x, y *node, at span) *node {
	if x.typ.Kind == batch.Null {
		x = y
	}
	switch c {
	case equal:
		return b.isNull(x, at)
	case notEqual:
		return b.not(b.isNull(x, at))
	}
	return &node{op: opConstant, typ: batch.Of(batch.Bool), constant: nullValue(), at: at}
}

// comparable brings two operands to types that compare: numbers of any kinds, otherwise one type.
func (b *binder) comparable(x, y *node, at span) (*node, *node) {
	x, y = b.jsonAs(x, y), b.jsonAs(y, x)
	switch {
	case x.typ.Numeric() && y.typ.Numeric():
		return b.comparableNumbers(x, y)
	case x.typ.Text() && y.typ.Text() && x.typ.Kind != batch.JSON && y.typ.Kind != batch.JSON,
		x.typ.Kind == batch.Bool && y.typ.Kind == batch.Bool:
		return x, y
	case moment(x.typ) && moment(y.typ):
		typ, ok := commonMoment(x.typ, y.typ)
		if ok {
			return b.coerce(x, typ), b.coerce(y, typ)
		}
	case moment(x.typ) && y.op == opConstant && y.typ.Kind == batch.String:
		return b.comparableText(x, y)
	case moment(y.typ) && x.op == opConstant && x.typ.Kind == batch.String:
		y, x = b.comparableText(y, x)
		return x, y
	}
	n := b.fail(at, comparableHint(x, y), "%s does not compare with %s", x.typ, y.typ)
	return n, n
}

// comparableText reads a text literal as the moment it is compared with. A date compared with a
// text that has a time of day is compared as a timestamp.
func (b *binder) comparableText(x, y *node) (moment, literal *node) {
	text := y.constant.text
	if x.typ.Kind != batch.Date && x.typ.Kind != batch.Timestamp {
		return x, b.coerce(y, x.typ)
	}
	if _, ok := batch.ParseDate(text); ok && x.typ.Kind == batch.Date {
		return x, b.coerce(y, x.typ)
	}
	// The coarsest type from x's own on that holds the text exactly.
	for _, zone := range []string{x.typ.Zone, "UTC"} {
		for unit := x.typ.Unit; unit <= batch.Nanosecond; unit++ {
			typ := batch.TimestampOf(unit, zone)
			if _, ok := batch.ParseTimestamp(text, typ); ok {
				return b.coerce(x, typ), b.coerce(y, typ)
			}
		}
	}
	return x, b.coerce(y, x.typ)
}

// jsonAs reads a JSON value as the other operand's type.
func (b *binder) jsonAs(n, other *node) *node {
	if n.typ.Kind != batch.JSON || other.typ.Kind == batch.JSON || other.typ.Nested() {
		return n
	}
	return b.coerce(n, widened(other.typ))
}

func comparableHint(x, y *node) string {
	if x.typ.Kind == batch.String {
		x, y = y, x
	}
	switch {
	case y.typ.Kind == batch.String && y.op == opConstant && x.typ.Numeric():
		return "write the number without quotes"
	case y.typ.Kind == batch.String && x.typ.Numeric():
		return "convert the text with int(...), float(...) or decimal(..., precision, scale)"
	case y.typ.Kind == batch.String && moment(x.typ):
		return "convert the text with date(...) or timestamp(...)"
	case y.typ.Kind == batch.String && x.typ.Kind == batch.Bool:
		return "write true or false without quotes"
	case x.typ.Kind == batch.JSON || y.typ.Kind == batch.JSON:
		return "compare a part of it, as in json_value(x, '$.name')"
	}
	return ""
}

func (b *binder) comparableNumbers(x, y *node) (*node, *node) {
	x, y = b.widen(x), b.widen(y)
	if y.literal == "" || x.typ.Kind == y.typ.Kind && x.typ.Kind != batch.Decimal {
		return x, y
	}
	// A literal takes the other side's type where it loses nothing; otherwise kinds are compared.
	if c, ok := literalAs(y, x.typ); ok {
		return x, c
	}
	if x.typ.Kind == batch.Decimal {
		if typ, ok := decimalOf(y); ok {
			return x, b.coerce(y, typ)
		}
	}
	return x, y
}

// literalAs returns a number literal in another numeric type when that is exact.
func literalAs(n *node, typ batch.Type) (*node, bool) {
	from := n.typ
	v := n.constant
	if typ.Kind == batch.Decimal {
		d, ok := batch.ParseDecimal([]byte(n.literal), int32(typ.Precision), int32(typ.Scale))
		if !ok {
			return nil, false
		}
		return &node{op: opConstant, typ: typ, constant: decimalValue(d), at: n.at}, true
	}
	out, reason := cast(from, typ, v)
	if reason != "" {
		return nil, false
	}
	if order, ok := compareNumbers(from, v, typ, out); !ok || order != 0 {
		return nil, false
	}
	return &node{op: opConstant, typ: typ, constant: out, at: n.at, literal: n.literal}, true
}

// widen returns a number as Int64, Uint64, Float64 or Decimal.
func (b *binder) widen(n *node) *node { return b.coerce(n, widened(n.typ)) }

func moment(t batch.Type) bool {
	return t.Kind == batch.Date || t.Kind == batch.Time || t.Kind == batch.Timestamp ||
		t.Kind == batch.Duration
}

// commonMoment returns the type in which two moments compare: the finer unit; a date is its
// midnight; a timestamp without zone counts as UTC beside one with a zone.
func commonMoment(x, y batch.Type) (batch.Type, bool) {
	switch {
	case x.Kind == batch.Date && y.Kind == batch.Timestamp:
		return y, true
	case x.Kind == batch.Timestamp && y.Kind == batch.Date:
		return x, true
	case x.Kind != y.Kind:
		return batch.Type{}, false
	}
	out := x
	out.Unit = max(x.Unit, y.Unit)
	if x.Zone != y.Zone {
		out.Zone = "UTC"
	}
	return out, true
}

// unified brings values that stand for one another to one type.
func (b *binder) unified(args []*node, at span, what string) []*node {
	typ := batch.Of(batch.Null)
	for i, n := range args {
		common, ok := b.common(typ, n, args[:i])
		if !ok && b.err == nil {
			b.fail(at, "", "%s differ in type: %s and %s", what, typ, n.typ)
		}
		typ = common
	}
	if typ.Kind == batch.Foreign {
		b.fail(at, "", "%s cannot be of type %s", what, typ)
	}
	out := make([]*node, len(args))
	for i, n := range args {
		out[i] = b.coerce(n, typ)
	}
	return out
}

// common returns the type that holds values of typ and of n without loss of meaning.
func (b *binder) common(typ batch.Type, n *node, before []*node) (batch.Type, bool) {
	nt := widened(n.typ)
	switch {
	case nt.Kind == batch.Null:
		return typ, true
	case typ.Kind == batch.Null, typ.Equal(nt):
		return nt, true
	case typ.Numeric() && nt.Numeric():
		return commonNumber(typ, n, before)
	case moment(typ) && moment(nt):
		return commonMoment(typ, nt)
	case moment(typ) && n.op == opConstant && nt.Kind == batch.String:
		return typ, true
	}
	return batch.Type{}, false
}

func commonNumber(typ batch.Type, n *node, before []*node) (batch.Type, bool) {
	sofar := &node{typ: typ}
	if len(before) == 1 {
		sofar = before[0]
	}
	kind := numericKind(sofar, n)
	if kind != batch.Decimal {
		return batch.Of(kind), true
	}
	x, okX := decimalOf(sofar)
	y, okY := decimalOf(n)
	scale := max(x.Scale, y.Scale)
	whole := max(x.Precision-x.Scale, y.Precision-y.Scale)
	return batch.DecimalOf(int(min(38, whole+scale)), int(scale)), okX && okY
}

// coerce returns n as typ; constants are converted now, with an error at their place.
func (b *binder) coerce(n *node, typ batch.Type) *node {
	if n.typ.Equal(typ) || b.err != nil {
		return n
	}
	if n.op != opConstant {
		return newCast(n, typ)
	}
	out := &node{op: opConstant, typ: typ, constant: nullValue(), at: n.at}
	if n.constant.null || n.typ.Kind == batch.Null {
		return out
	}
	reason := ""
	if n.literal != "" && typ.Kind == batch.Decimal {
		out.constant, reason = cast(batch.Of(batch.String), typ, stringValue(n.literal))
	} else {
		out.constant, reason = cast(n.typ, typ, n.constant)
	}
	if reason != "" {
		return b.fail(n.at, "", "%s", reason)
	}
	if n.literal != "" && typ.Numeric() {
		out.literal = n.literal
	}
	return out
}

// newCast makes an opCast; the zone it needs is loaded once.
func newCast(n *node, typ batch.Type) *node {
	out := &node{op: opCast, typ: typ, args: []*node{n}, at: n.at}
	if n.typ.Kind == batch.Date || typ.Kind == batch.Date {
		if out.zone = zoneOf(typ); out.zone == nil {
			out.zone = zoneOf(n.typ)
		}
	}
	return out
}

// cast converts a value of an opCast's argument.
func (n *node) cast(v value) (value, string) {
	from := n.args[0].typ
	if n.zone == nil || !moment(from) {
		return cast(from, n.typ, v)
	}
	out, ok := castMoment(from, n.typ, v, n.zone)
	if !ok {
		return nullValue(), unfit(from, n.typ, v)
	}
	return out, ""
}
