package filesink

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/vfs"
)

// headBytes is how much of a file's beginning identifies it in a position.
const headBytes = 1024

// stream is one open input file as UTF-8 text (or the bytes of a format that is not text).
type stream struct {
	name    string
	file    vfs.File
	size    int64 // when opened
	regular bool
	plain   bool // the stream is the file's bytes, so an offset can be sought
	raw     counter
	reader  io.Reader
	closers []func()
	offset  int64 // of the next byte in the stream
	head    []byte
}

// counter counts the bytes of the file itself, for errors about compressed ones.
type counter struct {
	reader io.Reader
	n      int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.reader.Read(p)
	c.n += int64(n)
	return n, err
}

func openStream(fsys vfs.FS, cfg *SourceConfig, name string) (*stream, error) {
	info, err := fsys.Stat(name)
	if err != nil {
		return nil, openError("open "+name, err)
	}
	file, err := fsys.Open(name)
	if err != nil {
		return nil, openError("open "+name, err)
	}
	s := &stream{name: name, file: file, size: info.Size(), regular: info.Mode().IsRegular()}
	if err := s.begin(cfg); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// begin looks at the first bytes and stacks decompression and transcoding over the file.
func (s *stream) begin(cfg *SourceConfig) error {
	head := make([]byte, headBytes)
	n, err := io.ReadFull(s.file, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return openError("read "+s.name, err)
	}
	s.head = head[:n]
	s.raw = counter{reader: io.MultiReader(bytes.NewReader(s.head), s.file)}
	s.reader = &s.raw
	compression := cfg.Compression
	if compression == "" || compression == "auto" {
		compression = sniffCompression(s.head)
	}
	if err := s.decompress(compression); err != nil {
		return s.readError(err)
	}
	return s.transcode(cfg, compression)
}

func sniffCompression(head []byte) string {
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b, 8}):
		return "gzip"
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return "zstd"
	}
	return "none"
}

func (s *stream) decompress(compression string) error {
	switch compression {
	case "gzip":
		r, err := gzip.NewReader(bufio.NewReaderSize(s.reader, 128<<10))
		if err != nil {
			return err
		}
		s.reader = r
	case "zstd":
		r, err := zstd.NewReader(s.reader, zstd.WithDecoderConcurrency(1),
			zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(512<<20))
		if err != nil {
			return err
		}
		s.closers = append(s.closers, r.Close)
		s.reader = r
	}
	return nil
}

// transcode turns the stream into UTF-8. A UTF-8 byte order mark is skipped, and counted in the
// offset; a UTF-16 one overrides the configuration.
func (s *stream) transcode(cfg *SourceConfig, compression string) error {
	start := s.head
	if compression != "none" {
		buffered := bufio.NewReaderSize(s.reader, 64<<10)
		s.reader = buffered
		start, _ = buffered.Peek(3)
	}
	enc, err := findEncoding(cfg.Encoding)
	if err != nil {
		return &connector.Error{
			Op: "open " + s.name, Class: connector.Permanent, Err: err, Path: "encoding",
		}
	}
	switch {
	case bytes.HasPrefix(start, []byte{0xef, 0xbb, 0xbf}):
		enc = nil
		if _, err := io.CopyN(io.Discard, s.reader, 3); err != nil {
			return s.readError(err)
		}
		s.offset = 3
	case bytes.HasPrefix(start, []byte{0xff, 0xfe}), bytes.HasPrefix(start, []byte{0xfe, 0xff}):
		enc = unicode.UTF16(unicode.LittleEndian, unicode.UseBOM)
	}
	if enc != nil {
		s.reader = transform.NewReader(s.reader, enc.NewDecoder())
	}
	s.plain = compression == "none" && enc == nil && s.regular
	return nil
}

// findEncoding returns nil for UTF-8 and its subset ASCII, which need no transcoding.
func findEncoding(name string) (encoding.Encoding, error) {
	switch name = strings.ToLower(strings.TrimSpace(name)); name {
	case "", "auto", "utf-8", "utf8", "ascii", "us-ascii":
		return nil, nil
	case "utf-16", "utf16":
		return unicode.UTF16(unicode.LittleEndian, unicode.UseBOM), nil
	case "cp949", "uhc":
		name = "euc-kr"
	case "cp936":
		name = "gbk"
	case "cp932":
		name = "shift_jis"
	case "latin-1":
		name = "latin1"
	}
	enc, err := htmlindex.Get(name)
	if err != nil {
		return nil, fmt.Errorf("%q is not known; among the known are utf-8, utf-16, utf-16be, gbk, "+
			"gb18030, big5, euc-kr, shift_jis, euc-jp, latin1, iso-8859-2, windows-1251", name)
	}
	return enc, nil
}

// seek moves to an offset of the stream: at once in a plain file, else by reading up to it.
func (s *stream) seek(offset int64) error {
	switch {
	case offset == s.offset:
		return nil
	case s.plain:
		s.raw = counter{reader: io.NewSectionReader(s.file, offset, 1<<62-offset), n: offset}
		s.reader, s.offset = &s.raw, offset
		return nil
	case offset < s.offset:
		return fmt.Errorf("seek %s: offset %d is behind %d", s.name, offset, s.offset)
	}
	n, err := io.CopyN(io.Discard, s.reader, offset-s.offset)
	s.offset += n
	if errors.Is(err, io.EOF) {
		return s.changed(fmt.Sprintf("it holds %d bytes, the position is at byte %d", s.offset, offset))
	}
	if err != nil {
		return s.readError(err)
	}
	return nil
}

// read fills p as far as it can. At the end of the file it is io.EOF, unless the file holds less
// than it did when it was opened.
func (s *stream) read(p []byte) (int, error) {
	n, err := s.reader.Read(p)
	s.offset += int64(n)
	switch {
	case err == nil:
		return n, nil
	case !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return n, s.readError(err)
	case s.plain && s.offset < s.size:
		return n, &connector.Error{
			Op: "read " + s.name, Class: connector.Data, Code: "file_shrank",
			Err: fmt.Errorf("the file shrank from %d to %d bytes while it was read", s.size, s.offset),
		}
	}
	return n, io.EOF
}

func (s *stream) readError(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &connector.Error{
			Op: "read " + s.name, Class: connector.Data, Code: "file_truncated",
			Err: fmt.Errorf("the compressed data ends early at byte %d of the file, byte %d decompressed",
				s.raw.n, s.offset),
			Hint: "the file was not written or copied completely",
		}
	}
	if s.plain {
		return openError(fmt.Sprintf("read %s at byte %d", s.name, s.offset), err)
	}
	return &connector.Error{
		Op: "read " + s.name, Class: connector.Data, Code: "file_corrupt",
		Err: fmt.Errorf("near byte %d of the file, byte %d decompressed: %w", s.raw.n, s.offset, err),
	}
}

func (s *stream) changed(what string) error {
	return &connector.Error{
		Op: "resume " + s.name, Class: connector.Permanent, Code: "file_changed",
		Err:  fmt.Errorf("the file is not the one that was read before: %s", what),
		Hint: "start anew with --fresh, or put the file back",
	}
}

// fingerprint identifies the file by its first n bytes, as many as headBytes when n is 0.
func (s *stream) fingerprint(n int) (sum uint32, length int, ok bool) {
	if n == 0 {
		n = len(s.head)
	}
	if n > len(s.head) {
		return 0, n, false
	}
	return crc32.ChecksumIEEE(s.head[:n]), n, true
}

func (s *stream) close() {
	for _, f := range s.closers {
		f()
	}
	s.closers = nil
	_ = s.file.Close() // opened for reading: nothing can be lost
}

// Head returns up to n bytes from the beginning of the file, decompressed, transcoded and without
// a byte order mark, and whether that is all of it: for sniffing and schema inference.
func (c *SourceConfig) Head(fsys vfs.FS, file string, n int) (head []byte, whole bool, err error) {
	s, err := openStream(fsys, c, file)
	if err != nil {
		return nil, false, err
	}
	defer s.close()
	head = make([]byte, n)
	filled := 0
	for filled < n {
		got, err := s.read(head[filled:])
		filled += got
		if errors.Is(err, io.EOF) {
			return head[:filled], true, nil
		}
		if err != nil {
			// What is whole is still a sample; reading the blocks reports the damage.
			if filled > 0 {
				return head[:filled], false, nil
			}
			return nil, false, err
		}
	}
	return head, false, nil
}
