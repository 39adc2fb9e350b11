package segment

import (
	"errors"
	"io"
)

// ErrCorrupt is what damaged bytes are refused with.
var ErrCorrupt = errors.New("segment is damaged")

// ErrSchema is what a segment of another schema is refused with.
var ErrSchema = errors.New("segment has another schema")

// Range is rows From..To-1.
type Range struct{ From, To int64 }

// Len returns the number of rows.
func (r Range) Len() int64 { return r.To - r.From }

// Reader reads one segment. It holds the footer and, once used, the page index; it may be used by
// several goroutines at once.
type Reader struct{}

// Open reads the footer of a segment of size bytes. name is the segment's in errors. schema is what
// it must hold; nil takes the segment's own.
func Open(name string, r io.ReaderAt, size int64, schema *Schema) (*Reader, error) {
	return nil, errors.ErrUnsupported
}

// Schema returns the segment's schema.
func (r *Reader) Schema() *Schema { return nil }

// Info returns what the segment holds, as Writer.Close did but for CRC, which is 0.
func (r *Reader) Info() *Info { return nil }

// Read makes dst the rows of a range with the given columns (nil: all).
func (r *Reader) Read(dst *Block, columns []int, rows Range) error { return errors.ErrUnsupported }

// Find returns the rows whose key lies between from and to, both included. Of each, as many leading
// columns are compared as it has; an empty one is without bound.
func (r *Reader) Find(from, to Key) (Range, error) { return Range{}, errors.ErrUnsupported }

// Select makes dst the given columns of the rows in which an Int32, Int64, Date or Timestamp column
// lies between least and most, both included: a date over all symbols.
func (r *Reader) Select(dst *Block, columns []int, by int, least, most int64) error {
	return errors.ErrUnsupported
}

// Verify reads everything and compares it with all checksums, counts, bounds and the order of keys.
func (r *Reader) Verify() error { return errors.ErrUnsupported }
