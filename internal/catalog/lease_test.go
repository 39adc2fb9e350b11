package catalog

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// pair opens one folder twice, as two processes would.
func pair(t *testing.T) (*Catalog, *Catalog) {
	t.Helper()
	dir := t.TempDir()
	var both [2]*Catalog
	for i := range both {
		c, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		})
		both[i] = c
	}
	return both[0], both[1]
}

func acquire(t *testing.T, c *Catalog, ttl time.Duration) *Lease {
	t.Helper()
	l, err := c.Acquire(t.Context(), "orders", "test", ttl)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestHeldLeaseIsRefused(t *testing.T) {
	t.Parallel()
	c, other := pair(t)
	l := acquire(t, c, time.Hour)
	_, err := other.Acquire(t.Context(), "orders", "rival", time.Hour)
	var held *HeldError
	if !errors.As(err, &held) || held.PID != os.Getpid() || held.Owner != "test" {
		t.Fatalf("got %v, want a HeldError that names this process", err)
	}
	host, _ := os.Hostname()
	if text := err.Error(); !strings.Contains(text, host) || !strings.Contains(text, "stop") {
		t.Errorf("%q does not name the host and a remedy", text)
	}
	if err := l.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	// A renewal that was under way then must not take the lease back.
	if err := l.Renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	next := acquire(t, other, time.Hour)
	if next.Token() <= l.Token() {
		t.Errorf("token %d after %d: want a larger one", next.Token(), l.Token())
	}
	if err := l.Release(t.Context()); !errors.Is(err, ErrFenced) {
		t.Errorf("release of a lost lease: got %v, want ErrFenced", err)
	}
}

// invariant: no write after the lease was taken over
func TestNoWriteAfterTheLeaseWasTakenOver(t *testing.T) {
	t.Parallel()
	c, other := pair(t)
	ctx := t.Context()
	zombie := acquire(t, c, time.Nanosecond) // has expired when anybody looks
	r, err := zombie.Begin(ctx, "", "")
	if err != nil {
		t.Fatalf("expired, not taken over: %v", err)
	}
	if err := zombie.Prepare(ctx, r.ID, 1, nil); err != nil {
		t.Fatal(err)
	}
	acquire(t, other, time.Hour)
	_, beginErr := zombie.Begin(ctx, "", "")
	_, resumeErr := zombie.Resume(ctx, r.ID)
	for name, err := range map[string]error{
		"begin": beginErr, "resume": resumeErr, "renew": zombie.Renew(ctx),
		"prepare": zombie.Prepare(ctx, r.ID, 1, nil), "commit": zombie.Commit(ctx, r.ID, 1),
		"drop": zombie.Drop(ctx, r.ID, 1), "keep": zombie.Keep(ctx, r.ID, 1, "x"),
		"discard": zombie.Discard(ctx, true), "finish": zombie.Finish(ctx, r.ID, Failed, Result{}),
	} {
		if !errors.Is(err, ErrFenced) {
			t.Errorf("%s: got %v, want ErrFenced", name, err)
		}
	}
	found, err := other.FindRun(ctx, r.ID)
	if err != nil || found.Status != Interrupted {
		t.Errorf("run of the zombie: got %s, %v; want interrupted", found.Status, err)
	}
}

func TestRenewKeepsTheLease(t *testing.T) {
	t.Parallel()
	c, other := pair(t)
	l := acquire(t, c, time.Nanosecond)
	l.ttl = time.Hour
	if err := l.Renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	var held *HeldError
	if _, err := other.Acquire(t.Context(), "orders", "rival", time.Hour); !errors.As(err, &held) {
		t.Errorf("got %v, want a HeldError", err)
	}
}

func TestDeadProcessIsTakenOver(t *testing.T) {
	t.Parallel()
	child := exec.Command(os.Args[0], "-test.run=^$")
	if err := child.Run(); err != nil {
		t.Fatal(err)
	}
	this := thisProcess()
	gone := this
	gone.pid, gone.started = child.Process.Pid, "1"
	recycled := this // our pid, but not our start: an earlier process had it
	recycled.started += "0"
	elsewhere := gone
	elsewhere.scope = "another boot"
	cases := []struct {
		name   string
		holder process
		taken  bool
	}{
		{"gone", gone, true},
		{"recycled pid", recycled, this.started != ""},
		{"alive", this, false},
		{"elsewhere", elsewhere, false},
	}
	for _, test := range cases {
		c, other := pair(t)
		c.process = test.holder
		acquire(t, c, time.Hour)
		_, err := other.Acquire(t.Context(), "orders", "rival", time.Hour)
		if taken := err == nil; taken != test.taken {
			t.Errorf("%s: taken over %v (%v), want %v", test.name, taken, err, test.taken)
		}
	}
}

func TestOneWinnerPerLease(t *testing.T) {
	t.Parallel()
	c, other := pair(t)
	for range 20 {
		leases := make(chan *Lease, 2)
		for _, rival := range []*Catalog{c, other} {
			go func() {
				l, err := rival.Acquire(context.Background(), "orders", "rival", time.Hour)
				var held *HeldError
				if err != nil && !errors.As(err, &held) {
					t.Errorf("got %v, want a HeldError", err)
				}
				leases <- l
			}()
		}
		a, b := <-leases, <-leases
		if (a == nil) == (b == nil) {
			t.Fatalf("got %v and %v, want one winner", a, b)
		}
		if a == nil {
			a = b
		}
		if err := a.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestNewerVersionIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.session.script(`PRAGMA user_version = 99`); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "99") {
		t.Errorf("got %v, want an error that names version 99", err)
	}
}

func TestWritesAreSynced(t *testing.T) {
	t.Parallel()
	c, _ := pair(t)
	for pragma, want := range map[string]string{"synchronous": "2", "journal_mode": "wal"} {
		var got string
		if err := c.session.row(`PRAGMA `+pragma, nil, &got); err != nil || got != want {
			t.Errorf("%s: got %q, %v; want %q", pragma, got, err, want)
		}
	}
}
