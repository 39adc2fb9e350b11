package postgres

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"
)

// deadlineConn notes the deadline it was given last.
type deadlineConn struct {
	net.Conn

	deadline time.Time
}

func (c *deadlineConn) SetDeadline(t time.Time) error {
	c.deadline = t
	return nil
}

// TestWatchEndsWithItsCall: the end of a context breaks the call it belongs to and none after it.
func TestWatchEndsWithItsCall(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	broken := errors.New("broken")
	for range 200 {
		conn := &deadlineConn{}
		(&wire{conn: conn}).watch(ended)(nil)
		if !conn.deadline.IsZero() {
			t.Fatal("a call that came through leaves a deadline behind")
		}
		(&wire{conn: conn}).watch(ended)(broken)
		if conn.deadline.IsZero() {
			t.Fatal("a call that was broken leaves a connection that could be used on")
		}
		conn = &deadlineConn{}
		(&wire{conn: conn}).watch(t.Context())(nil)
		if !conn.deadline.IsZero() {
			t.Fatal("a context that goes on sets a deadline")
		}
	}
}
