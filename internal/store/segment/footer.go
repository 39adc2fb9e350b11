package segment

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"

	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"github.com/tapeline/tapeline/batch"
)

// magic begins and ends a Parquet file.
const magic = "PAR1"

// tailBytes is what stands behind the footer: its length and the magic.
const tailBytes = 8

// metaKey is the footer key of meta.
const metaKey = "tapeline.segment"

// meta is what the footer says beyond Parquet's own metadata.
type meta struct {
	Format  int               `json:"format"`
	Dataset string            `json:"dataset"`
	Version int               `json:"version"`
	Key     int               `json:"key"`               // columns
	Symbols map[string]string `json:"symbols,omitempty"` // id column: text column
	First   Key               `json:"first,omitempty"`
	Last    Key               `json:"last,omitempty"`
	Content uint32            `json:"content_crc32c"` // of all bytes before the page index
	Index   []uint32          `json:"index_crc32c"`   // of each row group's part of the page index
}

// The formats meta.Format may say. In the first all pages had PageRows rows, and integers were packed as
// distances and had page bounds; up to the second a row group had 64 Ki rows.
const (
	firstFormat = 1
	lastFormat  = 3
)

// leaf is one column as stored: the schema's, then those of symbols.
type leaf struct {
	name     string
	typ      batch.Type
	kind     kind
	optional bool
}

// leaves returns the columns as stored.
func (s *Schema) leaves() []leaf {
	var out []leaf
	for i, c := range s.columns {
		out = append(out, leaf{c.Name, c.Type, s.kinds[i], c.Nullable})
	}
	for _, i := range s.symbols() {
		out = append(out, leaf{s.columns[i].Symbol, batch.Of(batch.String), kindText, false})
	}
	return out
}

// appendIndex appends the page index, one row group after the other, and returns the footer.
func (w *Writer) appendIndex() (*format.FileMetaData, []uint32, error) {
	e := w.encoder
	leaves := w.schema.leaves()
	var protocol thrift.CompactProtocol
	footer := &format.FileMetaData{
		Version: 2, Schema: schemaElements(w.schema, leaves), NumRows: w.info.Rows,
		CreatedBy: "tapeline", RowGroups: []format.RowGroup{},
	}
	for range leaves {
		footer.ColumnOrders = append(footer.ColumnOrders,
			format.ColumnOrder{Value: &format.TypeDefinedOrder{}})
	}
	var sums []uint32
	for i, g := range w.groups {
		begin := len(e.out)
		rows := format.RowGroup{
			NumRows: int64(g.rows), FileOffset: g.chunks[0].offset, Ordinal: int16(i),
			SortingColumns: sortingColumns(w.schema.key),
		}
		for k, c := range g.chunks {
			column := c.metadata(&leaves[k], int64(g.rows), codecOf(w.options.Compression))
			if c.indexed {
				data, err := thrift.Marshal(&protocol, c.columnIndex(leaves[k].kind))
				if err != nil {
					return nil, nil, err
				}
				column.ColumnIndexOffset = e.start + int64(len(e.out))
				column.ColumnIndexLength = int32(len(data))
				e.out = append(e.out, data...)
			}
			rows.Columns = append(rows.Columns, column)
			rows.TotalByteSize += c.plainSize
			rows.TotalCompressedSize += c.size
		}
		for k, c := range g.chunks {
			data, err := thrift.Marshal(&protocol, c.offsetIndex())
			if err != nil {
				return nil, nil, err
			}
			rows.Columns[k].OffsetIndexOffset = e.start + int64(len(e.out))
			rows.Columns[k].OffsetIndexLength = int32(len(data))
			e.out = append(e.out, data...)
		}
		sums = append(sums, crc32.Checksum(e.out[begin:], crcTable))
		footer.RowGroups = append(footer.RowGroups, rows)
	}
	return footer, sums, nil
}

// appendFooter appends the checksum of the footer, the footer, its length and the magic.
func (w *Writer) appendFooter(footer *format.FileMetaData, m meta) error {
	m.Format, m.Dataset, m.Version, m.Key = lastFormat, w.schema.dataset, w.schema.version,
		w.schema.key
	m.First, m.Last = w.info.First, w.info.Last
	m.Symbols = map[string]string{}
	for _, i := range w.schema.symbols() {
		m.Symbols[w.schema.columns[i].Name] = w.schema.columns[i].Symbol
	}
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	footer.KeyValueMetadata = append(footer.KeyValueMetadata,
		format.KeyValue{Key: metaKey, Value: string(text)})
	var protocol thrift.CompactProtocol
	data, err := thrift.Marshal(&protocol, *footer)
	if err != nil {
		return err
	}
	e := w.encoder
	e.out = binary.LittleEndian.AppendUint32(e.out, crc32.Checksum(data, crcTable))
	e.out = append(e.out, data...)
	e.out = binary.LittleEndian.AppendUint32(e.out, uint32(len(data)))
	e.out = append(e.out, magic...)
	return nil
}

// schemaElements returns the schema as Parquet's flat tree.
func schemaElements(s *Schema, leaves []leaf) []format.SchemaElement {
	root := format.SchemaElement{Name: s.dataset, NumChildren: thrift.New(int32(len(leaves)))}
	out := []format.SchemaElement{root}
	for i := range leaves {
		out = append(out, leaves[i].element())
	}
	return out
}

// element returns the leaf as Parquet's types say it.
func (l *leaf) element() format.SchemaElement {
	out := format.SchemaElement{
		Name: l.name, Type: thrift.New(l.physical()), RepetitionType: thrift.New(format.Required),
	}
	if l.optional {
		out.RepetitionType.V = format.Optional
	}
	if l.kind == kindWide {
		out.TypeLength = thrift.New(int32(wideBytes))
	}
	switch l.typ.Kind {
	case batch.Date:
		out.LogicalType.Value = &format.DateType{}
		out.ConvertedType = thrift.New(deprecated.Date)
	case batch.Decimal:
		scale, precision := int32(l.typ.Scale), int32(l.typ.Precision)
		out.LogicalType.Value = &format.DecimalType{Scale: scale, Precision: precision}
		out.ConvertedType = thrift.New(deprecated.Decimal)
		out.Scale, out.Precision = thrift.New(scale), thrift.New(precision)
	case batch.String:
		out.LogicalType.Value = &format.StringType{}
		out.ConvertedType = thrift.New(deprecated.UTF8)
	case batch.Timestamp:
		var unit format.TimeUnit
		switch l.typ.Unit {
		case batch.Millisecond:
			unit.Value = &format.MilliSeconds{}
		case batch.Nanosecond:
			unit.Value = &format.NanoSeconds{}
		default: // kindOf refuses seconds
			unit.Value = &format.MicroSeconds{}
		}
		out.LogicalType.Value = &format.TimestampType{IsAdjustedToUTC: l.typ.Zone != "", Unit: unit}
	default: // says its physical type
	}
	return out
}

// wideBytes is the size of a wide decimal.
const wideBytes = 16

// physical returns the type of the bytes in pages.
func (l *leaf) physical() format.Type {
	return [...]format.Type{
		kindBool: format.Boolean, kindInt32: format.Int32, kindInt64: format.Int64,
		kindFloat: format.Double, kindWide: format.FixedLenByteArray, kindText: format.ByteArray,
	}[l.kind]
}

// indexed reports whether the pages of a column have bounds: those by which rows are found.
func indexed(k kind, column, key int) bool {
	return column < key && (k == kindInt32 || k == kindInt64)
}

// bounded reports whether the column chunks of the leaf have bounds.
func (l *leaf) bounded() bool { return l.kind == kindInt32 || l.kind == kindInt64 }

func codecOf(c Compression) format.CompressionCodec {
	if c == Zstd {
		return format.Zstd
	}
	return format.Snappy
}

func sortingColumns(key int) (out []format.SortingColumn) {
	for i := range key {
		out = append(out, format.SortingColumn{ColumnIdx: int32(i)})
	}
	return out
}

// metadata returns what the footer says of a column chunk.
func (c *chunk) metadata(l *leaf, rows int64, codec format.CompressionCodec) format.ColumnChunk {
	m := format.ColumnMetaData{
		Type: l.physical(), Encoding: []format.Encoding{format.RLE, c.coding},
		PathInSchema: []string{l.name}, Codec: codec, NumValues: rows,
		TotalUncompressedSize: c.plainSize, TotalCompressedSize: c.size,
		DataPageOffset: c.offset + c.dictionarySize,
		Statistics:     format.Statistics{NullCount: c.nulls},
	}
	if c.dictionarySize > 0 {
		m.DictionaryPageOffset = c.offset
		m.Encoding = append(m.Encoding, format.Plain)
	}
	switch {
	case c.bounds.Known:
		m.Statistics.MinValue = plainBound(l.kind, c.bounds.Min)
		m.Statistics.MaxValue = plainBound(l.kind, c.bounds.Max)
	case c.most != nil:
		m.Statistics.MinValue, m.Statistics.MaxValue = c.least, c.most
	}
	return format.ColumnChunk{MetaData: m}
}

// plainBound returns a bound in PLAIN encoding.
func plainBound(k kind, v int64) []byte {
	if k == kindInt32 {
		return binary.LittleEndian.AppendUint32(nil, uint32(v))
	}
	return binary.LittleEndian.AppendUint64(nil, uint64(v))
}

// parseBound reads a bound in PLAIN encoding.
func parseBound(k kind, data []byte) (int64, error) {
	switch {
	case k == kindInt32 && len(data) == 4:
		return int64(int32(binary.LittleEndian.Uint32(data))), nil
	case k == kindInt64 && len(data) == 8:
		return int64(binary.LittleEndian.Uint64(data)), nil
	}
	return 0, fmt.Errorf("a bound of %d bytes", len(data))
}

// columnIndex returns the bounds of the pages.
func (c *chunk) columnIndex(k kind) format.ColumnIndex {
	out := format.ColumnIndex{BoundaryOrder: format.Ascending}
	for i, p := range c.pages {
		out.NullPages = append(out.NullPages, !p.bounds.Known)
		out.NullCounts = append(out.NullCounts, int64(p.nulls))
		var least, most []byte
		if p.bounds.Known {
			least, most = plainBound(k, p.bounds.Min), plainBound(k, p.bounds.Max)
		}
		out.MinValues, out.MaxValues = append(out.MinValues, least), append(out.MaxValues, most)
		if i > 0 && p.bounds.Known && (!c.pages[i-1].bounds.Known ||
			p.bounds.Min < c.pages[i-1].bounds.Min || p.bounds.Max < c.pages[i-1].bounds.Max) {
			out.BoundaryOrder = format.Unordered
		}
	}
	return out
}

// offsetIndex returns where the pages are.
func (c *chunk) offsetIndex() format.OffsetIndex {
	out := format.OffsetIndex{}
	for i, p := range c.pages {
		out.PageLocations = append(out.PageLocations, format.PageLocation{
			Offset: p.offset, CompressedPageSize: p.size, FirstRowIndex: int64(i) * PageRows,
		})
	}
	return out
}
