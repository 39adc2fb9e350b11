package lifecycle_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/tapeline/tapeline/internal/lifecycle"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// untilStopped is a function that ends when it is told to.
func untilStopped(ctx context.Context) error {
	<-ctx.Done()
	return context.Cause(ctx)
}

func TestFirstFailureStopsTheOthers(t *testing.T) {
	t.Parallel()
	g := lifecycle.NewGroup(t.Context())
	seen := make(chan error, 1)
	g.Go("waits", func(ctx context.Context) error {
		<-ctx.Done()
		seen <- context.Cause(ctx)
		return context.Cause(ctx)
	})
	g.Go("fails", func(context.Context) error { return io.ErrUnexpectedEOF })
	if err := g.Wait(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v, want the failure", err)
	}
	if cause := <-seen; !errors.Is(cause, io.ErrUnexpectedEOF) {
		t.Errorf("cause: got %v, want the failure", cause)
	}
}

func TestStopIsNoFailure(t *testing.T) {
	t.Parallel()
	cause := errors.New("drained")
	g := lifecycle.NewGroup(t.Context())
	g.Go("cause", untilStopped)
	g.Go("cancelled", func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	})
	g.Stop(cause)
	if err := g.Wait(); err != nil {
		t.Errorf("got %v, want nil", err)
	}
	if got := context.Cause(g.Context()); !errors.Is(got, cause) {
		t.Errorf("cause: got %v, want %v", got, cause)
	}
}

func TestFailureWhileStoppingCounts(t *testing.T) {
	t.Parallel()
	g := lifecycle.NewGroup(t.Context())
	g.Go("close", func(ctx context.Context) error {
		<-ctx.Done()
		return io.ErrShortWrite
	})
	g.Stop(errors.New("drained"))
	if err := g.Wait(); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("got %v, want the failure of closing", err)
	}
}

func TestPanicBecomesAnError(t *testing.T) {
	t.Parallel()
	g := lifecycle.NewGroup(t.Context())
	g.Go("waits", untilStopped)
	g.Go("decoder", func(context.Context) error { panic(io.ErrNoProgress) })
	err := g.Wait()
	var caught *lifecycle.PanicError
	if !errors.As(err, &caught) || !errors.Is(err, io.ErrNoProgress) {
		t.Fatalf("got %v, want a PanicError that wraps its value", err)
	}
	if text := err.Error(); !strings.HasPrefix(text, "decoder: panic: ") ||
		!strings.Contains(text, "group_test.go") {
		t.Errorf("%q names neither the goroutine nor the place", text)
	}
	if err := lifecycle.Guard("x", func() error { panic("text") }); !errors.As(err, &caught) ||
		errors.Unwrap(caught) != nil {
		t.Errorf("panic with a text: got %v", err)
	}
}

func TestGroupEndsWithItsParent(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	g := lifecycle.NewGroup(ctx)
	g.Go("nested", func(ctx context.Context) error {
		g.Go("inner", untilStopped)
		return untilStopped(ctx)
	})
	cancel(io.EOF)
	if err := g.Wait(); err != nil {
		t.Errorf("got %v, want nil", err)
	}
}
