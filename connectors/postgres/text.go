package postgres

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strconv"

	"github.com/tapeline/tapeline/batch"
)

// textRow appends one row in COPY's text form, which the server reads as any type.
func (e *encoder) textRow(dst []byte, row int) []byte {
	var value []byte
	for i := range e.writers {
		w := &e.writers[i]
		if i > 0 {
			dst = append(dst, '\t')
		}
		if w.valid != nil && !w.valid.Get(row) {
			dst = append(dst, '\\', 'N')
			continue
		}
		value = appendInput(value[:0], w.column, row)
		dst = appendEscaped(dst, value)
	}
	return dst
}

// appendInput appends a value as the server's input functions read it.
func appendInput(dst []byte, c *batch.Column, row int) []byte {
	switch c.Type().Kind {
	case batch.Binary:
		return hex.AppendEncode(append(dst, '\\', 'x'), c.Bytes(row))
	case batch.Duration:
		dst = batch.AppendText(dst, c, row)
		return append(append(dst, ' '), durationUnit(c.Type().Unit)...)
	case batch.List:
		return appendArrayInput(dst, c, row)
	case batch.Date, batch.Timestamp:
		return appendEra(dst, batch.AppendText(nil, c, row))
	}
	return batch.AppendText(dst, c, row)
}

// appendEra writes the year 0 and those before as years BC, which the server has instead.
func appendEra(dst, text []byte) []byte {
	if text[0] != '-' && !bytes.HasPrefix(text, []byte("0000")) {
		return append(dst, text...)
	}
	end := 1 + bytes.IndexByte(text[1:], '-')
	year, err := strconv.Atoi(string(text[:end]))
	if err != nil {
		return append(dst, text...)
	}
	dst = fmt.Appendf(dst, "%04d", 1-year)
	return append(append(dst, text[end:]...), " BC"...)
}

func durationUnit(u batch.Unit) string {
	return [...]string{"seconds", "milliseconds", "microseconds", "nanoseconds"}[u]
}

func appendArrayInput(dst []byte, c *batch.Column, row int) []byte {
	offsets := c.Offsets()
	return appendElements(dst, c.Children()[0], int(offsets[row]), int(offsets[row+1]))
}

// appendElements appends rows from..to-1 as an array constant.
func appendElements(dst []byte, c *batch.Column, from, to int) []byte {
	dst = append(dst, '{')
	for i := from; i < to; i++ {
		if i > from {
			dst = append(dst, ',')
		}
		if c.IsNull(i) {
			dst = append(dst, "NULL"...)
			continue
		}
		dst = append(dst, '"')
		for _, ch := range appendInput(nil, c, i) {
			if ch == '"' || ch == '\\' {
				dst = append(dst, '\\')
			}
			dst = append(dst, ch)
		}
		dst = append(dst, '"')
	}
	return append(dst, '}')
}

// appendEscaped escapes what separates fields and rows.
func appendEscaped(dst, value []byte) []byte {
	for _, ch := range value {
		switch ch {
		case '\\':
			dst = append(dst, '\\', '\\')
		case '\t':
			dst = append(dst, '\\', 't')
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		default:
			dst = append(dst, ch)
		}
	}
	return dst
}
