package run

import "time"

// tail is the control of a batch size by the latency that one chunk in a hundred may exceed, of
// which a mean says nothing. A chunk over the target makes the size smaller by rate, at once.
// Chunks below make it larger: in proportion to the room while that is plenty and nearly none was
// over, else each by 1/200 of a reduction. So in the long run one in 200 at most is over, whatever
// the reason. Where it is the size, that settles below the target. Where it is a pause of the other
// system, chunks become so small, thus many, that those caught by a pause are few among them; and
// until many were seen that says little, so that larger ones come slowly.
type tail struct {
	target time.Duration
	rate   float64 // adaptation rate: of a reduction

	opened time.Time     // the first chunk was written: those read before waited for that
	over   float64       // share of chunks over the target, of the last overChunks about
	raised time.Time     // since then chunks have the present size, about
	worst  time.Duration // latency since then
	cut    time.Time     // first reduction by chunks that were under way together
	floor  float64       // of the size after all of them
}

const (
	overChunks   = 400
	nearlyNone   = 1.0 / 400
	belowPerOver = 200  // chunks below the target that make good for one over it
	wellBelow    = 0.35 // of the target: up to there growth is quick
	clearlyBelow = 0.7  // likewise: beyond there is none
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
	room := wellBelow * float64(t.target) / float64(max(t.worst, 1))
	seen := !read.Before(t.raised) // what the present size leads to
	switch {
	case !grows:
	case room > 1 && t.over <= nearlyNone:
		if seen {
			size *= 1 + t.rate*(min(room, mostRoom)-1)
		}
	case float64(latency) <= clearlyBelow*float64(t.target):
		size *= 1 + t.rate/belowPerOver
	}
	if seen {
		t.raised, t.worst = now, 0
	}
	return size
}
