package arrow

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/ipc"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/codec/container"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/filesink"
)

// recordWriter is what both IPC formats offer.
type recordWriter interface {
	Write(record arrow.RecordBatch) error
	Close() error
}

// sink encodes batches into pending bytes and appends those to a stage.
type sink struct {
	env     connector.Env
	cfg     *SinkConfig
	stage   *filesink.Stage
	stream  bool
	schema  *batch.Schema
	arrow   *arrow.Schema
	writer  recordWriter
	pending bytes.Buffer
}

var (
	_ connector.Transactional = (*sink)(nil)
	_ connector.SchemaEvolver = (*sink)(nil)
)

func newSink(env connector.Env, cfg *SinkConfig) (connector.Sink, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	s := &sink{env: env, cfg: cfg, stream: cfg.stream()}
	stage := filesink.StageConfig{
		Env: env, Suffix: cfg.suffix(), PerEpoch: !s.stream,
		Sink: *cfg.stage(),
	}
	if s.stream {
		stage.Tail = []byte(streamEnd)
	} else {
		stage.Merge = s.mergeParts
	}
	var err error
	s.stage, err = filesink.NewStage(stage)
	return s, err
}

// Open prepares the stage.
func (s *sink) Open(ctx context.Context, task connector.Task) error { return s.stage.Open(ctx, task) }

// Write encodes the chunk's rows. What was encoded before is written first, so that a failed write
// leaves the chunk outside.
func (s *sink) Write(_ context.Context, chunk connector.Chunk) error {
	b := chunk.Batch
	if b.Operations() != nil {
		return &connector.Error{
			Op: "write arrow", Class: connector.Schema, Err: errors.New("a file takes no upserts or deletes"),
			Hint: "drop the operations before this sink",
		}
	}
	if err := s.flush(); err != nil {
		return err
	}
	if err := s.sameColumns(b.Schema()); err != nil {
		return err
	}
	if err := s.begin(); err != nil {
		return err
	}
	b, bad := b.Dense()
	if b.Len() > 0 {
		err := container.Guard("batch", func() error { return s.writer.Write(batch.ToArrow(b)) })
		if err != nil {
			return fmt.Errorf("encode batch: %w: %w", connector.ErrEpochLost, err)
		}
	}
	const pendingBytes = 256 << 10
	if s.pending.Len() >= pendingBytes {
		// These rows are taken: a failure that can be repeated is the next call's.
		if err := s.flush(); errors.Is(err, connector.ErrEpochLost) {
			return err
		}
	}
	if len(bad) > 0 {
		return &connector.PartialError{Rows: bad}
	}
	return nil
}

// sameColumns refuses rows of another schema than those of the same file.
func (s *sink) sameColumns(schema *batch.Schema) error {
	if s.schema == schema || s.schema != nil && s.schema.Equal(schema) {
		return nil
	}
	// A file's writer keeps what its footer needs, a stream's nothing.
	unwritten := s.pending.Len() > 0 || !s.stream && s.writer != nil
	if err := s.stage.Columns("arrow", []byte(schema.String()), unwritten); err != nil {
		return err
	}
	s.schema, s.arrow = schema, batch.ArrowSchema(schema)
	if s.stream {
		s.writer = nil
	}
	return nil
}

// begin makes sure that there is a writer for the current part.
func (s *sink) begin() error {
	fresh, err := s.stage.Fresh()
	if err != nil || s.writer != nil {
		return err
	}
	err = container.Guard("schema", func() (err error) {
		if !s.stream {
			s.writer, err = ipc.NewFileWriter(&s.pending, s.options(s.arrow)...)
			return err
		}
		w := ipc.NewWriter(&s.pending, s.options(s.arrow)...)
		s.writer = w
		if !fresh {
			// The part goes on after a restart: its schema is there already.
			s.writer = &headless{Writer: w, out: &s.pending}
		}
		return nil
	})
	if err != nil {
		s.writer = nil
		return &connector.Error{Op: "write arrow", Class: connector.Schema, Err: err}
	}
	return nil
}

func (s *sink) options(schema *arrow.Schema) []ipc.Option {
	options := []ipc.Option{ipc.WithSchema(schema)}
	switch s.cfg.Compression {
	case "lz4":
		options = append(options, ipc.WithLZ4())
	case "zstd":
		options = append(options, ipc.WithZstd())
	}
	return options
}

// streamEnd is the mark of the end of a stream.
const streamEnd = "\xff\xff\xff\xff\x00\x00\x00\x00"

// headless is a writer of a stream that has begun: it drops the schema message.
type headless struct {
	*ipc.Writer
	out     *bytes.Buffer
	started bool
}

// Write encodes a record batch.
func (w *headless) Write(record arrow.RecordBatch) error {
	if w.started {
		return w.Writer.Write(record)
	}
	w.started = true
	var head bytes.Buffer
	if err := ipc.NewWriter(&head, ipc.WithSchema(record.Schema())).Close(); err != nil {
		return err
	}
	before := w.out.Len()
	if err := w.Writer.Write(record); err != nil {
		return err
	}
	rest := bytes.Clone(w.out.Bytes()[before+head.Len()-len(streamEnd):])
	w.out.Truncate(before)
	_, err := w.out.Write(rest)
	return err
}

// Close writes the mark of the end.
func (w *headless) Close() error {
	if w.started {
		return w.Writer.Close()
	}
	_, err := w.out.WriteString(streamEnd)
	return err
}

// flush writes pending bytes to the stage.
func (s *sink) flush() error {
	if s.pending.Len() == 0 {
		return nil
	}
	if _, err := s.stage.Write(s.pending.Bytes()); err != nil {
		return err
	}
	s.pending.Reset()
	return nil
}

// Prepare ends the epoch: a file gets its footer, a stream that ends with it its mark.
func (s *sink) Prepare(ctx context.Context, epoch connector.Epoch) (connector.Prepared, error) {
	if epoch.Final && !s.stage.Folder() && !s.stage.Holds() {
		if err := s.empty(); err != nil {
			return connector.Prepared{}, err
		}
	}
	if err := s.flush(); err != nil {
		return connector.Prepared{}, err
	}
	if s.stage.Ends(epoch) {
		if err := s.end(); err != nil {
			return connector.Prepared{}, fmt.Errorf("%w: %w", connector.ErrEpochLost, err)
		}
	}
	return s.stage.Prepare(ctx, epoch)
}

// empty begins a file without rows, and without columns where none are known.
func (s *sink) empty() error {
	if s.schema == nil {
		if err := s.sameColumns(batch.NewSchema()); err != nil {
			return err
		}
	}
	return s.begin()
}

// end writes what comes behind the last batch of a part.
func (s *sink) end() error {
	writer := s.writer
	s.writer = nil
	if writer == nil { // the part goes on after a restart, and nothing came
		writer = &headless{out: &s.pending}
	}
	if err := container.Guard("file", writer.Close); err != nil {
		return err
	}
	return s.flush()
}

// Commit publishes what the epoch completed.
func (s *sink) Commit(ctx context.Context, epoch connector.Epoch, token []byte) error {
	return s.stage.Commit(ctx, epoch, token)
}

// Recover returns to the end of the epoch.
func (s *sink) Recover(ctx context.Context, epoch connector.Epoch, token []byte) error {
	return s.stage.Recover(ctx, epoch, token)
}

// Evolve takes over a changed schema where each part is a file of its own. An unchanged one tells
// what the parts of an earlier attempt hold.
func (s *sink) Evolve(_ context.Context, _, to *batch.Schema) error { return s.sameColumns(to) }

// Close leaves what is staged for Recover.
func (s *sink) Close() error { return s.stage.Close() }

// mergeParts writes staged files, in order, as one file.
func (s *sink) mergeParts(ctx context.Context, target io.Writer, parts iter.Seq2[connector.File, error]) error {
	var w *ipc.FileWriter
	for part, err := range parts {
		if err != nil {
			return err
		}
		size, err := part.Size()
		if err != nil {
			return err
		}
		r, err := ipc.NewFileReader(io.NewSectionReader(part, 0, size))
		if err != nil {
			return fmt.Errorf("read %s: %w", part.Name(), err)
		}
		if w == nil {
			// Rows of other columns may be next, so this is not the sink's schema.
			if w, err = ipc.NewFileWriter(target, s.options(r.Schema())...); err != nil {
				return err
			}
		}
		for i := range r.NumRecords() {
			if err := ctx.Err(); err != nil {
				return err
			}
			record, err := r.RecordBatchAt(i)
			if err != nil {
				return fmt.Errorf("read %s: %w", part.Name(), err)
			}
			if err := w.Write(record); err != nil {
				return fmt.Errorf("join %s: %w", part.Name(), err)
			}
			record.Release()
		}
		if err := r.Close(); err != nil {
			return err
		}
	}
	if w == nil {
		return nil
	}
	return w.Close()
}
