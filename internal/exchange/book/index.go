package book

import "math/bits"

// index finds an order by its id: open addressing with linear probing, id and number in one slot, so
// that most lookups touch one cache line. Deleting shifts back what follows: no slot is ever dead.
type index struct {
	slots []slot // a power of two of them
	shift uint8  // 64 less the bits of a slot's number
	used  int
}

type slot struct {
	id     uint64
	number uint32 // 0: empty
}

// firstSlots is how many slots an index starts with: it grows with what it holds, as what is small stays
// in the cache.
const firstSlots = 1 << 12

func newIndex() index {
	return index{slots: make([]slot, firstSlots), shift: uint8(64 - bits.TrailingZeros(firstSlots))}
}

// home is the slot an id would have to itself: ids that follow each other are spread evenly.
func (x *index) home(id uint64) uint64 {
	const golden = 0x9E3779B97F4A7C15
	return id * golden >> (x.shift & 63)
}

// find returns the number of an id, 0 for none.
func (x *index) find(id uint64) uint32 {
	slots := x.slots
	mask := uint64(len(slots) - 1)
	for i := x.home(id); ; i++ {
		s := &slots[i&mask]
		if s.number == 0 || s.id == id {
			return s.number
		}
	}
}

// put adds an id that is not there.
func (x *index) put(id uint64, number uint32) {
	if x.used*2 >= len(x.slots) {
		x.grow()
	}
	x.used++
	slots := x.slots
	mask := uint64(len(slots) - 1)
	i := x.home(id)
	for slots[i&mask].number != 0 {
		i++
	}
	slots[i&mask] = slot{id, number}
}

func (x *index) grow() {
	old := x.slots
	x.slots = make([]slot, 2*len(old))
	x.shift--
	x.used = 0
	for _, s := range old {
		if s.number != 0 {
			x.put(s.id, s.number)
		}
	}
}

// take removes an id and returns its number, 0 for none.
func (x *index) take(id uint64) uint32 {
	slots := x.slots
	mask := uint64(len(slots) - 1)
	hole := x.home(id) & mask
	for slots[hole].number != 0 && slots[hole].id != id {
		hole = (hole + 1) & mask
	}
	number := slots[hole].number
	if number == 0 {
		return 0
	}
	x.used--
	for i := hole; ; {
		i = (i + 1) & mask
		s := slots[i]
		if s.number == 0 {
			break
		}
		// It may fill the hole unless its home lies behind it.
		if (i-x.home(s.id))&mask >= (i-hole)&mask {
			slots[hole] = s
			hole = i
		}
	}
	slots[hole].number = 0
	return number
}
