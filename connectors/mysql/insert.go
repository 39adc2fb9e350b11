package mysql

import (
	"context"
	"encoding/hex"
	"strconv"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/internal/sqlkit"
)

// statementBytes is where an INSERT ends: well below the smallest max_allowed_packet in use (1 MiB
// on old servers), and long enough that the round trip does not count.
const statementBytes = 768 << 10

// insert writes rows as the text of INSERT statements, without a placeholder or a boxed value.
func insert(ctx context.Context, s *sqlkit.Session, w sqlkit.Rows) error {
	sql := make([]byte, 0, statementBytes+64<<10)
	for row := 0; row < w.Count; {
		sql = append(sql[:0], w.Prefix...)
		for first := true; row < w.Count && len(sql) < statementBytes; row++ {
			if !first {
				sql = append(sql, ',')
			}
			first = false
			sql = append(sql, '(')
			for i, c := range w.Columns {
				if i > 0 {
					sql = append(sql, ',')
				}
				sql = appendLiteral(sql, c, row)
			}
			sql = append(sql, ')')
		}
		sql = append(sql, w.Suffix...)
		if _, err := s.Exec(ctx, string(sql)); err != nil {
			return err
		}
	}
	return nil
}

// appendLiteral appends a dense column's row as SQL. Sessions run without NO_BACKSLASH_ESCAPES.
func appendLiteral(dst []byte, c *batch.Column, row int) []byte {
	if c.IsNull(row) {
		return append(dst, "NULL"...)
	}
	switch c.Type().Kind {
	case batch.Bool:
		if c.Bits().Get(row) {
			return append(dst, '1')
		}
		return append(dst, '0')
	case batch.Int8, batch.Int16, batch.Int32, batch.Int64, batch.Duration:
		return strconv.AppendInt(dst, c.Int(row), 10)
	case batch.Uint8, batch.Uint16, batch.Uint32, batch.Uint64:
		return strconv.AppendUint(dst, c.Uint(row), 10)
	case batch.Float32, batch.Float64:
		// All digits, since the shortest text of the largest float32 lies above it as a double.
		return strconv.AppendFloat(dst, c.Float(row), 'e', -1, 64)
	case batch.Decimal:
		return batch.AppendText(dst, c, row)
	case batch.Binary:
		if len(c.Bytes(row)) == 0 {
			return append(dst, "''"...)
		}
		return hex.AppendEncode(append(dst, "0x"...), c.Bytes(row))
	case batch.String, batch.JSON:
		return appendQuoted(dst, c.Bytes(row))
	case batch.Timestamp:
		return append(sqlkit.AppendMoment(append(dst, '\''), c, row, ""), '\'')
	}
	return append(batch.AppendText(append(dst, '\''), c, row), '\'')
}

func appendQuoted(dst, text []byte) []byte {
	dst = append(dst, '\'')
	start := 0
	for i, ch := range text {
		var escaped byte
		switch ch {
		case '\'', '\\':
			escaped = ch
		case 0:
			escaped = '0'
		case 26: // Ctrl-Z
			escaped = 'Z'
		default:
			continue
		}
		dst = append(append(dst, text[start:i]...), '\\', escaped)
		start = i + 1
	}
	return append(append(dst, text[start:]...), '\'')
}
