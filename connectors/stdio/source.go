package stdio

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
)

type source struct {
	cfg    SourceConfig
	budget *connector.Budget
	input  io.Reader
	format format

	buffer   []byte
	filled   int
	since    time.Time // when the first byte of buffer came
	ended    bool
	begun    bool
	failed   error // of begin
	consumed int64
	line     int64
	mean     int // bytes a line, of the last chunk
	pool     sync.Pool
	closed   atomic.Bool
}

var (
	_ connector.Source     = (*source)(nil)
	_ connector.Decoder    = (*source)(nil)
	_ connector.Discoverer = (*source)(nil)
)

// format is how input is split and decoded.
type format interface {
	// begin looks at the first records and returns how many bytes precede them; ok false asks for
	// more bytes, which is not possible with atEOF.
	begin(data []byte, atEOF bool) (length int, ok bool, err error)
	// cut returns the length of the longest beginning of data that is whole records.
	cut(data []byte, atEOF bool) int
	// decoder returns a function for one worker.
	decoder() func(text) (decoded, error)
}

// text is whole records.
type text struct {
	data  []byte
	line  int64 // of the first byte, from 1
	lines int
}

type decoded struct {
	batch    *batch.Batch
	rejected []connector.Rejected
	release  func()
}

func newSource(env connector.Env, cfg *SourceConfig, input io.Reader) (connector.Source, error) {
	if err := checkFormat("configure stdio source", cfg.Format); err != nil {
		return nil, err
	}
	if cfg.SampleRows < 1 || cfg.SampleRows > 100_000 || cfg.MaxRecordBytes < 1 {
		return nil, &connector.Error{
			Op: "configure stdio source", Class: connector.Permanent,
			Err: errors.New("sample_rows: want 1 to 100000, and max_record_bytes at least 1"),
		}
	}
	s := &source{cfg: *cfg, budget: env.Budget, input: input, line: 1}
	var err error
	s.format, err = newFormat(cfg)
	return s, err
}

// Open refuses a position: what was read from standard input is gone.
func (s *source) Open(_ context.Context, _ connector.Partition, at connector.Position) error {
	if at != nil {
		return &connector.Error{
			Op: "resume standard input", Class: connector.Permanent, Code: "stdin_not_resumable",
			Err:  fmt.Errorf("position %x: what was read before is gone", []byte(at)),
			Hint: "start anew with --fresh and give all input again",
		}
	}
	return nil
}

// Read returns the next whole records.
func (s *source) Read(ctx context.Context) (connector.Chunk, error) {
	limits := s.budget.Limits()
	want := limits.Bytes
	if s.mean > 0 {
		want = min(want, max(limits.Rows*s.mean, 4<<10))
	}
	for {
		if err := s.fill(ctx, want, limits.Age); err != nil {
			return connector.Chunk{}, err
		}
		n := 0
		if s.begun || s.begin() {
			n = s.format.cut(s.buffer[:s.filled], s.ended)
		}
		if n == 0 && s.ended && s.failed == nil {
			n = s.filled
		}
		switch {
		case n > 0:
			return s.emit(n), nil
		case s.failed != nil:
			return connector.Chunk{}, s.failed
		case s.ended:
			return connector.Chunk{}, io.EOF
		case s.filled >= int(s.cfg.MaxRecordBytes):
			return connector.Chunk{}, &connector.Error{
				Op: "read standard input", Class: connector.Data, Code: "record_too_long",
				Err: fmt.Errorf("the record at byte %d is longer than %d bytes", s.consumed,
					s.cfg.MaxRecordBytes),
			}
		}
		want = max(want, 2*s.filled)
	}
}

// begin lets the format look at the first records; false: it needs more of them.
func (s *source) begin() bool {
	length, ok, err := s.format.begin(s.buffer[:s.filled], s.ended)
	if err == nil && !ok && s.ended {
		err = errors.New("input ends within its header")
	}
	if err != nil {
		s.failed = &connector.Error{Op: "read standard input", Class: connector.Data, Err: err}
	}
	if err != nil || !ok {
		return false
	}
	s.begun = true
	s.line += int64(bytes.Count(s.buffer[:length], []byte{'\n'}))
	s.filled = copy(s.buffer, s.buffer[length:s.filled])
	s.consumed += int64(length)
	return true
}

// fill reads until the buffer holds want bytes or the input ends; when no more comes at once, it
// is content with whole records that have waited for age.
func (s *source) fill(ctx context.Context, want int, age time.Duration) error {
	for !s.ended && s.filled < want {
		if err := ctx.Err(); err != nil {
			return err
		}
		if s.closed.Load() {
			return io.EOF
		}
		if !readable(s.input, 0) {
			wait := pollInterval
			if s.filled > 0 {
				if wait = min(wait, age-time.Since(s.since)); wait <= 0 {
					if !s.begun || s.format.cut(s.buffer[:s.filled], false) > 0 {
						return nil
					}
					wait = pollInterval
				}
			}
			if !readable(s.input, wait) {
				continue
			}
		}
		if err := s.read(want); err != nil {
			return err
		}
	}
	return nil
}

// pollInterval is how soon a waiting Read sees that its context ended.
const pollInterval = 50 * time.Millisecond

func (s *source) read(want int) error {
	if len(s.buffer) < want {
		larger := make([]byte, max(want, 2*s.filled))
		copy(larger, s.buffer[:s.filled])
		s.buffer = larger
	}
	n, err := s.input.Read(s.buffer[s.filled:])
	if s.filled == 0 {
		s.since = time.Now()
	}
	s.filled += n
	switch {
	case errors.Is(err, io.EOF):
		s.ended = true
		return nil
	case err != nil:
		return &connector.Error{Op: "read standard input", Class: connector.Permanent, Err: err}
	}
	return nil
}

// emit hands out the first n bytes and keeps the rest in another buffer.
func (s *source) emit(n int) connector.Chunk {
	data := s.buffer
	rest := s.filled - n
	if spare, ok := s.pool.Get().(*[]byte); ok && len(*spare) >= rest {
		s.buffer = *spare
	} else {
		s.buffer = make([]byte, max(rest, len(data)))
	}
	copy(s.buffer, data[n:s.filled])
	t := text{data: data[:n:n], line: s.line, lines: bytes.Count(data[:n], []byte{'\n'})}
	s.filled, s.since = rest, time.Now()
	s.consumed += int64(n)
	s.line += int64(t.lines)
	s.mean = n / max(t.lines, 1)
	return connector.Chunk{
		Payload: t, Bytes: n,
		Position: binary.LittleEndian.AppendUint64([]byte{positionVersion}, uint64(s.consumed)),
		Release:  func() { s.pool.Put(&data) },
	}
}

const positionVersion = 1

// NewDecode returns a function that turns text into batches.
func (s *source) NewDecode() connector.DecodeFunc {
	var decode func(text) (decoded, error)
	return func(chunk connector.Chunk) (connector.Chunk, error) {
		t, ok := chunk.Payload.(text)
		if !ok {
			return chunk, fmt.Errorf("decode standard input: payload is %T", chunk.Payload)
		}
		if decode == nil {
			// Not earlier: the format is complete once the first chunk was read.
			decode = s.format.decoder()
		}
		out, err := decode(t)
		if err != nil {
			return chunk, err
		}
		chunk.Batch, chunk.Rejected, chunk.Payload = out.batch, out.rejected, nil
		release := chunk.Release
		chunk.Release = func() {
			if out.release != nil {
				out.release()
			}
			if release != nil {
				release()
			}
		}
		return chunk, nil
	}
}

// Discover returns the column of lines. Other formats tell theirs in the input, which is read once.
func (s *source) Discover(context.Context) (*batch.Schema, error) {
	if s.cfg.Format != "lines" {
		return nil, nil
	}
	return s.cfg.lineSchema(), nil
}

// Ack does nothing.
func (s *source) Ack(context.Context, connector.Position) error { return nil }

// Close ends a waiting Read. Standard input stays open: it belongs to the process.
func (s *source) Close() error {
	s.closed.Store(true)
	return nil
}
