package postgres

import (
	"encoding/binary"
	"encoding/hex"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/internal/sqlkit"
)

// fuzzColumns has one column of every form a source reads.
func fuzzColumns() []column {
	oids := []uint32{
		oidBool, oidBytea, oidInt2, oidInt4, oidInt8, oidOID, oidFloat4, oidFloat8, oidText, oidJSONB,
		oidUUID, oidDate, oidTime, oidTimestamp, oidTimestamptz, oidNumeric, 1007, 1009, 1231,
	}
	columns := make([]column, len(oids))
	for i, oid := range oids {
		columns[i] = columnOf(pgconn.FieldDescription{Name: "c", DataTypeOID: oid, TypeModifier: -1},
			batch.DecimalOf(38, 10))
	}
	return columns
}

// frame makes a CopyData frame of the fields; nil is NULL.
func frame(fields ...[]byte) []byte {
	body := binary.BigEndian.AppendUint16(nil, uint16(len(fields)))
	for _, field := range fields {
		if field == nil {
			body = append(body, 0xff, 0xff, 0xff, 0xff)
			continue
		}
		body = append(binary.BigEndian.AppendUint32(body, uint32(len(field))), field...)
	}
	return append(binary.BigEndian.AppendUint32([]byte{'d'}, uint32(len(body)+4)), body...)
}

// FuzzDecode feeds any bytes as one row: the decoder answers with values or an error.
func FuzzDecode(f *testing.F) {
	columns := fuzzColumns()
	fields := make([][]byte, len(columns))
	f.Add(frame(fields...))
	for i := range fields {
		fields[i] = make([]byte, []int{1, 0, 2, 4, 8, 4, 4, 8, 3, 1, 16, 4, 8, 8, 8, 8, 12, 12, 12}[i])
	}
	fields[9][0] = 1
	f.Add(frame(fields...))
	numeric, _ := hex.DecodeString("0003000240000004000109290ea6")
	fields[15] = numeric
	f.Add(frame(fields...))
	schema := make([]batch.Field, len(columns))
	for i, c := range columns {
		schema[i] = batch.Field{Name: c.name, Type: c.typ, Nullable: true}
	}
	d := decoder{columns: columns, schema: batch.NewSchema(schema...)}
	f.Fuzz(func(t *testing.T, data []byte) {
		out, bad, err := d.decode(block{frames: data, rows: 1})
		if err != nil {
			return
		}
		if out.Rows() != 1 {
			t.Fatalf("%d rows", out.Rows())
		}
		_ = sqlkit.Rejected(out, bad)
		for _, c := range out.Columns() {
			if !c.IsNull(0) {
				_ = batch.AppendText(nil, c, 0)
			}
		}
		_, _ = fieldAt(data, 7)
	})
}

// FuzzNumeric writes a decimal in the server's form and reads it back.
func FuzzNumeric(f *testing.F) {
	f.Add(int64(0), uint64(0), uint8(0))
	f.Add(int64(-1), uint64(12345), uint8(3))
	f.Add(int64(1)<<60, uint64(1)<<63, uint8(38))
	f.Fuzz(func(t *testing.T, high int64, low uint64, scale uint8) {
		v := sqlkit.NewDecimal(high, low)
		s := int(scale % 39)
		if !v.FitsInPrecision(38) {
			return
		}
		text := appendNumeric(nil, v, s)
		got, err := readNumeric(text[4:], 38, s)
		if err != nil || got != v {
			t.Fatalf("%v at scale %d: read %v, %v", v, s, got, err)
		}
	})
}
