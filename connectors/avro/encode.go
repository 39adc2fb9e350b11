package avro

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"math"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"

	"github.com/tapeline/tapeline/batch"
)

// schemaText returns the Avro schema of a batch schema as JSON.
func schemaText(s *batch.Schema) (string, error) {
	w := schemaWriter{}
	node, err := w.record("row", s.Fields())
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(node)
	return string(text), err
}

// schemaWriter numbers the names of nested records, which must be unique.
type schemaWriter struct{ records int }

type object = map[string]any

func (w *schemaWriter) record(name string, fields []batch.Field) (object, error) {
	members := make([]any, len(fields))
	used := map[string]bool{}
	for i, f := range fields {
		typ, err := w.nullable(f)
		if err != nil {
			return nil, fmt.Errorf("column %q: %w", f.Name, err)
		}
		member := object{"name": allowed(f.Name), "type": typ}
		for used[member["name"].(string)] {
			member["name"] = fmt.Sprintf("%s_%d", member["name"], i)
		}
		used[member["name"].(string)] = true
		if f.Nullable {
			member["default"] = nil
		}
		if member["name"] != f.Name {
			member[columnKey] = f.Name
		}
		members[i] = member
	}
	return object{"type": "record", "name": name, "fields": members}, nil
}

// allowed replaces what Avro does not allow in a name.
func allowed(name string) string {
	out := []byte(name)
	for i, ch := range out {
		letter := ch >= 'a' && ch <= 'z' || ch >= 'A' && ch <= 'Z' || ch == '_'
		if !letter && (i == 0 || ch < '0' || ch > '9') {
			out[i] = '_'
		}
	}
	if len(out) == 0 {
		return "_"
	}
	return string(out)
}

func (w *schemaWriter) nullable(f batch.Field) (any, error) {
	typ, err := w.typ(f.Type)
	if err != nil || !f.Nullable || f.Type.Kind == batch.Null {
		return typ, err
	}
	return []any{"null", typ}, nil
}

func (w *schemaWriter) typ(t batch.Type) (any, error) {
	switch t.Kind {
	case batch.List:
		items, err := w.nullable(t.Fields[0])
		return object{"type": "array", "items": items}, err
	case batch.Struct:
		w.records++
		return w.record(fmt.Sprintf("record%d", w.records), t.Fields)
	case batch.Map:
		if t.Fields[0].Type.Kind == batch.String {
			values, err := w.nullable(t.Fields[1])
			return object{"type": "map", "values": values}, err
		}
		w.records++
		items, err := w.record(fmt.Sprintf("entry%d", w.records), t.Fields)
		return object{"type": "array", "items": items}, err
	}
	return scalarText(t)
}

func logical(kind, name string) object { return object{"type": kind, "logicalType": name} }

func scalarText(t batch.Type) (any, error) {
	switch t.Kind {
	case batch.Null:
		return "null", nil
	case batch.Bool:
		return "boolean", nil
	case batch.Int8, batch.Int16, batch.Int32, batch.Uint8, batch.Uint16:
		return "int", nil
	case batch.Int64, batch.Uint32, batch.Duration:
		return "long", nil
	case batch.Uint64:
		return object{"type": "bytes", "logicalType": "decimal", "precision": 20, "scale": 0}, nil
	case batch.Float32:
		return "float", nil
	case batch.Float64:
		return "double", nil
	case batch.Decimal:
		return object{"type": "bytes", "logicalType": "decimal", "precision": t.Precision, "scale": t.Scale}, nil
	case batch.String, batch.JSON:
		return "string", nil
	case batch.Binary:
		return "bytes", nil
	case batch.Date:
		return logical("int", "date"), nil
	case batch.Time:
		return timeText(t)
	case batch.Timestamp:
		name := [...]string{"timestamp-millis", "timestamp-millis", "timestamp-micros", "timestamp-nanos"}[t.Unit]
		if t.Zone == "" {
			name = "local-" + name
		}
		return logical("long", name), nil
	}
	return nil, fmt.Errorf("avro has no type for %s", t)
}

func timeText(t batch.Type) (any, error) {
	switch t.Unit {
	case batch.Second, batch.Millisecond:
		return logical("int", "time-millis"), nil
	case batch.Microsecond:
		return logical("long", "time-micros"), nil
	}
	return nil, errors.New("avro has no time of nanoseconds: cast it to time(us)")
}

// encode appends the value of a row.
type encode func(dst []byte, row int) []byte

// newEncode binds a column's values.
func newEncode(c *batch.Column, nullable bool) encode {
	value := newPlainEncode(c)
	if !nullable || c.Type().Kind == batch.Null {
		return value
	}
	const null, present = 0, 2 // union branches 0 and 1, zigzag
	if c.Validity() == nil {
		return func(dst []byte, row int) []byte { return value(append(dst, present), row) }
	}
	return func(dst []byte, row int) []byte {
		if c.IsNull(row) {
			return append(dst, null)
		}
		return value(append(dst, present), row)
	}
}

func newPlainEncode(c *batch.Column) encode {
	switch t := c.Type(); t.Kind {
	case batch.Null:
		return func(dst []byte, _ int) []byte { return dst }
	case batch.Bool:
		bits := c.Bits()
		return func(dst []byte, row int) []byte {
			if bits.Get(row) {
				return append(dst, 1)
			}
			return append(dst, 0)
		}
	case batch.Float32:
		values := batch.Values[float32](c)
		return func(dst []byte, row int) []byte {
			return binary.LittleEndian.AppendUint32(dst, math.Float32bits(values[row]))
		}
	case batch.Float64:
		values := batch.Values[float64](c)
		return func(dst []byte, row int) []byte {
			return binary.LittleEndian.AppendUint64(dst, math.Float64bits(values[row]))
		}
	case batch.Decimal:
		values := batch.Values[decimal128.Num](c)
		return func(dst []byte, row int) []byte { return appendDecimal(dst, values[row]) }
	case batch.Uint64:
		values := batch.Values[uint64](c)
		return func(dst []byte, row int) []byte { return appendDecimal(dst, decimal128.FromU64(values[row])) }
	case batch.List, batch.Map:
		return encodeList(c)
	case batch.Struct:
		return encodeStruct(c)
	}
	return encodeSimple(c)
}

func encodeSimple(c *batch.Column) encode {
	t := c.Type()
	if t.Text() {
		return func(dst []byte, row int) []byte {
			text := c.Bytes(row)
			return append(binary.AppendVarint(dst, int64(len(text))), text...)
		}
	}
	if t.Width() == 8 {
		factor := int64(1)
		if t.Unit == batch.Second && (t.Kind == batch.Timestamp || t.Kind == batch.Time) {
			factor = 1000 // Avro's smallest unit is the millisecond
		}
		values := batch.Values[int64](c)
		return func(dst []byte, row int) []byte { return binary.AppendVarint(dst, values[row]*factor) }
	}
	if t.Kind >= batch.Uint8 && t.Kind <= batch.Uint32 {
		return func(dst []byte, row int) []byte { return binary.AppendVarint(dst, int64(c.Uint(row))) }
	}
	return func(dst []byte, row int) []byte { return binary.AppendVarint(dst, c.Int(row)) }
}

func encodeStruct(c *batch.Column) encode {
	members := make([]encode, len(c.Children()))
	for i, child := range c.Children() {
		members[i] = newEncode(child, c.Type().Fields[i].Nullable)
	}
	return func(dst []byte, row int) []byte {
		for _, member := range members {
			dst = member(dst, row)
		}
		return dst
	}
}

// encodeList writes a list or map as one block and its end.
func encodeList(c *batch.Column) encode {
	members := make([]encode, len(c.Children()))
	for i, child := range c.Children() {
		members[i] = newEncode(child, c.Type().Fields[i].Nullable)
	}
	offsets := c.Offsets()
	return func(dst []byte, row int) []byte {
		from, to := int(offsets[row]), int(offsets[row+1])
		if to > from {
			dst = binary.AppendVarint(dst, int64(to-from))
		}
		for i := from; i < to; i++ {
			for _, member := range members {
				dst = member(dst, i)
			}
		}
		return append(dst, 0)
	}
}

// appendDecimal writes a number as the fewest bytes of big-endian two's complement.
func appendDecimal(dst []byte, v decimal128.Num) []byte {
	wide := binary.BigEndian.AppendUint64(make([]byte, 0, 16), uint64(v.HighBits()))
	wide = binary.BigEndian.AppendUint64(wide, v.LowBits())
	for len(wide) > 1 && (wide[0] == 0 && wide[1] < 0x80 || wide[0] == 0xff && wide[1] >= 0x80) {
		wide = wide[1:]
	}
	return append(binary.AppendVarint(dst, int64(len(wide))), wide...)
}

// compressor packs blocks.
type compressor struct {
	codec string
	flate *flate.Writer
	zstd  *zstd.Encoder
	out   bytes.Buffer
}

// codecName is the codec's name in a file.
func codecName(compression string) string {
	switch compression {
	case "none":
		return "null"
	case "zstd":
		return "zstandard"
	case "":
		return "snappy"
	}
	return compression
}

// pack returns a block's data as the codec stores it, valid until the next call.
func (c *compressor) pack(data []byte) ([]byte, error) {
	switch c.codec {
	case "snappy":
		packed := snappy.Encode(nil, data)
		return binary.BigEndian.AppendUint32(packed, crc32.ChecksumIEEE(data)), nil
	case "zstandard":
		if c.zstd == nil {
			var err error
			if c.zstd, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest)); err != nil {
				return nil, err
			}
		}
		return c.zstd.EncodeAll(data, nil), nil
	case "deflate":
		c.out.Reset()
		if c.flate == nil {
			var err error
			if c.flate, err = flate.NewWriter(&c.out, flate.DefaultCompression); err != nil {
				return nil, err
			}
		}
		c.flate.Reset(&c.out)
		_, err := c.flate.Write(data)
		err = errors.Join(err, c.flate.Close())
		return c.out.Bytes(), err
	}
	return data, nil
}
