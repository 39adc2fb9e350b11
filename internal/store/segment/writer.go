package segment

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// Sizes of the format.
const (
	// PageRows is the number of rows of a page, of every column alike.
	PageRows = 2048
	// GroupRows is the number of rows of a row group, a multiple of PageRows. A dictionary is that of a
	// row group: the fewer there are, the fewer bytes they take.
	GroupRows = 192 << 10
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
	// Symbol returns the text of an id of a column with Column.Symbol; required when there is one.
	Symbol func(id int32) (string, error)
	// groupRows, in tests, is that of smaller row groups; 0: GroupRows.
	groupRows int
}

// Info says what a segment holds.
type Info struct {
	Rows      int64
	SizeBytes int64
	// First and Last are the keys of the first and the last row, nil without rows.
	First, Last Key
	// Bounds are the least and the greatest value of each column of 32 or 64 bit integers (dates,
	// timestamps and decimals among them), by the schema's order.
	Bounds []Bounds
	// CRC is the CRC-32C of all bytes of the segment.
	CRC uint32
}

// Bounds are the least and the greatest value of a column; Known is false where there is none.
type Bounds struct {
	Known    bool
	Min, Max int64
}

// Writer writes one segment.
type Writer struct {
	w       io.Writer
	schema  *Schema
	options Options

	pending *Block // rows short of a row group
	last    *Block // the row with the greatest key so far
	encoder *encoder
	groups  []group
	info    Info
	err     error
}

// group is what was written of a row group.
type group struct {
	rows   int
	chunks []*chunk
}

// crcTable is that of the checksums of a segment's content, index and footer.
var crcTable = crc32.MakeTable(crc32.Castagnoli)

// NewWriter returns a writer of a segment into w, which is only appended to. Close must be called.
func NewWriter(w io.Writer, schema *Schema, options Options) (*Writer, error) {
	if options.Symbol == nil && len(schema.symbols()) > 0 {
		return nil, fmt.Errorf("write segment of %s: a column has symbols, but no function gives them",
			schema.dataset)
	}
	e := encoders.Get().(*encoder)
	e.compression, e.start, e.out = options.Compression, 0, append(e.out[:0], magic...)
	out := &Writer{
		w: w, schema: schema, options: options, encoder: e,
		pending: NewBlock(schema), last: NewBlock(schema),
	}
	if out.options.groupRows == 0 {
		out.options.groupRows = GroupRows
	}
	out.info.Bounds = make([]Bounds, len(schema.columns))
	return out, nil
}

// Write appends a block, whose rows follow those written before in the order of the key; equal keys
// may follow each other. The block may be reused afterwards.
func (w *Writer) Write(b *Block) error { return w.write(b, false) }

// write with all writes the rows short of a row group too.
func (w *Writer) write(b *Block, all bool) error {
	if w.err == nil {
		w.err = w.append(b, all)
	}
	return w.err
}

func (w *Writer) append(b *Block, all bool) error {
	if !b.schema.Equal(w.schema) || b.has != nil {
		return fmt.Errorf("write segment of %s: the block has other columns", w.schema.dataset)
	}
	if err := w.checkOrder(b); err != nil || b.rows == 0 {
		return err
	}
	if w.last.rows == 0 {
		w.info.First = b.key(0)
	}
	w.last.Reset(w.schema, nil)
	w.last.AppendRange(b, b.rows-1, b.rows)
	whole := w.options.groupRows
	for from := 0; from < b.rows; {
		to := min(b.rows, from+whole-w.pending.rows)
		if w.pending.rows == 0 && (to-from == whole || all) {
			if err := w.encode(b, from, to); err != nil {
				return err
			}
			from = to
			continue
		}
		w.pending.AppendRange(b, from, to)
		from = to
		if w.pending.rows == whole {
			if err := w.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkOrder refuses rows that are not in the order of the key.
func (w *Writer) checkOrder(b *Block) error {
	before, at, row := b, 0, b.unsorted()
	if row > 0 {
		at = row - 1
	} else if before = w.last; before.rows == 0 || b.rows == 0 || CompareKeys(before, 0, b, 0) <= 0 {
		return nil
	}
	return fmt.Errorf("write segment of %s: key %v follows %v: sort the rows by key", w.schema.dataset,
		b.key(row), before.key(at))
}

func (w *Writer) flush() error {
	err := w.encode(w.pending, 0, w.pending.rows)
	w.pending.Reset(w.schema, nil)
	return err
}

// encode writes rows from..to-1 as a row group.
func (w *Writer) encode(b *Block, from, to int) error {
	g := group{rows: to - from}
	e := w.encoder
	fail := func(name string, err error) error {
		return fmt.Errorf("write segment of %s: column %q: %w", w.schema.dataset, name, err)
	}
	for i, c := range w.schema.columns {
		kind := w.schema.kinds[i]
		written := &chunk{optional: c.Nullable, indexed: indexed(kind, i, w.schema.key)}
		if err := e.column(kind, written, &b.Vectors[i], from, to); err != nil {
			return fail(c.Name, err)
		}
		g.chunks = append(g.chunks, written)
		w.info.Bounds[i].add(written.bounds)
	}
	for _, i := range w.schema.symbols() {
		written := &chunk{}
		if err := e.symbols(written, b.Vectors[i].Int32s[from:to], w.options.Symbol); err != nil {
			return fail(w.schema.columns[i].Symbol, err)
		}
		g.chunks = append(g.chunks, written)
	}
	w.groups = append(w.groups, g)
	w.info.Rows += int64(g.rows)
	return w.emit()
}

// emit hands what was encoded to the io.Writer.
func (w *Writer) emit() error {
	e := w.encoder
	if _, err := w.w.Write(e.out); err != nil {
		return fmt.Errorf("write segment of %s: %w", w.schema.dataset, err)
	}
	w.info.CRC = crc32.Update(w.info.CRC, crcTable, e.out)
	e.start += int64(len(e.out))
	e.out = e.out[:0]
	return nil
}

// errEnded is what a Writer refuses calls with after Close.
var errEnded = errors.New("write segment: the writer was closed")

// Close writes what is left and the footer, and returns what was written. It does not close or sync
// the io.Writer.
func (w *Writer) Close() (*Info, error) {
	if w.encoder == nil {
		return nil, errEnded
	}
	if w.err == nil && w.pending.rows > 0 {
		w.err = w.flush()
	}
	if w.err == nil {
		w.err = w.finish()
	}
	encoders.Put(w.encoder)
	w.encoder = nil
	if w.err != nil {
		return nil, w.err
	}
	w.err = errEnded
	return &w.info, nil
}

// finish writes page index and footer.
func (w *Writer) finish() error {
	if w.last.rows > 0 {
		w.info.Last = w.last.key(0)
	}
	if err := w.emit(); err != nil {
		return err
	}
	content := w.info.CRC
	footer, index, err := w.appendIndex()
	if err != nil {
		return err
	}
	if err := w.appendFooter(footer, meta{Content: content, Index: index}); err != nil {
		return err
	}
	if err := w.emit(); err != nil {
		return err
	}
	w.info.SizeBytes = w.encoder.start
	return nil
}

// Encode appends a segment of one block to dst.
func Encode(dst []byte, b *Block, options Options) ([]byte, *Info, error) {
	out := bytes.NewBuffer(dst)
	w, err := NewWriter(out, b.schema, options)
	if err != nil {
		return nil, nil, err
	}
	_ = w.write(b, true) // Close returns its error
	info, err := w.Close()
	if err != nil {
		return nil, nil, err
	}
	return out.Bytes(), info, nil
}
