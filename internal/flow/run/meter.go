package run

import (
	"github.com/tapeline/tapeline/internal/flow/plan"
	"github.com/tapeline/tapeline/internal/obs"
)

// meter counts what one node did over all attempts of a run.
type meter struct {
	obs.Node
	node *plan.Node
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
