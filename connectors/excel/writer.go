package excel

import (
	"encoding/base64"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/xuri/excelize/v2"

	"github.com/tapeline/tapeline/batch"
)

// Excel's bounds of one cell.
const (
	maxCellCharacters = 32767
	maxExact          = 999_999_999_999_999 // fifteen digits
)

// writer writes rows into a new workbook, sheet after sheet.
type writer struct {
	name   string // of the first sheet
	header []any  // nil: none
	file   *excelize.File
	stream *excelize.StreamWriter
	sheets int
	row    int // rows of the current sheet
	limit  int // rows of a sheet
	styles [3]int
}

// The styles of cells, by index in writer.styles.
const (
	dateStyle = iota
	timeStyle
	stampStyle
)

func newWriter(name string, header []any) (*writer, error) {
	w := &writer{name: name, header: header, file: excelize.NewFile(), limit: maxRows}
	for i, code := range []string{"yyyy-mm-dd", "hh:mm:ss.000", "yyyy-mm-dd hh:mm:ss.000"} {
		id, err := w.file.NewStyle(&excelize.Style{CustomNumFmt: &code})
		if err != nil {
			return nil, err
		}
		w.styles[i] = id
	}
	return w, w.begin()
}

// begin starts the next sheet.
func (w *writer) begin() error {
	w.sheets++
	name := w.name
	if w.sheets > 1 {
		name = fmt.Sprintf("%s (%d)", w.name, w.sheets)
		if _, err := w.file.NewSheet(name); err != nil {
			return err
		}
	} else if err := w.file.SetSheetName(w.file.GetSheetName(0), name); err != nil {
		return err
	}
	var err error
	if w.stream, err = w.file.NewStreamWriter(name); err != nil {
		return err
	}
	w.row = 0
	if w.header == nil {
		return nil
	}
	return w.set(w.header)
}

func (w *writer) set(values []any) error {
	w.row++
	return w.stream.SetRow("A"+strconv.Itoa(w.row), values)
}

// add appends a row.
func (w *writer) add(values []any) error {
	if w.row >= w.limit {
		if err := w.stream.Flush(); err != nil {
			return err
		}
		if err := w.begin(); err != nil {
			return err
		}
	}
	return w.set(values)
}

// styled returns a serial day number shown as a date, time or both.
func (w *writer) styled(style int, serial float64) excelize.Cell {
	return excelize.Cell{StyleID: w.styles[style], Value: serial}
}

// cellOf returns a column's value as a cell.
func (w *writer) cellOf(c *batch.Column, row int) any {
	if c.IsNull(row) {
		return nil
	}
	typ := c.Type()
	switch typ.Kind {
	case batch.Bool:
		return c.Bits().Get(row)
	case batch.Int8, batch.Int16, batch.Int32, batch.Int64:
		if v := c.Int(row); v >= -maxExact && v <= maxExact {
			return v
		}
	case batch.Uint8, batch.Uint16, batch.Uint32, batch.Uint64:
		if v := c.Uint(row); v <= maxExact {
			return v
		}
	case batch.Float32, batch.Float64:
		if v := c.Float(row); !math.IsNaN(v) && !math.IsInf(v, 0) {
			return v
		}
	case batch.Decimal:
		text := string(batch.AppendText(nil, c, row))
		digits := strings.TrimLeft(strings.Map(onlyDigits, text), "0")
		if v, err := strconv.ParseFloat(text, 64); err == nil && len(digits) <= 15 {
			return v
		}
	case batch.Date, batch.Time, batch.Timestamp:
		if cell, ok := w.momentOf(c, row); ok {
			return cell
		}
	case batch.Binary:
		return base64.StdEncoding.EncodeToString(c.Bytes(row))
	case batch.List, batch.Struct, batch.Map, batch.Foreign:
		return string(batch.AppendJSON(nil, c, row))
	}
	return string(batch.AppendText(nil, c, row))
}

func onlyDigits(ch rune) rune {
	if ch >= '0' && ch <= '9' {
		return ch
	}
	return -1
}

// momentOf returns a date or time as Excel counts them; ok false means that it cannot.
func (w *writer) momentOf(c *batch.Column, row int) (cell excelize.Cell, ok bool) {
	const (
		days1900 = 25569
		dayMS    = 86_400_000
		firstDay = 61 // 1900-03-01: before it Excel counts a day that was not
	)
	v := c.Int(row)
	if c.Type().Kind == batch.Date {
		return w.styled(dateStyle, float64(v+days1900)), v+days1900 >= firstDay
	}
	per := c.Type().Unit.PerSecond()
	if per > 1000 && v%(per/1000) != 0 {
		return cell, false // finer than a millisecond
	}
	if per > 1000 {
		v /= per / 1000
	} else {
		v *= 1000 / per
	}
	if c.Type().Kind == batch.Time {
		return w.styled(timeStyle, float64(v)/dayMS), true
	}
	serial := float64(v)/dayMS + days1900
	return w.styled(stampStyle, serial), serial >= firstDay
}

// unfit says why a cell cannot hold a text, "" when it can.
func unfit(v any) string {
	text, ok := v.(string)
	switch {
	case !ok:
		return ""
	case len(text) > maxCellCharacters && utf8.RuneCountInString(text) > maxCellCharacters:
		return fmt.Sprintf("a cell holds at most %d characters", maxCellCharacters)
	case !utf8.ValidString(text):
		return "the text is not UTF-8"
	case strings.ContainsFunc(text, outsideXML):
		return "the text has control characters, which a workbook cannot hold"
	}
	return ""
}

// outsideXML reports a character that XML 1.0 has no way to write.
func outsideXML(ch rune) bool {
	return ch < 0x20 && ch != '\t' && ch != '\n' && ch != '\r' || ch == 0xfffe || ch == 0xffff
}

// copy returns a row's cells as they are written again; w is nil for a header, which is text.
func (w *writer) copy(row []cell) []any {
	if len(row) == 0 {
		return []any{}
	}
	values := make([]any, row[len(row)-1].column+1)
	for _, c := range row {
		switch v, err := strconv.ParseFloat(c.text, 64); {
		case c.kind == boolean:
			values[c.column] = c.text == "1"
		case c.kind == number && err == nil:
			values[c.column] = v
		case c.kind == moment && err == nil:
			style := stampStyle
			if v < 1 {
				style = timeStyle
			} else if v == math.Trunc(v) {
				style = dateStyle
			}
			values[c.column] = w.styled(style, v)
		default:
			values[c.column] = c.text
		}
	}
	return values
}
