package run

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/lifecycle"
)

// restore loads the last committed manifest. A prepared epoch above it is the decider's to judge:
// rolled forward when it committed, dropped when it did not.
func (a *attempt) restore(ctx context.Context) error {
	w := a.workflow
	committed, prepared, err := w.cluster.config.Catalog.Checkpoints(ctx, w.name)
	if err != nil {
		return fmt.Errorf("restore %s: %w", w.name, err)
	}
	if prepared != nil && prepared.Run == w.record.ID {
		decided, err := a.decided(ctx, prepared)
		switch {
		case err != nil:
			return fmt.Errorf("ask the outcome of epoch %d: %w", prepared.Epoch, err)
		case decided >= prepared.Epoch:
			if err := w.lease.Commit(ctx, w.record.ID, prepared.Epoch); err != nil {
				return fmt.Errorf("roll epoch %d forward: %w", prepared.Epoch, err)
			}
			committed = prepared
		default:
			if err := w.lease.Drop(ctx, w.record.ID, prepared.Epoch); err != nil {
				return fmt.Errorf("drop epoch %d: %w", prepared.Epoch, err)
			}
		}
	}
	found := &manifest{}
	if committed != nil {
		if found, err = decodeManifest(committed.Manifest); err != nil {
			return fmt.Errorf("restore %s: %w", w.name, err)
		}
	}
	a.manifest = w.startManifest(found)
	if committed != nil && committed.Run == w.record.ID {
		a.manifest = found
		if err := a.manifest.checkFingerprints(w.fingerprints()); err != nil {
			return err
		}
		if err := a.manifest.checkSinks(w.plan.Stages); err != nil {
			return err
		}
		if err := w.restoreSchemas(a.manifest.Schemas); err != nil {
			return err
		}
		w.restoreRows(a.manifest.Rows)
	} else {
		w.restoreRows(nil)
	}
	a.epoch = a.manifest.Epoch
	// Until the first commit of this run the one before may be what another document goes on from.
	a.sweepState(a.manifest, found)
	a.dead.reset(a.manifest.DeadAsked, a.manifest.DeadOther)
	return nil
}

// decided asks the sink that decides the prepared epoch for the newest one it committed; 0 when the
// catalog decides.
func (a *attempt) decided(ctx context.Context, prepared *Checkpoint) (uint64, error) {
	m, err := decodeManifest(prepared.Manifest)
	if err != nil || m.Decider == "" {
		return 0, err
	}
	for _, s := range a.workflow.plan.Stages {
		if s.Sink == nil || s.Sink.ID != m.Decider {
			continue
		}
		sink, err := s.Sink.NewSink(a.env(s.Sink, nil))
		if err != nil {
			return 0, nodeError(s.Sink, err)
		}
		defer sink.Close()
		decider, ok := sink.(connector.Decider)
		if !ok {
			break
		}
		if err := sink.Open(ctx, a.sinkTask(s.Sink, 0, s.Writers)); err != nil {
			return 0, nodeError(s.Sink, fmt.Errorf("open: %w", err))
		}
		epoch, err := decider.Decided(ctx)
		return epoch, nodeError(s.Sink, err)
	}
	return 0, unresumable("sink %s, which knows whether epoch %d is committed, is not in the workflow "+
		"any more; put it back to finish the run, or discard the run with --fresh", m.Decider, m.Epoch)
}

// checkpoint takes one epoch through all of its steps. Each step leaves a state from which a
// restart gets either the old epoch or the new one, whole.
func (a *attempt) checkpoint(ctx context.Context, final bool) error {
	epoch := connector.Epoch{Number: a.epoch + 1, Final: final}
	a.active.Store(0)
	reports, err := a.barrier(ctx, epoch)
	if err != nil {
		return err
	}
	next, err := a.gather(ctx, epoch, reports)
	if err != nil {
		return err
	}
	if err := a.commit(ctx, epoch, next); err != nil {
		return err
	}
	return a.publish(ctx, epoch, next)
}

// barrier sends the barrier into every source and waits until it has left every task.
func (a *attempt) barrier(ctx context.Context, epoch connector.Epoch) ([]*event, error) {
	for _, t := range a.tasks {
		if t.stage.Source == nil {
			continue
		}
		err := a.workflow.cluster.tasks.send(ctx, t.address, command{barrier: &epoch})
		if err != nil {
			return nil, err
		}
	}
	var reports []*event
	for passed := 0; passed < len(a.tasks); {
		e, err := a.next(ctx)
		if err != nil {
			return nil, err
		}
		if e.positions != nil || e.passed {
			reports = append(reports, e)
		}
		if e.passed {
			passed++
		}
	}
	return reports, nil
}

// next waits for one event and notes what it says besides.
func (a *attempt) next(ctx context.Context) (*event, error) {
	select {
	case e := <-a.inbox.receive():
		a.note(ctx, e)
		return e, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// gather makes the sinks' rows and the state durable and builds the manifest.
func (a *attempt) gather(
	ctx context.Context, epoch connector.Epoch, reports []*event,
) (*manifest, error) {
	next := &manifest{
		Version: manifestVersion, Epoch: epoch.Number, Final: epoch.Final,
		Positions: map[string]map[string]partitionPosition{}, Tokens: map[string][][]byte{},
		Redo:   map[string][]*redoObject{},
		States: map[string]stateHistory{}, Fingerprints: a.workflow.fingerprints(),
		Rows: map[string][3]int64{}, Began: a.manifest.Began, BeganStates: a.manifest.BeganStates,
		Schemas: a.workflow.targetSchemas(),
	}
	if a.decider != nil {
		next.Decider = a.decider.node.ID
	}
	if epoch.Final {
		if err := a.dead.check(a.workflow.sourceRows()); err != nil {
			return nil, err
		}
	}
	var syncs []func(context.Context) error
	for _, r := range reports {
		if r.positions != nil {
			// A source may come to its end by itself while a limit drops what it gave last.
			for id, p := range r.positions {
				p.Cut = p.Cut || !a.wanted(r.task.stage)
				r.positions[id] = p
			}
			next.Positions[r.task.stage.Source.ID] = r.positions
		}
		for _, p := range r.prepared {
			id := r.task.stage.Sink.ID
			next.Tokens[id] = append(next.Tokens[id], p.Token)
			if p.redo != nil {
				next.Redo[id] = append(next.Redo[id], p.redo)
			}
			syncs = append(syncs, p.Sync)
		}
		maps.Copy(next.Rows, r.rows)
		for _, s := range r.states {
			history, err := a.saveState(s, epoch.Number)
			if err != nil {
				return nil, err
			}
			next.States[s.node.ID] = history
		}
	}
	if a.deadSink != nil {
		prepared, err := a.deadSink.prepare(ctx, a.dead, epoch)
		if err != nil {
			return nil, err
		}
		next.DeadToken, next.DeadRedo = prepared.Token, prepared.redo
		syncs = append(syncs, prepared.Sync)
	}
	next.DeadAsked, next.DeadOther = a.dead.covered(epoch.Number)
	return next, syncAll(ctx, syncs)
}

// syncAll runs the sinks' syncs beside each other: synced when it returns nil.
func syncAll(ctx context.Context, syncs []func(context.Context) error) error {
	errs := make([]error, len(syncs))
	var wait sync.WaitGroup
	for i, f := range syncs {
		if f == nil {
			continue
		}
		wait.Go(func() {
			errs[i] = lifecycle.Guard("sync", func() error { return f(ctx) })
		})
	}
	wait.Wait()
	return errors.Join(errs...)
}

// commit decides the epoch: prepared in the catalog, decided by the decider, committed.
func (a *attempt) commit(ctx context.Context, epoch connector.Epoch, next *manifest) error {
	w := a.workflow
	data, err := next.encode()
	if err != nil {
		return err
	}
	if err := w.lease.Prepare(ctx, w.record.ID, epoch.Number, data); err != nil {
		return fmt.Errorf("prepare epoch %d: %w", epoch.Number, err)
	}
	if a.decider != nil {
		if err := a.settle(ctx, a.decider.task, settlement{epoch: epoch, decide: true}); err != nil {
			return err
		}
	}
	if err := w.lease.Commit(ctx, w.record.ID, epoch.Number); err != nil {
		return fmt.Errorf("commit epoch %d: %w", epoch.Number, err)
	}
	w.noteCheckpoint(epoch, len(data), next)
	return nil
}

// publish makes a committed epoch visible and acknowledges it to the sources.
func (a *attempt) publish(ctx context.Context, epoch connector.Epoch, next *manifest) error {
	for _, t := range a.tasks {
		if len(t.writers) == 0 {
			continue
		}
		if err := a.settle(ctx, t, settlement{epoch: epoch}); err != nil {
			return err
		}
	}
	if a.deadSink != nil {
		if err := a.deadSink.publish(ctx, epoch, next.DeadToken); err != nil {
			return fmt.Errorf("publish dead letters of epoch %d: %w", epoch.Number, err)
		}
	}
	a.manifest, a.epoch = next, epoch.Number
	if len(next.States) > 0 {
		a.sweepState(next)
	}
	for _, t := range a.tasks {
		if t.stage.Source == nil {
			continue
		}
		for _, r := range t.readers {
			r.ack(ctx, next.Positions[t.stage.Source.ID][r.partition.ID].Position)
		}
	}
	return nil
}

// settle hands a settlement to a task's sequencer and waits until it is done.
func (a *attempt) settle(ctx context.Context, t *task, s settlement) error {
	select {
	case t.settled <- s:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	for {
		e, err := a.next(ctx)
		if err != nil {
			return err
		}
		if e.settled && e.task == t {
			return nil
		}
	}
}
