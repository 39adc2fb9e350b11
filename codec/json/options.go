package json

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/tapeline/tapeline/batch"
)

// Extra says what becomes of members that the schema does not name.
type Extra uint8

const (
	// Evolve adds a column to the schema of this and the following batches; at most MaxFields.
	Evolve Extra = iota
	// Ignore drops them.
	Ignore
	// Refuse rejects their record.
	Refuse
	// Capture keeps them, as one JSON object, in the column CaptureField.
	Capture
)

// CaptureField is the column that Capture fills.
const CaptureField = "_extra"

// MaxFields bounds the columns that Evolve and Infer make; a record that needs more is rejected.
const MaxFields = 4096

// ParseExtra reads evolve, ignore, error or capture.
func ParseExtra(text string) (Extra, error) {
	switch text {
	case "evolve":
		return Evolve, nil
	case "ignore":
		return Ignore, nil
	case "error":
		return Refuse, nil
	case "capture":
		return Capture, nil
	}
	return 0, fmt.Errorf("%q is none of evolve, ignore, error, capture", text)
}

// Layout says how records follow each other.
type Layout uint8

const (
	// Lines has one record a line.
	Lines Layout = iota
	// Values has one record after the other with any blanks between them.
	Values
	// Elements has the elements of an array: commas between them, a ] after the last.
	Elements
)

// Options say how records are read.
type Options struct {
	Schema *batch.Schema
	// Whole takes records of any kind, not just objects, as the only column of Schema.
	Whole  bool
	Extra  Extra
	Layout Layout
	// Enclosed says that an Elements array lies inside a larger value, which goes on after it.
	Enclosed bool
}

// Block is text of whole records.
type Block struct {
	Data []byte
	Name string // of the file, for origins
	Line int64  // of the first byte, from 1; 0 unknown
	Last bool   // nothing follows: an array has to be closed here
	// Known is what Reader.Known returned when the block was read, so that no later block adds to its
	// columns; nil: the newest.
	Known *batch.Schema
}

// position names a byte of a block for messages.
func (b Block) position(i int) string {
	if b.Line == 0 {
		return b.Name + " byte " + strconv.Itoa(i)
	}
	line := b.Line + int64(bytes.Count(b.Data[:i], []byte{'\n'}))
	column := i - bytes.LastIndexByte(b.Data[:i], '\n')
	return fmt.Sprintf("%s:%d:%d", b.Name, line, column)
}
