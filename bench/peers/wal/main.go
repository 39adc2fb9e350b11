package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"
)

const recordBytes = 128

// engine is one log. Its records get numbers from 1 on.
type engine interface {
	// reset makes room: what was committed before is not needed any more.
	reset() error
	// commit writes so many records durably, with numbers from first on.
	commit(first uint64, records int) error
	close() error
}

// engines are the modules measured, and how each is opened in a folder of its own.
func engines() map[string]struct {
	module string
	open   func(dir string) (engine, error)
} {
	return map[string]struct {
		module string
		open   func(dir string) (engine, error)
	}{
		"tidwall":        {"github.com/tidwall/wal", openTidwall},
		"etcd":           {"go.etcd.io/etcd/server/v3", openEtcd},
		"raft-wal":       {"github.com/hashicorp/raft-wal", openRaftWAL},
		"pebble":         {"github.com/cockroachdb/pebble", openPebble(true)},
		"pebble-growing": {"github.com/cockroachdb/pebble", openPebble(false)},
	}
}

func main() {
	name := flag.String("engine", "", "tidwall, etcd, raft-wal, pebble or pebble-growing")
	dir := flag.String("dir", "", "folder for its files, which is deleted at the end")
	records := flag.Int("records", 1, "of a batch")
	version := flag.Bool("version", false, "print the version of the engine's module and end")
	flag.Parse()
	if err := run(*name, *dir, *records, *version); err != nil {
		fmt.Fprintln(os.Stderr, "wal:", err)
		os.Exit(1)
	}
}

func run(name, dir string, records int, version bool) error {
	kind, ok := engines()[name]
	if !ok {
		return fmt.Errorf("engine %q: want tidwall, etcd, raft-wal, pebble or pebble-growing", name)
	}
	if version {
		fmt.Println(versionOf(kind.module))
		return nil
	}
	e, err := kind.open(filepath.Join(dir, name))
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	return errors.Join(serve(e, records), e.close(), os.RemoveAll(dir))
}

func versionOf(module string) string {
	info, _ := debug.ReadBuildInfo()
	for _, m := range info.Deps {
		if m.Path == module {
			return m.Version
		}
	}
	return "unknown"
}

// turn is the answer to one line. bench/wal reads it.
type turn struct {
	CommitNS []int64 `json:"commit_ns"`
	WallNS   int64   `json:"wall_ns"`
	CPUNS    int64   `json:"cpu_ns"`
	Written  int64   `json:"written_bytes"` // handed to the block devices
}

// serve measures one turn a line, which says how many nanoseconds it takes.
func serve(e engine, records int) error {
	lines, answers := bufio.NewScanner(os.Stdin), json.NewEncoder(os.Stdout)
	next := uint64(1)
	for lines.Scan() {
		length, err := strconv.ParseInt(lines.Text(), 10, 64)
		if err != nil {
			return err
		}
		if err := e.reset(); err != nil {
			return fmt.Errorf("reset: %w", err)
		}
		t := turn{CommitNS: make([]int64, 0, 1<<17)}
		cpu, written := used()
		start := time.Now()
		for now := start; now.Sub(start) < time.Duration(length); {
			if err := e.commit(next, records); err != nil {
				return fmt.Errorf("commit from %d on: %w", next, err)
			}
			next += uint64(records)
			after := time.Now()
			t.CommitNS, now = append(t.CommitNS, int64(after.Sub(now))), after
		}
		t.WallNS = int64(time.Since(start))
		cpuAfter, writtenAfter := used()
		t.CPUNS, t.Written = cpuAfter-cpu, writtenAfter-written
		if err := answers.Encode(t); err != nil {
			return err
		}
	}
	return lines.Err()
}

// used returns CPU nanoseconds and bytes written so far.
func used() (cpu, written int64) {
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage) // fails for a bad argument only
	text, _ := os.ReadFile("/proc/self/io")            // zeros where there is none
	var ignored int64
	_, _ = fmt.Sscanf(string(text), "rchar: %d\nwchar: %d\nsyscr: %d\nsyscw: %d\nread_bytes: %d\nwrite_bytes: %d",
		&ignored, &ignored, &ignored, &ignored, &ignored, &written)
	return usage.Utime.Nano() + usage.Stime.Nano(), written
}
