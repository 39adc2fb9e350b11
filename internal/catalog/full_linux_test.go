package catalog_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/tapeline/tapeline/internal/catalog"
)

// fillUp prepares an epoch that does not fit, and then one that does once there is room.
func fillUp(dir string, c *catalog.Catalog, l *catalog.Lease, r catalog.Run) error {
	ctx := context.Background()
	if err := l.Prepare(ctx, r.ID, 1, []byte("small")); err != nil {
		return err
	}
	if err := l.Commit(ctx, r.ID, 1); err != nil {
		return err
	}
	log, err := os.Stat(filepath.Join(dir, catalog.FileName+"-wal"))
	if err != nil {
		return err
	}
	signal.Ignore(syscall.SIGXFSZ) // writes beyond the limit fail instead
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		return err
	}
	full := syscall.Rlimit{Cur: uint64(log.Size()) + 5000, Max: before.Max}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &full); err != nil {
		return err
	}
	large := bytes.Repeat([]byte("large"), 100_000)
	err = l.Prepare(ctx, r.ID, 2, large)
	if err == nil || !strings.Contains(err.Error(), "is the disk full?") {
		return fmt.Errorf("a manifest that does not fit: %w", err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		return err
	}
	committed, prepared, err := c.Latest(ctx, "orders")
	if err != nil || committed == nil || committed.Epoch != 1 || prepared != nil {
		return fmt.Errorf("after it: committed %+v, prepared %+v: %w", committed, prepared, err)
	}
	if err := l.Prepare(ctx, r.ID, 2, large); err != nil {
		return fmt.Errorf("with room again: %w", err)
	}
	return l.Commit(ctx, r.ID, 2)
}

// TestFullDisk: a change that does not fit changes nothing, says why, and succeeds once it fits.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	if inChild(t, fillUp) {
		return
	}
	dir := t.TempDir()
	if output, err := child(t, dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	committed, prepared, err := open(t, dir).Latest(t.Context(), "orders")
	if err != nil || committed == nil || committed.Epoch != 2 || prepared != nil {
		t.Errorf("committed %+v, prepared %+v: %v", committed, prepared, err)
	}
}
