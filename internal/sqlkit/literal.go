package sqlkit

import (
	"database/sql/driver"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/tapeline/tapeline/batch"
)

// Value returns a driver's value as a literal that compares equal to it.
func (d Dialect) Value(v driver.Value) string {
	switch v := v.(type) {
	case nil:
		return "NULL"
	case int64:
		return strconv.FormatInt(v, 10)
	case uint64:
		return strconv.FormatUint(v, 10)
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case float32:
		return strconv.FormatFloat(float64(v), 'g', -1, 32)
	case bool:
		return strconv.FormatBool(v)
	case time.Time:
		return d.Literal(v.Format("2006-01-02 15:04:05.999999999"))
	case []byte:
		// Drivers also return text as bytes.
		if d == MySQL && utf8.Valid(v) {
			return d.Literal(string(v))
		}
		return "x'" + hex.EncodeToString(v) + "'"
	case string:
		return d.Literal(v)
	}
	return d.Literal(fmt.Sprint(v))
}

// initial returns a configured value as a literal: an instant as the databases spell it, in UTC.
func (d Dialect) initial(v any) string {
	if at, ok := Moment(v); ok {
		return d.Value(at)
	}
	switch v := v.(type) {
	case int:
		return strconv.Itoa(v)
	case uint64, int64, float64, bool:
		return d.Value(v)
	}
	return d.Literal(fmt.Sprint(v))
}

// InitialText returns a configured initial_value as text; an instant in UTC, without its offset where
// the column has no zone.
func InitialText(v any, zoned bool) string {
	at, ok := Moment(v)
	switch {
	case ok && zoned:
		return at.Format(time.RFC3339Nano)
	case ok:
		return at.Format("2006-01-02T15:04:05.999999999")
	}
	return fmt.Sprint(v)
}

// AppendMoment appends a timestamp as SQLite and MySQL spell it: blank between date and time, no
// trailing zeros; suffix marks UTC where the column has a zone.
func AppendMoment(dst []byte, c *batch.Column, row int, suffix string) []byte {
	typ := c.Type()
	typ.Zone = ""
	from := len(dst)
	dst = batch.AppendTimestamp(dst, c.Int(row), typ)
	for i := from; i < len(dst); i++ {
		if dst[i] == 'T' {
			dst[i] = ' '
			break
		}
	}
	if typ.Unit != batch.Second {
		for dst[len(dst)-1] == '0' {
			dst = dst[:len(dst)-1]
		}
		if dst[len(dst)-1] == '.' {
			dst = dst[:len(dst)-1]
		}
	}
	if c.Type().Zone != "" {
		dst = append(dst, suffix...)
	}
	return dst
}
