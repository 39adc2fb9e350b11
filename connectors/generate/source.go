package generate

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"
	"time"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
)

type source struct {
	cfg    Config
	env    connector.Env
	fields []field
	schema *batch.Schema
	width  int // bytes of a row, about

	next  int64 // row to hand over next
	first int64 // row that was due at start
	start time.Time
	pool  sync.Pool // of *memory

	closeOnce sync.Once
	closed    chan struct{}
}

var (
	_ connector.Source     = (*source)(nil)
	_ connector.Decoder    = (*source)(nil)
	_ connector.Discoverer = (*source)(nil)
)

func newSource(env connector.Env, cfg *Config) (connector.Source, error) {
	fields, problems := parseFields(cfg.Fields, cfg.Seed)
	if cfg.Rows < 0 {
		problems = append(problems, fmt.Errorf("rows: %d is negative", cfg.Rows))
	}
	if cfg.Rate < 0 || math.IsNaN(cfg.Rate) {
		problems = append(problems, fmt.Errorf("rate: %v is not a rate", cfg.Rate))
	}
	for i := range fields {
		if err := fields[i].checkLast(cfg.Rows); err != nil && len(problems) == 0 {
			problems = append(problems, err)
		}
	}
	if len(problems) > 0 {
		return nil, &connector.Error{
			Op: "configure generate", Class: connector.Permanent, Err: errors.Join(problems...),
		}
	}
	s := &source{
		cfg: *cfg, env: env, fields: fields, closed: make(chan struct{}),
	}
	columns := make([]batch.Field, len(fields))
	for i := range fields {
		columns[i] = batch.Field{
			Name: fields[i].name, Type: fields[i].typ, Nullable: fields[i].nullBelow > 0,
		}
		s.width += fields[i].width()
	}
	s.schema = batch.NewSchema(columns...)
	s.pool.New = func() any { return newMemory(len(fields)) }
	return s, nil
}

// window is the Payload of a chunk: the rows to make and when they were due.
type window struct {
	from   int64
	rows   int
	due    int64 // Unix ns at which row from was due
	period float64
}

// Discover returns the schema.
func (s *source) Discover(context.Context) (*batch.Schema, error) { return s.schema, nil }

// Open takes a position of Read: a version byte and the next row.
func (s *source) Open(_ context.Context, _ connector.Partition, at connector.Position) error {
	if at != nil {
		if len(at) != 9 || at[0] != positionVersion {
			return fmt.Errorf("open generate: position %x is not one of version %d", []byte(at),
				positionVersion)
		}
		s.next = int64(binary.LittleEndian.Uint64(at[1:]))
	}
	s.first, s.start = s.next, time.Now()
	return nil
}

const positionVersion = 1

func position(row int64) connector.Position {
	return binary.LittleEndian.AppendUint64([]byte{positionVersion}, uint64(row))
}

// Read returns the next rows that are due, as a window to decode.
func (s *source) Read(ctx context.Context) (connector.Chunk, error) {
	if err := ctx.Err(); err != nil {
		return connector.Chunk{}, err
	}
	limits := s.env.Budget.Limits()
	rows := int64(max(1, min(limits.Rows, limits.Bytes/s.width)))
	if s.cfg.Rows > 0 {
		rows = min(rows, s.cfg.Rows-s.next)
		if rows <= 0 {
			return connector.Chunk{}, io.EOF
		}
	}
	w := window{from: s.next, due: time.Now().UnixNano()}
	if s.cfg.Rate > 0 {
		age := s.cfg.Linger
		if age == 0 {
			age = limits.Age
		}
		due, err := s.waitDue(ctx, rows, age)
		if err != nil {
			return connector.Chunk{}, err
		}
		rows = due
		w.due, w.period = s.dueAt(s.next).UnixNano(), float64(time.Second)/s.cfg.Rate
	}
	w.rows = int(rows)
	s.next += rows
	return connector.Chunk{
		Payload: w, Position: position(s.next), Bytes: w.rows * s.width,
	}, nil
}

// waitDue waits until rows rows are due, or until the first of them has waited for age, and
// returns how many are due then: 1..rows.
func (s *source) waitDue(ctx context.Context, rows int64, age time.Duration) (int64, error) {
	wanted := min(rows, 1+int64(age.Seconds()*s.cfg.Rate))
	if wait := time.Until(s.dueAt(s.next + wanted - 1)); wait > 0 {
		defer s.env.Idled(time.Now())
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-s.closed:
			return 0, io.EOF
		}
	}
	due := int64(time.Since(s.start).Seconds()*s.cfg.Rate) + 1 + s.first - s.next
	return max(wanted, min(due, rows)), nil
}

func (s *source) dueAt(row int64) time.Time {
	return s.start.Add(time.Duration(float64(row-s.first) * float64(time.Second) / s.cfg.Rate))
}

// NewDecode returns a function that makes the rows of a window.
func (s *source) NewDecode() connector.DecodeFunc { return s.decode }

func (s *source) decode(chunk connector.Chunk) (connector.Chunk, error) {
	w, ok := chunk.Payload.(window)
	if !ok {
		return chunk, fmt.Errorf("decode generate: payload is %T", chunk.Payload)
	}
	mem := s.pool.Get().(*memory)
	columns := make([]*batch.Column, len(s.fields))
	for i := range s.fields {
		columns[i] = s.fields[i].column(&mem.columns[i], w)
	}
	chunk.Batch = batch.New(s.schema, columns, w.rows).
		WithOrigin(&batch.Origin{Name: s.env.Node, Record: w.from + 1})
	chunk.Payload = nil
	release := chunk.Release
	chunk.Release = func() {
		s.pool.Put(mem)
		if release != nil {
			release()
		}
	}
	return chunk, nil
}

// Ack does nothing: rows can be made again.
func (s *source) Ack(context.Context, connector.Position) error { return nil }

// Close ends a waiting Read.
func (s *source) Close() error {
	s.closeOnce.Do(func() { close(s.closed) })
	return nil
}
