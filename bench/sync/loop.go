package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/tapeline/tapeline/internal/app"
	"github.com/tapeline/tapeline/internal/ingest"
	"github.com/tapeline/tapeline/internal/obs"
)

// level is what a process holds.
type level struct {
	memory     int64 // bytes
	goroutines int
	files      int
}

func levelNow() (level, error) {
	runtime.GC()
	u, err := obs.ReadUsage()
	if err != nil {
		return level{}, err
	}
	l := level{memory: u.MemoryBytes, goroutines: runtime.NumGoroutine()}
	entries, err := os.ReadDir("/proc/self/fd")
	if err == nil {
		l.files = len(entries)
	}
	return l, nil
}

// grewFrom returns what grew by more than a process that is at work moves anyway.
func (l level) grewFrom(first level) error {
	const growth, slack, few = 1.2, 16 << 20, 5
	switch {
	case float64(l.memory) > growth*float64(first.memory)+slack:
		return fmt.Errorf("memory grew from %d to %d MB", first.memory>>20, l.memory>>20)
	case l.goroutines > first.goroutines+few:
		return fmt.Errorf("goroutines grew from %d to %d", first.goroutines, l.goroutines)
	case l.files > first.files+few:
		return fmt.Errorf("open files grew from %d to %d", first.files, l.files)
	}
	return nil
}

// loopEvery is how often a day is added: half an hour has hundreds of increments, and leaves the machine
// to others in between.
const loopEvery = time.Second

// loop syncs one day after the other for so long, from the beginning again when the days are over, and
// fails when memory, goroutines or open files grow: the last level is compared with that after a fifth of
// the time.
func (b *bench) loop(long time.Duration) (err error) {
	const symbols = 100
	s, err := b.simulate(symbols)
	if err != nil {
		return err
	}
	defer s.stop()
	parts, err := app.NewParts()
	if err != nil {
		return err
	}
	log := slog.New(slog.DiscardHandler)
	engine, err := app.OpenEngine(parts, filepath.Join(b.dir, "state"), log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, engine.Close()) }()
	config := ingest.Defaults()
	config.Sync.Endpoint, config.Sync.From = s.address, "2023-01-01"
	begun, settled := time.Now(), false
	var first, last level
	syncs, stores := 0, 0
	day := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	end := time.Date(2023, 12, 29, 0, 0, 0, 0, time.UTC)
	shown := time.Time{}
	ticks := time.NewTicker(loopEvery)
	defer ticks.Stop()
	fmt.Fprintln(b.out, "| after | syncs | RSS MB | goroutines | open files |\n|---|---|---|---|---|")
	show := func() {
		fmt.Fprintf(b.out, "| %s | %d | %d | %d | %d |\n", minutes(time.Since(begun)), syncs, last.memory>>20, last.goroutines, last.files)
	}
	for ; time.Since(begun) < long; <-ticks.C {
		if day = day.AddDate(0, 0, 1); day.After(end) {
			stores++
			day = time.Date(2023, 1, 10, 0, 0, 0, 0, time.UTC)
			config.Sync.Store = filepath.Join(b.dir, fmt.Sprint("loop", stores))
		}
		config.Sync.To = day.Format(time.DateOnly)
		report, err := engine.Sync(context.Background(), config, log, nil)
		if err != nil {
			return err
		}
		if report.Status != ingest.StatusComplete {
			return fmt.Errorf("sync %d up to %s is %s", syncs, config.Sync.To, report.Status)
		}
		syncs++
		if last, err = levelNow(); err != nil {
			return err
		}
		if !settled && time.Since(begun) > long/5 {
			first, settled = last, true
			show()
		}
		if time.Since(shown) > long/10 {
			shown = time.Now()
			show()
		}
	}
	show()
	if err := last.grewFrom(first); err != nil {
		return err
	}
	fmt.Fprintf(b.out, "\nFlat over %d syncs: %d to %d MB, %d to %d goroutines, %d to %d open files.\n", syncs, first.memory>>20,
		last.memory>>20, first.goroutines, last.goroutines, first.files, last.files)
	return nil
}
