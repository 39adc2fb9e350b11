package book

import "math/bits"

// fan is how many prices a page has, and how many children a node has: a word of bits.
const (
	fanBits = 6
	fan     = 1 << fanBits
	// maxHeight is no lower than a ladder of all 32-bit keys gets, which is 5, and a mask.
	maxHeight = 7
)

// ladder holds the orders of one side by price. It is a tree of words of bits over the whole range of
// prices, no higher than the prices in it are apart: finding a price takes as many steps as the tree is
// high, and so does finding the best one when the page of the last best is empty.
//
// Prices are keys such that the lowest is matched first, on either side. Number 0 is no page and no node.
type ladder struct {
	best uint32 // lowest key, while there are orders
	page uint32 // where it is; 0: the ladder is empty

	root   uint32 // a page, or a node when height > 0
	height uint32
	prefix uint32 // what all keys below the root have in common: key >> fanBits*(height+1)

	pages     []page
	nodes     []node
	freePages []uint32
	freeNodes []uint32
}

// page is neighbouring prices. A page that is in a ladder has an order; one that is free is all zero.
type page struct {
	used   uint64
	levels [fan]level
}

// level is the orders of one price, first come first.
type level struct {
	first, last uint32
	qty         int64
}

// node is neighbouring pages, or nodes of the next height.
type node struct {
	used  uint64
	child [fan]uint32
}

// reach returns the page of a key, made when missing. The caller puts an order there.
func (l *ladder) reach(key uint32) uint32 {
	if l.root == 0 {
		l.root, l.height, l.prefix = l.newPage(), 0, key>>fanBits
		return l.root
	}
	for key>>(fanBits*(l.height+1)) != l.prefix {
		l.raise()
	}
	at := l.root
	for h := l.height; h > 0; h-- {
		slot := key >> (fanBits * h) % fan
		next := l.nodes[at].child[slot]
		if next == 0 {
			if h > 1 {
				next = l.newNode()
			} else {
				next = l.newPage()
			}
			n := &l.nodes[at]
			n.child[slot] = next
			n.used |= 1 << slot
		}
		at = next
	}
	return at
}

// raise puts a root above the root.
func (l *ladder) raise() {
	top := l.newNode()
	slot := l.prefix % fan
	n := &l.nodes[top]
	n.child[slot], n.used = l.root, 1<<slot
	l.root, l.height, l.prefix = top, l.height+1, l.prefix>>fanBits
}

// fill notes that a price has its first order.
func (l *ladder) fill(key, at uint32) {
	l.pages[at].used |= 1 << (key % fan)
	if l.page == 0 || key < l.best {
		l.best, l.page = key, at
	}
}

// drain notes that a price has no order any more.
func (l *ladder) drain(key, at uint32) {
	p := &l.pages[at]
	p.used &^= 1 << (key % fan)
	if p.used == 0 {
		l.prune(key)
		if at == l.page {
			l.findBest()
		}
		return
	}
	if key == l.best && at == l.page {
		l.best = key&^(fan-1) | uint32(bits.TrailingZeros64(p.used))
	}
}

// prune frees the page of a key, which is empty, and the nodes that get empty by that.
func (l *ladder) prune(key uint32) {
	var path [maxHeight + 1]uint32
	at := l.root
	for h := l.height; h > 0; h-- {
		path[h&maxHeight] = at
		at = l.nodes[at].child[key>>(fanBits*h)%fan]
	}
	l.freePages = append(l.freePages, at)
	for h := uint32(1); h <= l.height; h++ {
		n := &l.nodes[path[h&maxHeight]]
		slot := key >> (fanBits * h) % fan
		n.child[slot] = 0
		n.used &^= 1 << slot
		if n.used != 0 {
			return
		}
		l.freeNodes = append(l.freeNodes, path[h&maxHeight])
	}
	l.root, l.height = 0, 0
}

// findBest goes down to the lowest key.
func (l *ladder) findBest() {
	if l.root == 0 {
		l.page = 0
		return
	}
	l.best, l.page = l.lowest(l.root, l.height, l.prefix)
}

// find returns the page of a key, 0 when the price has no order.
func (l *ladder) find(key uint32) uint32 {
	if l.root == 0 || key>>(fanBits*(l.height+1)) != l.prefix {
		return 0
	}
	at := l.root
	for h := l.height; h > 0; h-- {
		if at = l.nodes[at].child[key>>(fanBits*h)%fan]; at == 0 {
			return 0
		}
	}
	if l.pages[at].used>>(key%fan)&1 == 0 {
		return 0
	}
	return at
}

// after returns the lowest key above one that has orders, and its page; page 0: there is none. Keys are
// passed on by a page at a time, nodes by a word.
func (l *ladder) after(key uint32) (next, at uint32) {
	if l.root == 0 {
		return 0, 0
	}
	top := fanBits * (l.height + 1)
	switch own := key >> top; {
	case own > l.prefix:
		return 0, 0
	case own < l.prefix:
		return l.lowest(l.root, l.height, l.prefix)
	}
	// The path to the key, as far as there is one.
	var path [maxHeight + 1]uint32
	at = l.root
	h := l.height
	for ; h > 0 && at != 0; h-- {
		path[h&maxHeight] = at
		at = l.nodes[at].child[key>>(fanBits*h)%fan]
	}
	if at != 0 {
		if above := l.pages[at].used >> (key % fan) >> 1; above != 0 {
			return key + 1 + uint32(bits.TrailingZeros64(above)), at
		}
	}
	for h = 1; h <= l.height; h++ {
		if path[h&maxHeight] == 0 {
			continue
		}
		slot := key >> (fanBits * h) % fan
		n := &l.nodes[path[h&maxHeight]]
		if above := n.used >> slot >> 1; above != 0 {
			slot += 1 + uint32(bits.TrailingZeros64(above))
			prefix := key >> (fanBits * (h + 1)) << fanBits
			return l.lowest(n.child[slot%fan], h-1, prefix|slot)
		}
	}
	return 0, 0
}

// lowest returns the lowest key below a node or page of a height.
func (l *ladder) lowest(at, height, prefix uint32) (key, page uint32) {
	for h := height; h > 0; h-- {
		n := &l.nodes[at]
		slot := uint32(bits.TrailingZeros64(n.used)) % fan
		at, prefix = n.child[slot], prefix<<fanBits|slot
	}
	return prefix<<fanBits | uint32(bits.TrailingZeros64(l.pages[at].used)), at
}

func (l *ladder) newPage() uint32 {
	if n := len(l.freePages); n > 0 {
		at := l.freePages[n-1]
		l.freePages = l.freePages[:n-1]
		return at
	}
	if len(l.pages) == 0 {
		l.pages = make([]page, 1, 2)
	}
	l.pages = append(l.pages, page{})
	return uint32(len(l.pages) - 1)
}

func (l *ladder) newNode() uint32 {
	if n := len(l.freeNodes); n > 0 {
		at := l.freeNodes[n-1]
		l.freeNodes = l.freeNodes[:n-1]
		return at
	}
	if len(l.nodes) == 0 {
		l.nodes = make([]node, 1, 2)
	}
	l.nodes = append(l.nodes, node{})
	return uint32(len(l.nodes) - 1)
}
