package discard

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
)

// stamps returns a chunk whose rows were due the given times ago.
func stamps(ages ...time.Duration) connector.Chunk {
	typ := batch.TimestampOf(batch.Nanosecond, "UTC")
	values := make([]int64, len(ages))
	for i, age := range ages {
		values[i] = time.Now().Add(-age).UnixNano()
	}
	schema := batch.NewSchema(batch.Field{Name: "due", Type: typ})
	column := batch.FixedColumn(typ, values, nil)
	return connector.Chunk{Batch: batch.New(schema, []*batch.Column{column}, len(values))}
}

func newTestSink(t *testing.T, env connector.Env, cfg Config) connector.Sink {
	t.Helper()
	sink, err := Connector().Sink.New(env, &cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := sink.Open(t.Context(), connector.Task{}); err != nil {
		t.Fatal(err)
	}
	return sink
}

func TestRateAndStallHoldWritesBack(t *testing.T) {
	for name, test := range map[string]struct {
		cfg  Config
		want time.Duration
	}{
		"free":  {Config{}, 0},
		"rate":  {Config{Rate: 100}, 10 * 2 * 10 * time.Millisecond},
		"stall": {Config{Stall: time.Second}, 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sink := newTestSink(t, connector.Env{}, test.cfg)
				start := time.Now()
				for range 10 {
					if err := sink.Write(t.Context(), stamps(0, 0)); err != nil {
						t.Fatal(err)
					}
				}
				if got := time.Since(start); got != test.want {
					t.Errorf("10 writes of 2 rows took %v, want %v", got, test.want)
				}
			})
		})
	}
}

func TestWriteEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := newTestSink(t, connector.Env{}, Config{Stall: time.Hour})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := sink.Write(ctx, stamps(0)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("write ended by %v", err)
		}
	})
}

func TestLatencyIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logged bytes.Buffer
		env := connector.Env{Log: slog.New(slog.NewTextHandler(&logged, nil))}
		sink := newTestSink(t, env, Config{LatencyField: "due"})
		chunk := stamps(time.Millisecond, time.Second, 2*time.Millisecond)
		chunk.Batch = chunk.Batch.Select([]int32{0, 2})
		if err := sink.Write(t.Context(), chunk); err != nil {
			t.Fatal(err)
		}
		if err := sink.Close(); err != nil {
			t.Fatal(err)
		}
		if got := logged.String(); !strings.Contains(got, "count=2 p50=1ms p99=2ms") {
			t.Errorf("logged %q", got)
		}
	})
}

func TestWrongConfigIsRefused(t *testing.T) {
	if _, err := Connector().Sink.New(connector.Env{}, &Config{Rate: -1}); err == nil {
		t.Error("rate -1 was accepted")
	}
	sink := newTestSink(t, connector.Env{}, Config{LatencyField: "none"})
	var refused *connector.Error
	err := sink.Write(t.Context(), stamps(0))
	if !errors.As(err, &refused) || refused.Class != connector.Schema {
		t.Errorf("unknown latency field: %v", err)
	}
}
