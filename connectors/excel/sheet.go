package excel

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/tapeline/tapeline/batch"
)

// kind is what a cell holds.
type kind uint8

const (
	blank  kind = iota
	number      // text is its digits as stored
	moment      // a number shown as date or time
	text
	boolean // text is 1 or 0
	failure // text is the error, such as #N/A
)

// cell is one cell of a row.
type cell struct {
	column int // from 0
	kind   kind
	text   string
}

// Excel's own limits.
const (
	maxRows      = 1 << 20
	maxColumns   = 1 << 14
	maxCellBytes = 64 << 20 // of a sheet's XML token; Excel allows 32767 characters
)

// sheet reads the rows of one sheet as a stream.
type sheet struct {
	book    *workbook
	part    io.ReadCloser
	decoder *xml.Decoder
	row     int // number of the last row read, from 1
	ended   bool
}

func (w *workbook) open(entry sheetEntry) (*sheet, error) {
	const maxSheetBytes = 1 << 40 // read as a stream
	part, err := w.part(entry.part, maxSheetBytes)
	if err != nil {
		return nil, err
	}
	if part == nil {
		return nil, fmt.Errorf("sheet %q has no content", entry.name)
	}
	return &sheet{book: w, part: part, decoder: xml.NewDecoder(part)}, nil
}

// next returns the cells of the next row that is stored, io.EOF after the last.
func (s *sheet) next(cells []cell) ([]cell, error) {
	for !s.ended {
		token, err := s.decoder.Token()
		if errors.Is(err, io.EOF) {
			return nil, io.ErrUnexpectedEOF // the sheet's data was not closed
		}
		if err != nil {
			return nil, err
		}
		switch token := token.(type) {
		case xml.StartElement:
			if token.Name.Local == "row" {
				return s.readRow(token, cells[:0])
			}
		case xml.EndElement:
			s.ended = token.Name.Local == "sheetData" || token.Name.Local == "worksheet"
		}
	}
	return nil, io.EOF
}

func (s *sheet) readRow(start xml.StartElement, cells []cell) ([]cell, error) {
	before := s.row
	s.row++
	if r := attribute(start, "r"); r != "" {
		n, err := strconv.Atoi(r)
		if err != nil || n <= before || n > maxRows {
			return nil, fmt.Errorf("row %q follows row %d", r, before)
		}
		s.row = n
	}
	column := 0
	for {
		token, err := s.decoder.Token()
		if err != nil {
			return nil, fmt.Errorf("row %d: %w", s.row, err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			if token.Name.Local != "c" {
				continue
			}
			c, err := s.readCell(token, column)
			if err != nil {
				return nil, fmt.Errorf("row %d: %w", s.row, err)
			}
			column = c.column + 1
			if c.kind != blank {
				cells = append(cells, c)
			}
		case xml.EndElement:
			if token.Name.Local == "row" {
				return cells, nil
			}
		}
	}
}

func attribute(start xml.StartElement, name string) string {
	for _, a := range start.Attr {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

func (s *sheet) readCell(start xml.StartElement, column int) (cell, error) {
	c := cell{column: column}
	if r := attribute(start, "r"); r != "" {
		at, _, ok := parseReference(r)
		if !ok || at < column {
			return c, fmt.Errorf("cell %q is out of place", r)
		}
		c.column = at
	}
	if c.column >= maxColumns {
		return c, fmt.Errorf("more than %d columns", maxColumns)
	}
	value, inline, err := s.readValue()
	if err != nil {
		return c, err
	}
	return c, s.interpret(&c, attribute(start, "t"), attribute(start, "s"), value, inline)
}

// readValue returns the v and the is element of a cell; formulas are left out.
func (s *sheet) readValue() (value, inline string, err error) {
	inValue := false
	for {
		token, err := s.decoder.Token()
		if err != nil {
			return "", "", err
		}
		switch token := token.(type) {
		case xml.StartElement:
			inValue = token.Name.Local == "v"
			if token.Name.Local == "is" {
				if inline, err = richText(s.decoder, "is"); err != nil {
					return "", "", err
				}
			}
		case xml.EndElement:
			inValue = false
			if token.Name.Local == "c" {
				return value, inline, nil
			}
		case xml.CharData:
			if inValue {
				value += string(token)
			}
			if len(value) > maxCellBytes {
				return "", "", errors.New("a cell is too large")
			}
		}
	}
}

func (s *sheet) interpret(c *cell, typ, style, value, inline string) error {
	c.text = value
	switch typ {
	case "s":
		n, err := strconv.Atoi(value)
		if err != nil || n < 0 || n >= len(s.book.strings) {
			return fmt.Errorf("shared string %q of %d", value, len(s.book.strings))
		}
		c.kind, c.text = text, s.book.strings[n]
	case "inlineStr":
		c.kind, c.text = text, inline
	case "str":
		c.kind, c.text = text, unescape(value)
	case "b":
		c.kind = boolean
	case "e":
		c.kind = failure
	case "d":
		c.kind = text
	default:
		c.kind = number
		if value == "" {
			c.kind = blank
			return nil
		}
		if n, err := strconv.Atoi(style); err == nil && n >= 0 && n < len(s.book.dates) && s.book.dates[n] {
			c.kind = moment
		}
	}
	if c.kind == text && c.text == "" {
		c.kind = blank
	}
	return nil
}

func (s *sheet) close() error { return s.part.Close() }

// parseReference reads a cell's name, as BC12; the row is 0 where there is none.
func parseReference(name string) (column, row int, ok bool) {
	i := 0
	for ; i < len(name) && i < 4; i++ {
		ch := name[i] &^ 0x20
		if ch < 'A' || ch > 'Z' {
			break
		}
		column = column*26 + int(ch-'A') + 1
	}
	if i == 0 || column > maxColumns {
		return 0, 0, false
	}
	if i == len(name) {
		return column - 1, 0, true
	}
	row, err := strconv.Atoi(name[i:])
	return column - 1, row, err == nil && row > 0 && row <= maxRows
}

// columnName returns the letters of a column.
func columnName(column int) string {
	name := ""
	for column++; column > 0; column = (column - 1) / 26 {
		name = string(rune('A'+(column-1)%26)) + name
	}
	return name
}

// millis returns the milliseconds since 1970 of a serial day number: Excel counts from 1900 and
// takes that for a leap year, or from 1904.
func (w *workbook) millis(serial float64) int64 {
	const (
		days1900 = 25569 // of 1970-01-01
		days1904 = 24107
		dayMS    = 86_400_000
	)
	days := float64(days1900)
	switch {
	case w.date1904:
		days = days1904
	case serial < 60:
		serial++ // before the 29 February that 1900 did not have
	}
	return int64(math.Round((serial - days) * dayMS))
}

// spell returns a cell's text as a string column has it: moments in ISO form.
func (w *workbook) spell(c cell) string {
	switch c.kind {
	case boolean:
		return strconv.FormatBool(c.text == "1")
	case moment:
		serial, err := strconv.ParseFloat(c.text, 64)
		if err != nil {
			return c.text
		}
		if serial >= 0 && serial < 1 {
			return time.UnixMilli(int64(math.Round(serial * 86_400_000))).UTC().Format("15:04:05.999")
		}
		at := time.UnixMilli(w.millis(serial)).UTC()
		if at.Equal(at.Truncate(24 * time.Hour)) {
			return at.Format(time.DateOnly)
		}
		return at.Format("2006-01-02T15:04:05.999")
	}
	return c.text
}

// value returns a cell as a value that an appender of the type takes.
func (w *workbook) value(c cell, typ batch.Type) (any, error) {
	switch {
	case c.kind == failure && typ.Kind != batch.String:
		return nil, fmt.Errorf("the cell is in error: %s", c.text)
	case typ.Kind == batch.String || c.kind == text:
		return w.spell(c), nil
	case c.kind == boolean && typ.Kind == batch.Bool:
		return c.text == "1", nil
	}
	serial, err := strconv.ParseFloat(c.text, 64)
	if err != nil { // no serial number: the text is the value
		return c.text, nil //nolint:nilerr // said above
	}
	switch typ.Kind {
	case batch.Timestamp, batch.Date:
		return time.UnixMilli(w.millis(serial)).UTC(), nil
	case batch.Time:
		return time.Duration(math.Round(serial*86_400_000)) * time.Millisecond, nil
	case batch.Float32, batch.Float64:
		return serial, nil
	}
	if strings.ContainsAny(c.text, ".eE") {
		// The shortest digits that mean the same number: Excel stores 0.1 as 0.10000000000000001.
		return strconv.FormatFloat(serial, 'f', -1, 64), nil
	}
	return c.text, nil
}
