package ingest

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/tapeline/tapeline/internal/store"
)

// StoreStatus is what a store holds and what was done to it last.
type StoreStatus struct {
	Store    string         `json:"store"`
	Sequence int64          `json:"sequence"`
	Datasets []StoreDataset `json:"datasets"`
	Runs     []RunStatus    `json:"runs"` // newest first
}

// StoreDataset are the sizes of a dataset.
type StoreDataset struct {
	Dataset  string `json:"dataset"`
	Rows     int64  `json:"rows"` // stored, replaced ones included
	Bytes    int64  `json:"bytes"`
	Segments int    `json:"segments"`
	First    string `json:"first,omitempty"`
	Last     string `json:"last,omitempty"`
}

// RunStatus is one sync in short.
type RunStatus struct {
	Run      string    `json:"run"`
	Status   Status    `json:"status"`
	Started  time.Time `json:"started"`
	Seconds  float64   `json:"seconds"`
	Provider string    `json:"provider"`
	Symbols  int       `json:"symbols"`
	Rows     RowCounts `json:"rows"`
	Requests int64     `json:"requests"`
	Missing  int       `json:"missing"`
	Error    string    `json:"error,omitempty"`
}

// ReadStatus reads a store's sizes and its newest syncs.
func ReadStatus(ctx context.Context, s *store.Store, runs int) (*StoreStatus, error) {
	view, err := s.View(ctx, 0)
	if err != nil {
		return nil, err
	}
	status := &StoreStatus{
		Store: s.Dir(), Sequence: int64(view.Seq()), Datasets: []StoreDataset{}, Runs: []RunStatus{},
	}
	if err := view.Close(); err != nil {
		return nil, err
	}
	sizes, err := s.Stats(ctx)
	if err != nil {
		return nil, err
	}
	for _, size := range sizes {
		d := StoreDataset{
			Dataset: size.Dataset, Rows: size.Rows, Bytes: size.Bytes, Segments: size.Segments,
		}
		if size.First <= size.Last && size.Last != 0 {
			d.First, d.Last = size.First.String(), size.Last.String()
		}
		status.Datasets = append(status.Datasets, d)
	}
	reports, err := s.Reports(ctx, ReportKind, runs)
	if err != nil {
		return nil, err
	}
	for _, saved := range reports {
		var r Report
		if err := json.Unmarshal(saved.JSON, &r); err != nil {
			return nil, fmt.Errorf("report of run %s in %s: %w", saved.Run, s.Dir(), err)
		}
		status.Runs = append(status.Runs, RunStatus{
			Run: r.Run, Status: r.Status, Started: r.Started, Seconds: r.TotalDuration, Provider: r.Provider,
			Symbols: r.Symbols, Rows: r.Rows, Requests: r.Traffic.Requests, Missing: len(r.Missing), Error: r.Error,
		})
	}
	return status, nil
}

// Text returns the status for people.
func (s *StoreStatus) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s at commit %d\n", s.Store, s.Sequence)
	for _, d := range s.Datasets {
		fmt.Fprintf(&b, "  %-12s %d rows, %d bytes in %d segments", d.Dataset, d.Rows, d.Bytes, d.Segments)
		if d.First != "" {
			fmt.Fprintf(&b, ", %s..%s", d.First, d.Last)
		}
		b.WriteString("\n")
	}
	for _, r := range s.Runs {
		fmt.Fprintf(&b, "  sync %s %s: %d symbols, %d rows received, %d new, %d changed, %d requests, %d missing, %.1f s",
			r.Started.Local().Format(time.DateTime), r.Status, r.Symbols, r.Rows.Received, r.Rows.New, r.Rows.Changed,
			r.Requests, r.Missing, r.Seconds)
		if r.Error != "" {
			fmt.Fprintf(&b, ": %s", r.Error)
		}
		b.WriteString("\n")
	}
	return b.String()
}
