package retry

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/tapeline/tapeline/internal/fault"
)

// Jitter says how the wait before a repetition is spread.
type Jitter string

// The jitters.
const (
	Full Jitter = "full" // anywhere between 0 and the step, so that many callers do not collide
	None Jitter = "none" // exactly the step
)

// Policy says how a failing operation is repeated. The zero value is the default policy; a Policy
// may be copied and used by many goroutines.
type Policy struct {
	Initial     time.Duration `yaml:"initial"`      // first step; default 100 ms, > 0
	Max         time.Duration `yaml:"max"`          // longest step; default 30 s, >= Initial
	Multiplier  float64       `yaml:"multiplier"`   // from step to step; default 2, >= 1
	Jitter      Jitter        `yaml:"jitter"`       // full (default) or none
	MaxAttempts int           `yaml:"max_attempts"` // calls, the first included; default 10, -1 no limit
	MaxElapsed  time.Duration `yaml:"max_elapsed"`  // no wait ends later than this; 0 (default) no limit

	Breaker *Breaker       `yaml:"-"` // shared by the calls to one server; nil for none
	OnRetry func(Attempt)  `yaml:"-"` // called before each wait; nil for none
	Random  func() float64 `yaml:"-"` // in [0, 1), for Full; default math/rand/v2
}

// Attempt is a failed call that will be repeated.
type Attempt struct {
	Number int // of the failed call, from 1
	Err    error
	Wait   time.Duration // before the next call
}

// Do calls operate until it succeeds, fails for good, or the policy or ctx ends. A failure that
// may not be repeated is returned as it is; otherwise the result wraps the last failure and, when
// ctx ended, its cause. The caller names operation and object.
func (p Policy) Do(ctx context.Context, operate func(context.Context) error) error {
	p = p.withDefaults()
	s := &steps{policy: &p}
	s.exponential = backoff.ExponentialBackOff{
		InitialInterval: p.Initial, MaxInterval: p.Max, Multiplier: p.Multiplier,
	}
	call := func() (struct{}, error) {
		s.attempts++
		s.last = p.Breaker.run(ctx, operate)
		if s.last != nil && !retryable(s.last) {
			return struct{}{}, backoff.Permanent(s.last)
		}
		return struct{}{}, s.last
	}
	_, err := backoff.Retry(ctx, call,
		backoff.WithBackOff(s),
		backoff.WithMaxTries(uint(max(p.MaxAttempts, 0))),
		backoff.WithMaxElapsedTime(p.MaxElapsed),
		backoff.WithNotify(func(err error, wait time.Duration) {
			if p.OnRetry != nil {
				p.OnRetry(Attempt{Number: s.attempts, Err: err, Wait: wait})
			}
		}))
	switch {
	case err == nil:
		return nil
	case !retryable(s.last):
		return s.last
	case ctx.Err() != nil:
		return fmt.Errorf("stopped after attempt %d: %w: %w", s.attempts, context.Cause(ctx), s.last)
	case s.attempts == 1:
		return s.last
	}
	return fmt.Errorf("gave up after %d attempts: %w", s.attempts, s.last)
}

// withDefaults fills the zero fields.
func (p Policy) withDefaults() Policy {
	if p.Initial <= 0 {
		p.Initial = 100 * time.Millisecond
	}
	if p.Max <= 0 {
		p.Max = 30 * time.Second
	}
	p.Max = max(p.Max, p.Initial)
	if p.Multiplier < 1 {
		p.Multiplier = 2
	}
	if p.MaxAttempts == 0 {
		p.MaxAttempts = 10
	}
	if p.Random == nil {
		p.Random = rand.Float64
	}
	return p
}

// retryable reports whether repeating the call that returned err may help.
func retryable(err error) bool {
	return fault.ClassOf(err).Retryable() && !errors.Is(err, fault.ErrEpochLost)
}

// steps is the back-off of one Do: the library's steps, spread, and never before After.
type steps struct {
	policy      *Policy
	exponential backoff.ExponentialBackOff
	attempts    int
	last        error
}

var _ backoff.BackOff = (*steps)(nil)

// NextBackOff returns the wait before the next call.
func (s *steps) NextBackOff() time.Duration {
	wait := s.exponential.NextBackOff()
	if s.policy.Jitter != None {
		wait = time.Duration(s.policy.Random() * float64(wait))
	}
	return max(wait, fault.AfterOf(s.last))
}

// Reset starts from the first step.
func (s *steps) Reset() { s.exponential.Reset() }
