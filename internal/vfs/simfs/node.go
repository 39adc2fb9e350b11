package simfs

import (
	"maps"
	"math/rand/v2"
	"slices"
	"time"
)

// sectorBytes is what a disk writes in one piece.
const sectorBytes = 512

// node is a file or a folder, without its name.
type node struct {
	folder   bool
	modified time.Time

	data    []byte  // file: what readers see
	synced  []byte  // file: what survives; never altered in place
	pending []write // file: from synced to data

	entries        map[string]*node // folder: what readers see
	syncedEntries  map[string]*node // folder: what survives
	pendingEntries [][]link         // folder: each inner slice is one step
}

// write is a change of a file that is not synced.
type write struct {
	offset int
	bytes  []byte
	cut    bool // a truncation to offset instead
	doomed bool // a Sync failed after it: no later Sync saves it
}

// link is a change of a folder's entry; a nil node removes it.
type link struct {
	name string
	node *node
}

func newFolder() *node {
	return &node{
		folder: true, modified: time.Now(),
		entries: map[string]*node{}, syncedEntries: map[string]*node{},
	}
}

// change applies w to what readers see and remembers it.
func (n *node) change(w write) {
	n.data = w.apply(n.data)
	n.pending = append(n.pending, w)
	n.modified = time.Now()
}

// apply returns content with the change made. The result shares no memory with w.
func (w write) apply(content []byte) []byte {
	end := w.offset + len(w.bytes)
	if len(content) < end {
		content = append(content, make([]byte, end-len(content))...)
	}
	if w.cut {
		return content[:w.offset]
	}
	copy(content[w.offset:], w.bytes)
	return content
}

// sync makes the pending writes durable, but for the doomed.
func (n *node) sync() {
	content := slices.Clone(n.synced)
	var doomed []write
	for _, w := range n.pending {
		if w.doomed {
			doomed = append(doomed, w)
			continue
		}
		content = w.apply(content)
	}
	n.synced, n.pending = content, doomed
}

// doom marks the pending writes after a failed sync.
func (n *node) doom() {
	for i := range n.pending {
		n.pending[i].doomed = true
	}
}

// link makes one step of changes of a folder.
func (n *node) link(step ...link) {
	applyLinks(n.entries, step)
	n.pendingEntries = append(n.pendingEntries, step)
	n.modified = time.Now()
}

func applyLinks(entries map[string]*node, step []link) {
	for _, l := range step {
		if l.node == nil {
			delete(entries, l.name)
		} else {
			entries[l.name] = l.node
		}
	}
}

// syncEntries makes the entries of a folder durable.
func (n *node) syncEntries() {
	n.syncedEntries = maps.Clone(n.entries)
	n.pendingEntries = nil
}

// crash returns what is left of the node. Which of the three fates a node has is drawn first, as
// single coins alone would almost never lose, or keep, all of a long list.
func (n *node) crash(random *rand.Rand) *node {
	keep := func() bool { return random.IntN(2) == 0 }
	switch random.IntN(3) {
	case 0:
		keep = func() bool { return false }
	case 1:
		keep = func() bool { return true }
	}
	if n.folder {
		return n.crashFolder(random, keep)
	}
	left := slices.Clone(n.synced)
	for _, w := range n.pending {
		for _, part := range w.sectors() {
			if keep() {
				left = part.apply(left)
			}
		}
	}
	return &node{modified: n.modified, data: slices.Clone(left), synced: left}
}

func (n *node) crashFolder(random *rand.Rand, keep func() bool) *node {
	left := maps.Clone(n.syncedEntries)
	for _, step := range n.pendingEntries {
		if keep() {
			applyLinks(left, step)
		}
	}
	clone := newFolder()
	clone.modified = n.modified
	for _, name := range slices.Sorted(maps.Keys(left)) {
		clone.entries[name] = left[name].crash(random)
	}
	clone.syncedEntries = maps.Clone(clone.entries)
	return clone
}

// sectors splits a write at the borders of the disk's sectors.
func (w write) sectors() []write {
	if w.cut || len(w.bytes) == 0 {
		return []write{w}
	}
	var parts []write
	for at := 0; at < len(w.bytes); {
		offset := w.offset + at
		end := min(at+sectorBytes-offset%sectorBytes, len(w.bytes))
		parts = append(parts, write{offset: offset, bytes: w.bytes[at:end]})
		at = end
	}
	return parts
}
