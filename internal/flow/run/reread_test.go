package run

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/fault"
	"github.com/tapeline/tapeline/internal/flow/plan"
	"github.com/tapeline/tapeline/internal/lifecycle"
)

// flaky is a counter whose server goes away at some numbers. What it read is lost with it, as rows
// that a database sent ahead are: only a new source continues.
type flaky struct {
	counter
	opened *atomic.Int64
	lost   bool
	closed atomic.Bool
	number byte // of the source: its own decoder alone reads its payload
}

// payload is undecoded rows of one source.
type payload struct {
	of    byte
	batch *batch.Batch
}

var errGone = errors.New("connection reset")

func (s *flaky) Open(ctx context.Context, p connector.Partition, at connector.Position) error {
	s.number = byte(s.opened.Add(1))
	return s.counter.Open(ctx, p, at)
}

func (s *flaky) Read(ctx context.Context) (connector.Chunk, error) {
	if s.lost || s.closed.Load() {
		return connector.Chunk{}, errors.New("read of a lost source")
	}
	chunk, err := s.counter.Read(ctx)
	if s.lost = err != nil && !errors.Is(err, io.EOF); s.lost {
		s.next += 7 // nobody may rely on its place any more
	}
	chunk.Payload, chunk.Batch = payload{s.number, chunk.Batch}, nil
	return chunk, err
}

func (s *flaky) NewDecode() connector.DecodeFunc {
	return func(c connector.Chunk) (connector.Chunk, error) {
		p := c.Payload.(payload)
		if p.of != s.number {
			return c, errors.New("another source's payload")
		}
		c.Batch, c.Payload = p.batch, nil
		return c, nil
	}
}

func (s *flaky) Ack(ctx context.Context, p connector.Position) error {
	if s.closed.Load() {
		return errors.New("acknowledged after Close")
	}
	return s.counter.Ack(ctx, p)
}

func (s *flaky) Close() error {
	s.closed.Store(true)
	return nil
}

// flakyRun reads 1,000 numbers; fail is asked before each Read.
func flakyRun(
	t *testing.T, can connector.SourceCapabilities, fail func(next int64) error,
) (Report, []int64, int64, error) {
	t.Helper()
	b, rows := newBed(t), newTable()
	var opened atomic.Int64
	in := sourceNode("in", nil)
	in.SourceSpec = can
	in.NewSource = func(connector.Env) (connector.Source, error) {
		return &flaky{counter: counter{to: 1000, step: 10, fail: fail}, opened: &opened}, nil
	}
	report, err := b.run(t, &plan.Workflow{
		Name: "flaky", Execution: plan.Execution{
			Parallelism: 2, CheckpointInterval: time.Millisecond,
			Restart: lifecycle.Strategy{Kind: lifecycle.None},
		},
		Nodes: []*plan.Node{
			in, sinkNode("out", func() connector.Sink { return &decidingSink{tableSink{table: rows}} }, "in"),
		},
	}, Options{})
	return report, rows.committed, opened.Load(), err
}

// A Read that fails for a while is repeated in place: the run is not restarted, each row comes once
// and in order.
func TestReadIsRepeatedInPlace(t *testing.T) {
	can := connector.SourceCapabilities{Bounded: true, Resumable: true}
	failures := map[int64]int{0: 2, 370: 1, 380: 3, 1000: 0}
	fail := func(next int64) error {
		if failures[next] > 0 {
			failures[next]--
			return fault.New(fault.Transient, "read", errGone)
		}
		return nil
	}
	synctest.Test(t, func(t *testing.T) {
		report, rows, opened, err := flakyRun(t, can, fail)
		if err != nil || !slices.Equal(rows, numbers(0, 1000)) {
			t.Fatalf("%d rows, want 1000 in order: %v", len(rows), err)
		}
		if in := report.Nodes[0]; report.Restarts != 0 || in.Retries != 6 || opened != 7 || in.RowsIn != 1000 {
			t.Errorf("%d restarts, %d retries, %d sources, %d rows; want 0, 6, 7, 1000",
				report.Restarts, in.Retries, opened, in.RowsIn)
		}
	})
}

// The wait a server asks for is kept, and is no work of the source.
func TestReadWaitsAsAsked(t *testing.T) {
	can, failed := connector.SourceCapabilities{Bounded: true, Resumable: true}, false
	synctest.Test(t, func(t *testing.T) {
		before := time.Now()
		report, rows, _, err := flakyRun(t, can, func(next int64) error {
			if next < 500 || failed {
				return nil
			}
			failed = true
			return fault.Throttle(time.Minute, "GET", errGone)
		})
		took, in := time.Since(before), report.Nodes[0]
		if err != nil || len(rows) != 1000 || took < time.Minute || took > 61*time.Second {
			t.Errorf("%d rows after %v, want 1000 after a minute: %v", len(rows), took, err)
		}
		if in.BusySeconds > 1 || in.BlockedSeconds < 60 {
			t.Errorf("busy %v s and blocked %v s, want 0 and 60", in.BusySeconds, in.BlockedSeconds)
		}
	})
}

// What cannot be read again behind a position, and what fails for good, fails the attempt.
func TestReadThatIsNotRepeated(t *testing.T) {
	resumable := connector.SourceCapabilities{Bounded: true, Resumable: true}
	down := fault.New(fault.Transient, "read", errGone)
	for name, c := range map[string]struct {
		can     connector.SourceCapabilities
		err     error
		sources int64
		text    string
	}{
		"not resumable": {connector.SourceCapabilities{Bounded: true}, down, 1, "read: read: connection reset"},
		"permanent":     {resumable, fault.New(fault.Permanent, "read", errGone), 1, "read: read: connection reset"},
		"for ever":      {resumable, down, 10, "read: gave up after 10 attempts: read: connection reset"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				report, _, opened, err := flakyRun(t, c.can, func(next int64) error {
					if next < 500 {
						return nil
					}
					return c.err
				})
				if !errors.Is(err, errGone) || !strings.HasSuffix(err.Error(), c.text) || report.Status != Failed {
					t.Errorf("%s: %v, want it to end with %q", report.Status, err, c.text)
				}
				if opened != c.sources {
					t.Errorf("%d sources were opened, want %d", opened, c.sources)
				}
			})
		})
	}
}
