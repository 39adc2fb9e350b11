package fault_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/tapeline/tapeline/internal/fault"
)

func TestClassOf(t *testing.T) {
	t.Parallel()
	transient := fault.New(fault.Transient, "dial", io.ErrUnexpectedEOF)
	cases := []struct {
		name string
		err  error
		want fault.Class
	}{
		{"nil", nil, fault.Unknown},
		{"plain", io.EOF, fault.Unknown},
		{"direct", transient, fault.Transient},
		{"wrapped", fmt.Errorf("open: %w", transient), fault.Transient},
		{"outermost wins", fault.New(fault.Permanent, "open", transient), fault.Permanent},
		{"joined", errors.Join(io.EOF, transient), fault.Transient},
		{"cancelled", fault.New(fault.Transient, "dial", context.Canceled), fault.Unknown},
		{"deadline", fault.New(fault.Transient, "dial", context.DeadlineExceeded), fault.Transient},
		{"plain deadline", context.DeadlineExceeded, fault.Unknown},
		{"epoch lost", fmt.Errorf("write: %w", fault.ErrEpochLost), fault.Unknown},
	}
	for _, c := range cases {
		if got := fault.ClassOf(c.err); got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

func TestRetryable(t *testing.T) {
	t.Parallel()
	want := map[fault.Class]bool{fault.Transient: true, fault.Throttled: true}
	for c := fault.Unknown; c <= fault.Data; c++ {
		if got := c.Retryable(); got != want[c] {
			t.Errorf("%v: got %v, want %v", c, got, want[c])
		}
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	cases := []struct {
		err  *fault.Error
		want string
	}{
		{&fault.Error{Op: "open x"}, "open x"},
		{fault.New(fault.Data, "read row 7", io.EOF), "read row 7: EOF"},
		{
			&fault.Error{Op: "open x", Err: io.EOF, Code: "gone", Path: "sources[0].path", Hint: "make it"},
			"sources[0].path: open x: EOF (make it) [gone]",
		},
	}
	for _, c := range cases {
		if got := c.err.Error(); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
	if got := fault.Class(200).String(); got != "class(200)" {
		t.Errorf("unknown class: got %q", got)
	}
	if got := fault.Data.String(); got != "data" {
		t.Errorf("data: got %q", got)
	}
}

func TestAfterOf(t *testing.T) {
	t.Parallel()
	inner := fault.Throttle(3*time.Second, "get", io.EOF)
	outer := fault.New(fault.Throttled, "poll", fmt.Errorf("page 2: %w", inner))
	if got := fault.AfterOf(outer); got != 3*time.Second {
		t.Errorf("got %v, want 3s", got)
	}
	if got := fault.AfterOf(io.EOF); got != 0 {
		t.Errorf("plain error: got %v, want 0", got)
	}
	if !errors.Is(outer, io.EOF) {
		t.Error("the cause is not in the chain")
	}
}
