package run

import (
	"context"
	"errors"
	"fmt"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/fault"
	"github.com/tapeline/tapeline/internal/flow/plan"
)

// follower drives a deciding sink in a workflow where another sink, or the catalog, decides. Its data
// transaction stays open from Prepare until the epoch is committed; a crash in between takes the
// transaction, and a redo file in the state folder brings its rows back.
//
// Protocol: recover after opening; keep after each write; seal with each Prepare; commit once the
// manifest is committed. No write may come between seal and commit.
type follower struct {
	decider connector.Decider
	log     *redoLog
	limit   int64     // bytes of the redo file above which a checkpoint should come early
	last    redoPoint // newest epoch the sink committed
}

// redoPoint is what a sink's Recover needs to go back to an epoch it committed.
type redoPoint struct {
	Epoch connector.Epoch
	Token []byte `json:",omitempty"`
}

// redoObject names the rows a follower has prepared, and the epoch they come after.
type redoObject struct {
	stateObject
	After redoPoint
}

func (a *attempt) follower(d connector.Decider, n *plan.Node, index int) *follower {
	name := fmt.Sprintf("%s-%s-%d", a.workflow.record.ID, n.ID, index)
	return &follower{
		decider: d, limit: a.memory.Capacity(),
		log: newRedoLog(a.workflow.cluster.config.FS, a.workflow.stateDir(), name),
	}
}

// redoWrite writes the rows of a committed epoch again. The sink took them once, so that it refuses
// none unless its table has changed.
func redoWrite(ctx context.Context, sink connector.Sink) func(chunk connector.Chunk) error {
	encoder, _ := sink.(connector.Encoder)
	return func(chunk connector.Chunk) error {
		var err error
		if encoder != nil {
			chunk, err = encoder.NewEncode()(chunk)
		}
		if err == nil {
			err = sink.Write(ctx, chunk)
		}
		if chunk.Release != nil {
			chunk.Release()
		}
		_, refused := errors.AsType[*connector.PartialError](err)
		class := fault.ClassOf(err)
		if refused || class == connector.Data || class == connector.Schema {
			return fmt.Errorf("rows that are committed and were taken before are refused now; remove what "+
				"stands in their way and run again: %w", err)
		}
		return err
	}
}

// keep adds the rows the sink took, or a chunk that came without any, to the redo file: written. They
// are lost to the open epoch when that fails.
func (f *follower) keep(chunk connector.Chunk, err error) error {
	rows := chunk.Batch
	if partial, ok := errors.AsType[*connector.PartialError](err); ok {
		rows = rows.Without(partial.Rows)
	} else if err != nil {
		return err
	}
	if rows.Len() > 0 || chunk.Batch.Len() == 0 {
		if keepErr := f.log.append(chunk.Table, rows); keepErr != nil {
			return fmt.Errorf("%w: %w", connector.ErrEpochLost, keepErr)
		}
	}
	return err
}

// large reports whether a checkpoint should come early.
func (f *follower) large() bool { return f.log.Bytes > f.limit }

// seal ends the epoch: the object names its rows, and sync makes them durable.
func (f *follower) seal(answer connector.Prepared) prepared {
	sync := answer.Sync
	answer.Sync = func(ctx context.Context) error {
		if sync != nil {
			if err := sync(ctx); err != nil {
				return err
			}
		}
		return f.log.sync()
	}
	return prepared{answer, &redoObject{stateObject: f.log.stateObject, After: f.last}}
}

// commit makes the prepared epoch visible: committed.
// invariant: a following sink commits only what its manifest has committed
func (f *follower) commit(ctx context.Context, epoch connector.Epoch, token []byte) error {
	if err := f.decider.Decide(ctx, epoch); err != nil {
		return err
	}
	if err := f.decider.Commit(ctx, epoch, token); err != nil {
		return err
	}
	f.last = redoPoint{Epoch: epoch, Token: token}
	if epoch.Final {
		return f.log.remove()
	}
	f.log.reset()
	return nil
}

// recover brings the sink to a committed epoch; redo is what the manifest says of its rows, nil when
// the sink decided the epoch itself or is new.
func (f *follower) recover(
	ctx context.Context, epoch connector.Epoch, token []byte, redo *redoObject,
	write func(chunk connector.Chunk) error,
) error {
	f.last = redoPoint{Epoch: epoch, Token: token}
	if redo != nil {
		decided, err := f.decider.Decided(ctx)
		if err != nil {
			return err
		}
		if decided < epoch.Number {
			return f.redo(ctx, decided, redo, write)
		}
	}
	if err := f.decider.Recover(ctx, epoch, token); err != nil {
		return err
	}
	return f.log.remove()
}

// redo writes and commits the rows of an epoch that its manifest has committed and the sink has not.
func (f *follower) redo(
	ctx context.Context, decided uint64, redo *redoObject, write func(chunk connector.Chunk) error,
) error {
	after := redo.After
	if decided != after.Epoch.Number {
		return &connector.Error{
			Op: "redo", Class: connector.Permanent,
			Err: fmt.Errorf("the sink has committed epoch %d, its rows in %s come after epoch %d",
				decided, redo.Name, after.Epoch.Number),
			Hint: "sink or state folder was restored from a backup; start with --fresh",
		}
	}
	if err := f.decider.Recover(ctx, after.Epoch, after.Token); err != nil {
		return err
	}
	if err := f.log.replay(redo.stateObject, write); err != nil {
		return err
	}
	return f.commit(ctx, f.last.Epoch, f.last.Token)
}
