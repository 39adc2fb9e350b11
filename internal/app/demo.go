package app

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// AwaitEpoch returns when the workflow has committed the epoch or a later one, or ctx ends. It
// returns the newest committed epoch, 0 for none.
func (e *Engine) AwaitEpoch(ctx context.Context, workflow string, epoch uint64) (uint64, error) {
	const interval = 5 * time.Millisecond
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for newest := uint64(0); ; {
		committed, _, err := e.Catalog.Latest(ctx, workflow)
		switch {
		case ctx.Err() != nil:
			return newest, nil
		case err != nil:
			return newest, err
		case committed != nil:
			newest = committed.Epoch
		}
		if newest >= epoch {
			return newest, nil
		}
		select {
		case <-ctx.Done():
			return newest, nil
		case <-ticker.C:
		}
	}
}

// DeadReasons counts the dead letters in the NDJSON files of a folder by the rule that was broken.
func DeadReasons(dir string) (map[string]int64, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.ndjson"))
	if err != nil {
		return nil, err
	}
	counts := map[string]int64{}
	for _, name := range files {
		if err := countReasons(name, counts); err != nil {
			return nil, fmt.Errorf("read dead letters %s: %w", name, err)
		}
	}
	return counts, nil
}

func countReasons(name string, counts map[string]int64) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	decoder := json.NewDecoder(bufio.NewReader(file))
	for {
		var dead struct{ Reason string }
		if err := decoder.Decode(&dead); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		rule, _, _ := strings.Cut(dead.Reason, ":")
		counts[rule]++
	}
}
