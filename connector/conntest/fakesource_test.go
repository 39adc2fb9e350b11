package conntest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
)

// memoryConfig configures a source of numbers and their names, with one broken promise.
type memoryConfig struct {
	From  int64  `yaml:"from" doc:"first number. Default 0"`
	To    int64  `yaml:"to" doc:"end of the numbers. Default 0"`
	Block bool   `yaml:"block" doc:"block at the end instead of ending. Default false"`
	Fault string `yaml:"fault" doc:"promise to break. Default none"`
}

func memorySchema() *batch.Schema {
	return batch.NewSchema(
		batch.Field{Name: "n", Type: batch.Of(batch.Int64)},
		batch.Field{Name: "name", Type: batch.Of(batch.String), Nullable: true},
	)
}

// memorySource delivers from..to-1; every number divisible by 31 is a rejected record.
type memorySource struct {
	cfg    memoryConfig
	env    connector.Env
	schema *batch.Schema
	next   int64
	end    int64
	pool   sync.Pool // of *[]int64
	last   []int64   // given out last
	shared connector.DecodeFunc
	place  connector.Position // fault: one buffer for all positions
	closed chan struct{}
	above  int64 // Filter: numbers up to it are left out
	once   sync.Once
	mu     sync.Mutex
}

var (
	_ connector.Decoder     = (*memorySource)(nil)
	_ connector.Discoverer  = (*memorySource)(nil)
	_ connector.Partitioner = (*memorySource)(nil)
	_ connector.Filterer    = (*memorySource)(nil)
)

func memoryConnector() connector.Connector {
	return connector.Connector{
		Name: "memory", Version: "1.0.0", Contract: connector.ContractVersion,
		Summary: "Numbers.", Doc: "Numbers.",
		Source: connector.NewSource(memoryConfig{}, connector.SourceCapabilities{
			Bounded: true, Resumable: true, ParallelReads: true, Filters: true,
		}, func(env connector.Env, cfg *memoryConfig) (connector.Source, error) {
			return &memorySource{
				cfg: *cfg, env: env, schema: memorySchema(), closed: make(chan struct{}), above: -1 << 62,
			}, nil
		}),
	}
}

func (s *memorySource) is(fault string) bool { return s.cfg.Fault == fault }

func (s *memorySource) Discover(context.Context) (*batch.Schema, error) {
	if s.is("discovers another schema") {
		return batch.NewSchema(batch.Field{Name: "other", Type: batch.Of(batch.Bool)}), nil
	}
	return s.schema, nil
}

func (s *memorySource) Partitions(_ context.Context, limit int) ([]connector.Partition, error) {
	var parts []connector.Partition
	each := (s.cfg.To - s.cfg.From + int64(limit) - 1) / int64(limit)
	for i := range int64(limit) {
		from := s.cfg.From + i*each
		to := min(from+each, s.cfg.To)
		if s.is("partitions overlap") && i > 0 {
			from--
		}
		spec := binary.BigEndian.AppendUint64(nil, uint64(from))
		id := strconv.FormatInt(i, 10)
		if s.is("partitions share a name") {
			id = "same"
		}
		parts = append(parts, connector.Partition{
			ID: id, Spec: binary.BigEndian.AppendUint64(spec, uint64(to)),
		})
	}
	return parts, nil
}

// Filter applies n > literal and n >= literal.
func (s *memorySource) Filter(
	_ context.Context, offer func(*batch.Schema) []connector.Predicate,
) ([]string, error) {
	predicates := offer(s.schema)
	refused := make([]string, len(predicates))
	for i, p := range predicates {
		switch {
		case p.Column == "n" && p.Compare == connector.Greater:
			s.above = max(s.above, p.Literals.Int(0))
		case p.Column == "n" && p.Compare == connector.GreaterEqual:
			s.above = max(s.above, p.Literals.Int(0)-1)
			if s.is("filters too much") {
				s.above++
			}
		default:
			refused[i] = "not a lower bound of n"
		}
	}
	if s.is("filters nothing") {
		s.above = -1 << 62
	}
	if s.is("forgets the filter's answer") {
		return nil, nil
	}
	return refused, nil
}

func (s *memorySource) Open(_ context.Context, p connector.Partition, at connector.Position) error {
	s.next, s.end = s.cfg.From, s.cfg.To
	if len(p.Spec) == 16 {
		s.next = int64(binary.BigEndian.Uint64(p.Spec))
		s.end = int64(binary.BigEndian.Uint64(p.Spec[8:]))
	}
	if at != nil {
		if len(at) != 9 || at[0] != 1 && !s.is("takes any version") {
			return errors.New("open memory: unknown position")
		}
		s.next = int64(binary.BigEndian.Uint64(at[1:]))
		if s.is("resumes one row late") && s.next < s.end {
			s.next++
		}
		if s.is("loses a row behind a filter") && s.above > 0 {
			s.next++
		}
		if s.is("reads the end again") && s.next >= s.end {
			s.next--
		}
	}
	s.next = max(s.next, s.above+1)
	if s.is("leaks a goroutine") {
		go func() { time.NewTimer(30 * time.Second); <-time.After(30 * time.Second) }()
	}
	return nil
}

func (s *memorySource) Read(ctx context.Context) (connector.Chunk, error) {
	if s.is("ignores its context") && ctx.Err() != nil {
		<-time.After(time.Second)
	}
	if s.next >= s.end {
		return s.wait(ctx)
	}
	rows := int64(s.env.Budget.Limits().Rows)
	if s.is("ignores the budget") {
		rows = 1000
	}
	rows = min(rows, s.end-s.next)
	var values []int64
	if pooled, ok := s.pool.Get().(*[]int64); ok {
		values = *pooled
	}
	if s.is("recycles too early") && s.last != nil {
		values = s.last
	}
	values = values[:0]
	for i := range rows {
		values = append(values, s.next+i)
	}
	s.last = values
	s.next += rows
	return connector.Chunk{
		Payload: values, Position: s.position(), Bytes: 8 * len(values),
		Release: func() { s.pool.Put(&values) },
	}, nil
}

func (s *memorySource) position() connector.Position {
	switch s.cfg.Fault {
	case "gives no position":
		return nil
	case "reuses the position":
		s.place = binary.BigEndian.AppendUint64(append(s.place[:0], 1), uint64(s.next))
		return s.place
	}
	return binary.BigEndian.AppendUint64([]byte{1}, uint64(s.next))
}

func (s *memorySource) wait(ctx context.Context) (connector.Chunk, error) {
	if !s.cfg.Block {
		return connector.Chunk{}, io.EOF
	}
	if s.is("Ack waits for Read") {
		s.mu.Lock()
		defer s.mu.Unlock()
	}
	done, closed := ctx.Done(), s.closed
	if s.is("ignores cancel") {
		done = nil
	}
	if s.is("Read outlives Close") {
		closed = nil
	}
	select {
	case <-done:
		return connector.Chunk{}, ctx.Err()
	case <-closed:
		return connector.Chunk{}, io.ErrClosedPipe
	case <-time.After(time.Second):
		return connector.Chunk{}, errors.New("nobody came")
	}
}

func (s *memorySource) Ack(context.Context, connector.Position) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.is("Ack skips rows") {
		s.next += 2
	}
	return nil
}

func (s *memorySource) Close() error {
	s.once.Do(func() { close(s.closed) })
	if s.is("Close overwrites") {
		fill(s.last, -1)
	}
	return nil
}

func (s *memorySource) NewDecode() connector.DecodeFunc {
	if s.is("decoders share scratch") {
		if s.shared == nil {
			s.shared = s.decoder(make([]int64, 0, 1<<16))
		}
		return s.shared
	}
	return s.decoder(nil)
}

// decoder returns a DecodeFunc; with scratch it makes all columns in the same memory.
func (s *memorySource) decoder(scratch []int64) connector.DecodeFunc {
	var mu sync.Mutex
	return func(chunk connector.Chunk) (connector.Chunk, error) {
		mu.Lock()
		defer mu.Unlock()
		values := chunk.Payload.([]int64)
		if scratch != nil {
			values = append(scratch[:0], values...)
		}
		names := batch.NewAppender(batch.Of(batch.String))
		for i, v := range values {
			if s.is("allocates per row") {
				names.Text(strings.Repeat("x", int(v)%9))
				values[i] += int64(len(fmt.Sprint(v, i)) * 0)
				continue
			}
			names.Text("name")
		}
		if s.is("loses a row") && values[0] == 0 {
			values[0] = 1
		}
		n := batch.FixedColumn(batch.Of(batch.Int64), values, nil)
		chunk.Batch = batch.New(s.schema, []*batch.Column{n, names.Column()}, len(values))
		if s.is("hides operations") {
			chunk.Batch = chunk.Batch.WithOperations(make([]batch.Operation, len(values)))
		}
		for _, v := range values {
			if v == 31 {
				chunk.Rejected = append(chunk.Rejected, s.rejected(v))
			}
		}
		if s.is("moves the position") {
			chunk.Position = append(connector.Position{1}, chunk.Position...)
		}
		chunk.Payload = nil
		return chunk, nil
	}
}

func (s *memorySource) rejected(v int64) connector.Rejected {
	r := connector.Rejected{
		Place: batch.Place{Name: "memory", Record: v}, Reason: "not a number", Record: "31",
	}
	switch s.cfg.Fault {
	case "rejects without place":
		r.Place = batch.Place{}
	case "rejects at length":
		r.Record = strings.Repeat("x", 65<<10)
	}
	return r
}

// memoryCase is the suite's case of the fake.
func memoryCase(fault string) SourceCase {
	const rows = 100
	c := SourceCase{
		Connector: memoryConnector(), Rejected: 1, AllocationsPerRow: 1,
		Config: func(testing.TB) any {
			return map[string]any{"from": 0, "to": rows, "fault": fault}
		},
		Blocking: func(testing.TB) any {
			return &memoryConfig{To: 5, Block: true, Fault: fault}
		},
	}
	for i := range rows {
		c.Want = append(c.Want, []any{i, "name"})
	}
	switch fault {
	case "no doc":
		c.Connector.Doc = ""
	case "states what it is not":
		c.Connector.Source.Capabilities.ParallelReads = false
	case "allocates per row":
		c.Want = nil
	}
	return c
}
