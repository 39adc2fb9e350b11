package obs

import (
	"slices"
	"sync"
	"time"
)

// Phase is how long one part of a piece of work took, all its occurrences added up.
type Phase struct {
	Name string        `json:"name"`
	Took time.Duration `json:"took_nanos"`
}

// Phases divides the time of one piece of work, such as a run or its checkpoints, into named
// parts. The zero value is ready. Safe for concurrent use.
type Phases struct {
	mu     sync.Mutex
	phases []Phase // in the order they first began
	now    int     // index of the current phase plus 1; 0 for none
	since  time.Time
}

// Enter ends the current phase and begins or continues the named one; "" begins none.
func (p *Phases) Enter(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if p.now > 0 {
		p.phases[p.now-1].Took += now.Sub(p.since)
	}
	p.since, p.now = now, 0
	if name == "" {
		return
	}
	i := slices.IndexFunc(p.phases, func(phase Phase) bool { return phase.Name == name })
	if i < 0 {
		i = len(p.phases)
		p.phases = append(p.phases, Phase{Name: name})
	}
	p.now = i + 1
}

// Snapshot returns the phases in the order they first began, the current one up to now.
func (p *Phases) Snapshot() []Phase {
	p.mu.Lock()
	defer p.mu.Unlock()
	phases := slices.Clone(p.phases)
	if p.now > 0 {
		phases[p.now-1].Took += time.Since(p.since)
	}
	return phases
}
