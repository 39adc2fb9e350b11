package discard

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
)

// Config is the configuration of a discard sink.
type Config struct {
	Rate         float64       `yaml:"rate" doc:"rows per second it takes; 0 is no limit. Default 0"`
	Stall        time.Duration `yaml:"stall" doc:"time that every write takes at least. Default 0"`
	LatencyField string        `yaml:"latency_field" doc:"timestamp column whose age at the end of each write is recorded and logged at close. Default none" example:"emitted"`
}

// Connector describes the discard sink.
func Connector() connector.Connector {
	return connector.Connector{
		Name:     "discard",
		Version:  "1.0.0",
		Contract: connector.ContractVersion,
		Summary:  "Takes rows and drops them.",
		Doc: `Rows vanish here; values are not even read. ` + "`rate` and `stall`" + ` make it a slow
sink, to see back-pressure at work: with ` + "`rate`" + ` a write returns when its rows were due.

` + "`latency_field`" + ` names a timestamp column, such as a generate source's kind ` + "`emitted`" + `. The age
of each row when its write returns goes into a histogram (1 us to 1 h, 3 digits), logged at close
as count, p50, p99, p999 and max.
`,
		Sink: connector.NewSink(Config{},
			connector.SinkCapabilities{Parallel: true, Selection: true}, newSink),
	}
}

type sink struct {
	cfg     Config
	log     *slog.Logger
	free    time.Time // rate: when the rows taken so far are paid for
	latency *hdrhistogram.Histogram
}

var _ connector.Sink = (*sink)(nil)

// Latencies are recorded in microseconds.
const (
	leastLatencyUS    = 1
	greatestLatencyUS = int64(time.Hour / time.Microsecond)
	latencyDigits     = 3
)

func newSink(env connector.Env, cfg *Config) (connector.Sink, error) {
	if !(cfg.Rate >= 0) || cfg.Stall < 0 {
		return nil, &connector.Error{
			Op: "configure discard", Class: connector.Permanent,
			Err: fmt.Errorf("rate %v and stall %v must not be negative", cfg.Rate, cfg.Stall),
		}
	}
	s := &sink{cfg: *cfg, log: env.Log}
	if cfg.LatencyField != "" {
		s.latency = hdrhistogram.New(leastLatencyUS, greatestLatencyUS, latencyDigits)
	}
	return s, nil
}

// Open does nothing.
func (s *sink) Open(context.Context, connector.Task) error { return nil }

// Write drops the rows after the configured waits.
func (s *sink) Write(ctx context.Context, chunk connector.Chunk) error {
	if err := s.wait(ctx, chunk.Batch.Len()); err != nil {
		return err
	}
	if s.latency != nil {
		return s.record(chunk.Batch)
	}
	return nil
}

func (s *sink) wait(ctx context.Context, rows int) error {
	wait := s.cfg.Stall
	if s.cfg.Rate > 0 {
		now := time.Now()
		if s.free.Before(now) {
			s.free = now
		}
		s.free = s.free.Add(time.Duration(float64(rows) / s.cfg.Rate * float64(time.Second)))
		wait = max(wait, s.free.Sub(now))
	}
	if wait <= 0 {
		return nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *sink) record(b *batch.Batch) error {
	at := b.Schema().Index(s.cfg.LatencyField)
	if at < 0 || b.Schema().Field(at).Type.Kind != batch.Timestamp {
		return &connector.Error{
			Op: "write to discard", Class: connector.Schema,
			Err: fmt.Errorf("latency_field: %q is no timestamp column of (%s)",
				s.cfg.LatencyField, b.Schema()),
		}
	}
	column, _ := b.Column(at).Typed(b.Selection())
	stamps := batch.Values[int64](column)
	per := int64(time.Second) / column.Type().Unit.PerSecond()
	now := time.Now().UnixNano()
	for i := range b.Len() {
		row := b.Row(i)
		if column.IsNull(row) {
			continue
		}
		age := (now - stamps[row]*per) / int64(time.Microsecond)
		if err := s.latency.RecordValue(min(max(age, leastLatencyUS), greatestLatencyUS)); err != nil {
			return fmt.Errorf("record latency: %w", err)
		}
	}
	return nil
}

// Close logs the latencies.
func (s *sink) Close() error {
	if s.latency == nil || s.latency.TotalCount() == 0 || s.log == nil {
		return nil
	}
	at := func(quantile float64) time.Duration {
		return time.Duration(s.latency.ValueAtQuantile(quantile)) * time.Microsecond
	}
	s.log.Info("latency of discarded rows", "count", s.latency.TotalCount(), "p50", at(50),
		"p99", at(99), "p999", at(99.9), "max", time.Duration(s.latency.Max())*time.Microsecond)
	return nil
}
