package conntest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
)

// tableRow is one stored row.
type tableRow []any

// table is a fake database.
type table struct {
	mu      sync.Mutex
	rows    []tableRow
	hidden  map[uint64][]tableRow // staged epochs
	decided uint64
	fence   uint64
	wide    int // columns added
}

type tableConfig struct {
	Table *table `yaml:"-"`
	Key   string `yaml:"key" doc:"key column. Default none"`
	Fault string `yaml:"fault" doc:"promise to break. Default none"`
}

// tableSink holds the rows of the open epoch.
type tableSink struct {
	cfg   tableConfig
	open  []tableRow
	kept  []*batch.Batch // fault: batches retained until Prepare
	fence uint64
	last  uint64 // newest epoch committed through this sink
	token []byte
}

func (s *tableSink) is(fault string) bool { return s.cfg.Fault == fault }

func (s *tableSink) Open(_ context.Context, task connector.Task) error {
	s.cfg.Table.mu.Lock()
	defer s.cfg.Table.mu.Unlock()
	s.fence = task.Fence
	s.cfg.Table.fence = max(s.cfg.Table.fence, task.Fence)
	s.last = s.cfg.Table.decided
	if s.is("leaks a goroutine") {
		go func() { <-time.After(30 * time.Second) }()
	}
	return nil
}

// rowsOf copies the rows out of a batch; rows with id 13 and the text "bad" are refused.
func (s *tableSink) rowsOf(b *batch.Batch) (rows []tableRow, bad []batch.RowError) {
	dense := b
	for i := range b.Columns() {
		dense, _ = dense.Typed(i)
	}
	for i := range b.Len() {
		physical := b.Row(i)
		if s.is("ignores the selection") {
			physical = i
		}
		row := tableRow{b.Operation(physical)}
		for _, c := range dense.Columns() {
			row = append(row, c.Value(physical))
		}
		if len(row) == 3 && row[2] == "bad" {
			at := physical
			if s.is("counts refused rows") {
				at = i
			}
			bad = append(bad, batch.RowError{Row: at, Reason: "bad"})
			if !s.is("drops silently") {
				continue
			}
			bad = nil
			continue
		}
		rows = append(rows, row)
	}
	return rows, bad
}

func (s *tableSink) Write(ctx context.Context, chunk connector.Chunk) error {
	rows, bad := []tableRow(nil), []batch.RowError(nil)
	if encoded, ok := chunk.Payload.(*[]tableRow); ok {
		rows = *encoded
	} else {
		rows, bad = s.rowsOf(chunk.Batch)
	}
	switch s.cfg.Fault {
	case "retains the batch":
		s.kept = append(s.kept, chunk.Batch)
		rows = nil
	case "alters the batch":
		poison(chunk.Batch)
	case "loses a row":
		rows = rows[:max(0, len(rows)-1)]
	case "hangs when cancelled":
		if ctx.Err() != nil {
			<-time.After(time.Second)
		}
	case "allocates per row":
		for range 100 {
			for i := range rows {
				rows[i] = append(tableRow{}, rows[i]...)
			}
		}
	}
	if ctx.Err() != nil {
		if s.is("takes half when cancelled") {
			s.open = append(s.open, rows[:len(rows)/2]...)
		}
		return ctx.Err()
	}
	s.open = append(s.open, rows...)
	if s.is("shows at once") {
		s.cfg.Table.publish(s, s.open)
		s.open = nil
	}
	if len(bad) > 0 {
		return &connector.PartialError{Rows: bad}
	}
	return nil
}

func (t *table) publish(s *tableSink, rows []tableRow) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, row := range rows {
		if s.cfg.Key != "" && !s.is("appends under a key") {
			t.rows = slices.DeleteFunc(t.rows, func(r tableRow) bool { return r[1] == row[1] })
		}
		if row[0] != batch.Delete || s.is("ignores deletes") {
			t.rows = append(t.rows, row)
		}
	}
}

func (s *tableSink) Close() error {
	if s.is("publishes at Close") {
		s.cfg.Table.publish(s, s.open)
	}
	return nil
}

// Key implements connector.Upserter.
func (s *tableSink) Key() []string {
	if s.cfg.Key == "" || s.is("forgets its key") {
		return nil
	}
	return []string{s.cfg.Key}
}

// Evolve implements connector.SchemaEvolver.
func (s *tableSink) Evolve(_ context.Context, from, to *batch.Schema) error {
	s.cfg.Table.wide += to.Len() - from.Len()
	if s.is("evolves once") && s.cfg.Table.wide > 1 {
		return errors.New("column is there already")
	}
	return nil
}

// stagingSink publishes epochs by token.
type stagingSink struct{ *tableSink }

var (
	_ connector.Transactional = stagingSink{}
	_ connector.SchemaEvolver = stagingSink{}
)

func (s stagingSink) Prepare(_ context.Context, e connector.Epoch) (connector.Prepared, error) {
	for _, b := range s.kept {
		rows, _ := s.rowsOf(b)
		s.open = append(s.open, rows...)
	}
	if s.is("invents a row") && len(s.open) == 0 {
		s.open = append(s.open, make(tableRow, 26))
	}
	t := s.cfg.Table
	t.mu.Lock()
	t.hidden[e.Number] = append(t.hidden[e.Number], s.open...)
	t.mu.Unlock()
	if s.is("shows at Prepare") {
		t.publish(s.tableSink, s.open)
	}
	s.open, s.kept = nil, nil
	token := binary.BigEndian.AppendUint64(nil, e.Number)
	switch s.cfg.Fault {
	case "reuses the token":
		s.token = binary.BigEndian.AppendUint64(s.token[:0], e.Number)
		token = s.token
	case "makes large tokens":
		token = append(token, make([]byte, 65<<10)...)
	}
	return connector.Prepared{Token: token, Sync: func(context.Context) error { return nil }}, nil
}

func (s stagingSink) Commit(_ context.Context, e connector.Epoch, token []byte) error {
	t := s.cfg.Table
	number := binary.BigEndian.Uint64(token)
	for _, n := range slices.Sorted(maps.Keys(t.hidden)) {
		if n <= number {
			t.publish(s.tableSink, t.hidden[n])
			if !s.is("publishes again") {
				delete(t.hidden, n)
			}
		}
	}
	return nil
}

func (s stagingSink) Recover(ctx context.Context, e connector.Epoch, token []byte) error {
	if token != nil && !s.is("recovers without publishing") {
		if err := s.Commit(ctx, e, token); err != nil {
			return err
		}
	}
	if !s.is("recovers without discarding") {
		clear(s.cfg.Table.hidden)
	}
	return nil
}

// encodingSink leaves the rows' form to workers.
type encodingSink struct {
	stagingSink
	scratch *[]tableRow // fault: of all workers
}

var _ connector.Merger = encodingSink{}

// Merge implements connector.Merger.
func (s encodingSink) Merge(payloads []any) (any, bool) {
	rows := new([]tableRow)
	if s.is("merges in place") {
		rows = payloads[1].(*[]tableRow)
	}
	for _, p := range payloads {
		*rows = append(*rows, *p.(*[]tableRow)...)
	}
	return rows, true
}

// NewEncode implements connector.Encoder.
func (s encodingSink) NewEncode() connector.EncodeFunc {
	return func(chunk connector.Chunk) (connector.Chunk, error) {
		rows, bad := s.rowsOf(chunk.Batch)
		chunk.Payload = &rows
		if s.is("encoders share scratch") {
			s.cfg.Table.mu.Lock()
			defer s.cfg.Table.mu.Unlock()
			*s.scratch = rows
			chunk.Payload = s.scratch
		}
		if len(bad) > 0 {
			return chunk, &connector.PartialError{Rows: bad}
		}
		return chunk, nil
	}
}

// decidingSink commits its rows together with the epoch's number.
type decidingSink struct{ *tableSink }

var (
	_ connector.Decider  = decidingSink{}
	_ connector.Upserter = decidingSink{}
)

func (s decidingSink) Prepare(context.Context, connector.Epoch) (connector.Prepared, error) {
	return connector.Prepared{}, nil
}

func (s decidingSink) Decide(_ context.Context, e connector.Epoch) error {
	t := s.cfg.Table
	t.mu.Lock()
	switch {
	case t.fence != s.fence && !s.is("has no fence"):
		t.mu.Unlock()
		return errors.New("fenced")
	case e.Number <= t.decided && !s.is("decides twice"):
		t.mu.Unlock()
		return errors.New("decided already")
	}
	t.decided = e.Number
	if s.is("forgets the epoch") {
		t.decided = 0
	}
	t.mu.Unlock()
	t.publish(s.tableSink, s.open)
	s.open = nil
	return nil
}

func (s decidingSink) Decided(context.Context) (uint64, error) { return s.cfg.Table.decided, nil }

func (s decidingSink) Commit(context.Context, connector.Epoch, []byte) error { return nil }

func (s decidingSink) Recover(context.Context, connector.Epoch, []byte) error { return nil }

// plainSink shows rows at once.
type plainSink struct{ *tableSink }

func (s plainSink) Write(ctx context.Context, chunk connector.Chunk) error {
	if s.is("one writer only") && s.cfg.Table.fence > 1 && s.fence == 1 {
		return nil
	}
	err := s.tableSink.Write(ctx, chunk)
	s.cfg.Table.publish(s.tableSink, s.open)
	s.open = nil
	return err
}

// hidden interfaces of tableSink that plainSink must not have.
type onlySink struct{ connector.Sink }

// tableCase is the suite's case of a fake: staging, encoding, deciding or plain.
func tableCase(form, fault string) SinkCase {
	can := connector.SinkCapabilities{Transactions: true, Staged: true}
	made := func(s *tableSink) connector.Sink { return stagingSink{s} }
	switch form {
	case "staging":
		can.SchemaEvolution, can.Upsert, can.Selection = true, true, true
	case "encoding":
		can.SchemaEvolution, can.Upsert = true, true
		made = func(s *tableSink) connector.Sink {
			return encodingSink{stagingSink{s}, new([]tableRow)}
		}
	case "deciding":
		can.Decides, can.Upsert, can.SchemaEvolution, can.MaxRows = true, true, true, 8
		made = func(s *tableSink) connector.Sink { return decidingSink{s} }
	case "plain":
		can = connector.SinkCapabilities{Parallel: true}
		made = func(s *tableSink) connector.Sink { return onlySink{plainSink{s}} }
	}
	if fault == "states what it is not" {
		can.Decides = !can.Decides
	}
	target := func(key string) Target {
		t := &table{hidden: map[uint64][]tableRow{}}
		return Target{
			Config: &tableConfig{Table: t, Fault: fault, Key: key},
			ReadBack: func(testing.TB) [][]any {
				var rows [][]any
				for _, row := range t.rows {
					rows = append(rows, row[1:])
				}
				return rows
			},
		}
	}
	return SinkCase{
		Connector: connector.Connector{
			Name: "table", Version: "1.0.0", Contract: connector.ContractVersion,
			Summary: "Rows in memory.", Doc: "Rows in memory.",
			Sink: connector.NewSink(tableConfig{}, can,
				func(_ connector.Env, cfg *tableConfig) (connector.Sink, error) {
					return made(&tableSink{cfg: *cfg}), nil
				}),
		},
		Target:            func(testing.TB) Target { return target("") },
		Keyed:             func(testing.TB) Target { return target("id") },
		Refused:           refusedRows,
		AllocationsPerRow: 60,
	}
}

// refusedRows are ten rows, selected ones of which two are bad.
func refusedRows(t testing.TB) (*batch.Batch, []int) {
	t.Helper()
	b := batch.NewBuilder(Schema(batch.Of(batch.String)))
	for i := range 10 {
		b.Column(0).Int(int64(i))
		text := fmt.Sprint("row ", i)
		if i == 4 || i == 7 {
			text = "bad"
		}
		b.Column(1).Text(text)
	}
	out, err := b.Batch()
	if err != nil {
		t.Fatal(err)
	}
	return out.Select([]int32{1, 2, 4, 6, 7, 9}), []int{4, 7}
}
