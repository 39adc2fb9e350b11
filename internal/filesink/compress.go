package filesink

import (
	"bytes"
	"fmt"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// compressor turns bytes into one complete gzip member or zstd frame; those may follow each other
// in a file, so a file can be cut after any of them.
type compressor struct {
	gzip *gzip.Writer
	zstd *zstd.Encoder
	out  bytes.Buffer
}

// newCompressor returns nil for none.
func newCompressor(compression string) (*compressor, error) {
	c := &compressor{}
	var err error
	switch compression {
	case "none":
		return nil, nil
	case "gzip":
		c.gzip = gzip.NewWriter(&c.out)
	case "zstd":
		c.zstd, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	default:
		err = fmt.Errorf("compression %q is not known", compression)
	}
	return c, err
}

// member returns p compressed, valid until the next call.
func (c *compressor) member(p []byte) ([]byte, error) {
	if c.zstd != nil {
		out := c.zstd.EncodeAll(p, c.out.AvailableBuffer()[:0])
		c.out = *bytes.NewBuffer(out[:0])
		return out, nil
	}
	c.out.Reset()
	c.gzip.Reset(&c.out)
	if _, err := c.gzip.Write(p); err != nil {
		return nil, err
	}
	if err := c.gzip.Close(); err != nil {
		return nil, err
	}
	return c.out.Bytes(), nil
}

// NewCompress returns a function that compresses p for WriteMember, with memory of its own: a
// worker's, so that all cores compress. It is nil when the target is not compressed.
func (s *Stage) NewCompress() (func(dst, p []byte) ([]byte, error), error) {
	if s.compress == nil {
		return nil, nil
	}
	c, err := newCompressor(s.cfg.Sink.compression())
	if err != nil {
		return nil, err
	}
	return func(dst, p []byte) ([]byte, error) {
		member, err := c.member(p)
		return append(dst, member...), err
	}, nil
}

// WriteMember appends what NewCompress's function made to the current part, as Write does.
func (s *Stage) WriteMember(member []byte) error {
	if err := s.begin(); err != nil {
		return err
	}
	if err := s.flush(); err != nil {
		return err
	}
	return s.appendRaw(member)
}
