package baostock

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strconv"
	"unicode/utf8"
)

// Parts of a frame: HEADER BODY 0x01 CRC and an end. The header is version, type and the length of
// BODY in code points, or of the compressed bytes, with 0x01 between them.
const (
	versionLength = 7
	headerLength  = versionLength + 1 + 2 + 1 + 10
	separator     = 0x01
	typeError     = 4  // answers any request
	typeZipped    = 96 // the only answer that is compressed
)

// maxFrame bounds an answer, compressed or not. The largest one known, all instruments, has 0.5 MB.
const maxFrame = 64 << 20

// frameEnd ends every answer; requests end with a line feed alone.
var frameEnd = []byte("<![CDATA[]]>\n")

// errFrame is the cause of every answer that is not a frame: the stream cannot be used any more.
var errFrame = errors.New("malformed answer")

// appendRequest appends a request of the type with the body.
func appendRequest(dst []byte, version string, typ int, body string) []byte {
	from := len(dst)
	dst = fmt.Appendf(dst, "%s\x01%02d\x01%010d%s", version, typ, utf8.RuneCountInString(body), body)
	sum := crc32.ChecksumIEEE(dst[from:])
	dst = append(dst, separator)
	dst = strconv.AppendUint(dst, uint64(sum), 10)
	return append(dst, '\n')
}

// frame is one answer. Its body, compressed as it came where zipped says so, lies in memory, which was
// given to next.
type frame struct {
	typ    int
	zipped bool
	body   []byte
	memory []byte
}

// frameReader reads answers from a connection.
type frameReader struct {
	source io.Reader
	buf    []byte // received of the answer at hand
	total  int64  // received in all
}

// next receives one answer into memory, which may grow. io.EOF means that the connection ended between
// answers.
func (r *frameReader) next(memory []byte) (f frame, err error) {
	r.buf = memory[:0]
	defer func() { f.memory, r.buf = r.buf, nil }()
	if err := r.fill(headerLength); err != nil {
		return f, err
	}
	length, ok := 0, false
	if f.typ, length, ok = parseHeader(r.buf[:headerLength]); !ok {
		return f, fmt.Errorf("%w: header %q", errFrame, r.buf[:headerLength])
	}
	if f.zipped = f.typ == typeZipped; f.zipped {
		f.body, err = r.zippedBody(length)
	} else {
		f.body, err = r.plainBody(length)
	}
	return f, err
}

func parseHeader(h []byte) (typ, length int, ok bool) {
	if h[versionLength] != separator || h[versionLength+3] != separator {
		return 0, 0, false
	}
	typ, okType := digits(h[versionLength+1 : versionLength+3])
	length, okLength := digits(h[versionLength+4:])
	return typ, length, okType && okLength && length <= maxFrame
}

func digits(text []byte) (n int, ok bool) {
	for _, ch := range text {
		if ch < '0' || ch > '9' {
			return 0, false
		}
		n = n*10 + int(ch-'0')
	}
	return n, len(text) > 0
}

// readStep is the least room for a read.
const readStep = 64 << 10

// fill receives until n bytes of the answer are there, or more.
func (r *frameReader) fill(n int) error {
	for len(r.buf) < n {
		r.buf = slices.Grow(r.buf, readStep)
		got, err := r.source.Read(r.buf[len(r.buf):cap(r.buf)])
		r.buf = r.buf[:len(r.buf)+got]
		r.total += int64(got)
		switch {
		case len(r.buf) >= n:
		case err == io.EOF && len(r.buf) > 0:
			return fmt.Errorf("after %d bytes of an answer: %w", len(r.buf), io.ErrUnexpectedEOF)
		case err != nil:
			return err
		}
	}
	return nil
}

// maxEnds bounds how often the text of an end may occur within a body.
const maxEnds = 16

// plainBody receives up to the end. The length counts code points, so it cannot cut; it tells an end
// within the body from the one behind it.
func (r *frameReader) plainBody(length int) ([]byte, error) {
	from := headerLength
	for range maxEnds {
		end, err := r.find(from)
		if err != nil {
			return nil, err
		}
		rest := r.buf[headerLength:end]
		at := bytes.LastIndexByte(rest, separator)
		if at < 0 {
			return nil, fmt.Errorf("%w: no checksum", errFrame)
		}
		body := rest[:at]
		points := utf8.RuneCount(body)
		sum, ok := digits(rest[at+1:])
		ok = ok && uint64(sum) == uint64(crc32.ChecksumIEEE(r.buf[:headerLength+at]))
		switch {
		case ok && points == length:
			return body, r.ended(end + len(frameEnd))
		case ok:
			return nil, fmt.Errorf("%w: %d characters, its header says %d", errFrame, points, length)
		case points >= length:
			return nil, fmt.Errorf("%w: checksum %q of %d bytes is wrong",
				errFrame, clip(rest[at+1:]), headerLength+at)
		}
		from = end + 1
	}
	return nil, fmt.Errorf("%w: more than %d ends", errFrame, maxEnds)
}

// find receives until the text of an end is there at from or behind, and returns where.
func (r *frameReader) find(from int) (int, error) {
	for {
		if at := bytes.Index(r.buf[from:], frameEnd); at >= 0 {
			return from + at, nil
		}
		if len(r.buf) > 4*maxFrame+headerLength { // characters have up to four bytes
			return 0, fmt.Errorf("%w: no end within %d bytes", errFrame, len(r.buf))
		}
		from = max(from, len(r.buf)-len(frameEnd)+1)
		if err := r.fill(len(r.buf) + 1); err != nil {
			return 0, err
		}
	}
}

// ended checks that nothing follows the answer: there is one request at a time.
func (r *frameReader) ended(end int) error {
	if rest := r.buf[end:]; len(rest) > 0 {
		return fmt.Errorf("%w: %q follows it", errFrame, clip(rest))
	}
	return nil
}

// zippedBody receives exactly length bytes and the trailer. Its checksum is one that nobody could
// reproduce, so the stream's own has to do.
func (r *frameReader) zippedBody(length int) ([]byte, error) {
	body := headerLength + length
	if err := r.fill(body); err != nil {
		return nil, err
	}
	end, err := r.find(body)
	if err != nil {
		return nil, err
	}
	trailer := r.buf[body:end]
	if n := len(trailer); n < 3 || trailer[0] != separator || trailer[n-1] != '\n' {
		return nil, fmt.Errorf("%w: %q behind %d compressed bytes", errFrame, clip(trailer), length)
	} else if _, ok := digits(trailer[1 : n-1]); !ok {
		return nil, fmt.Errorf("%w: checksum %q", errFrame, clip(trailer))
	}
	return r.buf[headerLength:body], r.ended(end + len(frameEnd))
}

// clip shortens text for a message.
func clip(text []byte) []byte {
	const most = 80
	if len(text) > most {
		return append(text[:most:most], "..."...)
	}
	return text
}
