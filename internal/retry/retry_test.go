package retry_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tapeline/tapeline/internal/fault"
	"github.com/tapeline/tapeline/internal/retry"
)

var errDown = fault.New(fault.Transient, "dial", io.ErrUnexpectedEOF)

// failing returns an operation that fails with errs in turn, then succeeds, and its call count.
func failing(errs ...error) (func(context.Context) error, *int) {
	calls := new(int)
	return func(context.Context) error {
		*calls++
		if *calls <= len(errs) {
			return errs[*calls-1]
		}
		return nil
	}, calls
}

func TestStepsWithoutJitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var waits []time.Duration
		p := retry.Policy{
			Initial: time.Second, Max: 5 * time.Second, Jitter: retry.None,
			OnRetry: func(a retry.Attempt) { waits = append(waits, a.Wait) },
		}
		operate, calls := failing(errDown, errDown, errDown, errDown, errDown)
		start := time.Now()
		if err := p.Do(t.Context(), operate); err != nil {
			t.Fatal(err)
		}
		want := []time.Duration{1e9, 2e9, 4e9, 5e9, 5e9}
		if diff := cmp.Diff(want, waits); diff != "" {
			t.Errorf("waits (-want +got):\n%s", diff)
		}
		if got := time.Since(start); got != 17*time.Second || *calls != 6 {
			t.Errorf("got %v and %d calls, want 17s and 6", got, *calls)
		}
	})
}

func TestFullJitterStaysBelowTheStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const seed = 7
		random := rand.New(rand.NewPCG(seed, seed))
		step, below := time.Second, 0
		p := retry.Policy{
			Initial: time.Second, Max: time.Hour, MaxAttempts: 11, Random: random.Float64,
			OnRetry: func(a retry.Attempt) {
				if a.Wait < 0 || a.Wait > step {
					t.Errorf("seed %d, attempt %d: wait %v, step %v", seed, a.Number, a.Wait, step)
				}
				if a.Wait < step/2 {
					below++
				}
				step *= 2
			},
		}
		err := p.Do(t.Context(), func(context.Context) error { return errDown })
		if !errors.Is(err, io.ErrUnexpectedEOF) || fault.ClassOf(err) != fault.Transient {
			t.Errorf("got %v of class %v, want the last failure", err, fault.ClassOf(err))
		}
		if below == 0 || below == 10 {
			t.Errorf("seed %d: %d of 10 waits are below half the step", seed, below)
		}
	})
}

func TestWhatIsNotRepeated(t *testing.T) {
	t.Parallel()
	cases := []error{
		io.EOF,
		fault.New(fault.Permanent, "write", io.EOF),
		fault.New(fault.Auth, "write", io.EOF),
		fault.New(fault.Schema, "write", io.EOF),
		fault.New(fault.Data, "write", io.EOF),
		fault.New(fault.Transient, "write", fmt.Errorf("reset: %w", fault.ErrEpochLost)),
		fault.New(fault.Transient, "write", context.Canceled),
	}
	for _, want := range cases {
		operate, calls := failing(want)
		if got := (retry.Policy{}).Do(t.Context(), operate); !errors.Is(got, want) || *calls != 1 {
			t.Errorf("got %v after %d calls, want the failure as it is after 1", got, *calls)
		}
	}
}

func TestAfterIsHonoured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		operate, _ := failing(fault.Throttle(time.Minute, "get", io.EOF))
		start := time.Now()
		if err := (retry.Policy{}).Do(t.Context(), operate); err != nil {
			t.Fatal(err)
		}
		if got := time.Since(start); got != time.Minute {
			t.Errorf("got %v, want 1m", got)
		}
	})
}

func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := retry.Policy{Initial: time.Second, Jitter: retry.None, MaxAttempts: 3}
		operate, calls := failing(errDown, errDown, errDown, errDown)
		err := p.Do(t.Context(), operate)
		want := "gave up after 3 attempts: dial: unexpected EOF"
		if err == nil || err.Error() != want || *calls != 3 {
			t.Errorf("got %v after %d calls, want %q after 3", err, *calls, want)
		}

		p = retry.Policy{
			Initial: time.Second, Jitter: retry.None, MaxAttempts: -1, MaxElapsed: time.Minute,
		}
		start := time.Now()
		err = p.Do(t.Context(), func(context.Context) error { return errDown })
		if got := time.Since(start); err == nil || got > time.Minute || got < 31*time.Second {
			t.Errorf("got %v after %v, want a failure within a minute", err, got)
		}
	})
}

func TestStopEndsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cause := errors.New("drained")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(90*time.Second, func() { cancel(cause) })
		p := retry.Policy{Initial: time.Minute, Jitter: retry.None}
		start := time.Now()
		err := p.Do(ctx, func(context.Context) error { return errDown })
		if !errors.Is(err, cause) || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("got %v, want the cause and the last failure", err)
		}
		if got := time.Since(start); got != 90*time.Second {
			t.Errorf("got %v, want 1m30s", got)
		}
	})
}

func TestBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := retry.Policy{
			Breaker:     retry.NewBreaker("orders", 3, 10*time.Second),
			MaxAttempts: 1,
		}
		calls := 0
		fail := func(err error) error {
			return p.Do(t.Context(), func(context.Context) error { calls++; return err })
		}
		_ = fail(errDown)
		_ = fail(errDown)
		_ = fail(fault.New(fault.Data, "write", io.EOF)) // the server answered: counts as alive
		for range 3 {
			_ = fail(errDown)
		}
		if calls != 6 {
			t.Fatalf("got %d calls while closed, want 6", calls)
		}
		<-time.After(4 * time.Second)
		err := fail(nil)
		if !errors.Is(err, retry.ErrOpen) || fault.ClassOf(err) != fault.Throttled || calls != 6 {
			t.Fatalf("open: got %v after %d calls", err, calls)
		}
		if got := fault.AfterOf(err); got != 6*time.Second {
			t.Errorf("open: asks to wait %v, want 6s", got)
		}
		p.MaxAttempts = 3
		if err := fail(nil); err != nil || calls != 7 {
			t.Errorf("after the pause: got %v and %d calls, want success and 7", err, calls)
		}
	})
}
