package vfs_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tapeline/tapeline/internal/vfs"
)

// TestSecondLockIsRefused names the first, until that lets go.
func TestSecondLockIsRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x.lock")
	first, err := vfs.TakeLock(path, "the first of them all")
	if err != nil {
		t.Fatal(err)
	}
	_, err = vfs.TakeLock(path, "second")
	held, ok := errors.AsType[*vfs.HeldError](err)
	if !ok || held.Holder != "the first of them all" || held.PID != os.Getpid() || held.Since.IsZero() {
		t.Fatalf("got %v", err)
	}
	if !strings.HasPrefix(err.Error(), "the first of them all (process ") {
		t.Errorf("got %q", err)
	}
	if err := first.Release(); err != nil {
		t.Fatal(err)
	}
	second, err := vfs.TakeLock(path, "second")
	if err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(path); err != nil || !strings.Contains(string(text), `"holder":"second"`) ||
		strings.Contains(string(text), "first") {
		t.Errorf("the file says %q, %v", text, err)
	}
	if err := second.Release(); err != nil {
		t.Fatal(err)
	}
}

// TestLockWithDamagedText holds a lock whose text another program has overwritten.
func TestLockWithDamagedText(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x.lock")
	lock, err := vfs.TakeLock(path, "first")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := vfs.TakeLock(path, "second"); err == nil || !strings.HasPrefix(err.Error(), "somebody") {
		t.Errorf("got %v", err)
	}
	if err := lock.Release(); err != nil {
		t.Fatal(err)
	}
	if _, err := vfs.TakeLock(filepath.Join(path, "below"), "third"); err == nil {
		t.Error("a lock below a file was taken")
	}
}
