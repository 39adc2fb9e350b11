package run

import (
	"context"
	"sync"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/internal/credit"
	"github.com/tapeline/tapeline/internal/flow/plan"
)

const (
	defaultMemoryBytes = 256 << 20
	// collected is how much larger than what is alive the heap grows: to twice that before it is
	// collected, and on while a busy machine collects it. Rows get the part of the memory limit that
	// keeps the heap below the whole.
	collected = 3
	// batchShare is how many batches the memory for rows holds at least.
	batchShare = 8
)

// rowBytes returns how much of a workflow's memory limit (0: the default) rows may hold.
func rowBytes(limit int64) int64 {
	if limit <= 0 {
		limit = defaultMemoryBytes
	}
	return limit / collected
}

// batching returns the bounds of batches, small enough for several to be under way.
func batching(e plan.Execution) plan.Batching {
	b := e.Batching
	if b.MaxBytes <= 0 {
		b.MaxBytes = defaultBatchBytes
	}
	b.MaxBytes = int(min(int64(b.MaxBytes), max(rowBytes(e.MemoryBytes)/batchShare, leastBatchBytes)))
	return b
}

// growth is what becomes of a byte of a source, learned from its chunks: 1 and more.
type growth struct {
	mu    sync.Mutex
	ratio float64       // 0: nothing is known
	known chan struct{} // made with the first chunk, closed when something is known
}

// of returns the memory to ask for a chunk of size bytes. While nothing is known only the first
// chunk passes: many chunks of unknown growth could exceed any limit.
func (g *growth) of(ctx context.Context, size int64) (int64, error) {
	g.mu.Lock()
	ratio, known := g.ratio, g.known
	if known == nil {
		g.known = make(chan struct{})
	}
	g.mu.Unlock()
	if ratio == 0 && known != nil {
		select {
		case <-known:
			return g.of(ctx, size)
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
	return int64(float64(size) * max(ratio, 1)), nil
}

// learn rises at once, since too small a guess exceeds the limit, and falls slowly.
func (g *growth) learn(ratio float64, done bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ratio == 0 {
		close(g.known)
	}
	switch {
	case ratio > g.ratio:
		g.ratio = ratio
	case done:
		const step = 1.0 / 16
		g.ratio += (ratio - g.ratio) * step
	}
}

// grant is the memory one chunk of a source holds, with all that is made of it, until the last user
// of any of it is done.
type grant struct {
	pool   *credit.Pool
	growth *growth
	size   int64 // of the source's bytes

	mu   sync.Mutex
	held int64 // taken from the pool
	used int64 // of the chunk now
	most int64 // of the chunk at any time
}

// acquire waits for the memory of a chunk, with room for what is likely to be made of it.
func acquire(ctx context.Context, pool *credit.Pool, g *growth, size int64) (*grant, error) {
	held, err := g.of(ctx, size)
	if err != nil {
		return nil, err
	}
	if err := pool.Acquire(ctx, held); err != nil {
		return nil, err
	}
	return &grant{pool: pool, growth: g, size: size, held: held, used: size, most: size}, nil
}

// charge adds n bytes that were made. It never waits: they are there already.
func (g *grant) charge(n int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.used += n
	g.most = max(g.most, g.used)
	if more := g.used - g.held; more > 0 {
		g.pool.Charge(more)
		g.held = g.used
	}
	g.growth.learn(float64(g.most)/float64(g.size), false)
}

// uncharge takes back a charge; its room stays with the chunk.
func (g *grant) uncharge(n int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.used -= n
}

// release gives all of it back, once.
func (g *grant) release() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pool.Release(g.held)
	g.held = 0
	g.growth.learn(float64(g.most)/float64(g.size), true)
}

// madeBytes returns the size of the parts' columns that are not the input's.
func madeBytes(input *batch.Batch, parts []part) int64 {
	seen := map[*batch.Column]bool{}
	if input != nil {
		for _, c := range input.Columns() {
			seen[c] = true
		}
	}
	made := 0
	for _, p := range parts {
		if p.chunk.Batch == nil {
			continue
		}
		for _, c := range p.chunk.Batch.Columns() {
			if !seen[c] {
				seen[c] = true
				made += c.MemoryBytes()
			}
		}
	}
	return int64(made)
}
