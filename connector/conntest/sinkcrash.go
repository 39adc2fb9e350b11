package conntest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/tapeline/tapeline/connector"
)

// step is how far an epoch came before the crash.
type step int

const (
	stepWritten   step = iota
	stepPrepared       // not synced
	stepSynced         // durable, the outcome still open
	stepDecided        // committed by the decider or the catalog, not published
	stepCommitted      // published
)

func (s step) String() string {
	return [...]string{"Write", "Prepare", "Sync", "the decision", "Commit"}[s]
}

// crashPoint is one story: what was committed before, and where the next epoch is cut.
type crashPoint struct {
	step  step
	prior bool // an epoch was committed before
	final bool // it was the last of the run
}

func crashPoints() []crashPoint {
	var points []crashPoint
	for s := stepWritten; s <= stepCommitted; s++ {
		for _, prior := range []bool{false, true} {
			for _, final := range []bool{false, true} {
				points = append(points, crashPoint{s, prior, final})
			}
		}
	}
	return points
}

func (p crashPoint) String() string {
	return fmt.Sprintf("crash after %s (epoch before: %t, final: %t)", p.step, p.prior, p.final)
}

// crashes: wherever a process dies, exactly the committed rows are there after Recover, and a run
// that goes on has each row once.
func (s *sinkCheck) crashes(t testing.TB) {
	for i, point := range crashPoints() {
		s.target = s.targets[i]
		s.crash(t, point)
		if t.Failed() {
			return
		}
	}
}

func (s *sinkCheck) crash(t testing.TB, point crashPoint) {
	t.Helper()
	const total = 60
	w := s.restore(t, connector.Epoch{}, nil)
	var last connector.Epoch
	var token []byte
	done := 0
	if point.prior {
		w.write(s.rows(0, 20, 0))
		last, done = firstEpoch(), 20
		token = w.commit(last)
	}
	w.write(s.rows(done, done+15, 0))
	w.write(s.rows(done+15, done+30, 0))
	epoch := connector.Epoch{Number: last.Number + 1, Final: point.final}
	if cut := w.advance(epoch, point.step); point.step >= stepDecided {
		last, token, done = epoch, cut, done+30
	}
	_ = w.sink.Close() // the process is gone

	for range 2 { // the second process dies at once
		w = s.open(t)
		if w.decider != nil {
			number, err := w.decider.Decided(t.Context())
			if err != nil || number != last.Number {
				t.Errorf("%s: Decided is %d (%v), want %d", point, number, err, last.Number)
			}
		}
		w.recover(last, token)
		s.atMost(t, point, done)
		if !last.Final {
			w.write(s.rows(done, done+5, 0))
		}
		_ = w.sink.Close()
	}
	w = s.restore(t, last, token)
	if last.Final {
		w.close()
		s.expect(t, point.String(), done)
		return
	}
	w.write(s.rows(done, total, 0))
	w.commit(connector.Epoch{Number: last.Number + 1, Final: true})
	w.close()
	s.expect(t, point.String(), total)
}

// advance takes an epoch up to the step and returns its token.
func (w *writer) advance(epoch connector.Epoch, until step) (token []byte) {
	w.t.Helper()
	if until < stepPrepared {
		return nil
	}
	prepared, err := w.tx.Prepare(w.t.Context(), epoch)
	if err == nil && until >= stepSynced && prepared.Sync != nil {
		err = prepared.Sync(w.t.Context())
	}
	if err != nil {
		w.t.Fatalf("prepare epoch %d: %v", epoch.Number, err)
	}
	token = slices.Clone(prepared.Token)
	if until >= stepDecided {
		w.decide(epoch)
	}
	if until >= stepCommitted {
		w.publish(epoch, token)
	}
	return token
}

// atMost checks that no row of an epoch that is not committed is visible.
func (s *sinkCheck) atMost(t testing.TB, point crashPoint, done int) {
	t.Helper()
	if !s.Connector.Sink.Capabilities.Staged {
		return
	}
	if got := len(s.target.ReadBack(t)); got > done {
		t.Errorf("%s: %d rows are visible after Recover, %d are committed", point, got, done)
	}
}

// invisible: rows of a staged sink appear with the commit, not before.
func (s *sinkCheck) invisible(t testing.TB) {
	w := s.restore(t, connector.Epoch{}, nil)
	w.write(s.rows(0, 20, 0))
	s.expect(t, "before Prepare", 0)
	token := w.prepare(onlyEpoch())
	s.expect(t, "after Prepare", 0)
	w.decide(onlyEpoch())
	w.publish(onlyEpoch(), token)
	s.expect(t, "after Commit", 20)
	w.close()
}

// repeatedCommit: Commit and Recover of a published epoch change nothing.
func (s *sinkCheck) repeatedCommit(t testing.TB) {
	w := s.restore(t, connector.Epoch{}, nil)
	w.write(s.rows(0, 20, 0))
	token := w.commit(firstEpoch())
	w.publish(firstEpoch(), token)
	w.write(s.rows(20, 40, 0))
	token = w.commit(lastEpoch())
	w.publish(lastEpoch(), token)
	w.close()
	s.expect(t, "after repeated Commit", 40)
	for range 2 {
		w := s.restore(t, lastEpoch(), token)
		w.publish(lastEpoch(), token)
		w.close()
	}
	s.expect(t, "after repeated Recover", 40)
}

// tokens are small and do not change after Prepare.
func (s *sinkCheck) tokens(t testing.TB) {
	w := s.restore(t, connector.Epoch{}, nil)
	var kept, copies [][]byte
	for n := range 3 {
		w.write(s.rows(10*n, 10*n+10, 0))
		epoch := connector.Epoch{Number: uint64(n + 1), Final: n == 2}
		prepared, err := w.tx.Prepare(t.Context(), epoch)
		if err == nil && prepared.Sync != nil {
			err = prepared.Sync(t.Context())
		}
		if err != nil {
			t.Fatalf("prepare: %v", err)
		}
		if len(prepared.Token) > 64<<10 {
			t.Errorf("token of epoch %d has %d bytes, at most 64 KiB fit a manifest",
				epoch.Number, len(prepared.Token))
		}
		kept, copies = append(kept, prepared.Token), append(copies, slices.Clone(prepared.Token))
		w.decide(epoch)
		w.publish(epoch, copies[n])
	}
	for i := range kept {
		if !slices.Equal(kept[i], copies[i]) {
			t.Errorf("token of epoch %d changed later", i+1)
		}
	}
	w.close()
}

// decide: the epoch is stored with its rows, and an epoch is decided once.
func (s *sinkCheck) decide(t testing.TB) {
	w := s.restore(t, connector.Epoch{}, nil)
	number := func(want uint64) {
		t.Helper()
		if got, err := w.decider.Decided(t.Context()); err != nil || got != want {
			t.Errorf("Decided is %d (%v), want %d", got, err, want)
		}
	}
	number(0)
	w.write(s.rows(0, 20, 0))
	token := w.commit(firstEpoch())
	number(1)
	w.write(s.rows(20, 40, 0))
	w.prepare(firstEpoch())
	if err := w.decider.Decide(t.Context(), firstEpoch()); err == nil {
		t.Error("Decide of an epoch that is decided already is accepted with new rows")
	}
	_ = w.sink.Close()
	w = s.restore(t, firstEpoch(), token)
	number(1)
	s.expect(t, "after a refused Decide", 20)
	w.write(s.rows(20, 30, 0))
	w.commit(lastEpoch())
	number(2)
	w.close()
	s.expect(t, "after the next Decide", 30)
}

// zombie: a process that lost its lease cannot commit any more.
func (s *sinkCheck) zombie(t testing.TB) {
	old := s.restore(t, connector.Epoch{}, nil)
	w := s.restore(t, connector.Epoch{}, nil)
	err := old.try(s.rows(100, 110, 0))
	if err == nil {
		_, err = old.tx.Prepare(t.Context(), firstEpoch())
	}
	if err == nil {
		err = old.decider.Decide(t.Context(), firstEpoch())
	}
	if err == nil {
		t.Error("a sink fenced by a later one decides an epoch")
	}
	_ = old.sink.Close()
	w.write(s.rows(0, 20, 0))
	w.commit(onlyEpoch())
	w.close()
	s.expect(t, "rows of the newer process", 20)
}
