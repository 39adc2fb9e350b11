package store

// piece is a run of rows of one input of a merge.
type piece struct {
	block *block
	row   int // next
	end   int
}

// merger yields the rows of several sorted inputs in order of the key; of equal keys only that of
// the last input. It copies whole runs where an input's rows lie before all others'.
type merger struct {
	order  order
	inputs []piece // ascending age: the last is the newest
	emit   func(b *block, from, to int)
}

// merge emits all rows in order.
func (m *merger) merge() {
	live := make([]int, 0, len(m.inputs))
	for i := range m.inputs {
		if m.inputs[i].row < m.inputs[i].end {
			live = append(live, i)
		}
	}
	h := heads{m, live}
	h.build()
	for len(h.at) > 1 {
		first := &m.inputs[h.at[0]]
		second := h.second()
		if m.order.compare(first.block, first.row, second.block, second.row) == 0 {
			// The newer of two equal keys comes first in the heap; the older one is skipped.
			h.drop(first)
			continue
		}
		end := m.run(first, second)
		m.emit(first.block, first.row, end)
		first.row = end
		h.settle()
	}
	if len(h.at) == 1 {
		last := &m.inputs[h.at[0]]
		m.emit(last.block, last.row, last.end)
	}
}

// run returns the first row of p whose key is not before other's head, at least one further.
func (m *merger) run(p, other *piece) int {
	before := func(row int) bool {
		return m.order.compare(p.block, row, other.block, other.row) < 0
	}
	step, low := 1, p.row
	for low+step < p.end && before(low+step) {
		low += step
		step *= 2
	}
	high := min(low+step, p.end) // row high is not before, or the end
	for low+1 < high {
		if middle := (low + high) / 2; before(middle) {
			low = middle
		} else {
			high = middle
		}
	}
	return high
}

// heads is a heap of inputs by their next row; of equal keys the newest is first.
type heads struct {
	m  *merger
	at []int
}

func (h *heads) less(i, j int) bool {
	a, b := &h.m.inputs[h.at[i]], &h.m.inputs[h.at[j]]
	if c := h.m.order.compare(a.block, a.row, b.block, b.row); c != 0 {
		return c < 0
	}
	return h.at[i] > h.at[j]
}

func (h *heads) build() {
	for i := len(h.at)/2 - 1; i >= 0; i-- {
		h.down(i)
	}
}

func (h *heads) down(i int) {
	for {
		child := 2*i + 1
		if child >= len(h.at) {
			return
		}
		if child+1 < len(h.at) && h.less(child+1, child) {
			child++
		}
		if !h.less(child, i) {
			return
		}
		h.at[i], h.at[child] = h.at[child], h.at[i]
		i = child
	}
}

// second returns the input whose head follows the first's.
func (h *heads) second() *piece {
	at := 1
	if len(h.at) > 2 && h.less(2, 1) {
		at = 2
	}
	return &h.m.inputs[h.at[at]]
}

// settle restores the order after the first input went on.
func (h *heads) settle() { h.fix(0) }

func (h *heads) fix(i int) {
	if p := &h.m.inputs[h.at[i]]; p.row == p.end {
		last := len(h.at) - 1
		h.at[i] = h.at[last]
		h.at = h.at[:last]
	}
	if i < len(h.at) {
		h.down(i)
	}
}

// drop skips, in all other inputs, the head that equals the first's.
func (h *heads) drop(first *piece) {
	for {
		at := 1
		if len(h.at) < 2 {
			return
		}
		if len(h.at) > 2 && h.less(2, 1) {
			at = 2
		}
		other := &h.m.inputs[h.at[at]]
		if h.m.order.compare(first.block, first.row, other.block, other.row) != 0 {
			return
		}
		other.row++
		h.fix(at)
	}
}

// mergeAll returns the merged rows of the inputs, the last being the newest.
func mergeAll(o order, inputs []piece) *block {
	if len(inputs) == 1 {
		return inputs[0].block.slice(inputs[0].row, inputs[0].end)
	}
	rows := 0
	for _, p := range inputs {
		rows += p.end - p.row
	}
	out := inputs[len(inputs)-1].block.empty(rows)
	m := merger{order: o, inputs: inputs, emit: out.appendRows}
	m.merge()
	return out
}
