package run

import (
	"context"
	"time"

	"github.com/tapeline/tapeline/internal/credit"
)

// turns bounds the chunks of a source that are under way where latency counts: what waits in front of
// a busy sink is late without making anything faster. A nil one has no bound.
type turns struct {
	pool  *credit.Pool
	least int
	most  int

	// The sequencer's:
	now   int
	spare int       // chunks in a row that were ready before they could be of use
	began time.Time // the chunk before was taken
}

// surplus is how many chunks in a row have to be ready too early before one less is under way.
const surplus = 16

// newTurns returns turns for so many readers and for chunks that can be worked on at once.
func newTurns(readers, hands int) *turns {
	most := readers + hands
	return &turns{pool: credit.New(int64(most)), least: readers + 1, most: most, now: most}
}

// acquire waits until a chunk more may be under way.
func (t *turns) acquire(ctx context.Context) error {
	if t == nil {
		return nil
	}
	return t.pool.Acquire(ctx, 1)
}

func (t *turns) release() {
	if t != nil {
		t.pool.Release(1)
	}
}

// take learns from a chunk that a sink takes now and that is ready since then, zero: not yet. A sink
// that has to wait for it can use more of them. One that found the chunk before it lying there, with
// this one too, has one too many.
func (t *turns) take(now, ready time.Time) {
	switch {
	case ready.IsZero():
		t.spare = 0
		t.resize(t.now + 1)
	case ready.After(t.began):
		t.spare = 0
	default:
		if t.spare++; t.spare >= surplus {
			t.spare = 0
			t.resize(t.now - 1)
		}
	}
	t.began = now
}

func (t *turns) resize(n int) {
	if n = min(max(n, t.least), t.most); n != t.now {
		t.now = n
		t.pool.Resize(int64(n))
	}
}
