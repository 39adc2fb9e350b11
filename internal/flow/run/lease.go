package run

import "sync/atomic"

// lease counts the users of one chunk's memory; the last one to drop it frees memory and credits.
type lease struct {
	users atomic.Int32
	grant *grant
	free  []func()
}

// newLease returns a lease with one user.
func newLease(g *grant, free ...func()) *lease {
	l := &lease{grant: g, free: free}
	l.users.Store(1)
	return l
}

// share adds n users.
func (l *lease) share(n int) { l.users.Add(int32(n)) }

// drop ends one use. invariant: memory is freed once, after the last user.
func (l *lease) drop() {
	if l == nil {
		return
	}
	left := l.users.Add(-1)
	if left < 0 {
		panic("run: lease dropped more often than shared")
	}
	if left == 0 {
		for _, free := range l.free {
			if free != nil {
				free()
			}
		}
	}
}
