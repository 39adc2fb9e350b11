package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
)

// Group owns goroutines that end together: the first failure stops the others.
type Group struct {
	ctx     context.Context //nolint:containedctx // the group is the scope of this context
	cancel  context.CancelCauseFunc
	waiting sync.WaitGroup

	mu  sync.Mutex
	err error
}

// NewGroup returns an empty group, stopped when ctx ends. The owner calls Wait.
func NewGroup(ctx context.Context) *Group {
	g := &Group{}
	g.ctx, g.cancel = context.WithCancelCause(ctx)
	return g
}

// Context returns the context of the group's functions.
func (g *Group) Context() context.Context { return g.ctx }

// Go runs f in a goroutine. Functions of the group may call it; others not after Wait.
func (g *Group) Go(name string, f func(ctx context.Context) error) {
	g.waiting.Go(func() {
		if err := Guard(name, func() error { return f(g.ctx) }); err != nil {
			g.fail(err)
		}
	})
}

// Stop ends the context of all functions with that cause; nil stands for context.Canceled.
func (g *Group) Stop(cause error) { g.cancel(cause) }

// Wait returns when all functions have: the first failure, or nil. That functions end because the
// group was stopped is no failure.
func (g *Group) Wait() error {
	g.waiting.Wait()
	g.cancel(nil)
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.err
}

func (g *Group) fail(err error) {
	stopped := context.Cause(g.ctx)
	if stopped != nil && (errors.Is(err, stopped) || errors.Is(err, context.Canceled)) {
		return
	}
	g.mu.Lock()
	if g.err == nil {
		g.err = err
	}
	g.mu.Unlock()
	g.cancel(err)
}

// PanicError is a panic that was caught.
type PanicError struct {
	Name  string // of what panicked
	Value any
	Stack []byte
}

// Error returns name, value and stack.
func (e *PanicError) Error() string {
	return fmt.Sprintf("%s: panic: %v\n%s", e.Name, e.Value, e.Stack)
}

// Unwrap returns the value when it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// Guard calls f and turns a panic into a *PanicError.
func Guard(name string, f func() error) (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = &PanicError{Name: name, Value: value, Stack: debug.Stack()}
		}
	}()
	return f()
}
