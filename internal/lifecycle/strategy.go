package lifecycle

import (
	"math"
	"time"

	"github.com/tapeline/tapeline/internal/fault"
)

// Kind names a restart strategy.
type Kind string

// The restart strategies.
const (
	None        Kind = "none"         // fail at once
	FixedDelay  Kind = "fixed-delay"  // Attempts restarts, Delay before each
	Exponential Kind = "exponential"  // Attempts restarts, with growing delays
	FailureRate Kind = "failure-rate" // as long as failures are rare
)

// Strategy says whether and when what failed is started again. It is a plain value.
type Strategy struct {
	Kind       Kind          // default none
	Attempts   int           // restarts before giving up; below 0 no limit (fixed-delay, exponential)
	Delay      time.Duration // before a restart; the first of exponential; >= 0
	MaxDelay   time.Duration // longest of exponential; default 1 m
	Multiplier float64       // growth of exponential; default 2, >= 1
	Jitter     float64       // share of a delay that is random, 0 (default) to 1 (exponential)
	// ResetAfter is how long exponential has to run to forget its failures; default 10 m, below 0
	// never.
	ResetAfter  time.Duration
	MaxFailures int           // within Interval (failure-rate); >= 0
	Interval    time.Duration // of failure-rate
}

// Restarts is a strategy at work on one thing. Not safe for concurrent use.
type Restarts struct {
	strategy Strategy
	random   func() float64
	count    int         // restarts since the start or the last reset
	begun    time.Time   // when the last restart was due
	failures []time.Time // within the interval, oldest first
}

// Start returns a strategy without failures yet. random returns numbers in [0, 1); nil takes the
// middle.
func (s Strategy) Start(random func() float64) *Restarts {
	if s.MaxDelay <= 0 {
		s.MaxDelay = time.Minute
	}
	if s.Multiplier == 0 {
		s.Multiplier = 2
	}
	s.Multiplier = max(s.Multiplier, 1)
	if s.ResetAfter == 0 {
		s.ResetAfter = 10 * time.Minute
	}
	if random == nil {
		random = func() float64 { return 0.5 }
	}
	return &Restarts{strategy: s, random: random}
}

// Next takes note of a failure at now and returns how long to wait before the restart, or false
// to give up. What no repetition can heal (classes Permanent, Auth, Schema, Data) is not restarted.
func (r *Restarts) Next(now time.Time, err error) (time.Duration, bool) {
	switch fault.ClassOf(err) {
	case fault.Permanent, fault.Auth, fault.Schema, fault.Data:
		return 0, false
	}
	var delay time.Duration
	again := false
	switch r.strategy.Kind {
	case FixedDelay:
		delay, again = r.strategy.Delay, r.attempt()
	case Exponential:
		s := r.strategy
		if s.ResetAfter > 0 && !r.begun.IsZero() && now.Sub(r.begun) >= s.ResetAfter {
			r.count = 0
		}
		delay, again = r.growing(), r.attempt()
	case FailureRate:
		delay, again = r.strategy.Delay, r.rare(now)
	}
	if !again {
		return 0, false
	}
	delay = max(delay, fault.AfterOf(err))
	r.begun = now.Add(delay)
	return delay, true
}

// attempt counts a restart, unless there were enough.
func (r *Restarts) attempt() bool {
	if r.strategy.Attempts >= 0 && r.count >= r.strategy.Attempts {
		return false
	}
	r.count++
	return true
}

// growing returns the delay of the next restart of exponential.
func (r *Restarts) growing() time.Duration {
	s := r.strategy
	delay := min(float64(s.Delay)*math.Pow(s.Multiplier, float64(r.count)), float64(s.MaxDelay))
	spread := delay * min(max(s.Jitter, 0), 1)
	return time.Duration(delay - spread + spread*r.random())
}

// rare reports whether the failures within the interval, this one included, are few enough.
func (r *Restarts) rare(now time.Time) bool {
	kept := r.failures[:0]
	for _, at := range r.failures {
		if now.Sub(at) < r.strategy.Interval {
			kept = append(kept, at)
		}
	}
	r.failures = append(kept, now)
	return len(r.failures) <= r.strategy.MaxFailures
}
