package lifecycle

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/thejerf/suture/v4"
)

// patience is how long a supervisor waits for services that were told to stop: for ever, as an
// abandoned goroutine would go on writing.
const patience = 100 * 365 * 24 * time.Hour

// Supervisor runs services and supervisors below it. Safe for concurrent use.
type Supervisor struct {
	name   string
	log    *slog.Logger
	tree   *suture.Supervisor
	leave  func() error // out of the supervisor above; nil at the root
	random func() float64
	scope  *scope
}

// scope is what the supervisors of one tree share: the context their root serves.
type scope struct {
	root atomic.Pointer[context.Context]
}

// cause returns why ctx ended. When the root's context ended it is that one's: suture sees the end
// and cancels a service before the cause has reached it, which would leave context.Canceled.
func (s *scope) cause(ctx context.Context) error {
	if root := s.root.Load(); root != nil && (*root).Err() != nil {
		return context.Cause(*root)
	}
	return context.Cause(ctx)
}

// NewSupervisor returns a root without services. The owner calls Serve.
func NewSupervisor(name string, log *slog.Logger) *Supervisor {
	s := &Supervisor{name: name, log: log, random: rand.Float64, scope: &scope{}}
	s.tree = suture.New(name, suture.Spec{
		EventHook: s.event,
		Timeout:   patience,
	})
	return s
}

// Serve runs everything below until ctx ends and all of it has returned.
func (s *Supervisor) Serve(ctx context.Context) error {
	s.scope.root.Store(&ctx)
	err := s.tree.Serve(ctx)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// Child adds a supervisor below. It lives until Leave, or until its root ends.
func (s *Supervisor) Child(name string) *Supervisor {
	child := NewSupervisor(name, s.log)
	child.scope = s.scope
	token := s.tree.Add(child.tree)
	child.leave = func() error { return s.tree.RemoveAndWait(token, patience) }
	return child
}

// Leave stops a child and all below it, and returns when they have ended.
func (s *Supervisor) Leave() error {
	if s.leave == nil {
		return errors.New("leave supervisor " + s.name + ": it is the root")
	}
	return s.leave()
}

// Add runs a service: serve is called again, by the strategy, each time it fails or panics, and
// not again once it returned nil or its context ended.
func (s *Supervisor) Add(name string, strategy Strategy, serve func(context.Context) error,
) *Service {
	v := &Service{
		name: name, serve: serve, log: s.log, scope: s.scope,
		restarts: strategy.Start(s.random), done: make(chan struct{}),
	}
	s.tree.Add(v)
	return v
}

// event logs what suture noticed and no service reports itself.
func (s *Supervisor) event(e suture.Event) {
	if stuck, ok := e.(suture.EventStopTimeout); ok {
		s.log.Error("service does not stop", "supervisor", s.name, "service", stuck.ServiceName)
	}
}

// Service is a supervised function.
type Service struct {
	name     string
	log      *slog.Logger
	serve    func(context.Context) error
	restarts *Restarts
	scope    *scope
	done     chan struct{}
	err      error // written before done is closed
}

var _ suture.Service = (*Service)(nil)

// Serve is called by suture, once: the lives of the service and the waits between them. Restarts
// are not left to suture, which drops one that falls together with its own end.
func (v *Service) Serve(ctx context.Context) error {
	defer close(v.done)
	outer := ctx
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(outer))
	defer cancel(nil)
	defer context.AfterFunc(outer, func() { cancel(v.scope.cause(outer)) })()
	for {
		err := Guard(v.name, func() error { return v.serve(ctx) })
		v.err = err
		if err == nil || ctx.Err() != nil {
			return suture.ErrDoNotRestart
		}
		delay, again := v.restarts.Next(time.Now(), err)
		if !again {
			return suture.ErrDoNotRestart
		}
		v.log.Warn("service will be restarted", "service", v.name, "delay", delay, "error", err)
		timer := time.NewTimer(delay)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return suture.ErrDoNotRestart
		}
	}
}

// String names the service in suture's events.
func (v *Service) String() string { return v.name }

// Wait returns when the service has ended for good: the error of its last life, nil when it was
// done. It returns the cause of ctx when that ends first, as for a service whose supervisor ended
// before it began.
func (v *Service) Wait(ctx context.Context) error {
	select {
	case <-v.done:
		return v.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
