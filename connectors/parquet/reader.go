package parquet

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/codec/container"
	"github.com/tapeline/tapeline/codec/ipc"
	"github.com/tapeline/tapeline/connector"
)

// open is an open Parquet file and the trees of its columns.
type open struct {
	name  string
	file  io.ReaderAt
	size  int64
	pages *file.Reader
	nodes []*node

	maxPageBytes int64
}

// openFile reads a file's footer. It may panic on damaged ones.
func openFile(f *container.File, maxPageBytes int64) (*open, error) {
	properties := parquet.NewReaderProperties(memory.DefaultAllocator)
	// Pages are read one at a time, not a whole column chunk at once.
	properties.BufferedStreamEnabled = true
	properties.BufferSize = 64 << 10
	properties.MaxCompressedPageSize, properties.MaxUncompressedPageSize = maxPageBytes, maxPageBytes
	pages, err := openPages(f, properties)
	if err != nil {
		return nil, err
	}
	o := &open{name: f.Name(), file: f, size: f.SizeBytes, pages: pages, maxPageBytes: maxPageBytes}
	footer := pages.MetaData()
	manifest, err := pqarrow.NewSchemaManifest(footer.Schema, storedSchema(footer.KeyValueMetadata()), nil)
	if err != nil {
		// The stored Arrow schema may be of types that cannot be applied; the file's own will do.
		manifest, err = pqarrow.NewSchemaManifest(footer.Schema, nil, nil)
	}
	if err != nil {
		return nil, err
	}
	for i := range manifest.Fields {
		n, err := newNode(&manifest.Fields[i], footer.Schema)
		if err != nil {
			return nil, err
		}
		o.nodes = append(o.nodes, n)
	}
	return o, nil
}

// storedSchema returns the metadata when the Arrow schema in it is sound, else nil.
func storedSchema(pairs metadata.KeyValueMetadata) metadata.KeyValueMetadata {
	text := pairs.FindValue("ARROW:schema")
	if text == nil {
		return nil
	}
	data, err := base64.StdEncoding.DecodeString(*text)
	if err == nil {
		_, err = io.Copy(io.Discard, ipc.NewReader(bytes.NewReader(data)))
	}
	if err != nil {
		return nil
	}
	return pairs
}

// openPages reads the footer; one with annotations newer than the library is read without them.
func openPages(f *container.File, properties *parquet.ReaderProperties) (*file.Reader, error) {
	registerCodecs()
	var pages *file.Reader
	err := container.Guard(f.Name(), func() (err error) {
		pages, err = file.NewParquetReader(f.Section(), file.WithReadProps(properties))
		return err
	})
	if err == nil {
		return pages, encrypted(f, pages)
	}
	footer, plainErr := plainFooter(f)
	if plainErr != nil {
		if locked := encrypted(f, nil); locked != nil {
			return nil, locked
		}
		return nil, err
	}
	return file.NewParquetReader(f.Section(), file.WithReadProps(properties), file.WithMetadata(footer))
}

// encrypted refuses files that need a key.
func encrypted(f *container.File, pages *file.Reader) error {
	const magicEncrypted = "PARE"
	tail := make([]byte, len(magicEncrypted))
	_, err := f.ReadAt(tail, f.SizeBytes-int64(len(tail)))
	if err != nil || string(tail) != magicEncrypted &&
		(pages == nil || !pages.MetaData().IsSetEncryptionAlgorithm()) {
		return nil //nolint:nilerr // a file too short for the mark is not encrypted; opening it says more
	}
	return &connector.Error{
		Op: "read " + f.Name(), Class: connector.Permanent, Code: "parquet_encrypted",
		Err: errors.New("the file is encrypted"), Hint: "decrypt it before",
	}
}

// schema returns all columns of the file.
func (o *open) schema() *batch.Schema {
	fields := make([]batch.Field, len(o.nodes))
	for i, n := range o.nodes {
		fields[i] = n.field
	}
	return batch.NewSchema(fields...)
}

// reader reads the columns of a schema from one file, row group by row group.
type reader struct {
	*open
	schema *batch.Schema
	pick   []*node // for each column of the schema; nil: the file lacks it
	next   container.Cursor
	to     int64 // row group at which to stop
	group  int64 // whose chunks are open; -1 none
	rows   int64 // of the open group
	used   int64 // bytes of the open group's chunks
	memory int64 // the same, uncompressed
	levels int64 // most levels of one of them
}

// newReader reads from a cursor up to row group to, or to the end when to is 0.
func newReader(o *open, schema *batch.Schema, from container.Cursor, to int64) *reader {
	r := &reader{open: o, schema: schema, next: from, group: -1, pick: make([]*node, schema.Len())}
	r.to = int64(o.pages.NumRowGroups())
	if to > 0 {
		r.to = min(r.to, to)
	}
	own := o.schema()
	same := own.Equal(schema)
	for i, f := range schema.Fields() {
		at := i // names may be there twice
		if !same {
			at = own.Index(f.Name)
		}
		if at >= 0 {
			r.pick[i] = o.nodes[at]
		}
	}
	return r
}

// Read returns the next rows of a row group, io.EOF after the last.
func (r *reader) Read(ctx context.Context, limits connector.Limits) (connector.Chunk, container.Cursor, error) {
	for {
		if r.next.Unit >= r.to {
			return connector.Chunk{}, r.next, io.EOF
		}
		if err := r.enter(ctx); err != nil {
			return connector.Chunk{}, r.next, r.place(err)
		}
		if r.next.Row < r.rows {
			break
		}
		r.next = container.Cursor{Unit: r.next.Unit + 1}
	}
	rows := int(min(r.rows-r.next.Row, int64(r.fit(limits))))
	columns, err := r.load(rows)
	if err != nil {
		return connector.Chunk{}, r.next, r.place(err)
	}
	origin := &batch.Origin{Name: fmt.Sprintf("%s row group %d", r.name, r.next.Unit), Record: r.next.Row + 1}
	chunk := connector.Chunk{
		Batch: batch.New(r.schema, columns, rows).WithOrigin(origin),
		Bytes: int(float64(r.used) * float64(rows) / float64(r.rows)),
	}
	r.next.Row += int64(rows)
	if r.next.Row >= r.rows {
		r.next = container.Cursor{Unit: r.next.Unit + 1}
	}
	return chunk, r.next, nil
}

// place adds the row group to an error.
func (r *reader) place(err error) error {
	return fmt.Errorf("row group %d, row %d: %w", r.next.Unit, r.next.Row, err)
}

// fit returns how many rows the limits allow, judged by the row group's sizes.
func (r *reader) fit(limits connector.Limits) int {
	const levelsAtOnce = 1 << 20
	rows := int64(limits.Rows)
	if perRow := r.memory / r.rows; perRow > 0 {
		rows = min(rows, int64(limits.Bytes)/perRow)
	}
	if perRow := r.levels / r.rows; perRow > 0 {
		rows = min(rows, levelsAtOnce/perRow)
	}
	return int(max(rows, 1))
}

// enter opens the column chunks of the cursor's row group, at the cursor's row.
func (r *reader) enter(ctx context.Context) error {
	if r.group == r.next.Unit {
		return nil
	}
	group := r.pages.RowGroup(int(r.next.Unit))
	r.group, r.rows, r.used, r.memory, r.levels = r.next.Unit, group.NumRows(), 0, 0, 0
	if r.rows < 0 || r.next.Row > r.rows {
		return fmt.Errorf("it has %d rows", r.rows)
	}
	for _, n := range r.pick {
		if n == nil {
			continue
		}
		if err := n.leaves(func(n *node) error { return r.enterLeaf(group, n) }); err != nil {
			return err
		}
	}
	return r.skip(ctx, r.next.Row)
}

func (r *reader) enterLeaf(group *file.RowGroupReader, n *node) error {
	metadata, err := group.MetaData().ColumnChunk(n.column)
	if err != nil {
		return err
	}
	start, length := metadata.DataPageOffset(), metadata.TotalCompressedSize()
	if start < 0 || length < 0 || start > r.size || length > r.size || metadata.NumValues() < 0 {
		return fmt.Errorf("column %s lies at byte %d, %d bytes long, in a file of %d",
			n.field.Name, start, length, r.size)
	}
	r.used += length
	r.memory += max(metadata.TotalUncompressedSize(), 0)
	r.levels = max(r.levels, metadata.NumValues())
	chunk, err := group.Column(n.column)
	if err != nil {
		return err
	}
	n.sizeBytes = metadata.TotalUncompressedSize()
	if err := checkPages(r.file, r.size, metadata); err != nil {
		return fmt.Errorf("column %s: %w", n.field.Name, err)
	}
	return n.leaf.open(chunk, metadata.NumValues())
}

// skip passes over the rows that were read in an earlier run.
func (r *reader) skip(ctx context.Context, rows int64) error {
	const step = 16 << 10
	for ; rows > 0; rows -= step {
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := r.load(int(min(rows, step))); err != nil {
			return err
		}
	}
	return nil
}

// load returns the next rows of the open row group.
func (r *reader) load(rows int) ([]*batch.Column, error) {
	columns := make([]*batch.Column, len(r.pick))
	for i, n := range r.pick {
		if n == nil {
			columns[i] = batch.NullColumn(r.schema.Field(i).Type, rows)
			continue
		}
		if err := n.leaves(func(n *node) error { return r.loadLeaf(n, rows) }); err != nil {
			return nil, err
		}
		column, err := n.build(rows)
		if err != nil {
			return nil, err
		}
		if column.Len() != rows {
			return nil, fmt.Errorf("column %s has %d rows, want %d", n.field.Name, column.Len(), rows)
		}
		columns[i] = column
	}
	return columns, nil
}

// loadLeaf reads one leaf column. Where the column is larger than a page may be, that is said to be
// what may be wrong: arrow-go's refusal of a page is no error of its own.
func (r *reader) loadLeaf(n *node, rows int) error {
	err := n.leaf.load(rows)
	if err == nil || n.sizeBytes <= r.maxPageBytes {
		return err
	}
	return &connector.Error{
		Op:    fmt.Sprintf("read %s row group %d", r.name, r.next.Unit),
		Class: connector.Data, Code: "parquet_large_page", Path: "max_page_bytes", Err: err,
		Hint: fmt.Sprintf("pages of more than %d bytes are not read: if the file is sound, raise max_page_bytes "+
			"or write it with smaller pages", r.maxPageBytes),
	}
}

// Close closes what arrow-go holds; the file is closed by its owner.
func (r *reader) Close() error { return errors.Join(r.pages.Close()) }
