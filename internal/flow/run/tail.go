package run

import "time"

// tail is the control of a batch size by the latency that one chunk in a hundred may exceed, of
// which a mean says nothing. A chunk over the target makes the size smaller by rate, at once.
// Chunks clearly below make it larger: quickly while nearly none was over, each by 1/200 of a
// reduction after some were. So in the long run at most one in 200 is over, whatever the reason.
// Where it is the size, it settles below the target; where it is a pause of the other system, chunks
// become so small, thus many, that those caught by a pause are few among them.
type tail struct {
	target time.Duration
	rate   float64 // adaptation rate: of a reduction

	opened time.Time     // the first chunk was written: those read before waited for that
	over   float64       // share of chunks over the target, of the last overChunks about
	raised time.Time     // last growth by room
	worst  time.Duration // since then
	cut    time.Time     // first reduction by chunks that were under way together
	floor  float64       // of the size after all of them
}

const (
	overChunks   = 400
	nearlyNone   = 1.0 / 400
	belowPerOver = 200  // chunks below the target that make good for one over it
	clearlyBelow = 0.7  // of the target: room for what is not proportional to the size
	mostRoom     = 4    // counts at once
	mostCut      = 0.25 // of the size is left after chunks that were under way together
)

// next returns the size after a chunk that was read and written then. Growing must be allowed.
func (t *tail) next(size float64, grows bool, read, now time.Time) float64 {
	if t.opened.IsZero() {
		t.opened, t.raised = now, now
	}
	if read.Before(t.opened) {
		return size
	}
	latency := now.Sub(read)
	t.worst = max(t.worst, latency)
	t.over -= t.over / overChunks
	if latency > t.target {
		t.over += 1.0 / overChunks
		if !read.Before(t.cut) {
			t.cut, t.floor = now, mostCut*size
		}
		t.raised, t.worst = now, 0
		return max(size*(1-t.rate), min(t.floor, size))
	}
	room := clearlyBelow * float64(t.target) / float64(max(t.worst, 1))
	switch {
	case !grows || room <= 1:
		if !read.Before(t.raised) {
			t.raised, t.worst = now, 0
		}
	case t.over > nearlyNone:
		size *= 1 + t.rate/belowPerOver
	case !read.Before(t.raised): // the present size has been seen
		size *= 1 + t.rate*(min(room, mostRoom)-1)
		t.raised, t.worst = now, 0
	}
	return size
}
