//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// turn is what a child answers, ours as well as those of bench/peers/wal.
type turn struct {
	CommitNS []int64 `json:"commit_ns"`
	WallNS   int64   `json:"wall_ns"`
	CPUNS    int64   `json:"cpu_ns"`
	Written  int64   `json:"written_bytes"` // handed to the block devices
}

// process is a child that runs one engine.
type process struct {
	name    string
	command *exec.Cmd
	in      io.WriteCloser
	out     *json.Decoder
}

func start(ctx context.Context, o options, name string, records int) (*process, error) {
	binary, args := o.peers, []string{"-engine", name}
	if slices.Contains(names(), name) {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		binary, args = self, []string{"-serve", name}
	} else if _, err := os.Stat(binary); err != nil {
		return nil, fmt.Errorf("%w: run bench/peers/build wal", err)
	}
	args = append(args, "-records", strconv.Itoa(records), "-dir", filepath.Join(o.dir, name))
	p := &process{name: name, command: exec.CommandContext(ctx, binary, args...)}
	p.command.Stderr = os.Stderr
	var err error
	if p.in, err = p.command.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = json.NewDecoder(bufio.NewReader(out))
	return p, p.command.Start()
}

func (p *process) ask(length time.Duration) (t turn, err error) {
	if _, err = fmt.Fprintln(p.in, int64(length)); err == nil {
		err = p.out.Decode(&t)
	}
	return t, err
}

func (p *process) close() error { return errors.Join(p.in.Close(), p.command.Wait()) }

// engine is one way to write batches of records. commit is durable when it returns.
type engine interface {
	commit(records int) error
	close() error
}

// child measures one turn a line of standard input, which says how many nanoseconds it takes.
func child(ctx context.Context, name, dir string, records int) (err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	e, err := open(ctx, name, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.close(), os.RemoveAll(dir)) }()
	lines, answers := bufio.NewScanner(os.Stdin), json.NewEncoder(os.Stdout)
	for lines.Scan() {
		length, err := strconv.ParseInt(lines.Text(), 10, 64)
		if err != nil {
			return err
		}
		t := turn{CommitNS: make([]int64, 0, 1<<17)}
		cpu, written := used()
		start := time.Now()
		for now := start; now.Sub(start) < time.Duration(length); {
			if err := e.commit(records); err != nil {
				return err
			}
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
