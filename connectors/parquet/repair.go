package parquet

import (
	"encoding/binary"
	"errors"
	"sync"

	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/klauspost/compress/snappy"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
	"github.com/pierrec/lz4/v4"

	"github.com/tapeline/tapeline/codec/container"
)

// registerCodecs adds to arrow-go's table what it lacks; the table is the process's.
var registerCodecs = sync.OnceFunc(func() {
	compress.RegisterCodec(compress.Codecs.Snappy, snappyCodec{})
	compress.RegisterCodec(compress.Codecs.Lz4, lz4Codec{})
})

// snappyCodec takes an empty page for what it is: writers store no bytes for a page of nulls.
type snappyCodec struct{}

func (snappyCodec) Encode(dst, src []byte) []byte { return snappy.Encode(dst, src) }

func (snappyCodec) EncodeLevel(dst, src []byte, _ int) []byte { return snappy.Encode(dst, src) }

func (snappyCodec) CompressBound(n int64) int64 { return int64(snappy.MaxEncodedLen(int(n))) }

func (c snappyCodec) Decode(dst, src []byte) []byte {
	out, err := c.DecodeWithError(dst, src)
	if err != nil {
		return nil // arrow-go prefers DecodeWithError
	}
	return out
}

// DecodeWithError decompresses a block.
func (snappyCodec) DecodeWithError(dst, src []byte) ([]byte, error) {
	if len(src) == 0 {
		return dst[:0], nil
	}
	return snappy.Decode(dst, src)
}

// lz4Codec reads the deprecated LZ4 codec: blocks with Hadoop's frame, or without as Arrow once
// wrote them.
type lz4Codec struct{}

func (lz4Codec) Encode(dst, _ []byte) []byte { return dst[:0] } // never chosen by the sink

func (lz4Codec) EncodeLevel(dst, _ []byte, _ int) []byte { return dst[:0] }

func (lz4Codec) CompressBound(n int64) int64 { return int64(lz4.CompressBlockBound(int(n))) }

func (c lz4Codec) Decode(dst, src []byte) []byte {
	out, err := c.DecodeWithError(dst, src)
	if err != nil {
		return nil // arrow-go prefers DecodeWithError
	}
	return out
}

// DecodeWithError decompresses a page.
func (lz4Codec) DecodeWithError(dst, src []byte) ([]byte, error) {
	if out, ok := decodeHadoop(dst, src); ok {
		return out, nil
	}
	n, err := lz4.UncompressBlock(src, dst)
	if err != nil {
		return nil, err
	}
	return dst[:n], nil
}

// decodeHadoop reads frames of [uncompressed length, compressed length, block], big-endian.
func decodeHadoop(dst, src []byte) ([]byte, bool) {
	at := 0
	for len(src) > 0 {
		if len(src) < 8 {
			return nil, false
		}
		plain, packed := int(binary.BigEndian.Uint32(src)), int(binary.BigEndian.Uint32(src[4:]))
		src = src[8:]
		if packed > len(src) || plain > len(dst)-at {
			return nil, false
		}
		n, err := lz4.UncompressBlock(src[:packed], dst[at:at+plain])
		if err != nil || n != plain {
			return nil, false
		}
		at, src = at+plain, src[packed:]
	}
	return dst[:at], true
}

// plainFooter reads a footer without the annotations that are newer than the library: by the
// format's rules such columns are read as their physical type.
func plainFooter(f *container.File) (*metadata.FileMetaData, error) {
	tail := make([]byte, tailBytes)
	if _, err := f.ReadAt(tail, f.SizeBytes-int64(tailBytes)); err != nil {
		return nil, err
	}
	length := int64(binary.LittleEndian.Uint32(tail))
	if string(tail[4:]) != magic || length > f.SizeBytes-int64(tailBytes) {
		return nil, errors.New("its footer is damaged")
	}
	data := make([]byte, length)
	if _, err := f.ReadAt(data, f.SizeBytes-int64(tailBytes)-length); err != nil {
		return nil, err
	}
	var footer format.FileMetaData
	protocol := &thrift.CompactProtocol{}
	if err := thrift.Unmarshal(protocol, data, &footer); err != nil {
		return nil, err
	}
	unknown := 0
	for i := range footer.Schema {
		element := &footer.Schema[i]
		if element.LogicalType.Value == nil {
			// Marked optional, so an empty annotation is left out below.
			unknown++
		}
	}
	if unknown == 0 {
		return nil, errors.New("its schema cannot be read")
	}
	data, err := thrift.Marshal(protocol, footer)
	if err != nil {
		return nil, err
	}
	return metadata.NewFileMetaData(data, nil)
}
