package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"syscall"
	"time"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/store"
)

// ours is the market store.
type ours struct {
	store  *store.Store
	writer *store.Writer
	bars   *bars
	view   *store.View
}

func openOurs(ctx context.Context, dir string) (engine, error) {
	s, err := store.Open(dir, store.Config{})
	if err != nil {
		return nil, err
	}
	w, err := s.Lock(ctx, "bench")
	return &ours{store: s, writer: w}, err
}

func (*ours) name() string { return "tapeline" }

func put(ctx context.Context, w *store.Writer, rows *batch.Batch) error {
	_, err := w.Commit(ctx, store.Changes{
		Run: "bench", Source: "bench", Puts: map[string][]*batch.Batch{market.Bar1D: {rows}},
	})
	return err
}

func (o *ours) fill(ctx context.Context, b *bars, dates int) error {
	o.bars = b
	const step = 41
	for first := 0; first < b.symbols; first += step {
		rows, err := b.block(first, min(first+step, b.symbols), 0, dates)
		if err == nil {
			err = put(ctx, o.writer, rows)
		}
		if err != nil {
			return err
		}
	}
	if _, err := o.writer.Compact(ctx, true); err != nil {
		return err
	}
	return o.look(ctx)
}

// look shows the newest commit from now on.
func (o *ours) look(ctx context.Context) (err error) {
	if o.view != nil {
		if err := o.view.Close(); err != nil {
			return err
		}
	}
	o.view, err = o.store.View(ctx, 0)
	return err
}

func (o *ours) grow(ctx context.Context, b *bars, from, to int) error {
	days, err := b.days(from, to)
	if err != nil {
		return err
	}
	for _, rows := range days {
		if err := put(ctx, o.writer, rows); err != nil {
			return err
		}
	}
	return o.look(ctx)
}

func (o *ours) bytes() (int64, error) {
	stats, err := o.store.Stats(context.Background())
	if err != nil || len(stats) == 0 {
		return 0, fmt.Errorf("stats: %v %w", stats, err)
	}
	return stats[0].Bytes, nil
}

func rowsOf(b *batch.Batch, err error) (int, error) {
	if err != nil {
		return 0, err
	}
	return b.Len(), nil
}

func (o *ours) point(_ context.Context, symbol int) (int, error) {
	return rowsOf(o.view.Point(market.Bar1D, symbolOf(symbol), 0, 0, nil))
}

func (o *ours) latest(_ context.Context, symbol int) (int, error) {
	return rowsOf(o.view.Latest(market.Bar1D, symbolOf(symbol)))
}

func (o *ours) cross(_ context.Context, date int) (int, error) {
	return rowsOf(o.view.Cross(market.Bar1D, o.bars.dates[date], []string{"symbol", "open", "close", "volume"}))
}

func (o *ours) scan(_ context.Context, all bool) (rows int, err error) {
	var columns []string
	if !all {
		columns = []string{"date", "close", "volume"}
	}
	for b, err := range o.view.Scan(market.Bar1D, store.Range{}, columns) {
		if err != nil {
			return 0, err
		}
		rows += b.Len()
	}
	return rows, nil
}

func (o *ours) commit(ctx context.Context, rows *batch.Batch) (int, error) {
	return rows.Len(), put(ctx, o.writer, rows)
}

func (*ours) cpu() time.Duration { return ownCPU() }

// ownCPU is what this process has used.
func ownCPU() time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return 0
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

func (o *ours) close() error {
	return errors.Join(o.view.Close(), o.writer.Unlock(), o.store.Close())
}

// compaction measures half a million rows in 100 segments of different and of the same instruments.
func (r *run) compaction(ctx context.Context, dir string) error {
	const segments = 100
	for round := range r.rounds {
		for _, job := range []string{"compaction, disjoint", "compaction, interleaved"} {
			e, err := openOurs(ctx, filepath.Join(dir, fmt.Sprintf("%s-%d", job, round)))
			if err != nil {
				return err
			}
			o := e.(*ours)
			b, parts := newBars(5000, segments), []*batch.Batch(nil)
			if job == "compaction, disjoint" {
				b = newBars(20*segments, 250)
				for n := range segments {
					rows, err := b.block(20*n, 20*n+20, 0, 250)
					if err != nil {
						return err
					}
					parts = append(parts, rows)
				}
			} else if parts, err = b.days(0, segments); err != nil {
				return err
			}
			for _, rows := range parts {
				if err := put(ctx, o.writer, rows); err != nil {
					return err
				}
			}
			parts = nil
			start, before := time.Now(), ownCPU()
			done, err := o.writer.Compact(ctx, true)
			if err != nil {
				return err
			}
			r.add(job, "tapeline", sample{time.Since(start), ownCPU() - before, int(done.Rows)})
			if err := errors.Join(o.writer.Unlock(), o.store.Close()); err != nil {
				return err
			}
		}
	}
	return nil
}
