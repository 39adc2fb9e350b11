package postgres

import (
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/internal/sqlkit"
)

// form is how a column's values look in binary COPY.
type form uint8

const (
	formText      form = iota // bytes as they are: text, json, enums
	formBytes                 // bytea
	formBool                  // one byte
	formInt2                  // big endian
	formInt4                  //
	formInt8                  //
	formOID                   // unsigned 4 bytes
	formFloat4                // IEEE 754
	formFloat8                //
	formNumeric               // base-10000 digits
	formUUID                  // 16 bytes
	formJSONB                 // version byte, then text
	formDate                  // int4 days since 2000-01-01
	formTime                  // int8 microseconds
	formTimestamp             // int8 microseconds since 2000-01-01
	formInterval              // int8 microseconds, int4 days, int4 months
	formList                  // one-dimensional array
)

// oids of the built-in types that have a form of their own.
const (
	oidBool        = 16
	oidBytea       = 17
	oidName        = 19
	oidInt8        = 20
	oidInt2        = 21
	oidInt4        = 23
	oidText        = 25
	oidOID         = 26
	oidTID         = 27
	oidJSON        = 114
	oidFloat4      = 700
	oidFloat8      = 701
	oidBpchar      = 1042
	oidVarchar     = 1043
	oidDate        = 1082
	oidTime        = 1083
	oidTimestamp   = 1114
	oidTimestamptz = 1184
	oidInterval    = 1186
	oidNumeric     = 1700
	oidUUID        = 2950
	oidJSONB       = 3802
)

// codec is how values of one server type become values of a batch type, and back.
type codec struct {
	form    form
	typ     batch.Type
	oid     uint32 // of the server type
	element *codec // formList

	coarse   bool // the column keeps digits of a second; without, all six
	digits   int
	declared string // the server's spelling, with coarse
}

// codecOf returns the codec of a base type; false for types that travel as text.
func codecOf(oid uint32, modifier int32, numeric batch.Type) (codec, bool) {
	simple := func(f form, kind batch.Kind) (codec, bool) {
		return codec{form: f, typ: batch.Of(kind), oid: oid}, true
	}
	switch oid {
	case oidBool:
		return simple(formBool, batch.Bool)
	case oidBytea:
		return simple(formBytes, batch.Binary)
	case oidInt2:
		return simple(formInt2, batch.Int16)
	case oidInt4:
		return simple(formInt4, batch.Int32)
	case oidInt8:
		return simple(formInt8, batch.Int64)
	case oidOID:
		return simple(formOID, batch.Int64)
	case oidFloat4:
		return simple(formFloat4, batch.Float32)
	case oidFloat8:
		return simple(formFloat8, batch.Float64)
	case oidText, oidVarchar, oidBpchar, oidName:
		return simple(formText, batch.String)
	case oidJSON:
		return simple(formText, batch.JSON)
	case oidJSONB:
		return simple(formJSONB, batch.JSON)
	case oidUUID:
		return simple(formUUID, batch.String)
	case oidDate:
		return simple(formDate, batch.Date)
	case oidTime:
		return simple(formTime, batch.Time)
	case oidTimestamp:
		return simple(formTimestamp, batch.Timestamp)
	case oidTimestamptz:
		return codec{
			form: formTimestamp, oid: oid, typ: batch.TimestampOf(batch.Microsecond, "UTC"),
		}, true
	case oidNumeric:
		typ, ok := numericType(modifier, numeric)
		return codec{form: formNumeric, typ: typ, oid: oid}, ok
	}
	return codec{}, false
}

// numericType reads precision and scale of a numeric; fallback applies to numerics without them
// and to those wider than 38 digits.
func numericType(modifier int32, fallback batch.Type) (batch.Type, bool) {
	if modifier >= 4 {
		precision := int(modifier-4) >> 16 & 0xffff
		scale := int(modifier-4) & 0x7ff
		if scale > 1023 {
			scale -= 2048
		}
		switch {
		case scale < 0 && precision-scale <= 38:
			return batch.DecimalOf(precision-scale, 0), true
		case scale >= 0 && max(precision, scale) <= 38:
			return batch.DecimalOf(max(precision, scale), scale), true
		}
	}
	return fallback, fallback.Kind == batch.Decimal
}

// arrayElement returns the element type of the built-in array types.
func arrayElement(oid uint32) (uint32, bool) {
	arrays := [...][2]uint32{
		{1000, oidBool},
		{1001, oidBytea},
		{1003, oidName},
		{1016, oidInt8},
		{1005, oidInt2},
		{1007, oidInt4},
		{1009, oidText},
		{1028, oidOID},
		{199, oidJSON},
		{1021, oidFloat4},
		{1022, oidFloat8},
		{1014, oidBpchar},
		{1015, oidVarchar},
		{1182, oidDate},
		{1183, oidTime},
		{1115, oidTimestamp},
		{1185, oidTimestamptz},
		{1231, oidNumeric},
		{2951, oidUUID},
		{3807, oidJSONB},
	}
	for _, pair := range arrays {
		if pair[0] == oid {
			return pair[1], true
		}
	}
	return 0, false
}

// column is one column of the stream a source reads.
type column struct {
	codec
	name       string
	expression string // in the select list
	nullable   bool
}

// columnOf plans the reading of one result column.
func columnOf(field pgconn.FieldDescription, numeric batch.Type) column {
	quoted := sqlkit.Postgres.Quote(field.Name)
	out := column{name: field.Name, expression: quoted, nullable: true}
	if known, ok := codecOf(field.DataTypeOID, field.TypeModifier, numeric); ok {
		out.codec = known
		if field.DataTypeOID == oidBpchar {
			out.expression += "::text" // blanks that pad char(n) mean nothing
		}
		return out
	}
	if elementOID, ok := arrayElement(field.DataTypeOID); ok {
		if element, ok := codecOf(elementOID, field.TypeModifier, numeric); ok {
			out.codec = codec{
				form: formList, typ: batch.ListOf(element.typ), oid: field.DataTypeOID,
				element: &element,
			}
			return out
		}
	}
	if field.DataTypeOID == oidNumeric && numeric.Kind == batch.Float64 {
		out.codec = codec{form: formFloat8, typ: numeric, oid: oidFloat8}
		out.expression += "::float8"
		return out
	}
	// Enums, intervals, network addresses, ranges, geometry and the like travel as their text.
	out.codec = codec{form: formText, typ: batch.Of(batch.String), oid: oidText}
	out.expression += "::text"
	return out
}

// mayBeInfinite reports whether the server has values that the batch's type lacks.
func (c *column) mayBeInfinite() bool {
	return c.form == formNumeric || c.form == formDate || c.form == formTimestamp
}

// regtype names a built-in type by which a constant is read; "" lets the comparison decide.
func regtype(oid uint32) string {
	switch oid {
	case oidBool:
		return "boolean"
	case oidBytea:
		return "bytea"
	case oidInt2, oidInt4, oidInt8, oidOID:
		return "bigint"
	case oidFloat4:
		return "real"
	case oidFloat8:
		return "double precision"
	case oidDate:
		return "date"
	case oidTime:
		return "time"
	case oidTimestamp:
		return "timestamp"
	case oidTimestamptz:
		return "timestamptz"
	case oidNumeric:
		return "numeric"
	case oidUUID:
		return "uuid"
	case oidBpchar:
		return "bpchar"
	}
	return ""
}

// parseNumeric reads the numeric setting.
func parseNumeric(text string) (batch.Type, error) {
	typ, err := batch.ParseType(text)
	if err != nil {
		return batch.Type{}, fmt.Errorf("numeric: %w", err)
	}
	switch typ.Kind {
	case batch.Decimal, batch.Float64, batch.String:
		return typ, nil
	}
	return batch.Type{}, fmt.Errorf("numeric: %s must be decimal(p,s), float64 or string", typ)
}
