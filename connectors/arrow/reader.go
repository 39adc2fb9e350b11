package arrow

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/codec/container"
	check "github.com/tapeline/tapeline/codec/ipc"
	"github.com/tapeline/tapeline/connector"
)

// maxBufferBytes bounds what one buffer of a file may claim to be when decompressed; maxRatio is how
// far zstd shrinks zeros, so that a small file cannot ask for gigabytes.
const (
	maxBufferBytes = 1 << 31
	maxRatio       = 1 << 15
)

// bounded refuses absurd allocations; Guard makes the panic an error of the file.
type bounded struct {
	memory.Allocator
	most int // bytes of one buffer
}

func newBounded(fileBytes int64) bounded {
	return bounded{memory.DefaultAllocator, int(min(maxBufferBytes, min(fileBytes, maxBufferBytes)*maxRatio))}
}

// Allocate returns size bytes.
func (b bounded) Allocate(size int) []byte {
	b.check(size)
	return b.Allocator.Allocate(size)
}

// Reallocate returns size bytes that begin with old's.
func (b bounded) Reallocate(size int, old []byte) []byte {
	b.check(size)
	return b.Allocator.Reallocate(size, old)
}

func (b bounded) check(size int) {
	if size < 0 || size > b.most {
		panic(fmt.Sprintf("a buffer of %d bytes", size))
	}
}

// records is what both IPC formats offer.
type records interface {
	Schema() *arrow.Schema
	// at returns record batch i, io.EOF after the last; i is asked for in ascending order.
	at(i int64) (arrow.RecordBatch, error)
}

const (
	magicFile    = "ARROW1"
	magicFeather = "FEA1"
)

// openRecords opens either format. It may panic on damaged files.
func openRecords(f *container.File, format string) (records, error) {
	head := make([]byte, len(magicFile))
	n, err := f.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	head = head[:n]
	switch {
	case bytes.HasPrefix(head, []byte(magicFeather)):
		return nil, &connector.Error{
			Op: "read " + f.Name(), Class: connector.Permanent, Code: "feather_v1",
			Err:  errors.New("it is a Feather file of version 1"),
			Hint: "write it again as version 2, which is an Arrow file",
		}
	case format != "stream" && string(head) == magicFile:
		checked, err := check.OpenFile(f, f.SizeBytes)
		if err != nil {
			return nil, err
		}
		r, err := ipc.NewFileReader(f.Section(), ipc.WithAllocator(newBounded(f.SizeBytes)))
		if err != nil {
			return nil, err
		}
		return fileRecords{r, checked}, nil
	case format == "file":
		return nil, errors.New("it does not begin as an Arrow file")
	}
	const readAhead = 256 << 10
	r, err := ipc.NewReader(check.NewReader(bufio.NewReaderSize(f.Section(), readAhead)),
		ipc.WithAllocator(newBounded(f.SizeBytes)), ipc.WithBodySizeLimit(f.SizeBytes))
	if err != nil {
		return nil, err
	}
	return &streamRecords{Reader: r}, nil
}

type fileRecords struct {
	*ipc.FileReader
	checked *check.File
}

func (r fileRecords) at(i int64) (arrow.RecordBatch, error) {
	if i >= int64(r.NumRecords()) {
		return nil, io.EOF
	}
	if err := r.checked.CheckRecord(int(i)); err != nil {
		return nil, err
	}
	return r.RecordBatchAt(int(i))
}

// streamRecords reads up to the wanted record batch.
type streamRecords struct {
	*ipc.Reader
	next int64
}

func (r *streamRecords) at(i int64) (arrow.RecordBatch, error) {
	for r.Next() {
		r.next++
		if r.next > i {
			record := r.RecordBatch()
			record.Retain() // the reader lets go of it with the next
			return record, nil
		}
	}
	if err := r.Err(); err != nil {
		return nil, err
	}
	return nil, io.EOF
}

// reader cuts record batches to batches of the source's schema.
type reader struct {
	name    string
	records records
	arrow   *arrow.Schema // of the picked columns
	schema  *batch.Schema
	pick    []int // for each column of the schema its number in the file; -1: the file lacks it
	next    container.Cursor
	current arrow.RecordBatch // at next.Unit; nil: not read yet
	bytes   int64             // of current
}

func newReader(f *container.File, r records, schema *batch.Schema, from container.Cursor) (*reader, error) {
	out := &reader{name: f.Name(), records: r, schema: schema, next: from, pick: make([]int, schema.Len())}
	own := batch.SchemaFromArrow(r.Schema())
	same := own.Equal(schema)
	fields := make([]arrow.Field, schema.Len())
	for i, field := range schema.Fields() {
		at := i // names may be there twice
		if !same {
			at = own.Index(field.Name)
		}
		out.pick[i] = at
		if at < 0 {
			if field.Type.Kind == batch.Foreign {
				return nil, &connector.Error{
					Op: "read " + f.Name(), Class: connector.Schema, Code: "arrow_other_columns",
					Err:  fmt.Errorf("it lacks column %q, whose type %s has no NULLs to give", field.Name, field.Type),
					Hint: "name the wanted columns in columns, or read this file by a source of its own",
				}
			}
			fields[i] = arrow.Field{Name: field.Name, Type: batch.ArrowType(field.Type), Nullable: true}
			continue
		}
		fields[i] = r.Schema().Field(at)
	}
	out.arrow = arrow.NewSchema(fields, nil)
	return out, nil
}

// Read returns the next rows of a record batch, io.EOF after the last.
func (r *reader) Read(_ context.Context, limits connector.Limits) (connector.Chunk, container.Cursor, error) {
	for r.current == nil || r.next.Row >= r.current.NumRows() {
		if r.current != nil {
			r.next = container.Cursor{Unit: r.next.Unit + 1}
		}
		if err := r.load(); err != nil {
			return connector.Chunk{}, r.next, err
		}
	}
	rows := r.current.NumRows() - r.next.Row
	rows = min(rows, int64(limits.Rows))
	if perRow := r.bytes / r.current.NumRows(); perRow > 0 {
		rows = min(rows, max(int64(limits.Bytes)/perRow, 1))
	}
	b, err := r.slice(r.next.Row, r.next.Row+rows)
	if err != nil {
		return connector.Chunk{}, r.next, err
	}
	origin := &batch.Origin{Name: fmt.Sprintf("%s batch %d", r.name, r.next.Unit), Record: r.next.Row + 1}
	chunk := connector.Chunk{
		Batch: b.WithOrigin(origin), Bytes: int(r.bytes * rows / r.current.NumRows()),
	}
	r.next.Row += rows
	if r.next.Row == r.current.NumRows() {
		r.next, r.current = container.Cursor{Unit: r.next.Unit + 1}, nil
	}
	return chunk, r.next, nil
}

// load reads the record batch at the cursor and checks it.
func (r *reader) load() error {
	record, err := r.records.at(r.next.Unit)
	if err == io.EOF { //nolint:errorlint // the bare end, not one within a batch
		return err
	}
	if err == nil {
		record = withBuffers(record)
		err = cmp.Or(array.ValidateRecordFull(record), checkLengths(record))
	}
	if err != nil {
		return fmt.Errorf("record batch %d: %w", r.next.Unit, err)
	}
	r.current, r.bytes = record, 0
	for _, column := range record.Columns() {
		r.bytes += int64(column.Data().SizeInBytes())
	}
	return nil
}

// checkLengths refuses arrays longer than they can be: the library takes lengths from beyond the
// message's own, and no buffer holds those of the null type to account.
func checkLengths(record arrow.RecordBatch) error {
	for i, column := range record.Columns() {
		if int64(column.Len()) != record.NumRows() {
			return fmt.Errorf("column %q has %d items for %d rows", record.ColumnName(i), column.Len(), record.NumRows())
		}
		if n := longestNull(column.Data()); n > math.MaxInt32 {
			return fmt.Errorf("column %q holds an array of %d nulls", record.ColumnName(i), n)
		}
	}
	return nil
}

// longestNull returns the length of the longest array of the null type within data, 0 for none.
func longestNull(data arrow.ArrayData) int {
	longest := 0
	if data.DataType().ID() == arrow.NULL {
		longest = data.Len()
	}
	for _, child := range data.Children() {
		longest = max(longest, longestNull(child))
	}
	return longest
}

// withBuffers gives empty arrays the buffers that the format lets them leave out.
func withBuffers(record arrow.RecordBatch) arrow.RecordBatch {
	columns := make([]arrow.Array, record.NumCols())
	for i := range columns {
		columns[i] = array.MakeFromData(fillBuffers(record.Column(i).Data()))
	}
	return array.NewRecordBatch(record.Schema(), columns, record.NumRows())
}

func fillBuffers(data arrow.ArrayData) arrow.ArrayData {
	buffers := slices.Clone(data.Buffers())
	if len(buffers) == 0 {
		buffers = []*memory.Buffer{nil} // of the null type
	}
	for i := 1; i < len(buffers) && data.Len() == 0; i++ {
		if buffers[i] == nil {
			buffers[i] = memory.NewBufferBytes(nil)
		}
	}
	children := make([]arrow.ArrayData, len(data.Children()))
	for i, child := range data.Children() {
		children[i] = fillBuffers(child)
	}
	if dictionary, ok := data.Dictionary().(*array.Data); ok && dictionary != nil {
		filled := fillBuffers(dictionary).(*array.Data)
		return array.NewDataWithDictionary(data.DataType(), data.Len(), buffers, data.NullN(), data.Offset(), filled)
	}
	return array.NewData(data.DataType(), data.Len(), buffers, children, data.NullN(), data.Offset())
}

// slice returns rows of the current record batch as a batch that shares its memory.
func (r *reader) slice(from, to int64) (*batch.Batch, error) {
	columns := make([]arrow.Array, len(r.pick))
	for i, at := range r.pick {
		if at < 0 {
			typ := batch.ArrowType(r.schema.Field(i).Type)
			columns[i] = array.MakeArrayOfNull(memory.DefaultAllocator, typ, int(to-from))
			continue
		}
		columns[i] = r.current.Column(at)
		if from > 0 || to < r.current.NumRows() {
			columns[i] = array.NewSlice(columns[i], from, to)
		}
	}
	b, err := batch.FromArrowAs(r.schema, array.NewRecordBatch(r.arrow, columns, to-from))
	if err != nil {
		return nil, fmt.Errorf("record batch %d: %w", r.next.Unit, err)
	}
	return b, nil
}

// Close has nothing to do: memory is the collector's, the file its owner's.
func (r *reader) Close() error { return nil }
