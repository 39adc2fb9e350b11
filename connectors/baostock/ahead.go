package baostock

import (
	"context"
	"sync/atomic"
)

// ahead asks the calls of a source in their order, each as soon as the answer before it was received: the
// service works while answers are read and written. Some answers wait to be taken, and one more is asked
// for meanwhile: few while nothing is known of the service, whose answers may turn out to be no use, and
// then so many that it has something to do while the rows of others are committed. Where an answer decides
// what is asked next, it waits until that one is settled.
type ahead struct {
	answers chan asked
	room    chan struct{} // one for each answer more that may wait
	taken   int           // answers, by the reader
	settled chan bool     // false: the rest of the group is given up
	stop    context.CancelFunc
	ended   chan struct{}
	cut     atomic.Bool // the service cuts its pages: whether one follows, only the page tells
}

// Answers that may wait: one at first, and with each answersTaken one more.
const (
	answersWaiting = 64
	answersTaken   = 8
)

// asked is what came of a call's first page.
type asked struct {
	page    *page // received, not read; nil: err
	err     error
	decides bool // the next call waits until this answer is settled
}

// short reports whether an answer to the call fits into one page by far. Such a call is the only one of its
// group.
func (c *call) short() bool {
	daily := c.query == KData && c.barMicros == 0 || c.query == AdjustFactors
	return daily && int(c.span.To-c.span.From) < pageRows/2
}

// look begins to ask, from the call at hand on.
func (s *source) look() {
	ctx, cancel := context.WithCancel(s.closing)
	a := &ahead{
		answers: make(chan asked, answersWaiting), room: make(chan struct{}, answersWaiting),
		settled: make(chan bool, 1), stop: cancel, ended: make(chan struct{}),
	}
	a.room <- struct{}{}
	s.ahead = a
	group, first := s.group, s.current.call
	s.env.Go("baostock requests", func(attempt context.Context) error {
		defer close(a.ended)
		defer cancel()
		defer context.AfterFunc(attempt, cancel)()
		for ; group < len(s.works) && a.group(ctx, s, group, first); group++ {
			first = 0
		}
		return nil
	})
}

// group asks the calls of one group of units; false: it is no use to go on.
func (a *ahead) group(ctx context.Context, s *source, group, first int) bool {
	planned, err := calls(s.works[group])
	if err != nil {
		return false // Read finds it too
	}
	for i := first; i < len(planned); i++ {
		c := &planned[i]
		var one asked
		one.page, one.err = s.session.receive(ctx, c.query, c.args, 1)
		select {
		case <-a.room:
			// Who made room has read an answer: what it said of the service is known by now.
			one.decides = !c.short() || a.cut.Load()
			a.answers <- one
		case <-ctx.Done():
			one.drop()
			return false
		}
		if one.err != nil {
			return s.refuses(one.err)
		}
		if !one.decides {
			continue
		}
		select {
		case more := <-a.settled:
			if !more {
				return true
			}
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// took makes room for as many answers as may wait now that one was read.
func (a *ahead) took() {
	if a == nil {
		return
	}
	a.room <- struct{}{}
	if a.taken++; a.taken%answersTaken == 0 && a.taken/answersTaken < answersWaiting {
		a.room <- struct{}{}
	}
}

func (one *asked) drop() {
	if one.page != nil {
		one.page.release()
	}
}

// first returns the answer to the call at hand, received ahead.
func (s *source) first(ctx context.Context) (*page, error) {
	if s.ahead == nil {
		s.look()
	}
	for {
		select {
		case one := <-s.ahead.answers:
			if one.err != nil && !s.refuses(one.err) {
				s.unlook()
			}
			s.deciding = one.decides && one.err == nil
			return one.page, one.err
		case <-s.ahead.ended:
			if len(s.ahead.answers) == 0 {
				return nil, context.Canceled
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// settle lets the next call of the group be made, or that of the next group, where it waits for the answer
// at hand.
func (s *source) settle(more bool) {
	if s.deciding {
		s.deciding = false
		s.ahead.settled <- more
	}
}

// unlook ends asking ahead, and drops what was asked.
func (s *source) unlook() {
	if s.ahead == nil {
		return
	}
	s.ahead.stop()
	<-s.ahead.ended
	for waiting := true; waiting; {
		select {
		case one := <-s.ahead.answers:
			one.drop()
		default:
			waiting = false
		}
	}
	s.ahead, s.deciding = nil, false
}
