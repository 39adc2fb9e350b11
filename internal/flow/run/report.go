package run

import (
	"maps"
	"time"

	"github.com/tapeline/tapeline/internal/flow/plan"
)

// Report is what a run did, for people and programs. Counters are since the run began, over all
// resumptions; seconds are of this process.
type Report struct {
	Workflow    string  `json:"workflow"`
	Run         string  `json:"run"`
	Status      Status  `json:"status"`
	RowsIn      int64   `json:"rows_in"`
	RowsOut     int64   `json:"rows_out"`
	RowsResumed int64   `json:"rows_in_resumed"` // of rows_in, those read before this process
	BytesIn     int64   `json:"bytes_in"`
	Seconds     float64 `json:"seconds"`
	Checkpoints int64   `json:"checkpoints"`
	Restarts    int64   `json:"restarts"`
	DeadLetters int64   `json:"dead_letters"`
	Unasked     int64   `json:"dead_letters_unasked"`
	// FirstDead are the first of the unasked ones in this process.
	FirstDead []DeadExample `json:"first_dead_letters,omitempty"`
	// Cores and InFlightBytes were measured: computing seconds over wall seconds, and the most bytes of
	// rows held at once. The next run is placed by them unless the document declares more.
	Cores         float64          `json:"cores"`
	InFlightBytes int64            `json:"in_flight_bytes_max"`
	Nodes         []NodeReport     `json:"nodes"`
	Stages        []StageReport    `json:"stages"`
	Checkpoint    CheckpointReport `json:"last_checkpoint"`
	Error         string           `json:"error,omitempty"`
}

// NodeReport is what one node did. Busy and blocked add up over parallel workers. Blocked is waiting
// for other nodes, or to repeat a call; a source that waits for rows to come into being is neither.
type NodeReport struct {
	ID             string  `json:"id"`
	Type           string  `json:"type"`
	Kind           string  `json:"kind"`
	RowsIn         int64   `json:"rows_in"`
	RowsOut        int64   `json:"rows_out"`
	Rejected       int64   `json:"rejected"`
	Bytes          int64   `json:"bytes"`
	Batches        int64   `json:"batches"`
	BusySeconds    float64 `json:"busy_seconds"`
	BlockedSeconds float64 `json:"blocked_seconds"`
	Retries        int64   `json:"retries"`
	BatchRows      int     `json:"batch_rows,omitempty"` // sources: rows of a batch now
	StateBytes     int64   `json:"state_bytes,omitempty"`
	// Latency of batches from reading until the last sink took them; sources only.
	LatencyP50 float64 `json:"latency_p50_seconds,omitempty"`
	LatencyP99 float64 `json:"latency_p99_seconds,omitempty"`
	// Warnings count rows of this process that passed though a rule warned, by rule.
	Warnings map[string]int64 `json:"warnings,omitempty"`
}

// StageReport says how busy a stage is: busy seconds of its nodes over wall seconds of its workers.
type StageReport struct {
	ID          string   `json:"id"`
	Nodes       []string `json:"nodes"`
	Workers     int      `json:"workers"`
	Utilisation float64  `json:"utilisation"`
}

// CheckpointReport describes the newest committed checkpoint.
type CheckpointReport struct {
	Epoch         uint64           `json:"epoch"`
	Time          time.Time        `json:"time"`
	ManifestBytes int              `json:"manifest_bytes"`
	StateBytes    map[string]int64 `json:"state_bytes,omitempty"` // node -> bytes written
}

// Snapshot returns the report as of now; it may be called while the run goes on.
func (w *Workflow) Snapshot() Report {
	seconds := time.Since(w.begun).Seconds()
	w.mu.Lock()
	run, dead, last := w.record.ID, w.dead, w.last
	warnings := make(map[string]map[string]int64, len(w.warnings))
	for node, counts := range w.warnings {
		warnings[node] = maps.Clone(counts)
	}
	w.mu.Unlock()
	r := Report{
		Workflow: w.name, Run: run, Checkpoint: last, Status: w.Status(), Seconds: seconds,
		RowsResumed:   w.resumedRows.Load(),
		InFlightBytes: w.inFlight.Load(), Checkpoints: w.checkpoints.Load(), Restarts: w.restarts.Load(),
	}
	if dead != nil {
		asked, other := dead.counts()
		r.DeadLetters, r.Unasked, r.FirstDead = asked+other, other, dead.examples()
	}
	for _, n := range w.plan.Workflow.Nodes {
		m := w.meters[n]
		node := NodeReport{
			ID: n.ID, Type: n.Type, Kind: n.Kind.String(),
			RowsIn: m.RowsIn.Load(), RowsOut: m.RowsOut.Load(), Rejected: m.Rejected.Load(),
			Bytes: m.Bytes.Load(), Batches: m.Batches.Load(), Retries: m.Retries.Load(),
			BusySeconds:    time.Duration(m.BusyNanos.Load()).Seconds(),
			BlockedSeconds: time.Duration(m.BlockedNanos.Load()).Seconds(),
			StateBytes:     m.StateBytes.Load(),
			Warnings:       warnings[n.ID],
		}
		if seconds > 0 {
			r.Cores += time.Duration(m.cpuNanos.Load()).Seconds() / seconds
		}
		switch n.Kind {
		case plan.Source:
			r.RowsIn += node.RowsIn
			r.BytesIn += node.Bytes
			node.BatchRows = w.batchers[n].size()
			q := m.Latency.Quantiles()
			node.LatencyP50, node.LatencyP99 = q.P50.Seconds(), q.P99.Seconds()
		case plan.Destination:
			r.RowsOut += node.RowsOut
		}
		r.Nodes = append(r.Nodes, node)
	}
	for _, s := range w.plan.Stages {
		r.Stages = append(r.Stages, w.stageReport(s, seconds))
	}
	return r
}

func (w *Workflow) stageReport(s *plan.Stage, seconds float64) StageReport {
	stage := StageReport{ID: s.ID, Workers: s.Workers}
	busy := 0.0
	for _, n := range s.Nodes() {
		stage.Nodes = append(stage.Nodes, n.ID)
		busy += time.Duration(w.meters[n].BusyNanos.Load()).Seconds()
	}
	if seconds > 0 {
		stage.Utilisation = busy / (seconds * float64(s.Workers))
	}
	return stage
}
