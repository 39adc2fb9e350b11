package parquet

import (
	"context"
	"errors"
	"fmt"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/codec/container"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/filesink"
)

// sink gathers rows to row groups, encodes those beside further writes where the engine offers
// that, and appends them to a stage in the order they were gathered.
type sink struct {
	env     connector.Env
	cfg     *SinkConfig
	stage   *filesink.Stage
	form    *form
	filling *rowGroup
	jobs    []*job // encoded or being so, oldest first
	file    splicer
	blank   bool // columns without rows were written
}

var (
	_ connector.Transactional = (*sink)(nil)
	_ connector.SchemaEvolver = (*sink)(nil)
)

// Bounds of what waits in memory.
const (
	maxJobs          = 2
	maxRowGroupBytes = 64 << 20
)

func newSink(env connector.Env, cfg *SinkConfig) (connector.Sink, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	s := &sink{env: env, cfg: cfg}
	var err error
	s.stage, err = filesink.NewStage(filesink.StageConfig{
		Env: env, Suffix: suffix, PerEpoch: true, Merge: mergeParts,
		Sink: *cfg.stage(),
	})
	return s, err
}

// Open prepares the stage.
func (s *sink) Open(ctx context.Context, task connector.Task) error { return s.stage.Open(ctx, task) }

// Write takes the chunk's rows into the row group being filled. What was gathered before is
// written first, so that a failed write leaves the chunk outside.
func (s *sink) Write(ctx context.Context, chunk connector.Chunk) error {
	b := chunk.Batch
	if b.Operations() != nil {
		return &connector.Error{
			Op: "write parquet", Class: connector.Schema, Err: errors.New("a file takes no upserts or deletes"),
			Hint: "drop the operations before this sink",
		}
	}
	if err := s.sameColumns(b.Schema()); err != nil {
		return err
	}
	if err := s.drain(ctx, maxJobs-1); err != nil {
		return err
	}
	s.blank = s.blank || b.Len() == 0
	dense, bad := b.Dense()
	s.gather(dense.Keep())
	if len(bad) > 0 {
		return &connector.PartialError{Rows: bad}
	}
	return nil
}

// sameColumns refuses rows of another schema than those gathered for the same file.
func (s *sink) sameColumns(schema *batch.Schema) error {
	if s.form != nil && (s.form.schema == schema || s.form.schema.Equal(schema)) {
		return nil
	}
	form, err := newForm(schema, s.cfg)
	if err != nil {
		return err
	}
	unwritten := s.filling != nil || len(s.jobs) > 0
	if err := s.stage.Columns("parquet", []byte(schema.String()), unwritten); err != nil {
		return err
	}
	s.form = form
	return nil
}

// gather adds rows, in memory of their own, to the row group being filled.
func (s *sink) gather(dense *batch.Batch) {
	for from := 0; from < dense.Len(); {
		if s.filling == nil {
			s.filling = &rowGroup{form: s.form}
		}
		g := s.filling
		to := min(dense.Len(), from+s.cfg.RowGroupRows-g.rows)
		record := batch.ToArrow(dense)
		g.records = append(g.records, record.NewSlice(int64(from), int64(to)))
		g.rows += to - from
		for _, c := range dense.Columns() {
			g.bytes += int(int64(sizeOf(c)) * int64(to-from) / int64(dense.Len()))
		}
		from = to
		if g.rows >= s.cfg.RowGroupRows || g.bytes >= maxRowGroupBytes {
			s.encode()
		}
	}
}

// job is a row group being encoded.
type job struct {
	group *rowGroup
	done  chan struct{}
	out   *encoded
	err   error
}

func (j *job) run() {
	defer close(j.done)
	j.err = container.Guard("row group", func() (err error) {
		j.out, err = j.group.encode()
		return err
	})
	j.group = nil
}

// encode begins to encode the row group being filled.
func (s *sink) encode() {
	if s.filling == nil {
		return
	}
	j := &job{group: s.filling, done: make(chan struct{})}
	s.filling = nil
	s.jobs = append(s.jobs, j)
	if s.env.Go == nil {
		j.run()
		return
	}
	s.env.Go("encode row group", func(context.Context) error {
		j.run()
		return nil // the error is the next write's
	})
}

// drain appends finished row groups to the stage until at most wanted are left.
func (s *sink) drain(ctx context.Context, wanted int) error {
	for len(s.jobs) > 0 {
		j := s.jobs[0]
		select {
		case <-j.done:
		default:
			if len(s.jobs) <= wanted {
				return nil
			}
			select {
			case <-j.done:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if err := s.append(j); err != nil {
			return err
		}
		s.jobs = s.jobs[1:]
	}
	return nil
}

// append writes a row group's pages, or leaves everything as it was.
func (s *sink) append(j *job) error {
	if j.err != nil {
		return fmt.Errorf("encode row group: %w: %w", connector.ErrEpochLost, j.err)
	}
	pages := j.out.data[len(magic):j.out.end]
	if s.file.head() != nil {
		pages = j.out.data[:j.out.end]
	}
	if _, err := s.stage.Write(pages); err != nil {
		return err
	}
	return s.file.add(j.out.footer, j.out.end-int64(len(magic)))
}

// Prepare ends the epoch's part with a footer.
func (s *sink) Prepare(ctx context.Context, epoch connector.Epoch) (connector.Prepared, error) {
	s.encode()
	if err := s.drain(ctx, 0); err != nil {
		return connector.Prepared{}, err
	}
	var tail []byte
	var err error
	switch {
	case s.file.footer != nil:
		tail, err = s.file.tail()
	case epoch.Final && !s.stage.Holds() && (s.blank || !s.stage.Folder()):
		tail, err = s.empty()
	}
	if err != nil {
		return connector.Prepared{}, err
	}
	if len(tail) > 0 {
		if _, err := s.stage.Write(tail); err != nil {
			return connector.Prepared{}, fmt.Errorf("%w: %w", connector.ErrEpochLost, err)
		}
	}
	return s.stage.Prepare(ctx, epoch)
}

// empty returns a file without rows.
func (s *sink) empty() ([]byte, error) {
	if s.form == nil {
		return nil, &connector.Error{
			Op: "write " + s.cfg.Path, Class: connector.Schema, Code: "parquet_no_columns",
			Err:  errors.New("no row came and the columns are not known, and a Parquet file needs one"),
			Hint: "declare the columns at the source, or write a format that needs none, such as csv",
		}
	}
	return s.form.empty()
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

// Close leaves what is staged for Recover; row groups not yet appended are dropped.
func (s *sink) Close() error { return s.stage.Close() }
