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
	if err := r.hand(r.context, it); err != nil {
		t.Error(err)
	}
	if pool.Held() != 0 || freed != 1 {
		t.Errorf("%d bytes are held and the chunk was freed %d times", pool.Held(), freed)
	}
}
