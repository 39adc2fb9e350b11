package avro

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"math/big"

	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"github.com/tapeline/tapeline/batch"
)

// cursor reads the binary encoding of a block. After a problem it returns zeros; what was appended
// since is dropped with the block.
type cursor struct {
	data  []byte
	at    int
	items int // of arrays and maps, still allowed in this batch
	err   error
}

// maxItems bounds the elements of one batch's arrays and maps: an item may take no byte.
const maxItems = 1 << 25

func (c *cursor) fail(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf(format, args...)
	}
	c.at = len(c.data)
}

// long reads a zigzag number of up to ten bytes.
func (c *cursor) long() int64 {
	if c.at < len(c.data) && c.data[c.at] < 0x80 {
		v := uint64(c.data[c.at])
		c.at++
		return int64(v>>1) ^ -int64(v&1)
	}
	v, n := binary.Uvarint(c.data[c.at:])
	if n <= 0 {
		c.fail("a number is cut short at byte %d of the block", c.at)
		return 0
	}
	c.at += n
	return int64(v>>1) ^ -int64(v&1)
}

// take returns the next n bytes.
func (c *cursor) take(n int64) []byte {
	if n < 0 || n > int64(len(c.data)-c.at) {
		c.fail("a value of %d bytes at byte %d of a block of %d", n, c.at, len(c.data))
		return nil
	}
	out := c.data[c.at : c.at+int(n)]
	c.at += int(n)
	return out
}

func (c *cursor) bytes() []byte { return c.take(c.long()) }

func (c *cursor) fixed32() uint32 {
	if b := c.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (c *cursor) fixed64() uint64 {
	if b := c.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// run calls item for each element of the blocks of an array or map.
func (c *cursor) run(item func()) {
	for c.err == nil {
		n := c.long()
		if n < 0 {
			n = -n
			c.long() // bytes of the block, for readers that skip it
		}
		if n == 0 {
			return
		}
		if c.items -= int(min(max(n, 0), maxItems+1)); n < 0 || c.items < 0 {
			c.fail("more than %d elements", maxItems)
			return
		}
		for range n {
			if item(); c.err != nil {
				return
			}
		}
	}
}

// decode appends the next value to a column.
type decode func(c *cursor, a *batch.Appender)

// newDecode compiles the reading of a schema as the type that the mapper gave it.
func newDecode(s *schema, typ batch.Type) decode {
	inner, null := s.nullable()
	if null < 0 {
		return newPlainDecode(inner, typ)
	}
	value := newPlainDecode(inner, typ)
	return func(c *cursor, a *batch.Appender) {
		switch branch := c.long(); branch {
		case int64(null):
			a.Null()
		case int64(1 - null):
			value(c, a)
		default:
			c.fail("branch %d of a union of 2", branch)
		}
	}
}

func newPlainDecode(s *schema, typ batch.Type) decode {
	switch {
	case typ.Kind == batch.JSON:
		return decodeJSON(s)
	case s.kind == "array":
		item := newDecode(s.items, typ.Fields[0].Type)
		return func(c *cursor, a *batch.Appender) {
			element := a.Element(0)
			c.run(func() { item(c, element) })
			a.List()
		}
	case s.kind == "map":
		value := newDecode(s.items, typ.Fields[1].Type)
		return func(c *cursor, a *batch.Appender) {
			keys, values := a.Element(0), a.Element(1)
			c.run(func() {
				keys.Bytes(c.bytes())
				value(c, values)
			})
			a.List()
		}
	case s.kind == "record":
		members := make([]decode, len(s.fields))
		for i, f := range s.fields {
			members[i] = newDecode(f.typ, typ.Fields[i].Type)
		}
		return func(c *cursor, a *batch.Appender) {
			for i, member := range members {
				member(c, a.Element(i))
			}
			a.Struct()
		}
	case s.kind == "bytes" || s.kind == "fixed":
		return decodeBytes(s, typ)
	}
	return decodeScalar(s, typ)
}

func decodeScalar(s *schema, typ batch.Type) decode {
	switch s.kind {
	case "null":
		return func(_ *cursor, a *batch.Appender) { a.Null() }
	case "boolean":
		return func(c *cursor, a *batch.Appender) {
			b := c.take(1)
			a.Bool(len(b) == 1 && b[0] != 0)
		}
	case "int":
		factor := int64(1)
		if typ.Kind == batch.Time {
			factor = 1000 // milliseconds in the file, microseconds in a batch
		}
		return func(c *cursor, a *batch.Appender) {
			v := c.long()
			if v != int64(int32(v)) {
				c.fail("%d is no int", v)
			}
			a.Int(v * factor)
		}
	case "long":
		return func(c *cursor, a *batch.Appender) { a.Int(c.long()) }
	case "float":
		return func(c *cursor, a *batch.Appender) { a.Float(float64(math.Float32frombits(c.fixed32()))) }
	case "double":
		return func(c *cursor, a *batch.Appender) { a.Float(math.Float64frombits(c.fixed64())) }
	case "enum":
		return func(c *cursor, a *batch.Appender) { a.Text(s.symbol(c)) }
	}
	return func(c *cursor, a *batch.Appender) { a.Bytes(c.bytes()) }
}

func (s *schema) symbol(c *cursor) string {
	i := c.long()
	if i < 0 || i >= int64(len(s.symbols)) {
		c.fail("symbol %d of enum %s of %d", i, s.name, len(s.symbols))
		return ""
	}
	return s.symbols[i]
}

func decodeBytes(s *schema, typ batch.Type) decode {
	read := (*cursor).bytes
	if s.kind == "fixed" {
		read = func(c *cursor) []byte { return c.take(int64(s.size)) }
	}
	switch {
	case typ.Kind == batch.Decimal:
		return func(c *cursor, a *batch.Appender) {
			v, ok := readDecimal(read(c))
			if !ok {
				c.fail("a decimal of more than 128 bits")
			}
			a.Decimal(v)
		}
	case typ.Kind == batch.String && s.logical == "uuid":
		return func(c *cursor, a *batch.Appender) { a.Text(uuidText(read(c))) }
	case typ.Kind == batch.String:
		return func(c *cursor, a *batch.Appender) { a.Text(wideDecimal(read(c), s.scale)) }
	}
	return func(c *cursor, a *batch.Appender) { a.Bytes(read(c)) }
}

// readDecimal reads a big-endian two's complement number.
func readDecimal(value []byte) (decimal128.Num, bool) {
	const width = 16
	sign := byte(0)
	if len(value) > 0 && value[0]&0x80 != 0 {
		sign = 0xff
	}
	for len(value) > width {
		if value[0] != sign || value[1]&0x80 != sign&0x80 {
			return decimal128.Num{}, false
		}
		value = value[1:]
	}
	wide := [width]byte{}
	for i := range width - len(value) {
		wide[i] = sign
	}
	copy(wide[width-len(value):], value)
	return decimal128.New(int64(binary.BigEndian.Uint64(wide[:8])), binary.BigEndian.Uint64(wide[8:])), true
}

// wideDecimal spells a decimal of any number of digits.
func wideDecimal(value []byte, scale int) string {
	v := new(big.Int).SetBytes(value)
	if len(value) > 0 && value[0]&0x80 != 0 {
		v.Sub(v, new(big.Int).Lsh(big.NewInt(1), uint(8*len(value))))
	}
	sign, digits := "", new(big.Int).Abs(v).String()
	if v.Sign() < 0 {
		sign = "-"
	}
	for len(digits) <= scale {
		digits = "0" + digits
	}
	if scale == 0 {
		return sign + digits
	}
	return sign + digits[:len(digits)-scale] + "." + digits[len(digits)-scale:]
}

func uuidText(value []byte) string {
	const uuidBytes = 16
	text := hex.EncodeToString(value)
	if len(value) != uuidBytes {
		return text
	}
	return text[:8] + "-" + text[8:12] + "-" + text[12:16] + "-" + text[16:20] + "-" + text[20:]
}

// decodeJSON reads what has no type of its own, unions and recursive records, as JSON text.
func decodeJSON(s *schema) decode {
	return func(c *cursor, a *batch.Appender) {
		v := s.value(c, 0)
		if v == nil && s.kind == "union" {
			a.Null()
			return
		}
		text, err := json.Marshal(v)
		if err != nil {
			c.fail("a value of a union: %w", err)
		}
		a.Bytes(text)
	}
}

// value reads any value in the form that JSON has for it.
func (s *schema) value(c *cursor, depth int) any {
	const maxDepth = 200
	if depth++; depth > maxDepth {
		c.fail("values nested deeper than %d", maxDepth)
	}
	if c.err != nil {
		return nil
	}
	switch s.kind {
	case "union":
		i := c.long()
		if i < 0 || i >= int64(len(s.branches)) {
			c.fail("branch %d of a union of %d", i, len(s.branches))
			return nil
		}
		return s.branches[i].value(c, depth)
	case "record":
		members := make(map[string]any, len(s.fields))
		for _, f := range s.fields {
			members[f.name] = f.typ.value(c, depth)
		}
		return members
	case "array":
		list := []any{}
		c.run(func() { list = append(list, s.items.value(c, depth)) })
		return list
	case "map":
		entries := map[string]any{}
		c.run(func() {
			key := string(c.bytes())
			entries[key] = s.items.value(c, depth)
		})
		return entries
	}
	return s.scalarValue(c)
}

// scalarValue reads a scalar by its column form.
func (s *schema) scalarValue(c *cursor) any {
	typ := s.scalar()
	a := batch.NewAppender(typ)
	newPlainDecode(s, typ)(c, a)
	if c.err != nil || typ.Kind == batch.Null {
		return nil
	}
	schema := batch.NewSchema(batch.Field{Name: "v", Type: typ})
	row := batch.AppendRow(nil, batch.New(schema, []*batch.Column{a.Column()}, 1), 0)
	var object struct {
		V json.RawMessage `json:"v"`
	}
	if err := json.Unmarshal(row, &object); err != nil {
		c.fail("a value of a union: %w", err)
	}
	return object.V
}
