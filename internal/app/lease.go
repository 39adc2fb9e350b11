package app

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/tapeline/tapeline/internal/catalog"
	"github.com/tapeline/tapeline/internal/flow/run"
)

// leases gives the engine the catalog of a state folder. One goroutine renews all leases held; it
// runs while there are any.
type leases struct {
	catalog *catalog.Catalog
	log     *slog.Logger

	mu   sync.Mutex
	held map[*lease]bool
	stop chan struct{} // ends the renewing; nil while nothing is held

	renewing sync.WaitGroup
}

var _ run.Catalog = (*leases)(nil)

const leaseTTL = 30 * time.Second

// Acquire takes the workflow's lease and keeps it renewed until it is released or lost.
func (s *leases) Acquire(
	ctx context.Context, workflow string, lost func(error),
) (run.Lease, error) {
	held, err := s.catalog.Acquire(ctx, workflow, filepath.Base(os.Args[0]), leaseTTL)
	if err != nil {
		return nil, err
	}
	l := &lease{leases: s, workflow: workflow, held: held, lost: lost}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held == nil {
		s.held = map[*lease]bool{}
	}
	if s.held[l] = true; s.stop == nil {
		stop := make(chan struct{})
		s.stop = stop
		s.renewing.Go(func() { s.renew(stop) })
	}
	return l, nil
}

// close returns when nothing is renewed any more; all leases have been released.
func (s *leases) close() { s.renewing.Wait() }

// forget stops renewing a lease.
func (s *leases) forget(l *lease) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.held, l)
	if len(s.held) == 0 && s.stop != nil {
		close(s.stop)
		s.stop = nil
	}
}

// renew extends all leases, a third of their time apart, until stop is closed.
func (s *leases) renew(stop <-chan struct{}) {
	ticker := time.NewTicker(leaseTTL / 3)
	defer ticker.Stop()
	for {
		select {
		case <-stop:
			return
		case <-ticker.C:
		}
		s.mu.Lock()
		held := slices.Collect(maps.Keys(s.held))
		s.mu.Unlock()
		// Beside each other, they share transactions.
		var all sync.WaitGroup
		for _, l := range held {
			all.Go(l.renew)
		}
		all.Wait()
	}
}

// LastRun returns the newest run of a workflow.
func (s *leases) LastRun(ctx context.Context, workflow string) (run.Record, bool, error) {
	runs, err := s.catalog.History(ctx, workflow, 1)
	if err != nil || len(runs) == 0 {
		return run.Record{}, false, err
	}
	return record(runs[0]), true, nil
}

func record(r catalog.Run) run.Record {
	return run.Record{
		ID: r.ID, Workflow: r.Workflow, Status: run.Status(r.Status), RowsIn: r.RowsIn,
		RowsOut: r.RowsOut, DeadLetters: r.DeadLetters, Error: r.Error, Report: r.Report,
	}
}

// Checkpoints returns the newest committed manifest and one prepared after it.
func (s *leases) Checkpoints(
	ctx context.Context, workflow string,
) (committed, prepared *run.Checkpoint, err error) {
	done, open, err := s.catalog.Latest(ctx, workflow)
	return checkpoint(done), checkpoint(open), err
}

func checkpoint(c *catalog.Checkpoint) *run.Checkpoint {
	if c == nil {
		return nil
	}
	return &run.Checkpoint{Run: c.Run, Epoch: c.Epoch, Manifest: c.Manifest}
}

// lease is a held lease.
type lease struct {
	*leases
	workflow string
	held     *catalog.Lease
	lost     func(error)
}

var _ run.Lease = (*lease)(nil)

func (l *lease) renew() {
	err := l.held.Renew(context.Background())
	switch {
	case errors.Is(err, catalog.ErrFenced):
		l.forget(l)
		l.lost(err)
	case err != nil:
		l.log.Warn("lease was not renewed, will try again", "workflow", l.workflow, "error", err)
	}
}

// Fence returns the lease's token.
func (l *lease) Fence() uint64 { return uint64(l.held.Token()) }

// Begin starts a run, or takes up the one with the record's ID.
func (l *lease) Begin(ctx context.Context, r run.Record) (run.Record, error) {
	if r.ID != "" {
		found, err := l.held.Resume(ctx, r.ID)
		return record(found), err
	}
	begun, err := l.held.Begin(ctx, r.Document, "")
	return record(begun), err
}

// Finish records how a run ended.
func (l *lease) Finish(ctx context.Context, r run.Record) error {
	return l.held.Finish(ctx, r.ID, catalog.Status(r.Status), catalog.Result{
		RowsIn: r.RowsIn, RowsOut: r.RowsOut, DeadLetters: r.DeadLetters, Error: r.Error,
		Report: r.Report,
	})
}

// Discard forgets the workflow's checkpoints.
func (l *lease) Discard(ctx context.Context) error { return l.held.Discard(ctx, false) }

// Prepare stores a manifest whose outcome is open.
func (l *lease) Prepare(ctx context.Context, id string, epoch uint64, manifest []byte) error {
	return l.held.Prepare(ctx, id, epoch, manifest)
}

// Commit marks a prepared manifest committed.
func (l *lease) Commit(ctx context.Context, id string, epoch uint64) error {
	return l.held.Commit(ctx, id, epoch)
}

// Drop forgets a prepared manifest.
func (l *lease) Drop(ctx context.Context, id string, epoch uint64) error {
	return l.held.Drop(ctx, id, epoch)
}

// Release ends the lease.
func (l *lease) Release() {
	l.forget(l)
	if err := l.held.Release(context.Background()); err != nil && !errors.Is(err, catalog.ErrFenced) {
		l.log.Warn("lease was not released; it expires by itself", "workflow", l.workflow, "error", err)
	}
}
