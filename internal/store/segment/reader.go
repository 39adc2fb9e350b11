package segment

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync/atomic"

	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"github.com/tapeline/tapeline/batch"
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
type Reader struct {
	name      string
	file      io.ReaderAt
	schema    *Schema
	info      Info
	codec     format.CompressionCodec
	groups    []groupReader
	groupRows int64 // of each row group but the last, which may have fewer
	meta      meta
	index     int64 // where the page index begins: the content ends
	leaves    []leaf
	kept      atomic.Int64 // bytes of tables
}

// groupReader is one row group.
type groupReader struct {
	rows   int
	chunks []chunkReader
	// indexFrom..indexTo-1 is the row group's part of the page index.
	indexFrom, indexTo int64
	pages              atomic.Pointer[pageIndex]
	tables             []atomic.Pointer[table] // by leaf: dictionaries of integers that are kept
}

// chunkReader is one column of a row group.
type chunkReader struct {
	from, data, to           int64 // first byte, first data page, byte behind
	columnIndex, offsetIndex Range // bytes
	coding                   format.Encoding
}

// pageIndex is the parsed page index of a row group, by leaf.
type pageIndex struct {
	offsets [][]int64  // of each page, and the end of the last
	bounds  [][]Bounds // nil for leaves without
}

// Open reads the footer of a segment of size bytes. name is the segment's in errors. schema is what
// it must hold; nil takes the segment's own.
func Open(name string, file io.ReaderAt, size int64, schema *Schema) (*Reader, error) {
	r := &Reader{name: name, file: file}
	footer, err := r.readFooter(size)
	if err != nil {
		return nil, r.damaged("footer", err)
	}
	own, err := schemaOf(footer, &r.meta)
	if err != nil {
		return nil, r.damaged("footer", err)
	}
	if schema != nil && !own.Equal(schema) {
		return nil, fmt.Errorf("%w: segment %s: %s: use the release that wrote it, or write these rows "+
			"again", ErrSchema, name, difference(own, schema))
	}
	if r.schema = schema; schema == nil {
		r.schema = own
	}
	r.leaves = r.schema.leaves()
	if footer.NumRows > 0 && (len(r.meta.First) != own.key || len(r.meta.Last) != own.key) {
		return nil, r.damaged("footer", errors.New("it lacks the keys of the first and the last row"))
	}
	r.info = Info{
		Rows: footer.NumRows, SizeBytes: size, First: r.meta.First, Last: r.meta.Last,
		Bounds: make([]Bounds, len(r.schema.columns)),
	}
	if err := r.readGroups(footer); err != nil {
		return nil, r.damaged("footer", err)
	}
	return r, nil
}

// damaged returns an error that wraps ErrCorrupt.
func (r *Reader) damaged(where string, err error) error {
	return fmt.Errorf("%w: segment %s: %s: %w: restore it from a backup, or fetch its rows again",
		ErrCorrupt, r.name, where, err)
}

// readFooter reads the metadata behind its checksum, and r.meta.
func (r *Reader) readFooter(size int64) (*format.FileMetaData, error) {
	const usual = 64 << 10
	least := int64(len(magic) + 4 + tailBytes)
	if size < least {
		return nil, fmt.Errorf("%d bytes are no segment: it is cut", size)
	}
	tail, err := readRange(r.file, max(0, size-usual), size)
	if err != nil {
		return nil, err
	}
	end := tail[len(tail)-tailBytes:]
	length := int64(binary.LittleEndian.Uint32(end))
	if string(end[4:]) != magic || length > size-least {
		return nil, errors.New("it does not end as Parquet does: it is cut or overwritten")
	}
	if needed := length + tailBytes + 4; needed > int64(len(tail)) {
		if tail, err = readRange(r.file, size-needed, size); err != nil {
			return nil, err
		}
	}
	data := tail[:len(tail)-tailBytes]
	r.index = size - tailBytes - length - 4 // the end of the page index; its beginning is found below
	crc := binary.LittleEndian.Uint32(data[int64(len(data))-length-4:])
	data = data[int64(len(data))-length:]
	if got := crc32.Checksum(data, crcTable); got != crc {
		return nil, fmt.Errorf("its checksum is %08x, not %08x", got, crc)
	}
	footer := &format.FileMetaData{}
	if err := thrift.Unmarshal(&thrift.CompactProtocol{}, data, footer); err != nil {
		return nil, err
	}
	for _, pair := range footer.KeyValueMetadata {
		if pair.Key == metaKey {
			if err := json.Unmarshal([]byte(pair.Value), &r.meta); err != nil {
				return nil, fmt.Errorf("%s: %w", metaKey, err)
			}
		}
	}
	if r.meta.Format < firstFormat || r.meta.Format > lastFormat {
		return nil, fmt.Errorf("it is of format %d, this program knows %d to %d", r.meta.Format, firstFormat,
			lastFormat)
	}
	return footer, nil
}

// readRange reads bytes from..to-1.
func readRange(file io.ReaderAt, from, to int64) ([]byte, error) {
	data := make([]byte, to-from)
	if n, err := file.ReadAt(data, from); n < len(data) {
		return nil, fmt.Errorf("read bytes %d..%d: %w", from, to-1, err)
	}
	return data, nil
}

// readGroups takes the row groups from the footer, and checks that all lies where it can.
func (r *Reader) readGroups(footer *format.FileMetaData) error {
	indexEnd, rows := r.index, int64(0)
	at := int64(len(magic)) // chunks follow each other
	r.groups = make([]groupReader, len(footer.RowGroups))
	r.groupRows = GroupRows
	if len(r.groups) > 1 {
		r.groupRows = footer.RowGroups[0].NumRows
	}
	if r.groupRows < 1 || r.groupRows > GroupRows || r.groupRows%PageRows != 0 {
		return fmt.Errorf("row groups of %d rows", r.groupRows)
	}
	for i := range footer.RowGroups {
		g, from := &r.groups[i], &footer.RowGroups[i]
		last := i == len(r.groups)-1
		if from.NumRows < 1 || from.NumRows > r.groupRows || from.NumRows < r.groupRows && !last ||
			len(from.Columns) != len(r.leaves) {
			return fmt.Errorf("row group %d has %d rows in %d columns", i, from.NumRows, len(from.Columns))
		}
		g.rows = int(from.NumRows)
		g.chunks = make([]chunkReader, len(r.leaves))
		g.tables = make([]atomic.Pointer[table], len(r.leaves))
		rows += from.NumRows
		for k := range from.Columns {
			if err := r.readChunk(g, k, &from.Columns[k], &at); err != nil {
				return fmt.Errorf("row group %d, column %q: %w", i, r.leaves[k].name, err)
			}
		}
	}
	r.index = at
	for i := range r.groups { // each part of the index follows the one before
		g := &r.groups[i]
		g.indexFrom = at
		for k := range g.chunks {
			if !follow(&at, g.chunks[k].columnIndex) {
				return errors.New("the page index has gaps")
			}
		}
		for k := range g.chunks {
			if !follow(&at, g.chunks[k].offsetIndex) {
				return errors.New("the page index has gaps")
			}
		}
		g.indexTo = at
	}
	if at != indexEnd || rows != footer.NumRows || len(r.meta.Index) != len(r.groups) {
		return errors.New("it does not tell rows and bytes that are there")
	}
	return nil
}

// follow moves at behind a part of the index, which must begin there.
func follow(at *int64, part Range) bool {
	if part.Len() == 0 {
		return true
	}
	ok := part.From == *at && part.To > part.From
	*at = part.To
	return ok
}

// readChunk takes one column chunk; at is where it must begin.
func (r *Reader) readChunk(g *groupReader, k int, from *format.ColumnChunk, at *int64) error {
	m, l := &from.MetaData, &r.leaves[k]
	c := &g.chunks[k]
	c.from, c.data, c.to = *at, m.DataPageOffset, *at+m.TotalCompressedSize
	c.columnIndex = Range{from.ColumnIndexOffset, from.ColumnIndexOffset + int64(from.ColumnIndexLength)}
	c.offsetIndex = Range{from.OffsetIndexOffset, from.OffsetIndexOffset + int64(from.OffsetIndexLength)}
	c.coding = encodingOf(l.kind)
	withBounds := l.bounded()
	if r.meta.Format > firstFormat {
		withBounds = indexed(l.kind, k, r.schema.key)
		if l.bounded() && m.DictionaryPageOffset > 0 {
			c.coding = format.RLEDictionary
		}
	}
	begin := m.DataPageOffset
	if c.coding == format.RLEDictionary {
		begin = m.DictionaryPageOffset
	}
	if begin != c.from || c.data < c.from || c.data >= c.to || c.to > r.index {
		return fmt.Errorf("its bytes %d..%d are not where they must be", c.from, c.to-1)
	}
	if m.NumValues != int64(g.rows) || m.Type != l.physical() || from.OffsetIndexLength < 1 ||
		(from.ColumnIndexLength > 0) != withBounds {
		return errors.New("its metadata is of another kind")
	}
	if r.codec = m.Codec; r.codec != format.Zstd && r.codec != format.Snappy {
		return fmt.Errorf("it is compressed with %s", m.Codec)
	}
	if k < len(r.info.Bounds) && m.Statistics.MaxValue != nil && l.bounded() {
		least, err := parseBound(l.kind, m.Statistics.MinValue)
		if err != nil {
			return err
		}
		most, err := parseBound(l.kind, m.Statistics.MaxValue)
		if err != nil {
			return err
		}
		r.info.Bounds[k].add(Bounds{true, least, most})
	}
	*at = c.to
	return nil
}

// schemaOf returns the schema a footer tells.
func schemaOf(footer *format.FileMetaData, m *meta) (*Schema, error) {
	if len(footer.Schema) < 1 {
		return nil, errors.New("it has no schema")
	}
	elements := footer.Schema[1:]
	if len(m.Symbols) > len(elements) {
		return nil, errors.New("it lacks columns")
	}
	var columns []Column
	for _, e := range elements[:len(elements)-len(m.Symbols)] {
		typ, err := typeOf(&e)
		if err != nil {
			return nil, fmt.Errorf("column %q: %w", e.Name, err)
		}
		columns = append(columns, Column{
			Name: e.Name, Type: typ, Symbol: m.Symbols[e.Name],
			Nullable: e.RepetitionType.V == format.Optional,
		})
	}
	s, err := NewSchema(m.Dataset, m.Version, m.Key, columns...)
	if err != nil {
		return nil, err
	}
	if got := len(s.leaves()); got != len(elements) {
		return nil, fmt.Errorf("it has %d columns of %d", len(elements), got)
	}
	return s, nil
}

// typeOf is the reverse of leaf.element.
func typeOf(e *format.SchemaElement) (batch.Type, error) {
	switch logical := e.LogicalType.Value.(type) {
	case *format.DateType:
		return batch.Of(batch.Date), nil
	case *format.StringType:
		return batch.Of(batch.String), nil
	case *format.DecimalType:
		if logical.Precision < 1 || logical.Precision > 38 || logical.Scale < 0 ||
			logical.Scale > logical.Precision {
			break
		}
		return batch.DecimalOf(int(logical.Precision), int(logical.Scale)), nil
	case *format.TimestampType:
		zone := ""
		if logical.IsAdjustedToUTC {
			zone = "UTC"
		}
		switch logical.Unit.Value.(type) {
		case *format.MilliSeconds:
			return batch.TimestampOf(batch.Millisecond, zone), nil
		case *format.MicroSeconds:
			return batch.TimestampOf(batch.Microsecond, zone), nil
		case *format.NanoSeconds:
			return batch.TimestampOf(batch.Nanosecond, zone), nil
		}
	case nil:
		switch e.Type.V {
		case format.Boolean:
			return batch.Of(batch.Bool), nil
		case format.Int32:
			return batch.Of(batch.Int32), nil
		case format.Int64:
			return batch.Of(batch.Int64), nil
		case format.Double:
			return batch.Of(batch.Float64), nil
		default: // of no column of ours
		}
	}
	return batch.Type{}, errors.New("its type is of no segment")
}

// difference says how two schemas differ.
func difference(got, want *Schema) string {
	if got.dataset != want.dataset || got.version != want.version {
		return fmt.Sprintf("it is of %s version %d, not %s version %d", got.dataset, got.version,
			want.dataset, want.version)
	}
	for i, c := range want.columns {
		if i >= len(got.columns) {
			return fmt.Sprintf("column %q is missing", c.Name)
		}
		if d := got.columns[i]; d.Name != c.Name || !d.Type.Equal(c.Type) || d.Nullable != c.Nullable ||
			d.Symbol != c.Symbol {
			return fmt.Sprintf("column %d is %q %s (nullable %t, symbol %q), not %q %s (nullable %t, "+
				"symbol %q)", i, d.Name, d.Type, d.Nullable, d.Symbol, c.Name, c.Type, c.Nullable, c.Symbol)
		}
	}
	return fmt.Sprintf("it has %d columns and a key of %d, not %d and %d", len(got.columns), got.key,
		len(want.columns), want.key)
}

// Schema returns the segment's schema.
func (r *Reader) Schema() *Schema { return r.schema }

// Info returns what the segment holds, as Writer.Close did but for CRC, which is 0.
func (r *Reader) Info() *Info { return &r.info }
