package credit

import (
	"container/list"
	"context"
	"sync"
	"time"
)

// Pool is a weighted semaphore whose capacity may change. Safe for concurrent use.
type Pool struct {
	mu       sync.Mutex
	capacity int64
	held     int64
	most     int64     // ever held
	waiters  list.List // of *waiter, longest waiting first
	waited   time.Duration
}

// waiter is one blocked Acquire; ready is closed under the pool's mutex when it is granted.
type waiter struct {
	n     int64
	since time.Time
	ready chan struct{}
}

// New returns a pool of capacity credits, at least 1.
func New(capacity int64) *Pool {
	return &Pool{capacity: max(capacity, 1)}
}

// Acquire takes n >= 0 credits, waiting until they are free and all earlier requests are served.
// A request above the capacity is granted when nothing else is held. The error is the cause of
// ctx; a request that needs no wait succeeds whatever ctx says.
func (p *Pool) Acquire(ctx context.Context, n int64) error {
	if n < 0 {
		panic("credit: negative request")
	}
	p.mu.Lock()
	if p.waiters.Len() == 0 && p.fits(n) {
		p.take(n)
		p.mu.Unlock()
		return nil
	}
	w := &waiter{n: n, since: time.Now(), ready: make(chan struct{})}
	place := p.waiters.PushBack(w)
	p.mu.Unlock()

	select {
	case <-w.ready:
		return nil
	case <-ctx.Done():
		p.abandon(place)
		return context.Cause(ctx)
	}
}

// abandon withdraws a request, or gives back what it got while its context ended.
func (p *Pool) abandon(place *list.Element) {
	w := place.Value.(*waiter)
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-w.ready:
		p.held -= w.n
	default:
		p.waiters.Remove(place)
		p.waited += time.Since(w.since)
	}
	p.wake() // what was behind it may fit now
}

// TryAcquire takes n >= 0 credits if that needs no wait.
func (p *Pool) TryAcquire(n int64) bool {
	if n < 0 {
		panic("credit: negative request")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiters.Len() > 0 || !p.fits(n) {
		return false
	}
	p.take(n)
	return true
}

// Charge takes n >= 0 credits at once, whatever is free: for what is there already. Held may exceed
// the capacity, so that later requests wait the longer.
func (p *Pool) Charge(n int64) {
	if n < 0 {
		panic("credit: negative charge")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.take(n)
}

// Release gives n credits back. Giving back more than is held is a bug and panics.
func (p *Pool) Release(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n < 0 || n > p.held {
		panic("credit: released more than held")
	}
	p.held -= n
	p.wake()
}

// Resize sets the capacity, at least 1. Grants stay: held may exceed a smaller capacity for as
// long as its holders keep it.
func (p *Pool) Resize(capacity int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.capacity = max(capacity, 1)
	p.wake()
}

// Capacity returns the credits that exist.
func (p *Pool) Capacity() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.capacity
}

// Held returns the credits granted and not released.
func (p *Pool) Held() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.held
}

// Most returns the most credits that were ever held at once.
func (p *Pool) Most() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.most
}

// Waited returns the time that requests have spent waiting, summed over all of them, those that
// still wait included.
func (p *Pool) Waited() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	total := p.waited
	for place := p.waiters.Front(); place != nil; place = place.Next() {
		total += time.Since(place.Value.(*waiter).since)
	}
	return total
}

// take grants n credits. Needs mu.
func (p *Pool) take(n int64) {
	p.held += n
	p.most = max(p.most, p.held)
}

// fits reports whether n credits are free, or n is to be granted alone. Needs mu.
func (p *Pool) fits(n int64) bool {
	return n <= p.capacity-p.held || p.held == 0
}

// wake grants waiting requests in order, up to the first that does not fit. Needs mu.
func (p *Pool) wake() {
	for place := p.waiters.Front(); place != nil; place = p.waiters.Front() {
		w := place.Value.(*waiter)
		if !p.fits(w.n) {
			return
		}
		p.take(w.n)
		p.waited += time.Since(w.since)
		p.waiters.Remove(place)
		close(w.ready)
	}
}
