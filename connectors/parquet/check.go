package parquet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// checkPages walks the page headers of a column chunk until its values are there. arrow-go takes what
// lies in its buffer for pages where a chunk ends early, and does not skip pages it does not know:
// damaged files could be read wrongly, or without an end.
func checkPages(file io.ReaderAt, size int64, chunk *metadata.ColumnChunkMetaData) error {
	const dictionaryHeader = 100 // what old writers did not count (PARQUET-816)
	at := chunk.DataPageOffset()
	if first := chunk.DictionaryPageOffset(); chunk.HasDictionaryPage() && first > 0 && first < at {
		at = first
	}
	end := min(at+chunk.TotalCompressedSize()+dictionaryHeader, size)
	for seen := int64(0); seen < chunk.NumValues(); {
		header, length, err := pageHeader(file, at, end)
		if err != nil {
			return fmt.Errorf("page at byte %d: %w", at, err)
		}
		switch header.Type {
		case format.DataPage:
			seen += int64(header.DataPageHeader.V.NumValues)
		case format.DataPageV2:
			seen += int64(header.DataPageHeaderV2.V.NumValues)
		case format.DictionaryPage:
		default:
			return fmt.Errorf("page at byte %d: type %d", at, header.Type)
		}
		body := int64(header.CompressedPageSize)
		if chunk.Compression() == compress.Codecs.Snappy {
			if err := checkSnappy(file, at+int64(length), header); err != nil {
				return fmt.Errorf("page at byte %d: %w", at, err)
			}
		}
		if at += int64(length) + body; body < 0 || at > end {
			return fmt.Errorf("page of %d bytes ends behind its column chunk, after %d of %d values", body,
				seen, chunk.NumValues())
		}
	}
	return nil
}

// checkSnappy compares the size that a block of Snappy says it has before compression, for which the
// decoder makes room at once, with that of the page.
func checkSnappy(file io.ReaderAt, at int64, header *format.PageHeader) error {
	size, plain := int64(header.CompressedPageSize), int64(header.UncompressedPageSize)
	if v2 := header.DataPageHeaderV2; header.Type == format.DataPageV2 {
		if v2.V.IsCompressed.Valid && !v2.V.IsCompressed.V {
			return nil
		}
		definitions, repetitions := int64(v2.V.DefinitionLevelsByteLength), int64(v2.V.RepetitionLevelsByteLength)
		levels := definitions + repetitions
		if definitions < 0 || repetitions < 0 || levels > size {
			return fmt.Errorf("its levels take %d and %d of %d bytes", definitions, repetitions, size)
		}
		at, size, plain = at+levels, size-levels, plain-levels
	}
	if size <= 0 {
		return nil
	}
	head := make([]byte, min(size, binary.MaxVarintLen32))
	if _, err := file.ReadAt(head, at); err != nil {
		return err
	}
	if claimed, n := binary.Uvarint(head); n <= 0 || int64(claimed) > plain {
		return fmt.Errorf("its Snappy block claims %d bytes, its header %d", claimed, plain)
	}
	return nil
}

// pageHeader reads the header at a byte and returns its length.
func pageHeader(file io.ReaderAt, at, end int64) (*format.PageHeader, int, error) {
	const first, most = 256, 16 << 20 // statistics may be long
	if at < 0 || at >= end {
		return nil, 0, io.ErrUnexpectedEOF
	}
	for size := int64(first); ; size *= 4 {
		data := make([]byte, min(size, end-at))
		if n, err := file.ReadAt(data, at); n < len(data) {
			return nil, 0, err
		}
		var header format.PageHeader
		reader := (&thrift.CompactProtocol{}).NewReaderFromBytes(data)
		err := thrift.NewDecoder(reader).Decode(&header)
		if err == nil {
			return &header, reader.BytesRead(), nil
		}
		if size >= min(end-at, most) {
			return nil, 0, errors.Join(errors.New("its header is damaged"), err)
		}
	}
}
