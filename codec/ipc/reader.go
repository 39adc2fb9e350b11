package ipc

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const (
	continuation     = 0xffffffff // begins a message's length since format version 0.15
	maxMetadataBytes = 64 << 20
	magic            = "ARROW1"
)

// Reader passes a stream on, each message's metadata after it was checked.
type Reader struct {
	source  io.Reader
	pending []byte // checked, not yet handed on
	body    int64  // bytes of the current message's body to come
	ended   bool
}

// NewReader returns a reader of a stream.
func NewReader(source io.Reader) *Reader { return &Reader{source: source} }

// Read returns checked bytes.
func (r *Reader) Read(p []byte) (int, error) {
	switch {
	case len(r.pending) > 0:
		n := copy(p, r.pending)
		r.pending = r.pending[n:]
		return n, nil
	case r.body > 0:
		n, err := r.source.Read(p[:min(int64(len(p)), r.body)])
		r.body -= int64(n)
		if r.body > 0 && errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return n, err
	case r.ended:
		return 0, io.EOF
	}
	if err := r.next(); err != nil {
		return 0, err
	}
	return r.Read(p)
}

// next reads and checks the metadata of the next message.
func (r *Reader) next() error {
	head := make([]byte, 4, 8)
	if n, err := io.ReadFull(r.source, head); err != nil {
		if n == 0 && errors.Is(err, io.EOF) {
			return io.EOF
		}
		return io.ErrUnexpectedEOF
	}
	length := binary.LittleEndian.Uint32(head)
	if length == continuation {
		head = head[:8]
		if _, err := io.ReadFull(r.source, head[4:]); err != nil {
			return io.ErrUnexpectedEOF
		}
		length = binary.LittleEndian.Uint32(head[4:])
	}
	if length == 0 {
		r.pending, r.ended = head, true
		return nil
	}
	if length > maxMetadataBytes {
		return fmt.Errorf("message metadata of %d bytes", length)
	}
	message := bytes.NewBuffer(head)
	if _, err := io.CopyN(message, r.source, int64(length)); err != nil {
		return io.ErrUnexpectedEOF
	}
	body, err := CheckMessage(message.Bytes()[len(head):])
	if err != nil {
		return err
	}
	r.pending, r.body = message.Bytes(), body
	return nil
}

// File knows where a file's record batches lie.
type File struct {
	source  io.ReaderAt
	size    int64
	Records []Block
}

// OpenFile checks a file's footer and its dictionaries.
func OpenFile(source io.ReaderAt, size int64) (*File, error) {
	const tailBytes = int64(4 + len(magic))
	if size < int64(len(magic))+tailBytes {
		return nil, io.ErrUnexpectedEOF
	}
	tail := make([]byte, tailBytes)
	if _, err := source.ReadAt(tail, size-tailBytes); err != nil {
		return nil, err
	}
	length := int64(binary.LittleEndian.Uint32(tail))
	if string(tail[4:]) != magic || length > size-tailBytes {
		return nil, errors.New("it does not end as an Arrow file")
	}
	footer := make([]byte, length)
	if _, err := source.ReadAt(footer, size-tailBytes-length); err != nil {
		return nil, err
	}
	f := &File{source: source, size: size}
	dictionaries, records, err := checkFooter(footer)
	if err != nil {
		return nil, err
	}
	f.Records = records
	for _, block := range dictionaries {
		if err := f.check(block); err != nil {
			return nil, fmt.Errorf("dictionary: %w", err)
		}
	}
	return f, nil
}

// CheckRecord checks the metadata of record batch i.
func (f *File) CheckRecord(i int) error { return f.check(f.Records[i]) }

func (f *File) check(block Block) error {
	const prefixBytes = 4
	end := block.Offset + int64(block.MetadataLength)
	if block.Offset < 0 || block.MetadataLength < prefixBytes || block.BodyLength < 0 ||
		end < 0 || end > f.size || block.BodyLength > f.size-end {
		return fmt.Errorf("a message at byte %d of %d", block.Offset, f.size)
	}
	message := make([]byte, block.MetadataLength)
	if _, err := f.source.ReadAt(message, block.Offset); err != nil {
		return err
	}
	if binary.LittleEndian.Uint32(message) == continuation && len(message) >= 2*prefixBytes {
		message = message[prefixBytes:]
	}
	body, err := CheckMessage(message[prefixBytes:])
	if err == nil && body > block.BodyLength {
		err = fmt.Errorf("a body of %d bytes in a block of %d", body, block.BodyLength)
	}
	return err
}
