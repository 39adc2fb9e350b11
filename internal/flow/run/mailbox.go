package run

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// Address names a receiver of messages: a workflow, or a task of one.
type Address struct {
	Workflow string
	Task     string // "" addresses the workflow itself
}

// String returns workflow or workflow/task.
func (a Address) String() string {
	if a.Task == "" {
		return a.Workflow
	}
	return a.Workflow + "/" + a.Task
}

// Why a message could not be delivered. Both come wrapped in *SendError.
var (
	ErrUnknownTarget = errors.New("no such target")
	ErrStopped       = errors.New("target has stopped")
)

// SendError is a message that was not delivered.
type SendError struct {
	To  Address
	Err error // ErrUnknownTarget, ErrStopped or a context's error
}

// Error returns "send to workflow/task: reason".
func (e *SendError) Error() string { return fmt.Sprintf("send to %s: %v", e.To, e.Err) }

// Unwrap returns the reason.
func (e *SendError) Unwrap() error { return e.Err }

// mailbox is a bounded queue of messages of one type with a receiver that can stop. Its channels are
// made when somebody first sends or receives, so that an idle one costs little.
type mailbox[M any] struct {
	address  Address
	capacity int
	wake     func() // called before each message: starts the receiver when it does not run; may be nil

	mu       sync.Mutex
	closed   bool
	sent     int64 // messages, delivered or not
	messages chan M
	stopped  chan struct{}
}

// newMailbox returns a mailbox; most have a place of their own in their owner instead.
func newMailbox[M any](address Address, capacity int) *mailbox[M] {
	return &mailbox[M]{address: address, capacity: capacity}
}

// open makes the channels. Needs mu.
func (m *mailbox[M]) open() {
	if m.messages == nil {
		m.messages, m.stopped = make(chan M, m.capacity), make(chan struct{})
	}
}

// receive returns the queue.
func (m *mailbox[M]) receive() <-chan M {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.open()
	return m.messages
}

// send delivers message, waiting while the mailbox is full.
func (m *mailbox[M]) send(ctx context.Context, message M) error {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return &SendError{m.address, ErrStopped}
	}
	m.open()
	m.sent++
	if m.wake != nil {
		m.wake() // under mu: not after close
	}
	m.mu.Unlock()
	select {
	case m.messages <- message:
		return nil
	case <-m.stopped:
		return &SendError{m.address, ErrStopped}
	case <-ctx.Done():
		return &SendError{m.address, context.Cause(ctx)}
	}
}

// close makes all later sends fail; messages still queued are dropped.
func (m *mailbox[M]) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return
	}
	m.closed = true
	if m.stopped != nil {
		close(m.stopped)
	}
}

// directory finds mailboxes by address.
type directory[M any] struct {
	mu    sync.RWMutex
	boxes map[Address]*mailbox[M]
}

func newDirectory[M any]() *directory[M] {
	return &directory[M]{boxes: map[Address]*mailbox[M]{}}
}

func (d *directory[M]) add(m *mailbox[M]) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.boxes[m.address] = m
}

// remove forgets m and stops it. A newer mailbox at the same address stays.
func (d *directory[M]) remove(m *mailbox[M]) {
	m.close()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.boxes[m.address] == m {
		delete(d.boxes, m.address)
	}
}

// send delivers straight to the receiver at the address.
func (d *directory[M]) send(ctx context.Context, to Address, message M) error {
	d.mu.RLock()
	box := d.boxes[to]
	d.mu.RUnlock()
	if box == nil {
		return &SendError{to, ErrUnknownTarget}
	}
	return box.send(ctx, message)
}
