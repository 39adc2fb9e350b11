package json

import (
	"fmt"
	"slices"

	"github.com/tapeline/tapeline/batch"
)

// nestedDecoder returns the batch.Spans.Decode of cells that hold objects and arrays.
func nestedDecoder(
	extra Extra,
) func(*batch.Spans, int, batch.Type, []int32) (*batch.Column, []batch.RowError) {
	return func(
		spans *batch.Spans, cell int, typ batch.Type, rows []int32,
	) (*batch.Column, []batch.RowError) {
		n := nested{ignore: extra == Ignore}
		return n.column(spans, cell, typ, rows)
	}
}

// nested reads checked JSON text as a nested type. Each value appends exactly one row, null when
// it does not fit, so that columns stay aligned; what did not fit first is kept in failure.
type nested struct {
	ignore  bool // members that a struct type does not name are dropped
	scratch []byte
	failure string
}

func (n *nested) column(
	spans *batch.Spans, cell int, typ batch.Type, rows []int32,
) (*batch.Column, []batch.RowError) {
	appender := batch.NewAppender(typ)
	var bad []batch.RowError
	count := spans.Rows()
	if rows != nil {
		count = len(rows)
	}
	for i := range count {
		row := i
		if rows != nil {
			row = int(rows[i])
		}
		for appender.Len() < row {
			appender.Null()
		}
		raw := spans.Raw(row, cell)
		if len(raw) == 0 {
			appender.Null()
			continue
		}
		n.failure = ""
		n.value(appender, raw, 0)
		if n.failure != "" {
			bad = append(bad, batch.RowError{Row: row, Reason: n.failure})
		}
	}
	for appender.Len() < spans.Rows() {
		appender.Null()
	}
	return withNulls(appender.Column(), bad), bad
}

// withNulls returns the column with the refused rows null.
func withNulls(c *batch.Column, bad []batch.RowError) *batch.Column {
	if len(bad) == 0 {
		return c
	}
	valid := batch.NewBitmapSet(c.Len())
	if v := c.Validity(); v != nil {
		copy(valid, v)
	}
	for _, e := range bad {
		valid.Clear(e.Row)
	}
	if c.Type().Kind == batch.Struct {
		return batch.StructColumn(c.Type(), c.Len(), c.Children(), valid)
	}
	return batch.ListColumn(c.Type(), c.Offsets(), c.Children(), valid)
}

func (n *nested) refuse(a *batch.Appender, format string, args ...any) {
	if n.failure == "" {
		n.failure = fmt.Sprintf(format, args...)
	}
	a.Null()
}

// shown cuts text for messages.
func shown(text []byte) string {
	const most = 60
	if len(text) > most {
		return string(text[:most]) + "..."
	}
	return string(text)
}

// value appends the value at b[i] and returns its end.
func (n *nested) value(a *batch.Appender, b []byte, i int) int {
	typ := a.Type()
	switch ch := b[i]; {
	case ch == 'n':
		a.Null()
		return i + 4
	case ch == '{' && typ.Kind == batch.Struct:
		return n.object(a, b, i)
	case ch == '{' && typ.Kind == batch.Map:
		return n.entries(a, b, i)
	case ch == '[' && typ.Kind == batch.List:
		return n.list(a, b, i)
	}
	end, _ := skipValue(b, i)
	raw := b[i:end]
	switch {
	case typ.Kind == batch.JSON:
		a.Bytes(raw)
	case typ.Nested():
		n.refuse(a, "%s is not a value of type %s", shown(raw), typ)
	default:
		n.scalar(a, raw)
	}
	return end
}

func (n *nested) list(a *batch.Appender, b []byte, i int) int {
	element := a.Element(0)
	i = skipSpace(b, i+1)
	for b[i] != ']' {
		i = skipSpace(b, n.value(element, b, i))
		if b[i] == ',' {
			i = skipSpace(b, i+1)
		}
	}
	a.List()
	return i + 1
}

// key reads the name of the member at b[i]; it is valid until the next call.
func (n *nested) key(b []byte, i int) (name []byte, value int) {
	end, escaped, _ := skipString(b, i+1)
	name = b[i+1 : end-1]
	if escaped {
		n.scratch = batch.AppendUnescapedJSON(n.scratch[:0], name)
		name = n.scratch
	}
	return name, skipSpace(b, skipSpace(b, end)+1)
}

func (n *nested) entries(a *batch.Appender, b []byte, i int) int {
	keys, values := a.Element(0), a.Element(1)
	for i = skipSpace(b, i+1); b[i] != '}'; {
		name, at := n.key(b, i)
		n.text(keys, name)
		i = skipSpace(b, n.value(values, b, at))
		if b[i] == ',' {
			i = skipSpace(b, i+1)
		}
	}
	a.List()
	return i + 1
}

func (n *nested) object(a *batch.Appender, b []byte, i int) int {
	fields := a.Type().Fields
	next := 0
	for i = skipSpace(b, i+1); b[i] != '}'; {
		name, at := n.key(b, i)
		field := findField(fields, name, next)
		switch {
		case field < 0:
			if !n.ignore && n.failure == "" {
				n.failure = fmt.Sprintf("member %q is not in %s", name, a.Type())
			}
			i, _ = skipValue(b, at)
		case a.Element(field).Len() > a.Len():
			if n.failure == "" {
				n.failure = fmt.Sprintf("member %q stands twice", name)
			}
			i, _ = skipValue(b, at)
		default:
			i = n.value(a.Element(field), b, at)
			next = field + 1
		}
		if i = skipSpace(b, i); b[i] == ',' {
			i = skipSpace(b, i+1)
		}
	}
	for field := range fields {
		if member := a.Element(field); member.Len() == a.Len() {
			member.Null()
		}
	}
	a.Struct()
	return i + 1
}

// findField returns the index of the field of that name, looking first where it is expected.
func findField(fields []batch.Field, name []byte, expected int) int {
	if expected < len(fields) && fields[expected].Name == string(name) {
		return expected
	}
	for i := range fields {
		if fields[i].Name == string(name) {
			return i
		}
	}
	return -1
}

// scalar appends a token to a column that is not nested, by the rules of lazy cells.
func (n *nested) scalar(a *batch.Appender, raw []byte) {
	text := raw
	if raw[0] == '"' {
		text = raw[1 : len(raw)-1]
		if slices.Contains(text, '\\') {
			n.scratch = batch.AppendUnescapedJSON(n.scratch[:0], text)
			text = n.scratch
		}
	}
	n.text(a, text)
}

// text appends text read as the column's type.
func (n *nested) text(a *batch.Appender, text []byte) {
	typ, ok := a.Type(), false
	switch kind := typ.Kind; {
	case typ.Text():
		a.Bytes(text)
		return
	case kind == batch.Bool:
		var v bool
		if v, ok = batch.ParseBool(text); ok {
			a.Bool(v)
		}
	case kind == batch.Float32:
		var v float32
		if v, ok = batch.ParseFloat32(text); ok {
			a.Float(float64(v))
		}
	case kind == batch.Float64:
		var v float64
		if v, ok = batch.ParseFloat(text); ok {
			a.Float(v)
		}
	case kind == batch.Decimal:
		v, fits := batch.ParseDecimal(text, int32(typ.Precision), int32(typ.Scale))
		if ok = fits; ok {
			a.Decimal(v)
		}
	case kind == batch.Null:
	default:
		var v int64
		if v, ok = parseInteger(text, typ); ok {
			a.Int(v)
		}
	}
	if !ok {
		n.refuse(a, "%q is not a value of type %s", shown(text), typ)
	}
}

// parseInteger reads integers, dates and times as the int64 that an appender takes.
func parseInteger(text []byte, typ batch.Type) (int64, bool) {
	switch kind := typ.Kind; {
	case kind == batch.Date:
		days, ok := batch.ParseDate(text)
		return int64(days), ok
	case kind == batch.Time:
		return batch.ParseTime(text, typ.Unit)
	case kind == batch.Timestamp:
		return batch.ParseTimestamp(text, typ)
	case kind >= batch.Uint8 && kind <= batch.Uint64:
		v, ok := batch.ParseUint(text)
		return int64(v), ok && v>>(8*typ.Width()-1)>>1 == 0
	}
	v, ok := batch.ParseInt(text)
	shift := 64 - 8*typ.Width()
	return v, ok && v<<shift>>shift == v
}
