package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// baseline holds ratios by workload and rival, apart for the full run and the subset: a shorter
// run weighs the start of a process more.
type baseline struct {
	Full   map[string]map[string]ratio `json:"full"`
	Subset map[string]map[string]ratio `json:"subset"`
}

// section returns the ratios that a run compares with.
func (b *baseline) section(subset bool) map[string]map[string]ratio {
	if b.Full == nil {
		b.Full = map[string]map[string]ratio{}
	}
	if b.Subset == nil {
		b.Subset = map[string]map[string]ratio{}
	}
	if subset {
		return b.Subset
	}
	return b.Full
}

// compareBaseline warns of lost ratios, or writes the measured ones when asked to.
func compareBaseline(target io.Writer, r *report, o options) error {
	path := filepath.Join(o.root, "bench", "baseline.json")
	kept, err := readBaseline(path)
	if err != nil {
		return err
	}
	ratios := kept.section(r.Subset)
	if o.updateBaseline {
		update(ratios, r)
		if err := writeJSON(path, kept); err != nil {
			return err
		}
		fmt.Fprintf(target, "wrote %s\n", path)
		return nil
	}
	for _, line := range losses(ratios, r) {
		fmt.Fprintln(target, "warning:", line)
	}
	return nil
}

func readBaseline(path string) (*baseline, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &baseline{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read baseline: %w", err)
	}
	kept := &baseline{}
	if err := json.Unmarshal(text, kept); err != nil {
		return nil, fmt.Errorf("decode baseline: %w", err)
	}
	return kept, nil
}

// rivals calls visit for every tool of the report that Tapeline is compared with.
func rivals(r *report, visit func(workload string, t *toolResult)) {
	for _, w := range r.Workloads {
		for _, t := range w.Tools {
			if t.Ratio != nil && t.Tool != oursCheckpoints { // that one has a goal instead
				visit(w.Name, t)
			}
		}
	}
}

// update puts the measured ratios in the place of the old ones and keeps what was not measured.
func update(ratios map[string]map[string]ratio, r *report) {
	rivals(r, func(workload string, t *toolResult) {
		if ratios[workload] == nil {
			ratios[workload] = map[string]ratio{}
		}
		ratios[workload][t.Tool] = *t.Ratio
	})
}

// losses names the ratios that fell by more than a tenth.
func losses(ratios map[string]map[string]ratio, r *report) []string {
	const leastShare = 0.9
	var lines []string
	rivals(r, func(workload string, t *toolResult) {
		old, known := ratios[workload][t.Tool]
		if !known {
			lines = append(lines, fmt.Sprintf("%s: no baseline against %s; "+
				"write one with -update-baseline", workload, t.Tool))
			return
		}
		if t.Ratio.Wall < leastShare*old.Wall {
			lines = append(lines, fmt.Sprintf("%s: %.2fx of %s, the baseline is %.2fx "+
				"(by cpu-s %.2fx, was %.2fx; noise %.2f cores)", workload, t.Ratio.Wall, t.Tool,
				old.Wall, t.Ratio.CPU, old.CPU, t.ForeignCores))
		}
	})
	return lines
}
