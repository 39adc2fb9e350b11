package json

import (
	"strconv"

	"github.com/tapeline/tapeline/batch"
)

// scanner finds the members of one record that a schema names. It predicts that members come in
// the order of earlier records, so that a name costs one comparison; what is not predicted is
// parsed and looked up.
type scanner struct {
	extra  Extra
	whole  bool // a record of any kind is one cell
	nodes  []node
	byName map[string]int32
	named  int // cells of the schema

	// What the last records left behind.
	escaped bool            // a cell of a string has an escape
	strange []extraMember   // Capture: members of the record that the schema does not name
	unknown map[string]bool // Evolve: their names
	offense string          // notObject, unknownMember: what was found
}

// node is one member name with what followed it the last times. Node 0 stands before the first
// member of a record, node 1 for names that are not remembered.
type node struct {
	key  string // `"name":` as usually written; "", which never matches, when the name needs an escape
	cell int32  // of the schema; -1: not named there
	next int32  // node expected after this one
	alt  int32  // and the one expected there before
}

type extraMember struct{ keyAt, keyEnd, valueAt, valueEnd int }

const (
	startNode   = 0
	unknownNode = 1
	// maxNodes bounds the remembered names that the schema does not have.
	maxNodes = 4096
)

func newScanner(schema *batch.Schema, extra Extra, whole bool) *scanner {
	s := &scanner{extra: extra, whole: whole, byName: map[string]int32{}, named: schema.Len()}
	s.nodes = append(s.nodes, node{cell: -1}, node{cell: -1})
	for i, f := range schema.Fields() {
		s.addNode(f.Name, int32(i))
		s.nodes[unknownNode+i].next = int32(unknownNode + i + 1)
	}
	s.nodes[startNode].next = unknownNode
	if last := len(s.nodes) - 1; last > unknownNode {
		s.nodes[startNode].next = unknownNode + 1
		s.nodes[last].next = unknownNode
	}
	return s
}

func (s *scanner) addNode(name string, cell int32) int32 {
	quoted := batch.AppendJSONString(nil, name)
	key := string(quoted) + ":"
	if len(quoted) != len(name)+2 {
		key = ""
	}
	s.nodes = append(s.nodes, node{key: key, cell: cell, next: unknownNode, alt: unknownNode})
	at := int32(len(s.nodes) - 1)
	if _, ok := s.byName[name]; !ok {
		s.byName[name] = at
	}
	return at
}

// record checks the record that begins at b[i] against the grammar, writes the start and end of
// each named member into offsets (two a cell, zeroed before) and returns the record's end.
func (s *scanner) record(b []byte, i int, offsets []uint32) (end int, why reason) {
	if s.whole {
		return s.wholeRecord(b, i, offsets)
	}
	if b[i] != '{' {
		return s.otherRecord(b, i)
	}
	if i++; i < len(b) && b[i] <= ' ' {
		i = skipSpace(b, i)
	}
	if i < len(b) && b[i] == '}' {
		return i + 1, valid
	}
	at := int32(startNode)
	for {
		keyAt, keyEnd := i, 0
		nodes := s.nodes
		next := nodes[at].next
		if key := nodes[next].key; nextIs(b, i, key) {
			i += len(key)
			keyEnd = i - 1
			at = next
		} else if at, keyEnd, i, why = s.member(b, i, at); why != valid {
			return i, why
		}
		if i < len(b) && b[i] <= ' ' {
			i = skipSpace(b, i)
		}
		if i >= len(b) {
			return i, endsEarly
		}
		from := i
		escaped := false
		switch ch := b[i]; {
		case ch == '"':
			i, escaped, why = skipString(b, i+1)
		case ch-'0' <= 9 || ch == '-':
			i, why = skipNumber(b, i)
		case ch == '{' || ch == '[':
			i, why = skipNested(b, i)
		default:
			i, why = skipLiteral(b, i)
		}
		if why != valid {
			return i, why
		}
		if cell := int(s.nodes[at].cell); cell >= 0 {
			offsets[2*cell], offsets[2*cell+1] = uint32(from), uint32(i)
			s.escaped = s.escaped || escaped
		} else if s.extra != Ignore {
			if why = s.foreign(b, extraMember{keyAt, keyEnd, from, i}); why != valid {
				return i, why
			}
		}
		if i < len(b) && b[i] <= ' ' {
			i = skipSpace(b, i)
		}
		switch {
		case i >= len(b):
			return i, endsEarly
		case b[i] == '}':
			return i + 1, valid
		case b[i] != ',':
			return i, wantCommaOrBrace
		}
		if i++; i < len(b) && b[i] <= ' ' {
			i = skipSpace(b, i)
		}
	}
}

// nextIs reports whether b goes on with a key at i; no text is none.
func nextIs(b []byte, i int, key string) bool {
	return key != "" && len(b)-i >= len(key) && string(b[i:i+len(key)]) == key
}

// wholeRecord takes a record of any kind as cell 0.
func (s *scanner) wholeRecord(b []byte, i int, offsets []uint32) (end int, why reason) {
	end, why = skipValue(b, i)
	offsets[0], offsets[1] = uint32(i), uint32(end)
	if why == valid && b[i] == '"' {
		s.escaped = true
	}
	return end, why
}

// otherRecord refuses a record that is no object, or no JSON at all.
func (s *scanner) otherRecord(b []byte, i int) (end int, why reason) {
	if end, why = skipValue(b, i); why != valid {
		return end, why
	}
	s.offense = kindOf(b[i])
	return end, notObject
}

func kindOf(first byte) string {
	switch first {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case '"':
		return "a string"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	}
	return "a number"
}

// member reads a name that was not predicted after node from, and its colon.
func (s *scanner) member(b []byte, i int, from int32) (at int32, keyEnd, next int, why reason) {
	if alt := s.nodes[from].alt; alt != startNode {
		if key := s.nodes[alt].key; nextIs(b, i, key) {
			n := &s.nodes[from]
			n.next, n.alt = n.alt, n.next
			return alt, i + len(key) - 1, i + len(key), valid
		}
	}
	if i >= len(b) {
		return 0, 0, i, endsEarly
	}
	if b[i] != '"' {
		return 0, 0, i, wantKey
	}
	keyEnd, escaped, why := skipString(b, i+1)
	if why != valid {
		return 0, 0, keyEnd, why
	}
	name := b[i+1 : keyEnd-1]
	if escaped {
		name = batch.AppendUnescapedJSON(nil, name)
	}
	at, ok := s.byName[string(name)]
	if !ok {
		at = unknownNode
		if len(s.nodes) < maxNodes+s.named {
			at = s.addNode(string(name), -1)
		}
	}
	if n := &s.nodes[from]; at != unknownNode && from != unknownNode {
		n.next, n.alt = at, n.next
	}
	if next = skipSpace(b, keyEnd); next >= len(b) {
		return 0, 0, next, endsEarly
	}
	if b[next] != ':' {
		return 0, 0, next, wantColon
	}
	return at, keyEnd, next + 1, valid
}

// foreign treats a member that the schema does not name.
func (s *scanner) foreign(b []byte, m extraMember) reason {
	name := batch.AppendUnescapedJSON(nil, b[m.keyAt+1:m.keyEnd-1])
	switch s.extra {
	case Refuse:
		s.offense = strconv.Quote(string(name))
		return unknownMember
	case Capture:
		s.strange = append(s.strange, m)
	case Evolve:
		if !s.unknown[string(name)] {
			if s.unknown == nil {
				s.unknown = map[string]bool{}
			}
			s.unknown[string(name)] = true
		}
	}
	return valid
}
