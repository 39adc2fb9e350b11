package credit

import (
	"context"
	"fmt"

	"golang.org/x/time/rate"
)

// Rate grants credits at a steady pace. Safe for concurrent use.
type Rate struct {
	limiter *rate.Limiter
}

// NewRate returns a Rate of perSecond credits; up to burst unused ones are kept, at least 1.
func NewRate(perSecond float64, burst int) *Rate {
	return &Rate{limiter: rate.NewLimiter(rate.Limit(perSecond), max(burst, 1))}
}

// Wait returns when n credits have passed. n may exceed the burst: a batch of a thousand rows at a
// hundred rows a second takes ten seconds. The error is the cause of ctx; credits that passed
// before it stay spent.
func (r *Rate) Wait(ctx context.Context, n int) error {
	for n > 0 {
		part := min(n, r.limiter.Burst())
		if err := r.limiter.WaitN(ctx, part); err != nil {
			if cause := context.Cause(ctx); cause != nil {
				return cause
			}
			return fmt.Errorf("wait for %d credits: %w", n, err)
		}
		n -= part
	}
	return nil
}
