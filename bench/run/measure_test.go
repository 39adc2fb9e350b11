package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestMeasureReadsTheChild(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	output := filepath.Join(dir, "out")
	run := invocation{
		memoryBytes: 3 << 20,
		args:        []string{"sh", "-c", `i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; echo "$WORD"`},
		env:         []string{"WORD=done"},
		stdout:      output,
	}
	got, err := measure(t.Context(), run, dir)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(output)
	if err != nil {
		t.Fatal(err)
	}
	if string(text) != "done\n" {
		t.Errorf("output: got %q, want %q", text, "done\n")
	}
	if got.CPUSeconds <= 0 || got.WallSeconds <= 0 || got.MaxRSSBytes <= 0 {
		t.Errorf("sample: got %+v, want time and memory above zero", got)
	}
}

func TestMeasureSaysWhy(t *testing.T) {
	t.Parallel()
	run := invocation{args: []string{"sh", "-c", "echo first >&2; echo no such table >&2; exit 3"}}
	_, err := measure(t.Context(), run, t.TempDir())
	if err == nil || !strings.HasSuffix(err.Error(), ": first / no such table") {
		t.Errorf("failed tool: got %v, want its last lines", err)
	}
}

func TestMeasureIsCancelled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	stopped := errors.New("stopped by the test")
	cancel(stopped)
	if _, err := measure(ctx, invocation{args: []string{"sleep", "60"}}, t.TempDir()); err == nil {
		t.Error("cancelled run: got no error")
	}
}

func TestToolsAreComplete(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	for _, w := range workloads() {
		ourFile := filepath.Join(root, "bench", "workflows", w.name+".yaml")
		if _, err := os.Stat(ourFile); err != nil {
			t.Errorf("workflow of %s: %v", w.name, err)
		}
		names := map[string]bool{}
		for _, candidate := range tools(root, "tapeline") {
			names[candidate.name] = candidate.jobs[w.name] != nil
			if candidate.jobs[w.name] == nil {
				continue
			}
			run := candidate.jobs[w.name](job{workload: &w, rows: 1, scratch: t.TempDir()})
			for _, word := range run.args {
				if strings.Contains(word, filepath.Join("bench", "peers")) {
					if _, err := os.Stat(word); err != nil {
						t.Errorf("%s of %s: %v", candidate.name, w.name, err)
					}
				}
			}
		}
		for rival := range w.goal.Ratios {
			if !names[rival] {
				t.Errorf("%s: goal against %s, which has no such job", w.name, rival)
			}
		}
	}
}
