package run

import (
	"sync/atomic"
	"time"

	"github.com/tapeline/tapeline/internal/flow/plan"
)

// meter counts what one node did over all attempts of a run. Safe for concurrent use.
type meter struct {
	node         *plan.Node
	rowsIn       atomic.Int64
	rowsOut      atomic.Int64
	bytes        atomic.Int64
	batches      atomic.Int64
	rejected     atomic.Int64
	busyNanos    atomic.Int64
	blockedNanos atomic.Int64
	retries      atomic.Int64
	stateBytes   atomic.Int64
}

func (m *meter) busy(since time.Time) { m.busyNanos.Add(int64(time.Since(since))) }

func (m *meter) blocked(since time.Time) { m.blockedNanos.Add(int64(time.Since(since))) }

// add counts a batch through the node.
func (c count) add() {
	c.meter.rowsIn.Add(int64(c.in))
	c.meter.rowsOut.Add(int64(c.out))
	c.meter.rejected.Add(int64(c.rejected))
	c.meter.batches.Add(1)
}

// rows returns the counters that a manifest keeps.
func (m *meter) rows() [3]int64 {
	return [3]int64{m.rowsIn.Load(), m.rowsOut.Load(), m.rejected.Load()}
}
