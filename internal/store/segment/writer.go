package segment

import (
	"errors"
	"io"
)

// Sizes of the format.
const (
	// PageRows is the number of rows of a page, of every column alike.
	PageRows = 2048
	// GroupRows is the number of rows of a row group, a multiple of PageRows.
	GroupRows = 64 << 10
)

// Compression is how pages are compressed.
type Compression uint8

// The compressions.
const (
	Snappy Compression = iota // for segments that will soon be merged
	Zstd                      // for merged ones
)

// Options of one segment.
type Options struct {
	Compression Compression
	// Symbol returns the text of an id of column Column.Symbol; required when the schema has one.
	Symbol func(id int32) (string, error)
}

// Info says what a segment holds.
type Info struct {
	Rows      int64
	SizeBytes int64
	// First and Last are the keys of the first and the last row, nil without rows.
	First, Last Key
	// Bounds are the least and the greatest value of each column that is an integer, date,
	// timestamp or decimal of 64 bits, by the schema's order; Known is false for others, and where
	// all rows are NULL.
	Bounds []Bounds
	// CRC is the CRC-32C of all bytes of the segment.
	CRC uint32
}

// Bounds are the least and the greatest value of a column.
type Bounds struct {
	Known    bool
	Min, Max int64
}

// Key is the leading values of a key, one for each column, or fewer.
type Key []Value

// Value is one value of a key: Text for String columns, Int for others.
type Value struct {
	Int  int64
	Text string
}

// Writer writes one segment.
type Writer struct{}

// NewWriter returns a writer of a segment into w, which is only appended to.
func NewWriter(w io.Writer, schema *Schema, options Options) (*Writer, error) {
	return nil, errors.ErrUnsupported
}

// Write appends a block, whose rows follow those written before in the order of the key; equal keys
// may follow each other. The block may be reused afterwards.
func (w *Writer) Write(b *Block) error { return errors.ErrUnsupported }

// Close writes what is left and the footer, and returns what was written. It does not close or sync
// the io.Writer.
func (w *Writer) Close() (*Info, error) { return nil, errors.ErrUnsupported }

// Encode appends a segment of one block to dst.
func Encode(dst []byte, b *Block, options Options) ([]byte, *Info, error) {
	return nil, nil, errors.ErrUnsupported
}
