package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// report is what this program reads of a run's report.
type report struct {
	RowsIn  int64   `json:"rows_in"`
	Seconds float64 `json:"seconds"`
	Nodes   []struct {
		BatchRows int     `json:"batch_rows"`
		P50       float64 `json:"latency_p50_seconds"`
		P99       float64 `json:"latency_p99_seconds"`
	} `json:"nodes"`
}

// runDocument runs a workflow in a folder of its own and returns its report and what it printed.
func (o *options) runDocument(
	ctx context.Context, text string, flags ...string,
) (report, string, error) {
	var r report
	dir, err := os.MkdirTemp("", "tapeline-bench")
	if err != nil {
		return r, "", err
	}
	defer os.RemoveAll(dir)
	if err := os.WriteFile(filepath.Join(dir, "flow.yaml"), []byte(text), 0o600); err != nil {
		return r, "", err
	}
	command := exec.CommandContext(ctx, o.tapeline, append([]string{
		"run", "flow.yaml", "--verbose", "--json-report", "report.json",
	}, flags...)...)
	command.Dir = dir
	output, err := command.CombinedOutput()
	if err != nil {
		return r, "", fmt.Errorf("run %s: %w\n%s", text, err, output)
	}
	data, err := os.ReadFile(filepath.Join(dir, "report.json"))
	if err == nil {
		err = json.Unmarshal(data, &r)
	}
	if err == nil && (len(r.Nodes) == 0 || r.Seconds <= 0) {
		err = fmt.Errorf("a report without nodes or time: %s", data)
	}
	return r, string(output), err
}
