package filesink

import "sync"

// Slack is how many bytes past its length every block's capacity has at least, so that a parser
// may look a word ahead.
const Slack = 64

// pool keeps released buffers for the next blocks.
type pool struct {
	mu   sync.Mutex
	free [][]byte
}

// maxFree bounds how many buffers wait; more were in flight at once only for a moment.
const maxFree = 16

// get returns a buffer of at least n bytes whose capacity is Slack larger.
func (p *pool) get(n int) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := len(p.free) - 1; i >= 0; i-- {
		b := p.free[i]
		if cap(b) >= n+Slack && cap(b) <= 4*(n+Slack) {
			p.free[i] = p.free[len(p.free)-1]
			p.free = p.free[:len(p.free)-1]
			return b[:cap(b)-Slack]
		}
	}
	return make([]byte, n, n+Slack)
}

func (p *pool) put(b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.free) == maxFree {
		// The oldest size is the least likely to be asked for again.
		copy(p.free, p.free[1:])
		p.free = p.free[:maxFree-1]
	}
	p.free = append(p.free, b)
}
