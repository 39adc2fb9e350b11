package segment

import (
	"cmp"
	"math"
	"slices"
	"sync"
)

// Merge appends to dst the rows of all inputs in the order of the key. The keys of an input's runs
// strictly ascend; of rows with equal keys that of the last input counts.
func Merge(dst []Run, inputs [][]Run) []Run {
	m := mergers.Get().(*merger)
	defer mergers.Put(m)
	m.heads, m.order = m.heads[:0], m.order[:0]
	for i, runs := range inputs {
		m.heads = append(m.heads, head{runs: runs})
		if h := &m.heads[i]; h.next() {
			m.order = append(m.order, entry{h.prefix(), int32(i)})
		}
	}
	dst = m.merge(dst)
	clear(m.heads)
	return dst
}

// merger is a heap of inputs by their next row; of equal keys the newest comes first.
type merger struct {
	heads []head
	order []entry
	exact bool // prefixes are all of the keys
}

// entry is an input in the heap.
type entry struct {
	prefix uint64 // of the key of its next row
	at     int32  // in heads
}

// mergers is a cache of scratch memory, which holds no state between uses.
var mergers = sync.Pool{New: func() any { return &merger{} }}

// head is where an input stands.
type head struct {
	block    *Block
	row, end int
	runs     []Run // that follow
}

// next goes on to the next run with rows, if the present one is at its end.
func (h *head) next() bool {
	for h.row == h.end {
		if len(h.runs) == 0 {
			return false
		}
		h.block, h.row, h.end = h.runs[0].Block, h.runs[0].From, h.runs[0].To
		h.runs = h.runs[1:]
	}
	return true
}

func (h *head) prefix() uint64 { return prefixOf(h.block, h.row) }

// prefixOf returns a number that orders keys as far as it tells them apart.
func prefixOf(b *Block, row int) uint64 {
	const sign32, sign64 = 1 << 31, 1 << 63
	switch kinds := b.schema.kinds; kinds[0] {
	case kindInt32:
		prefix := uint64(uint32(b.Vectors[0].Int32s[row])^sign32) << 32
		if b.schema.key > 1 && kinds[1] == kindInt32 {
			prefix |= uint64(uint32(b.Vectors[1].Int32s[row]) ^ sign32)
		}
		return prefix
	case kindInt64:
		return uint64(b.Vectors[0].Int64s[row]) ^ sign64
	default: // text
		return 0
	}
}

// exactPrefix reports whether the prefix is all of the key.
func (s *Schema) exactPrefix() bool {
	switch s.kinds[0] {
	case kindInt32:
		return s.key == 1 || s.key == 2 && s.kinds[1] == kindInt32
	case kindInt64:
		return s.key == 1
	default: // text
		return false
	}
}

// compare orders the next rows of two inputs.
func (m *merger) compare(x, y *entry) int {
	if c := cmp.Compare(x.prefix, y.prefix); c != 0 || m.exact {
		return c
	}
	a, b := &m.heads[x.at], &m.heads[y.at]
	return CompareKeys(a.block, a.row, b.block, b.row)
}

func (m *merger) before(x, y *entry) bool {
	if x.prefix != y.prefix {
		return x.prefix < y.prefix
	}
	c := m.compare(x, y)
	return c < 0 || c == 0 && x.at > y.at
}

func (m *merger) merge(dst []Run) []Run {
	if len(m.order) > 0 {
		m.exact = m.heads[m.order[0].at].block.schema.exactPrefix()
	}
	for i := len(m.order)/2 - 1; i >= 0; i-- {
		m.down(i)
	}
	for len(m.order) > 1 {
		second := m.second()
		if m.compare(&m.order[0], &m.order[second]) == 0 {
			m.heads[m.order[second].at].row++ // the older of two equal keys
			m.settle(second)
			continue
		}
		first := &m.heads[m.order[0].at]
		end := m.upTo(first, &m.order[second])
		dst = appendRun(dst, first.block, first.row, end)
		first.row = end
		m.settle(0)
	}
	if len(m.order) == 1 {
		last := &m.heads[m.order[0].at]
		dst = appendRun(dst, last.block, last.row, last.end)
		for _, r := range last.runs {
			dst = appendRun(dst, r.Block, r.From, r.To)
		}
	}
	return dst
}

// appendRun joins a run to the one before where it goes on.
func appendRun(dst []Run, b *Block, from, to int) []Run {
	if n := len(dst); n > 0 && dst[n-1].Block == b && dst[n-1].To == from {
		dst[n-1].To = to
		return dst
	}
	if from == to {
		return dst
	}
	return append(dst, Run{b, from, to})
}

// second returns which entry follows the first.
func (m *merger) second() int {
	if len(m.order) > 2 && m.before(&m.order[2], &m.order[1]) {
		return 2
	}
	return 1
}

// upTo returns the first row of h whose key is not before other's, at least one further.
func (m *merger) upTo(h *head, other *entry) int {
	before := func(row int) bool {
		if prefix := prefixOf(h.block, row); m.exact || prefix != other.prefix {
			return prefix < other.prefix
		}
		o := &m.heads[other.at]
		return CompareKeys(h.block, row, o.block, o.row) < 0
	}
	step, low := 1, h.row
	for low+step < h.end && before(low+step) {
		low += step
		step *= 2
	}
	high := min(low+step, h.end) // row high is not before, or the end
	for low+1 < high {
		if middle := (low + high) / 2; before(middle) {
			low = middle
		} else {
			high = middle
		}
	}
	return high
}

// settle restores the order after the input of an entry went on.
func (m *merger) settle(i int) {
	if h := &m.heads[m.order[i].at]; h.next() {
		m.order[i].prefix = h.prefix()
	} else {
		last := len(m.order) - 1
		m.order[i] = m.order[last]
		if m.order = m.order[:last]; i == last {
			return
		}
	}
	m.down(i)
}

func (m *merger) down(i int) {
	for {
		child := 2*i + 1
		if child >= len(m.order) {
			return
		}
		if child+1 < len(m.order) && m.before(&m.order[child+1], &m.order[child]) {
			child++
		}
		if !m.before(&m.order[child], &m.order[i]) {
			return
		}
		m.order[i], m.order[child] = m.order[child], m.order[i]
		i = child
	}
}

// Sorted reports whether the keys of the block, which holds its key, strictly ascend.
func (b *Block) Sorted() bool {
	for row := 1; row < b.rows; row++ {
		if CompareKeys(b, row-1, b, row) >= 0 {
			return false
		}
	}
	return true
}

// Sort returns the rows as runs in the order of the key, of equal keys only the last row.
func (b *Block) Sort() []Run {
	if b.Sorted() {
		return []Run{b.Whole()}
	}
	if b.rows > math.MaxInt32 {
		panic("segment: a block of more than 2^31 rows")
	}
	type row struct {
		prefix uint64
		at     int32
	}
	rows, exact := make([]row, b.rows), b.schema.exactPrefix()
	for i := range rows {
		rows[i] = row{prefixOf(b, i), int32(i)}
	}
	keys := func(x, y row) int {
		if c := cmp.Compare(x.prefix, y.prefix); c != 0 || exact {
			return c
		}
		return CompareKeys(b, int(x.at), b, int(y.at))
	}
	slices.SortFunc(rows, func(x, y row) int {
		if c := keys(x, y); c != 0 {
			return c
		}
		return cmp.Compare(x.at, y.at)
	})
	var out []Run
	for i, r := range rows {
		if i+1 < len(rows) && keys(r, rows[i+1]) == 0 {
			continue
		}
		out = appendRun(out, b, int(r.at), int(r.at)+1)
	}
	return out
}
