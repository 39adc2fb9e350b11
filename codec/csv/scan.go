package csv

import (
	"bytes"
	"encoding/binary"
	"math/bits"

	"github.com/tapeline/tapeline/batch"
)

// Ragged says what becomes of a record with too few or too many cells.
type Ragged uint8

// The policies.
const (
	Reject   Ragged = iota // it is no row: Result.Rejected
	Pad                    // missing cells are NULL; too many: rejected
	Truncate               // cells too many are dropped; too few: rejected
	Fit                    // Pad and Truncate
)

// Parser cuts blocks of records into cells. It is used by one goroutine.
type Parser struct {
	dialect Dialect
	columns int
	ragged  Ragged

	offsets  []uint32 // spans of the block at hand
	n        int      // of offsets
	clean    bool     // no quote was seen
	rewrites []rewrite
	text     []byte // of the rewrites
	rejected []Rejected
	reader   reader

	rejectAt   int // start of the newest rejected record
	rejectLine int64
}

// rewrite replaces one row's bytes by a well-formed record.
type rewrite struct {
	row      int
	from, to int // in Parser.text
}

// Rejected is one record that is no row.
type Rejected struct {
	Line   int64 // relative to the block's first
	Reason string
	Record string // cut at 64 KiB
}

// Result is one parsed block.
type Result struct {
	Spans    *batch.Spans
	Lines    []int32 // line of each row relative to the block's first; nil: row i is on line i
	Rejected []Rejected
}

// NewParser returns a parser of records with the given number of cells, at least 1.
func NewParser(dialect Dialect, columns int, ragged Ragged) *Parser {
	p := &Parser{dialect: dialect, columns: columns, ragged: ragged}
	p.reader = reader{dialect: &p.dialect, columns: columns}
	return p
}

// Parse cuts data, which is whole records, as a Cutter cuts them. The spans keep data, or a copy
// when a record had to be written anew. offsets is memory for the result, nil to have it made;
// Result.Spans.Offsets returns it, perhaps grown.
func (p *Parser) Parse(data []byte, offsets []uint32) Result {
	p.offsets, p.n, p.clean = offsets[:cap(offsets)], 0, true
	p.rewrites, p.text, p.rejected = p.rewrites[:0], p.text[:0], nil
	p.rejectAt, p.rejectLine = 0, 0
	careful := p.dialect.special(data)
	for at := 0; at < len(data); {
		if !careful {
			if at = p.scan(data, at); at >= len(data) {
				break
			}
		}
		at = p.record(data, at)
	}
	p.offsets = p.offsets[:p.n]
	result := Result{Rejected: p.rejected, Lines: p.lines(data)}
	spans := p.dialect.spans(p.columns)
	spans.Data, spans.Offsets, spans.Clean = data, p.offsets, p.clean
	if len(p.rewrites) > 0 {
		p.rewrite(&spans)
	}
	result.Spans = &spans
	p.offsets = nil
	return result
}

const (
	low7 = 0x7f7f7f7f7f7f7f7f
	ones = 0x0101010101010101
)

// reserve makes room for a word's worth of offsets.
func (p *Parser) reserve() {
	const word = 24
	if p.n+word > len(p.offsets) {
		grown := make([]uint32, max(2*len(p.offsets), 4096)+word)
		copy(grown, p.offsets[:p.n])
		p.offsets = grown
	}
}

// scan takes perfect records from start on and returns the start of the first one that needs the
// careful reader, or the end. It is the fast path: eight bytes at a time, no call per cell.
func (p *Parser) scan(data []byte, start int) int {
	delimiter, newline, quote := p.dialect.Delimiter[0], p.dialect.newline(), p.dialect.Quote
	if quote == 0 {
		quote = newline
	}
	wantD, wantN, wantQ := ones*uint64(delimiter), ones*uint64(newline), ones*uint64(quote)
	returns := !p.dialect.Return
	p.reserve()
	off, n := p.offsets, p.n
	first := n // of the record's offsets
	off[n] = uint32(start)
	n++
	for i := start; i < len(data); {
		if n+16 > len(off) {
			p.n = n
			p.reserve()
			off = p.offsets
		}
		word := wordAt(data, i)
		// A byte's high bit in d is clear exactly where the byte is the delimiter; so for q and e.
		d, e, q := word^wantD, word^wantN, word^wantQ
		d = (d&low7 + low7) | d
		e = (e&low7 + low7) | e
		q = (q&low7 + low7) | q
		found := ^(d&e&q | low7)
		base := i
		i += 8
		for found != 0 {
			at := base + bits.TrailingZeros64(found)>>3
			found &= found - 1
			if at >= len(data) {
				break
			}
			switch ch := data[at]; ch {
			case delimiter:
				off[n] = uint32(at + 1)
				n++
			case newline:
				if n-first != p.columns {
					p.n = first
					return start
				}
				end := at
				if returns && at > start && data[at-1] == '\r' {
					end--
				}
				off[n] = uint32(end + 1)
				start = at + 1
				off[n+1] = uint32(start)
				first = n + 1
				n += 2
			default:
				end := closing(data, at, quote, int(off[n-1]), delimiter, newline)
				if end < 0 {
					p.n = first
					return start
				}
				p.clean = false
				i, found = end, 0
			}
		}
	}
	return p.last(data, start, first, n)
}

// wordAt returns the eight bytes at data[i:], zeros past the end.
func wordAt(data []byte, i int) uint64 {
	if i+8 <= len(data) {
		return binary.LittleEndian.Uint64(data[i:])
	}
	var tail [8]byte
	copy(tail[:], data[i:])
	return binary.LittleEndian.Uint64(tail[:])
}

// last takes the record that ends with the data instead of a line end.
func (p *Parser) last(data []byte, start, first, n int) int {
	p.n = first
	if start >= len(data) {
		return start
	}
	if n-first != p.columns || data[len(data)-1] == '\r' {
		return start
	}
	p.offsets[n] = uint32(len(data) + 1)
	p.n = n + 1
	return len(data)
}

// closing returns the offset after the quoted cell that begins at data[at], or -1 when the quote
// does not begin the cell, is never closed, or is followed by something else than a cell's end.
func closing(data []byte, at int, quote byte, cell int, delimiter, newline byte) int {
	if at != cell {
		return -1
	}
	for i := at + 1; ; i++ {
		next := bytes.IndexByte(data[i:], quote)
		if next < 0 {
			return -1
		}
		i += next + 1
		if i == len(data) {
			return i
		}
		switch ch := data[i]; {
		case ch == quote:
			continue
		case ch == delimiter, ch == newline,
			ch == '\r' && newline == '\n' && i+1 < len(data) && data[i+1] == '\n':
			return i
		}
		return -1
	}
}

// lines returns the line of each row when rows and lines do not go together one by one.
func (p *Parser) lines(data []byte) []int32 {
	newline := []byte{p.dialect.newline()}
	rows := p.n / (p.columns + 1)
	total := bytes.Count(data, newline)
	if len(data) > 0 && data[len(data)-1] != newline[0] {
		total++
	}
	if total == rows {
		return nil
	}
	lines := make([]int32, rows)
	line, from := 0, 0
	for row := range lines {
		start := int(p.offsets[row*(p.columns+1)])
		line += bytes.Count(data[from:start], newline)
		lines[row], from = int32(line), start
	}
	return lines
}
