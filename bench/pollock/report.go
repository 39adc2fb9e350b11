package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"text/tabwriter"

	"github.com/tapeline/tapeline/bench/pollock/cases"
)

// report is one run; the first engine is ours.
type report struct {
	cases   []cases.Case
	weights map[string]float64
	Engines []result `json:"engines"`
}

// result is one engine's.
type result struct {
	Engine   string  `json:"engine"`
	Settings string  `json:"settings"`
	Simple   float64 `json:"simple"`
	Weighted float64 `json:"weighted"`
	Better   int     `json:"better"` // cases where ours is better than this engine
	Worse    int     `json:"worse"`  // cases where this engine is better than ours
	Cases    []score `json:"cases"`
}

// score is one case's, of at most 10.
type score struct {
	Case  string  `json:"case"`
	Score float64 `json:"score"`
	Ours  float64 `json:"ours"`
	Rows  int     `json:"rows"`
	Error string  `json:"error,omitempty"`
}

// add scores an engine on all cases.
func (r *report) add(e engine) {
	got := result{Engine: e.name, Settings: e.settings}
	var scores []float64
	for i, c := range r.cases {
		rows, err := e.read(c)
		s := score{Case: c.Name, Score: c.Score(rows, err), Rows: len(rows)}
		if err != nil {
			s.Error = err.Error()
		}
		s.Ours = s.Score
		if len(r.Engines) > 0 {
			s.Ours = r.Engines[0].Cases[i].Score
		}
		switch {
		case s.Ours > s.Score:
			got.Better++
		case s.Ours < s.Score:
			got.Worse++
		}
		got.Cases, scores = append(got.Cases, s), append(scores, s.Score)
	}
	got.Simple, got.Weighted = cases.Means(r.cases, scores, r.weights)
	r.Engines = append(r.Engines, got)
}

// print writes the table, and under it the cases behind the scores.
func (r *report) print(target io.Writer, worst int) {
	table := tabwriter.NewWriter(target, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "engine\tfiles\tsimple\tweighted\tours better\tours worse\tsettings")
	for i, e := range r.Engines {
		better, worse := strconv.Itoa(e.Better), strconv.Itoa(e.Worse)
		if i == 0 {
			better, worse = "", ""
		}
		fmt.Fprintf(table, "%s\t%d\t%.4f\t%.4f\t%s\t%s\t%s\n", e.Engine, len(e.Cases), e.Simple, e.Weighted,
			better, worse, e.Settings)
	}
	for _, e := range r.Engines {
		fmt.Fprintf(table, "\nworst of %s\tscore\tours\trows\t\n", e.Engine)
		e.list(table, worst, func(s score) bool { return s.Score < 10 })
		if e.Worse > 0 {
			fmt.Fprintf(table, "\nbetter than ours: %s\tscore\tours\trows\t\n", e.Engine)
			e.list(table, e.Worse, func(s score) bool { return s.Ours < s.Score })
		}
	}
	if err := table.Flush(); err != nil {
		fmt.Fprintln(os.Stderr, "bench/pollock: print table:", err)
	}
}

// list prints the lowest of some scores.
func (e result) list(target io.Writer, most int, choose func(score) bool) {
	chosen := slices.DeleteFunc(slices.Clone(e.Cases), func(s score) bool { return !choose(s) })
	slices.SortStableFunc(chosen, func(a, b score) int { return cmp.Compare(a.Score, b.Score) })
	for _, s := range chosen[:min(most, len(chosen))] {
		fmt.Fprintf(target, "%s\t%.4f\t%.4f\t%d\t%.100s\n", s.Case, s.Score, s.Ours, s.Rows, s.Error)
	}
}

// write writes all as JSON.
func (r *report) write(path string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

// judge returns an error for each engine that ours is not above.
func (r *report) judge() (failed error) {
	for _, e := range r.Engines[1:] {
		ours := r.Engines[0]
		if ours.Simple <= e.Simple || ours.Weighted <= e.Weighted {
			failed = errors.Join(failed, fmt.Errorf("ours is not above %s: simple %.4f to %.4f, weighted %.4f to %.4f",
				e.Engine, ours.Simple, e.Simple, ours.Weighted, e.Weighted))
		}
	}
	return failed
}
