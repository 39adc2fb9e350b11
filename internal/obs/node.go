package obs

import (
	"sync/atomic"
	"time"
)

// Node counts what one node of a workflow did, added up over its parallel workers. The zero value
// is ready. Safe for concurrent use.
type Node struct {
	RowsIn       atomic.Int64
	RowsOut      atomic.Int64
	Rejected     atomic.Int64 // rows that became dead letters
	Bytes        atomic.Int64
	Batches      atomic.Int64
	Retries      atomic.Int64
	BusyNanos    atomic.Int64
	BlockedNanos atomic.Int64 // waiting for credit, or for the next node
	StateBytes   atomic.Int64
	Latency      Histogram // of a batch, from its reading to its writing
}

// Busy adds the time since the work began.
func (n *Node) Busy(since time.Time) { n.BusyNanos.Add(int64(time.Since(since))) }

// Blocked adds the time since the wait began.
func (n *Node) Blocked(since time.Time) { n.BlockedNanos.Add(int64(time.Since(since))) }

// figure is one of a node's counters with its name for Prometheus.
type figure struct {
	name, help string
	value      float64
}

// figures returns the counters, in units of seconds and bytes.
func (n *Node) figures() []figure {
	return []figure{
		{"tapeline_flow_rows_in_total", "rows that entered the node", float64(n.RowsIn.Load())},
		{"tapeline_flow_rows_out_total", "rows that left the node", float64(n.RowsOut.Load())},
		{"tapeline_flow_rows_rejected_total", "rows refused", float64(n.Rejected.Load())},
		{"tapeline_flow_data_bytes_total", "bytes through the node", float64(n.Bytes.Load())},
		{"tapeline_flow_batches_total", "batches through the node", float64(n.Batches.Load())},
		{"tapeline_flow_retries_total", "calls that were repeated", float64(n.Retries.Load())},
		{"tapeline_flow_busy_seconds_total", "time at work", seconds(n.BusyNanos.Load())},
		{"tapeline_flow_blocked_seconds_total", "time waiting", seconds(n.BlockedNanos.Load())},
		{"tapeline_flow_state_bytes", "size of the node's state", float64(n.StateBytes.Load())},
	}
}

func seconds(nanos int64) float64 { return time.Duration(nanos).Seconds() }
