package excel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/codec/container"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/filesink"
)

// sink writes each epoch's rows into a workbook of its own.
type sink struct {
	cfg    *SinkConfig
	stage  *filesink.Stage
	schema *batch.Schema // of the rows written so far
	writer *writer       // of the current epoch; nil: no rows yet
	values []any         // scratch
}

var (
	_ connector.Transactional = (*sink)(nil)
	_ connector.SchemaEvolver = (*sink)(nil)
)

func newSink(env connector.Env, cfg *SinkConfig) (connector.Sink, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	s := &sink{cfg: cfg}
	var err error
	s.stage, err = filesink.NewStage(filesink.StageConfig{
		Env: env, Suffix: suffix, PerEpoch: true, Merge: s.mergeParts,
		Sink: *cfg.stage(),
	})
	return s, err
}

// Open prepares the stage.
func (s *sink) Open(ctx context.Context, task connector.Task) error { return s.stage.Open(ctx, task) }

// Write adds the chunk's rows to the epoch's workbook, in memory or a temporary file.
func (s *sink) Write(_ context.Context, chunk connector.Chunk) error {
	b := chunk.Batch
	if b.Operations() != nil {
		return &connector.Error{
			Op: "write excel", Class: connector.Schema, Err: errors.New("a file takes no upserts or deletes"),
			Hint: "drop the operations before this sink",
		}
	}
	if err := s.sameColumns(b.Schema()); err != nil {
		return err
	}
	if s.writer == nil {
		if err := s.begin(); err != nil {
			return err
		}
	}
	dense, bad := b.Dense()
	var refused []batch.RowError
	for row := range dense.Len() {
		values, why := s.rowOf(dense, row)
		if why != nil {
			refused = append(refused, *why)
			continue
		}
		if err := s.writer.add(values); err != nil {
			return fmt.Errorf("write excel: %w: %w", connector.ErrEpochLost, err)
		}
	}
	kept := b.Without(bad) // dense holds its rows in order
	for _, e := range refused {
		e.Row = kept.Row(e.Row)
		bad = append(bad, e)
	}
	if len(bad) > 0 {
		return &connector.PartialError{Rows: batch.OncePerRow(bad)}
	}
	return nil
}

// rowOf returns a row's cells, or why one of them cannot be written.
func (s *sink) rowOf(b *batch.Batch, row int) (values []any, why *batch.RowError) {
	s.values = s.values[:0]
	for i, c := range b.Columns() {
		v := s.writer.cellOf(c, row)
		if reason := unfit(v); reason != "" {
			return nil, &batch.RowError{Row: row, Column: b.Schema().Field(i).Name, Reason: reason}
		}
		s.values = append(s.values, v)
	}
	return s.values, nil
}

func (s *sink) begin() error {
	var header []any
	if s.cfg.Header && s.schema != nil {
		header = []any{}
		for _, name := range s.schema.Names() {
			header = append(header, name)
		}
	}
	var err error
	s.writer, err = newWriter(s.cfg.Sheet, header)
	return err
}

// sameColumns refuses rows whose columns differ from those in the file.
func (s *sink) sameColumns(schema *batch.Schema) error {
	if schema.Len() > maxColumns {
		return &connector.Error{
			Op: "write excel", Class: connector.Schema, Err: fmt.Errorf("more than %d columns", maxColumns),
		}
	}
	if s.schema == schema {
		return nil
	}
	names := strings.Join(schema.Names(), ", ")
	if err := s.stage.Columns("excel", []byte(names), s.writer != nil); err != nil {
		return err
	}
	s.schema = schema
	return nil
}

// Prepare ends the epoch: its workbook is written to the stage.
func (s *sink) Prepare(ctx context.Context, epoch connector.Epoch) (connector.Prepared, error) {
	if epoch.Final && !s.stage.Folder() && !s.stage.Holds() && s.writer == nil {
		if err := s.begin(); err != nil {
			return connector.Prepared{}, err
		}
	}
	if w := s.writer; w != nil {
		s.writer = nil
		if err := w.finish(s.stage); err != nil {
			return connector.Prepared{}, fmt.Errorf("write excel: %w: %w", connector.ErrEpochLost, err)
		}
	}
	return s.stage.Prepare(ctx, epoch)
}

// finish writes the workbook out.
func (w *writer) finish(out io.Writer) error {
	err := w.stream.Flush()
	if err == nil {
		_, err = w.file.WriteTo(out)
	}
	return errors.Join(err, w.file.Close())
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
func (s *sink) Close() error {
	var err error
	if s.writer != nil {
		err = s.writer.file.Close() // its temporary files
	}
	return errors.Join(err, s.stage.Close())
}

// mergeParts writes the rows of staged workbooks, in order, into one.
func (s *sink) mergeParts(ctx context.Context, target io.Writer, parts iter.Seq2[connector.File, error]) error {
	var w *writer
	for part, err := range parts {
		if err != nil {
			return err
		}
		size, err := part.Size()
		if err != nil {
			return err
		}
		book, err := openWorkbook(&container.File{File: part, SizeBytes: size})
		if err != nil {
			return fmt.Errorf("read %s: %w", part.Name(), err)
		}
		for _, entry := range book.sheets {
			if w, err = s.mergeSheet(ctx, w, book, entry); err != nil {
				return fmt.Errorf("join %s: %w", part.Name(), err)
			}
		}
	}
	if w == nil {
		return nil
	}
	return w.finish(target)
}

// mergeSheet appends the rows of a sheet to w, which it makes for the first.
func (s *sink) mergeSheet(ctx context.Context, w *writer, book *workbook, entry sheetEntry) (*writer, error) {
	sh, err := book.open(entry)
	if err != nil {
		return w, err
	}
	defer sh.close()
	header := s.cfg.Header
	var row []cell
	for {
		row, err = sh.next(row)
		if err == io.EOF { //nolint:errorlint // the end of the sheet
			return w, nil
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return w, err
		}
		switch {
		case w == nil && header:
			if w, err = newWriter(s.cfg.Sheet, w.copy(row)); err != nil {
				return w, err
			}
		case header:
		default:
			if w == nil {
				if w, err = newWriter(s.cfg.Sheet, nil); err != nil {
					return w, err
				}
			}
			if err := w.add(w.copy(row)); err != nil {
				return w, err
			}
		}
		header = false
	}
}
