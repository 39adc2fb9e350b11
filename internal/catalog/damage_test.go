package catalog_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tapeline/tapeline/internal/catalog"
)

// filled returns a folder with a closed catalog of some epochs.
func filled(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	c, err := catalog.Open(dir)
	must(t, err)
	l, err := c.Acquire(t.Context(), "orders", "test", ttl)
	must(t, err)
	r, err := l.Begin(t.Context(), "", "")
	must(t, err)
	for epoch := uint64(1); epoch <= 5; epoch++ {
		must(t, l.Prepare(t.Context(), r.ID, epoch, bytes.Repeat([]byte("m"), 5000)))
		must(t, l.Commit(t.Context(), r.ID, epoch))
	}
	must(t, c.Close())
	return dir
}

// TestDamagedFileIsRefused: a catalog that was overwritten, cut or scrambled is not written any
// further, and the message names file and remedy.
func TestDamagedFileIsRefused(t *testing.T) {
	t.Parallel()
	const seed = 7
	random := rand.New(rand.NewPCG(seed, seed))
	for name, damage := range map[string]func(data []byte) []byte{
		"text":   func([]byte) []byte { return []byte(strings.Repeat("not a database\n", 1000)) },
		"header": func(data []byte) []byte { return append(make([]byte, 100), data[100:]...) },
		"cut":    func(data []byte) []byte { return data[:len(data)/2] },
		"pages": func(data []byte) []byte {
			for i := 4096; i < len(data); i++ {
				data[i] = byte(random.Uint32())
			}
			return data
		},
	} {
		dir := filled(t)
		file := filepath.Join(dir, catalog.FileName)
		data, err := os.ReadFile(file)
		must(t, err)
		damaged := damage(data)
		must(t, os.WriteFile(file, damaged, 0o600))
		c, err := catalog.Open(dir)
		if err == nil {
			_ = c.Close()
			t.Errorf("%s: it was opened", name)
			continue
		}
		if !errors.Is(err, catalog.ErrCorrupt) || !strings.Contains(err.Error(), file) ||
			!strings.Contains(err.Error(), "from a backup") {
			t.Errorf("%s: %v", name, err)
		}
		if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, damaged) {
			t.Errorf("%s: the file was changed: %v", name, err)
		}
	}
}
