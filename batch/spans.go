package batch

import (
	"bytes"
	"slices"
)

// Syntax says how a raw cell spells a value.
type Syntax uint8

const (
	// Plain cells are their text.
	Plain Syntax = iota
	// Quoted cells may be enclosed in Spans.Quote, as in CSV.
	Quoted
	// Token cells are JSON tokens; an empty cell is an absent member.
	Token
)

// Spans are the raw cells of a chunk of records: positions in the source's own bytes, nothing
// copied. Cell c of record r is Data[Offsets[r*Stride+c*Step] : Offsets[r*Stride+c*Step+1]-Gap].
// CSV keeps one offset a cell plus one (Step 1, Gap = the delimiter's byte), JSON a pair a cell
// (Step 2, Gap 0).
type Spans struct {
	Data    []byte
	Offsets []uint32
	Stride  int
	Step    int
	Gap     uint32
	Syntax  Syntax

	// Clean promises that no cell needs decoding: Quoted has no quote, Token no string escape. Plain
	// cells that are read as JSON are JSON.
	Clean  bool
	Quote  byte     // Quoted: the enclosing character, 0 for none
	Escape byte     // Quoted: what escapes Quote inside quotes; equal to Quote when doubled
	Trim   bool     // Quoted, Plain: blanks around unquoted text are not part of the value
	Nulls  []string // Quoted, Plain: unquoted texts that mean NULL

	// Decode reads cells of nested types; nil when the syntax has none.
	Decode func(spans *Spans, cell int, typ Type, rows []int32) (*Column, []RowError)
}

// Rows returns the number of records.
func (s *Spans) Rows() int { return len(s.Offsets) / s.Stride }

// Raw returns the raw bytes of a cell, quotes and escapes included.
func (s *Spans) Raw(row, cell int) []byte {
	at := row*s.Stride + cell*s.Step
	return s.Data[s.Offsets[at] : s.Offsets[at+1]-s.Gap]
}

// Text returns the decoded text of a cell and whether it is NULL. The text lies in Data, or in
// scratch when it had to be decoded; the grown scratch is returned for the next call.
func (s *Spans) Text(row, cell int, scratch []byte) (text []byte, null bool, grown []byte) {
	raw := s.Raw(row, cell)
	switch s.Syntax {
	case Token:
		return s.tokenText(raw, scratch)
	case Quoted:
		if !s.Clean && len(raw) > 0 {
			start := raw
			if s.Trim {
				start = bytes.TrimLeft(raw, " \t")
			}
			if len(start) > 0 && start[0] == s.Quote && s.Quote != 0 {
				text, scratch = s.unquote(start, scratch)
				return text, false, scratch
			}
			if s.Escape != s.Quote && s.Escape != 0 && bytes.IndexByte(raw, s.Escape) >= 0 {
				text, scratch = s.unescape(raw, scratch)
				return text, false, scratch
			}
		}
	}
	if s.Trim {
		raw = bytes.Trim(raw, " \t")
	}
	return raw, s.isNull(raw), scratch
}

// verbatim reports whether every cell is its own text: no quotes, escapes, blanks or tokens.
func (s *Spans) verbatim() bool {
	return !s.Trim && (s.Syntax == Plain || s.Syntax == Quoted && s.Clean)
}

func (s *Spans) isNull(raw []byte) bool {
	return slices.Contains(s.Nulls, string(raw))
}

// unquote strips the quotes of raw and resolves escapes; bytes after the closing quote are kept,
// as lenient readers do.
func (s *Spans) unquote(raw, scratch []byte) (text, grown []byte) {
	body := raw[1:]
	if end := len(body) - 1; end >= 0 && body[end] == s.Quote {
		inner := body[:end]
		if bytes.IndexByte(inner, s.Quote) < 0 &&
			(s.Escape == s.Quote || s.Escape == 0 || bytes.IndexByte(inner, s.Escape) < 0) {
			return inner, scratch
		}
	}
	from := len(scratch)
	open := true
	for i := 0; i < len(body); i++ {
		ch := body[i]
		next := i+1 < len(body)
		switch {
		case open && ch == s.Escape && next && (body[i+1] == s.Quote || body[i+1] == s.Escape):
			i++
			scratch = append(scratch, body[i])
		case open && ch == s.Quote:
			open = false
		default:
			scratch = append(scratch, ch)
		}
	}
	return scratch[from:], scratch
}

func (s *Spans) unescape(raw, scratch []byte) (text, grown []byte) {
	from := len(scratch)
	for i := 0; i < len(raw); i++ {
		if raw[i] == s.Escape && i+1 < len(raw) {
			i++
		}
		scratch = append(scratch, raw[i])
	}
	return scratch[from:], scratch
}

func (s *Spans) tokenText(raw, scratch []byte) (text []byte, null bool, grown []byte) {
	if len(raw) == 0 || len(raw) == 4 && string(raw) == "null" {
		return nil, true, scratch
	}
	if raw[0] != '"' {
		return raw, false, scratch
	}
	inner := raw[1 : len(raw)-1]
	if s.Clean || bytes.IndexByte(inner, '\\') < 0 {
		return inner, false, scratch
	}
	from := len(scratch)
	scratch = AppendUnescapedJSON(scratch, inner)
	return scratch[from:], false, scratch
}
