package sqlite

import (
	"path/filepath"
	"sync"
)

// writers counts the sinks on each file, of one Connector value.
type writers struct {
	mu sync.Mutex

	byFile map[string]int
}

func (w *writers) add(path string, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.byFile[fileOf(path)] += n
}

func (w *writers) several(path string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.byFile[fileOf(path)] > 1
}

func fileOf(path string) string {
	if absolute, err := filepath.Abs(path); err == nil {
		return absolute
	}
	return path
}
