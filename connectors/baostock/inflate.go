package baostock

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/klauspost/compress/zlib"
)

// inflater expands zlib streams that are in memory as a whole.
type inflater struct {
	source bytes.Reader
	stream io.ReadCloser // nil until the first stream
}

var inflaters = sync.Pool{New: func() any { return &inflater{} }}

// inflate returns what the stream expands to, in dst, which may grow. More than most bytes are refused.
func inflate(dst, stream []byte, most int) ([]byte, error) {
	z := inflaters.Get().(*inflater)
	defer inflaters.Put(z)
	z.source.Reset(stream)
	defer z.source.Reset(nil)
	var err error
	if z.stream == nil {
		z.stream, err = zlib.NewReader(&z.source)
	} else {
		err = z.stream.(zlib.Resetter).Reset(&z.source, nil)
	}
	if err != nil {
		z.stream = nil
		return dst, cut(err)
	}
	const usualRatio = 4
	dst = slices.Grow(dst[:0], usualRatio*len(stream)+1)
	for {
		n, err := z.stream.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		switch {
		case len(dst) > most:
			return dst, fmt.Errorf("more than %d bytes", most)
		case err == io.EOF && z.source.Len() > 0:
			return dst, fmt.Errorf("%d bytes follow the stream", z.source.Len())
		case err == io.EOF:
			return dst, nil
		case err != nil:
			return dst, cut(err)
		case len(dst) == cap(dst):
			dst = slices.Grow(dst, len(dst)/2+1)
		}
	}
}

// cut keeps the end of a stream apart from the end of the connection.
func cut(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
