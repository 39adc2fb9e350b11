package run

import (
	"testing"

	"github.com/tapeline/tapeline/internal/credit"
)

// A reader that is stopped, as nobody wants more rows, gives the memory of its last chunk back: other
// sources of the workflow go on.
func TestChunkThatNobodyTakesIsFreed(t *testing.T) {
	pool, freed := credit.New(100), 0
	held, err := acquire(t.Context(), pool, &growth{}, 60)
	if err != nil {
		t.Fatal(err)
	}
	it := &item{grant: held, release: held.release}
	it.chunk.Release = func() { freed++ }
	full := &task{attempt: &attempt{}, inbox: make(chan *item)}
	full.running.Do(func() {})
	r := &reader{task: full}
	r.prepare(t.Context())
	r.finished.Store(true)
	r.stop()
	if handed, err := r.hand(r.context, it); handed || err != nil {
		t.Errorf("handed over: %t, %v", handed, err)
	}
	if pool.Held() != 0 || freed != 1 {
		t.Errorf("%d bytes are held and the chunk was freed %d times", pool.Held(), freed)
	}
}

// A reader that is told to stop while it hands a chunk over reads nothing behind it, though the source has
// more at once: a checkpoint behind the second chunk would cover the first, which nobody got.
// invariant: nothing is handed over behind a chunk that was not
func TestNothingIsReadBehindADroppedChunk(t *testing.T) {
	a := &attempt{memory: credit.New(1000)}
	a.draining.Store(true)
	nobody := &task{attempt: a, inbox: make(chan *item)}
	nobody.running.Do(func() {})
	reads, read := 0, make(chan struct{})
	source := &counter{to: 3, step: 1, fail: func(int64) error {
		if reads++; reads == 1 {
			close(read)
		}
		return nil
	}}
	r := &reader{task: nobody, source: &openSource{Source: source}, meter: &meter{}}
	r.prepare(t.Context())
	go func() {
		<-read
		r.stop()
	}()
	if err := r.loop(t.Context()); err != nil || reads != 1 {
		t.Errorf("%d reads and %v, want the one that was dropped", reads, err)
	}
	if held := a.memory.Held(); held != 0 {
		t.Errorf("%d bytes are held", held)
	}
}
