package csv

import "bytes"

// Cutter finds where whole records end. It is used by one goroutine.
type Cutter struct {
	dialect Dialect
	reader  reader
}

// NewCutter returns a cutter for records that should have the given number of cells; it must be
// the number given to the Parser.
func NewCutter(dialect Dialect, columns int) *Cutter {
	c := &Cutter{dialect: dialect}
	c.reader = reader{dialect: &c.dialect, columns: columns}
	return c
}

// Cut returns the length of the longest beginning of data that is whole records, 0 for none. data
// begins with a record; with atEOF all of it is whole.
func (c *Cutter) Cut(data []byte, atEOF bool) int {
	d := &c.dialect
	switch {
	case atEOF:
		return len(data)
	case d.special(data):
		return c.careful(data)
	case d.Quote == 0:
		return bytes.LastIndexByte(data, d.newline()) + 1
	}
	return c.hop(data)
}

// hop goes from quote to quote.
func (c *Cutter) hop(data []byte) int {
	quote, delimiter, newline := c.dialect.Quote, c.dialect.Delimiter[0], c.dialect.newline()
	end := 0 // of the last whole record
	for at := 0; ; {
		next := bytes.IndexByte(data[at:], quote)
		if next < 0 {
			if last := bytes.LastIndexByte(data[at:], newline); last >= 0 {
				end = at + last + 1
			}
			return end
		}
		open := at + next
		if last := bytes.LastIndexByte(data[at:open], newline); last >= 0 {
			end = at + last + 1
		}
		if open != end && data[open-1] != delimiter {
			at = open + 1 // a quote within unquoted text
			continue
		}
		if at = closing(data, open, quote, open, delimiter, newline); at >= 0 && at < len(data) {
			continue
		}
		start, result := c.reader.read(data, end, false)
		if result == incomplete {
			return end
		}
		end, at = start, start
	}
}

// careful reads record after record.
func (c *Cutter) careful(data []byte) int {
	end := 0
	for end < len(data) {
		next, result := c.reader.read(data, end, false)
		if result == incomplete {
			break
		}
		end = next
	}
	return end
}
