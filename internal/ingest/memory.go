package ingest

import (
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/obs"
)

// governor keeps a sync within its memory limit: above it, it gives up what the caches hold, then makes
// batches smaller, then lets fewer workers decode at once, one step after the other; well below it, it
// takes the steps back. It is asked from where rows pass, so that no goroutine has to. Safe for concurrent
// use.
type governor struct {
	limit  int64 // bytes
	read   func() (obs.Usage, error)
	log    *slog.Logger
	caches *Cache
	rows   *writing
	gate   *gate
	most   int // workers

	mu    sync.Mutex
	step  int
	asked time.Time
	stats MemoryStatistics
}

// governor makes that of a sync.
func (s *Sync) governor(rows *writing) *governor {
	read := s.Usage
	if read == nil {
		read = obs.ReadUsage
	}
	most := s.Config.Sync.Workers()
	return &governor{
		limit: int64(s.Config.Sync.MemoryLimitGB * 1e9), read: read, log: s.logger(), caches: s.Cache, rows: rows,
		gate: newGate(most), most: most,
	}
}

// MemoryStatistics is what the memory limit did in a sync.
type MemoryStatistics struct {
	LimitBytes int64 `json:"limit_bytes"`
	Steps      int   `json:"steps"`    // taken, because more was in use
	Restored   int   `json:"restored"` // taken back
	Last       int   `json:"last"`     // step in force at the end; 0: none
}

// The steps, in this order.
const (
	stepNone = iota
	stepCaches
	stepBatches
	stepWorkers // half of them
	stepAlone   // one worker
)

// restoreBelow is the share of the limit below which a step is taken back.
const restoreBelow = 0.8

// check takes a step where memory asks for one. A reading that fails, by a panic too, changes nothing.
func (g *governor) check() {
	if !g.due() {
		return
	}
	defer func() {
		if cause := recover(); cause != nil {
			g.log.Warn("the memory in use could not be read", "error", cause)
		}
	}()
	u, err := g.read()
	if err != nil {
		g.log.Warn("the memory in use could not be read", "error", err)
		return
	}
	g.adjust(u.MemoryBytes)
}

func (g *governor) due() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if time.Since(g.asked) < sampleEvery {
		return false
	}
	g.asked = time.Now()
	return true
}

func (g *governor) adjust(used int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	before := g.step
	switch {
	case used > g.limit && g.step < stepAlone:
		g.step++
		g.stats.Steps++
	case float64(used) < restoreBelow*float64(g.limit) && g.step > stepNone:
		g.step--
		g.stats.Restored++
	default:
		return
	}
	g.stats.Last = g.step
	g.log.Info("the memory limit changes what the sync takes", "used_bytes", used, "limit_bytes", g.limit,
		"step", g.step, "before", before)
	share, size, workers := 1.0, g.rows.settings.BatchSize, g.most
	const smallerBatch = 4
	if g.step >= stepCaches {
		share = 0
	}
	if g.step >= stepBatches {
		size /= smallerBatch
	}
	if g.step >= stepWorkers {
		workers /= 2
	}
	if g.step >= stepAlone {
		workers = 1
	}
	g.caches.squeeze(share)
	g.rows.resize(size)
	g.gate.open(workers)
	if g.step > before {
		debug.FreeOSMemory()
	}
}

func (g *governor) statistics() MemoryStatistics {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.stats
	s.LimitBytes = g.limit
	return s
}

// gate lets so many workers compute at once. Safe for concurrent use.
type gate struct {
	mu   sync.Mutex
	free *sync.Cond
	most int
	busy int
}

func newGate(most int) *gate {
	g := &gate{most: max(1, most)}
	g.free = sync.NewCond(&g.mu)
	return g
}

// open sets how many may compute; never less than one.
func (g *gate) open(most int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.most = max(1, most)
	g.free.Broadcast()
}

func (g *gate) enter() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.busy >= g.most {
		g.free.Wait()
	}
	g.busy++
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.busy--
	g.free.Signal()
}

// gatedDecoder is a source's decoder behind the gate. Decoding waits for nobody, so that each who enters
// leaves.
type gatedDecoder struct {
	connector.Decoder

	gate *gate
}

// NewDecode returns a function that decodes when the gate lets it.
func (d gatedDecoder) NewDecode() connector.DecodeFunc {
	decode := d.Decoder.NewDecode()
	return func(chunk connector.Chunk) (connector.Chunk, error) {
		d.gate.enter()
		defer d.gate.leave()
		return decode(chunk)
	}
}
