package avro

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/codec/container"
	"github.com/tapeline/tapeline/connector"
)

const (
	magic         = "Obj\x01"
	syncBytes     = 16
	maxBlockBytes = 1 << 29 // decompressed
	schemaKey     = "avro.schema"
	codecKey      = "avro.codec"
)

// header is what a file says about itself.
type header struct {
	schema *schema
	codec  string
	sync   []byte
	fields []batch.Field
	length int64
}

// readHeader reads a file's header.
func readHeader(f *container.File) (*header, error) {
	in := &counter{Reader: bufio.NewReader(f.Section())}
	start := make([]byte, len(magic))
	if _, err := io.ReadFull(in, start); err != nil || string(start) != magic {
		return nil, errors.New("it does not begin as an Avro container file")
	}
	pairs := map[string][]byte{}
	for {
		n, err := binary.ReadVarint(in)
		if err != nil {
			return nil, short(err)
		}
		if n == 0 {
			break
		}
		if n < 0 {
			n = -n
			if _, err := binary.ReadVarint(in); err != nil {
				return nil, short(err)
			}
		}
		for ; n > 0; n-- {
			key, err := in.bytes(f.SizeBytes)
			if err != nil {
				return nil, err
			}
			if pairs[string(key)], err = in.bytes(f.SizeBytes); err != nil {
				return nil, err
			}
		}
	}
	h := &header{codec: string(pairs[codecKey]), sync: make([]byte, syncBytes)}
	if _, err := io.ReadFull(in, h.sync); err != nil {
		return nil, short(err)
	}
	h.length = in.n
	var err error
	if h.schema, err = parseSchema(pairs[schemaKey]); err == nil {
		h.fields, err = h.schema.columns()
	}
	return h, err
}

// short tells an end in the midst of something from the end of a file.
func short(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// counter counts the bytes read.
type counter struct {
	*bufio.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += int64(n)
	return n, err
}

// ReadByte reads one byte.
func (c *counter) ReadByte() (byte, error) {
	b, err := c.Reader.ReadByte()
	if err == nil {
		c.n++
	}
	return b, err
}

// bytes reads a length of at most limit and as many bytes.
func (c *counter) bytes(limit int64) ([]byte, error) {
	n, err := binary.ReadVarint(c)
	if err != nil {
		return nil, short(err)
	}
	if n < 0 || n > limit {
		return nil, fmt.Errorf("a length of %d bytes", n)
	}
	out := make([]byte, n)
	_, err = io.ReadFull(c, out)
	return out, short(err)
}

// reader reads blocks into columns.
type reader struct {
	name    string
	header  *header
	in      *counter
	size    int64
	schema  *batch.Schema // of the source
	own     *batch.Schema
	pick    []int // for each column of the schema its number in the file; -1: the file lacks it
	decodes []decode
	builder *batch.Builder

	next  container.Cursor // Unit: the byte at which a block begins
	block cursor           // the rows of the block at next.Unit
	rows  int64            // of it; 0: not read yet
	ratio float64          // compressed bytes of each decompressed one
	end   int64            // where the block ends
	zstd  *zstd.Decoder
}

func newReader(
	f *container.File, h *header, schema *batch.Schema, from container.Cursor,
) (*reader, error) {
	r := &reader{name: f.Name(), header: h, size: f.SizeBytes, schema: schema, next: from}
	r.own = batch.NewSchema(h.fields...)
	same := r.own.Equal(schema)
	for i, field := range schema.Fields() {
		at := i
		if !same {
			at = r.own.Index(field.Name)
		}
		r.pick = append(r.pick, at)
	}
	members := h.schema.fields
	if h.schema.kind != "record" {
		members = []field{{typ: h.schema}}
	}
	for i, m := range members {
		r.decodes = append(r.decodes, newDecode(m.typ, h.fields[i].Type))
	}
	r.builder = batch.NewBuilder(r.own)
	r.next.Unit = max(from.Unit, h.length)
	const readAhead = 256 << 10
	section := io.NewSectionReader(f, r.next.Unit, f.SizeBytes-r.next.Unit)
	r.in = &counter{Reader: bufio.NewReaderSize(section, readAhead), n: r.next.Unit}
	return r, r.skip()
}

// skip decodes the rows of the cursor's block that an earlier run read.
func (r *reader) skip() error {
	rows := r.next.Row
	if rows == 0 {
		return nil
	}
	if err := r.load(); err != nil {
		return short(err)
	}
	if rows > r.rows {
		return fmt.Errorf("block at byte %d has %d rows", r.next.Unit, r.rows)
	}
	for range rows {
		if err := r.row(); err != nil {
			return err
		}
	}
	_, err := r.builder.Batch()
	return err
}

// Read returns the next rows, io.EOF after the last.
func (r *reader) Read(_ context.Context, limits connector.Limits) (connector.Chunk, container.Cursor, error) {
	if r.rows == 0 {
		if err := r.load(); err != nil {
			return connector.Chunk{}, r.next, err
		}
	}
	place := fmt.Sprintf("%s block at byte %d", r.name, r.next.Unit)
	from, record := r.block.at, r.next.Row
	r.block.items = maxItems
	for r.next.Row < r.rows && r.builder.Len() < limits.Rows && r.block.at-from < limits.Bytes {
		if err := r.row(); err != nil {
			return connector.Chunk{}, r.next, fmt.Errorf("block at byte %d, row %d: %w", r.next.Unit, r.next.Row, err)
		}
		r.next.Row++
	}
	used := r.block.at - from
	if r.next.Row == r.rows {
		if r.block.at != len(r.block.data) {
			return connector.Chunk{}, r.next, fmt.Errorf("block at byte %d: %d bytes follow its last row",
				r.next.Unit, len(r.block.data)-r.block.at)
		}
		r.next, r.rows = container.Cursor{Unit: r.end}, 0
	}
	b, err := r.builder.Batch()
	if err != nil {
		return connector.Chunk{}, r.next, err
	}
	columns := make([]*batch.Column, len(r.pick))
	for i, at := range r.pick {
		if at < 0 {
			columns[i] = batch.NullColumn(r.schema.Field(i).Type, b.Len())
			continue
		}
		columns[i] = b.Column(at)
	}
	out := batch.New(r.schema, columns, b.Len()).WithOrigin(&batch.Origin{Name: place, Record: record + 1})
	return connector.Chunk{Batch: out, Bytes: int(float64(used) * r.ratio)}, r.next, nil
}

// row decodes one row into the builder.
func (r *reader) row() error {
	for i, decode := range r.decodes {
		decode(&r.block, r.builder.Column(i))
	}
	return r.block.err
}

// load reads and decompresses the block at the cursor; empty ones are passed over.
func (r *reader) load() error {
	for {
		if r.next.Unit >= r.size {
			return io.EOF
		}
		rows, err := binary.ReadVarint(r.in)
		if err != nil {
			return fmt.Errorf("block at byte %d: %w", r.next.Unit, short(err))
		}
		packed, err := r.in.bytes(r.size - r.next.Unit)
		if err == nil {
			sync := make([]byte, syncBytes)
			if _, err = io.ReadFull(r.in, sync); err == nil && !bytes.Equal(sync, r.header.sync) {
				err = errors.New("its end mark is wrong")
			}
		}
		var data []byte
		if err == nil {
			data, err = r.decompress(packed)
		}
		// Rows may take no bytes, so a count is hard to judge; a file of our times has none such.
		const maxEmptyRows = 1 << 24
		if err == nil && (rows < 0 || rows > int64(max(len(data), maxEmptyRows))) {
			err = fmt.Errorf("%d rows in %d bytes", rows, len(data))
		}
		if err != nil {
			return fmt.Errorf("block at byte %d: %w", r.next.Unit, short(err))
		}
		r.end = r.in.n
		if rows > 0 {
			r.rows, r.block = rows, cursor{data: data, items: maxItems}
			r.ratio = float64(len(packed)) / float64(max(len(data), 1))
			return nil
		}
		r.next = container.Cursor{Unit: r.end}
	}
}

func (r *reader) decompress(packed []byte) ([]byte, error) {
	switch r.header.codec {
	case "", "null":
		return packed, nil
	case "deflate":
		return readBounded(flate.NewReader(bytes.NewReader(packed)))
	case "bzip2":
		return readBounded(bzip2.NewReader(bytes.NewReader(packed)))
	case "zstandard":
		if r.zstd == nil {
			var err error
			r.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxBlockBytes))
			if err != nil {
				return nil, err
			}
		}
		return r.zstd.DecodeAll(packed, nil)
	case "snappy":
		return unsnappy(packed)
	}
	return nil, &connector.Error{
		Op: "read " + r.name, Class: connector.Permanent, Code: "avro_codec",
		Err:  fmt.Errorf("codec %q is not supported", r.header.codec),
		Hint: "write it with null, deflate, snappy, zstandard or bzip2",
	}
}

// unsnappy reads a block that is followed by the checksum of its content.
func unsnappy(packed []byte) ([]byte, error) {
	const sumBytes = 4
	if len(packed) < sumBytes {
		return nil, io.ErrUnexpectedEOF
	}
	body, sum := packed[:len(packed)-sumBytes], binary.BigEndian.Uint32(packed[len(packed)-sumBytes:])
	if n, err := snappy.DecodedLen(body); err != nil || n > maxBlockBytes {
		return nil, fmt.Errorf("a snappy block of %d bytes: %w", n, errors.Join(err, errors.New("too large")))
	}
	data, err := snappy.Decode(nil, body)
	if err == nil && crc32.ChecksumIEEE(data) != sum {
		err = errors.New("its checksum is wrong")
	}
	return data, err
}

func readBounded(in io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(in, maxBlockBytes+1))
	if err == nil && len(data) > maxBlockBytes {
		err = fmt.Errorf("a block of more than %d bytes", maxBlockBytes)
	}
	return data, err
}

// Close frees the decompressor.
func (r *reader) Close() error {
	if r.zstd != nil {
		r.zstd.Close()
	}
	return nil
}
