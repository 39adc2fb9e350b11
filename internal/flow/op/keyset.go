package op

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"math"
	"slices"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
)

// keyGroups is into how many groups keys are divided, so that state can move by group when the
// parallelism changes. It is part of the encoding.
const keyGroups = 64

// keySet is an exact set of keys with an optional window: a key is forgotten once its stamp is
// below the floor. Keys are stored in full, one after the other in the order they came, so the
// change since a mark is the bytes behind it.
// invariant: an increment holds the keys added since the last snapshot, and nothing else
type keySet struct {
	seed   maphash.Seed
	stamps bool // records begin with a stamp
	floor  int64
	groups [keyGroups]keyGroup
	count  int // keys in slots, those forgotten since their group grew included
	most   int // keys; 0: no bound
}

// keyGroup is the part of a set that one group of keys makes up.
type keyGroup struct {
	records []byte   // [stamp varint] [length uvarint] [key], repeated
	slots   []uint32 // open addressing: position in records + 1; 0 is free
	used    int      // slots taken
	saved   int      // bytes of records that a snapshot holds
	limit   int      // bytes of records at which forgotten ones are looked for
}

// maxGroupBytes bounds a group so that its positions fit a slot.
const maxGroupBytes = math.MaxUint32 - 1<<20

var errGroupFull = errors.New("more than 256 GiB of keys: set a window")

// defaultMaxKeys take up to 2.8 GB as keys of one int64 column.
const defaultMaxKeys = 100_000_000

func newKeySet(stamps bool) *keySet {
	return &keySet{seed: maphash.MakeSeed(), stamps: stamps, floor: math.MinInt64}
}

// minCompactBytes is the size from which a group looks for forgotten records.
const minCompactBytes = 4096

// add reports whether the key was not in the set, and adds it with the stamp if so. A key whose
// stamp is below the floor is forgotten at once.
func (s *keySet) add(key []byte, stamp int64) (bool, error) {
	g := &s.groups[groupOf(key)]
	if 4*(g.used+1) > 3*len(g.slots) || s.stamps && len(g.records) > max(g.limit, minCompactBytes) {
		s.grow(g)
	}
	slot, at := s.find(g, key)
	if at >= 0 {
		if !s.stamps || s.stampAt(g, at) >= s.floor {
			return false, nil
		}
	}
	if s.stamps && stamp < s.floor {
		return true, nil
	}
	if at < 0 {
		if s.most > 0 && s.count >= s.allowed() {
			if err := s.squeeze(); err != nil {
				return false, err
			}
			slot, _ = s.find(g, key)
		}
		g.used++
		s.count++
	}
	if len(g.records)+len(key) > maxGroupBytes {
		return false, errGroupFull
	}
	g.slots[slot] = uint32(len(g.records)) + 1
	if s.stamps {
		g.records = binary.AppendVarint(g.records, stamp)
	}
	g.records = binary.AppendUvarint(g.records, uint64(len(key)))
	g.records = append(g.records, key...)
	return true, nil
}

// has reports whether the key is in the set.
func (s *keySet) has(key []byte) bool {
	g := &s.groups[groupOf(key)]
	if len(g.slots) == 0 {
		return false
	}
	_, at := s.find(g, key)
	return at >= 0 && (!s.stamps || s.stampAt(g, at) >= s.floor)
}

// allowed is the number of keys at which forgotten ones are looked for in all groups: so many above
// the bound that looking for them is rare.
func (s *keySet) allowed() int {
	if s.stamps {
		return s.most + s.most/2 + 1
	}
	return s.most
}

// squeeze drops all forgotten keys, and fails when the bound is reached without them.
func (s *keySet) squeeze() error {
	for i := range s.groups {
		if s.stamps && s.groups[i].used > 0 {
			s.grow(&s.groups[i])
		}
	}
	if s.count < s.most {
		return nil
	}
	return &connector.Error{
		Class: connector.Permanent, Code: "too_many_keys",
		Err:  fmt.Errorf("%d keys are remembered, as many as max_keys allows", s.count),
		Hint: "raise max_keys where there is memory for more, or set a window, and run again",
	}
}

// find returns the slot of a key and the position of its record, or the free slot it would take
// and -1.
func (s *keySet) find(g *keyGroup, key []byte) (slot, at int) {
	mask := len(g.slots) - 1
	slot = int(maphash.Bytes(s.seed, key)) & mask
	for g.slots[slot] != 0 {
		at = int(g.slots[slot]) - 1
		if _, stored, _ := s.record(g.records[at:]); bytes.Equal(stored, key) {
			return slot, at
		}
		slot = (slot + 1) & mask
	}
	return slot, -1
}

// record reads the record at the start of data and returns its size, 0 when it is cut off.
func (s *keySet) record(data []byte) (stamp int64, key []byte, size int) {
	if s.stamps {
		v, n := binary.Varint(data)
		if n <= 0 {
			return 0, nil, 0
		}
		stamp, size = v, n
	}
	length, n := binary.Uvarint(data[size:])
	if n <= 0 || length > uint64(len(data)-size-n) {
		return 0, nil, 0
	}
	size += n
	return stamp, data[size : size+int(length)], size + int(length)
}

func (s *keySet) stampAt(g *keyGroup, at int) int64 {
	stamp, _, _ := s.record(g.records[at:])
	return stamp
}

// forget sets the floor: keys with a lower stamp are not in the set any more. Their memory is
// freed as groups grow.
func (s *keySet) forget(floor int64) { s.floor = max(s.floor, floor) }

// grow drops what is forgotten and makes room for as many keys again.
func (s *keySet) grow(g *keyGroup) {
	before := g.used
	if s.stamps {
		s.compact(g)
	}
	s.count += s.index(g, 2*(g.used+1)) - before
	g.limit = 2 * len(g.records)
}

// compact drops forgotten records, and old ones of keys that came again.
func (s *keySet) compact(g *keyGroup) {
	kept := 0
	saved := 0
	for at := 0; at < len(g.records); {
		stamp, _, size := s.record(g.records[at:])
		if stamp >= s.floor {
			copy(g.records[kept:], g.records[at:at+size])
			kept += size
			if at < g.saved {
				saved = kept
			}
		}
		at += size
	}
	g.records, g.saved = g.records[:kept], saved
	if cap(g.records) > 4*kept {
		g.records = append([]byte(nil), g.records...)
	}
	g.used = 0
	for at := 0; at < kept; g.used++ {
		_, _, size := s.record(g.records[at:])
		at += size
	}
}

// index fills new slots for at least the given number from the records; the newest record of a
// key counts. It returns the number of keys.
func (s *keySet) index(g *keyGroup, slots int) int {
	size := 16
	for size < slots {
		size *= 2
	}
	g.slots, g.used = make([]uint32, size), 0
	for at := 0; at < len(g.records); {
		_, key, size := s.record(g.records[at:])
		slot, found := s.find(g, key)
		if found < 0 {
			g.used++
		}
		g.slots[slot] = uint32(at) + 1
		at += size
	}
	return g.used
}

// groupOf is a hash that stays the same across runs and versions: it is part of the encoding.
func groupOf(key []byte) int {
	h := uint64(len(key))
	for ; len(key) >= 8; key = key[8:] {
		h = mix(h ^ binary.LittleEndian.Uint64(key))
	}
	var tail [8]byte
	copy(tail[:], key)
	return int(mix(h^binary.LittleEndian.Uint64(tail[:])) % keyGroups)
}

// bytes estimates the memory of the set.
func (s *keySet) bytes() int {
	size := 0
	for i := range s.groups {
		size += cap(s.groups[i].records) + 4*cap(s.groups[i].slots)
	}
	return size
}

// write encodes all groups, or what was added since the last write, and marks it as saved.
func (s *keySet) write(w *stateWriter, base bool) {
	w.int(s.floor)
	groups := uint64(0)
	for i := range s.groups {
		g := &s.groups[i]
		if base && s.stamps && g.used > 0 {
			s.grow(g)
		}
		if len(g.unsaved(base)) > 0 {
			groups++
		}
	}
	w.uint(groups)
	for i := range s.groups {
		g := &s.groups[i]
		if part := g.unsaved(base); len(part) > 0 {
			w.uint(uint64(i))
			w.bytes(part)
		}
		g.saved = len(g.records)
	}
}

func (g *keyGroup) unsaved(base bool) []byte {
	if base {
		return g.records
	}
	return g.records[g.saved:]
}

// read adds what write encoded; finish makes the set usable.
func (s *keySet) read(r *stateReader) error {
	s.floor = max(s.floor, r.int())
	for range r.count(2) {
		group := r.uint()
		part := r.bytes()
		if r.err != nil || group >= keyGroups {
			r.fail("unknown key group")
			return r.err
		}
		for at := 0; at < len(part); {
			_, key, size := s.record(part[at:])
			if size == 0 || groupOf(key) != int(group) {
				return fmt.Errorf("%w: record %d of key group %d", errState, at, group)
			}
			at += size
		}
		g := &s.groups[group]
		g.records = append(g.records, part...)
	}
	return r.err
}

// finish indexes what read added.
func (s *keySet) finish() {
	s.count = 0
	for i := range s.groups {
		g := &s.groups[i]
		if len(g.records) == 0 {
			continue
		}
		g.used = 0
		for at := 0; at < len(g.records); g.used++ {
			_, _, size := s.record(g.records[at:])
			at += size
		}
		s.count += s.index(g, 2*(g.used+1))
		g.saved = len(g.records)
	}
}

// keyTypes are the types of the columns that keys were made of. The same value of another type is
// another key, so a column keeps its type.
type keyTypes []TypedColumn

// see notes the types of columns, and refuses one that was another before.
func (k *keyTypes) see(path string, in *batch.Schema, columns []int) error {
	for _, at := range columns {
		f := TypedColumn{in.Field(at).Name, in.Field(at).Type.String()}
		i := slices.IndexFunc(*k, func(g TypedColumn) bool { return g.Name == f.Name })
		switch {
		case in.Field(at).Type.Kind == batch.Null: // its keys are those of NULL
		case i < 0:
			*k = append(*k, f)
		case (*k)[i] != f:
			return &ConfigError{path, &connector.Error{
				Class: connector.Schema, Code: "key_type_changed",
				Err:  fmt.Errorf("column %s is %s, and was %s in the rows that are remembered", f.Name, f.Type, (*k)[i].Type),
				Hint: "cast the column before this node, so that equal values stay equal",
			}}
		}
	}
	return nil
}

func (k keyTypes) write(w *stateWriter) {
	w.uint(uint64(len(k)))
	for _, f := range k {
		w.text(f.Name)
		w.text(f.Type)
	}
}

func readKeyTypes(r *stateReader) (k keyTypes) {
	for range r.count(2) {
		k = append(k, TypedColumn{r.text(), r.text()})
	}
	return k
}
