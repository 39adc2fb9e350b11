package sim

import (
	"slices"
	"sync/atomic"
)

// restatedEvery is how many codes there are for one that a Restated market changes.
const restatedEvery = 20

// Restated is a market whose first version differs from the truth, as a vendor's does before it
// corrects itself. Restate switches to the truth.
type Restated struct {
	Market
	done    atomic.Bool
	changes []Change
}

var _ Market = (*Restated)(nil)

// Change is what a restatement alters: a bar's volume and amount, or the last factor of a code.
type Change struct {
	Code   string
	Date   Date
	Factor bool

	index int // of the action
}

// NewRestated returns a market that first shows other values for every twentieth code (of few codes,
// for one): a bar in the middle of its history has another volume and amount, its last action another
// factor.
func NewRestated(m Market, seed uint64) *Restated {
	r := &Restated{Market: m}
	from, to := m.Calendar().From(), m.Calendar().To()
	list := m.Securities()
	for i, s := range list {
		if i%restatedEvery != int(seed%restatedEvery)%len(list) {
			continue
		}
		bars := m.Bars(nil, s.Code, from, to)
		for k := len(bars) / 2; k < len(bars); k++ {
			if bars[k].Trading && bars[k].Empty&(ColumnVolume|ColumnAmount) == 0 {
				r.changes = append(r.changes, Change{Code: s.Code, Date: bars[k].Date})
				break
			}
		}
		if actions := m.Actions(s.Code); len(actions) > 0 {
			last := len(actions) - 1
			r.changes = append(r.changes, Change{Code: s.Code, Date: actions[last].Ex, Factor: true, index: last})
		}
	}
	return r
}

// Changes returns what Restate alters.
func (r *Restated) Changes() []Change { return r.changes }

// Restate switches to the truth.
func (r *Restated) Restate() { r.done.Store(true) }

// Bars appends the bars as the present version has them.
func (r *Restated) Bars(dst []Bar, code string, from, to Date) []Bar {
	old := len(dst)
	dst = r.Market.Bars(dst, code, from, to)
	if r.done.Load() {
		return dst
	}
	for _, c := range r.changes {
		if c.Factor || c.Code != code {
			continue
		}
		for i := old; i < len(dst); i++ {
			if dst[i].Date == c.Date {
				dst[i].Volume += 100
				dst[i].Amount += 100 * dst[i].Close
			}
		}
	}
	return dst
}

// Actions returns the ex-right days as the present version has them.
func (r *Restated) Actions(code string) []Action {
	actions := r.Market.Actions(code)
	if r.done.Load() {
		return actions
	}
	for _, c := range r.changes {
		if c.Factor && c.Code == code {
			actions = slices.Clone(actions)
			actions[c.index].Back += max(actions[c.index].Back/50_000, 1)
		}
	}
	return actions
}
