package run

import (
	"sync/atomic"
	"time"

	"github.com/tapeline/tapeline/internal/flow/plan"
	"github.com/tapeline/tapeline/internal/obs"
)

// meter counts what one node did over all attempts of a run.
type meter struct {
	obs.Node
	node     *plan.Node
	cpuNanos atomic.Int64 // the part of busy that computes instead of waiting for a system
}

// worked adds computing time since the work began.
func (m *meter) worked(since time.Time) {
	took := int64(time.Since(since))
	m.BusyNanos.Add(took)
	m.cpuNanos.Add(took)
}

// add counts a batch through the node.
func (c count) add() {
	c.meter.RowsIn.Add(int64(c.in))
	c.meter.RowsOut.Add(int64(c.out))
	c.meter.Rejected.Add(int64(c.rejected))
	c.meter.Batches.Add(1)
}

// rows returns the counters that a manifest keeps.
func (m *meter) rows() [3]int64 {
	return [3]int64{m.RowsIn.Load(), m.RowsOut.Load(), m.Rejected.Load()}
}
