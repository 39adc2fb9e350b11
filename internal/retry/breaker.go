package retry

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"
	"github.com/tapeline/tapeline/internal/fault"
)

// ErrOpen is wrapped by the Throttled error of a call that a breaker did not let through.
var ErrOpen = errors.New("circuit breaker is open")

// Breaker stops calls to a server that keeps failing, and lets one call probe it after a pause.
// Only retryable failures count: an answer of class Data or Auth proves that the server is there.
// Safe for concurrent use; a nil Breaker lets everything through.
type Breaker struct {
	circuit *gobreaker.CircuitBreaker[struct{}]
	pause   time.Duration
	opened  atomic.Pointer[time.Time]
}

// NewBreaker returns a closed breaker that opens for pause (> 0) after failures (>= 1) retryable
// failures in a row.
func NewBreaker(name string, failures int, pause time.Duration) *Breaker {
	b := &Breaker{pause: pause}
	b.circuit = gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{
		Name:    name,
		Timeout: pause,
		ReadyToTrip: func(counts gobreaker.Counts) bool {
			return int(counts.ConsecutiveFailures) >= max(failures, 1)
		},
		IsSuccessful: func(err error) bool { return !fault.ClassOf(err).Retryable() },
		IsExcluded:   func(err error) bool { return errors.Is(err, context.Canceled) },
		OnStateChange: func(_ string, _, to gobreaker.State) {
			if to == gobreaker.StateOpen {
				now := time.Now()
				b.opened.Store(&now)
			}
		},
	})
	return b
}

// run calls operate, or returns a Throttled error that says when the breaker will let a call pass.
func (b *Breaker) run(ctx context.Context, operate func(context.Context) error) error {
	if b == nil {
		return operate(ctx)
	}
	_, err := b.circuit.Execute(func() (struct{}, error) { return struct{}{}, operate(ctx) })
	if !errors.Is(err, gobreaker.ErrOpenState) && !errors.Is(err, gobreaker.ErrTooManyRequests) {
		return err
	}
	var after time.Duration
	if opened := b.opened.Load(); opened != nil {
		after = max(b.pause-time.Since(*opened), 0)
	}
	return fault.Throttle(after, fmt.Sprintf("call %s", b.circuit.Name()), ErrOpen)
}
