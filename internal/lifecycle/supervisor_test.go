package lifecycle_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tapeline/tapeline/internal/lifecycle"
)

// serve runs a root supervisor; stop ends it and waits.
func serve(t *testing.T) (root *lifecycle.Supervisor, stop func(cause error)) {
	t.Helper()
	root = lifecycle.NewSupervisor("cluster", slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancelCause(t.Context())
	result := make(chan error)
	go func() { result <- root.Serve(ctx) }()
	return root, func(cause error) {
		t.Helper()
		cancel(cause)
		if err := <-result; !errors.Is(err, cause) {
			t.Errorf("root: got %v, want %v", err, cause)
		}
	}
}

func TestServiceIsRestarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root, stop := serve(t)
		workflow := root.Child("orders")
		strategy := lifecycle.Strategy{
			Kind: lifecycle.FixedDelay, Attempts: 3, Delay: time.Second,
		}
		lives := 0
		start := time.Now()
		flaky := workflow.Add("flaky", strategy, func(context.Context) error {
			lives++
			switch lives {
			case 1:
				return io.ErrUnexpectedEOF
			case 2:
				panic("bug")
			}
			return nil
		})
		if err := flaky.Wait(t.Context()); err != nil || lives != 3 {
			t.Errorf("flaky: got %v after %d lives, want nil after 3", err, lives)
		}
		if got := time.Since(start); got != 2*time.Second {
			t.Errorf("got %v, want the two delays", got)
		}
		hopeless := workflow.Add("hopeless", strategy, func(context.Context) error {
			lives++
			return io.ErrUnexpectedEOF
		})
		if err := hopeless.Wait(t.Context()); !errors.Is(err, io.ErrUnexpectedEOF) || lives != 7 {
			t.Errorf("hopeless: got %v after %d lives, want the failure after 7", err, lives)
		}
		stop(io.EOF)
	})
}

func TestStopReachesEveryService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root, stop := serve(t)
		cause := errors.New("shutdown")
		var services []*lifecycle.Service
		for i := range 20 {
			workflow := root.Child(fmt.Sprint("workflow ", i))
			for range 5 {
				services = append(services,
					workflow.Add("task", lifecycle.Strategy{}, untilStopped))
			}
		}
		waiting := root.Add("waiting for its restart", lifecycle.Strategy{
			Kind: lifecycle.FixedDelay, Attempts: -1, Delay: time.Hour,
		}, func(context.Context) error { return io.ErrUnexpectedEOF })
		synctest.Wait()
		stop(cause)
		for _, v := range services {
			if err := v.Wait(t.Context()); !errors.Is(err, cause) {
				t.Errorf("got %v, want the cause", err)
			}
		}
		if err := waiting.Wait(t.Context()); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("got %v, want its last failure", err)
		}
		late := root.Add("late", lifecycle.Strategy{}, untilStopped)
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(cause)
		if err := late.Wait(ctx); !errors.Is(err, cause) {
			t.Errorf("added after the end: got %v, want the cause", err)
		}
	})
}

func TestLeaveStopsOneChild(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root, stop := serve(t)
		if err := root.Leave(); err == nil {
			t.Error("the root left")
		}
		first, second := root.Child("first"), root.Child("second")
		ended := first.Add("task", lifecycle.Strategy{}, untilStopped)
		other := second.Add("task", lifecycle.Strategy{}, untilStopped)
		synctest.Wait()
		if err := first.Leave(); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := ended.Wait(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("task of the child that left: got %v, want context.Canceled", err)
		}
		if err := other.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("task of the other child: got %v, want it to run on", err)
		}
		stop(io.EOF)
	})
}
