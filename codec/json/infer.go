package json

import (
	"slices"

	"github.com/tapeline/tapeline/batch"
)

// Infer returns a schema for the records of a block, looking at most at rows of them. whole says
// that most are no objects: the schema then has the one column "value". Text that is not JSON is
// passed over. Members come in the order of their first appearance.
func Infer(block Block, layout Layout, rows int) (schema *batch.Schema, whole bool) {
	var object, other shape
	objects, others := 0, 0
	eachRecord(block, layout, func(text []byte) bool {
		switch {
		case !Valid(text):
			return true
		case text[0] == '{':
			object.add(text, 0, 0)
			objects++
		default:
			other.add(text, 0, 0)
			others++
		}
		return objects+others < rows
	})
	if others > objects {
		if objects > 0 {
			other.seen |= 1 << seenObject
		}
		return batch.NewSchema(batch.Field{Name: "value", Type: other.typ(), Nullable: true}), true
	}
	return batch.NewSchema(object.fields(MaxFields)...), false
}

// inferMembers returns fields for the named members of the records of a block.
func inferMembers(block Block, options Options, names []string) []batch.Field {
	var root shape
	eachRecord(block, options.Layout, func(text []byte) bool {
		if text[0] == '{' && Valid(text) {
			root.add(text, 0, 0)
		}
		return true
	})
	return slices.DeleteFunc(root.fields(len(root.names)), func(f batch.Field) bool {
		return !slices.Contains(names, f.Name)
	})
}

// What a shape has seen, one bit each.
const (
	seenBool = iota
	seenInt
	seenLong  // an integer that a float64 does not hold exactly
	seenBig   // an integer beyond int64, of at most 38 digits
	seenHuge  // a longer one
	seenFloat // a number with point or exponent
	seenString
	seenArray
	seenObject
	seenDeep // nested deeper than types go
)

const (
	// maxShapeDepth bounds how deep inferred types nest; deeper values stay JSON.
	maxShapeDepth = 16
	// maxShapeMembers bounds the members of an inferred struct: more look like a map of data.
	maxShapeMembers = 512
)

// shape is what the values of one member have in common.
type shape struct {
	seen    uint16
	element *shape
	names   []string
	members map[string]*shape
}

// add looks at the checked value at b[i] and returns its end.
func (s *shape) add(b []byte, i, depth int) int {
	switch b[i] {
	case '{':
		s.seen |= 1 << seenObject
		if depth == maxShapeDepth {
			break
		}
		return s.addObject(b, i, depth)
	case '[':
		s.seen |= 1 << seenArray
		if depth == maxShapeDepth {
			break
		}
		if s.element == nil {
			s.element = &shape{}
		}
		for i = skipSpace(b, i+1); b[i] != ']'; {
			i = skipSpace(b, s.element.add(b, i, depth+1))
			if b[i] == ',' {
				i = skipSpace(b, i+1)
			}
		}
		return i + 1
	case '"':
		s.seen |= 1 << seenString
	case 't', 'f':
		s.seen |= 1 << seenBool
	case 'n':
	default:
		end, _ := skipNumber(b, i)
		s.addNumber(b[i:end])
		return end
	}
	if depth == maxShapeDepth && (b[i] == '{' || b[i] == '[') {
		s.seen |= 1 << seenDeep
	}
	end, _ := skipValue(b, i)
	return end
}

func (s *shape) addNumber(text []byte) {
	for _, ch := range text {
		if ch == '.' || ch|0x20 == 'e' {
			s.seen |= 1 << seenFloat
			return
		}
	}
	const exact = 1 << 53
	v, ok := batch.ParseInt(text)
	_, fits := batch.ParseDecimal(text, 38, 0)
	switch {
	case ok && v <= exact && v >= -exact:
		s.seen |= 1 << seenInt
	case ok:
		s.seen |= 1 << seenLong
	case fits:
		s.seen |= 1 << seenBig
	default:
		s.seen |= 1 << seenHuge
	}
}

func (s *shape) addObject(b []byte, i, depth int) int {
	if s.members == nil {
		s.members = map[string]*shape{}
	}
	var n nested
	for i = skipSpace(b, i+1); b[i] != '}'; {
		name, at := n.key(b, i)
		member := s.members[string(name)]
		if member == nil {
			member = &shape{}
			s.members[string(name)] = member
			s.names = append(s.names, string(name))
		}
		i = skipSpace(b, member.add(b, at, depth+1))
		if b[i] == ',' {
			i = skipSpace(b, i+1)
		}
	}
	return i + 1
}

// typ returns the narrowest type of all values: integers never become floats that do not hold
// them. It is JSON when they have nothing in common or when there was no value at all.
func (s *shape) typ() batch.Type {
	const integers = 1<<seenInt | 1<<seenLong
	switch {
	case s.seen == 0:
	case s.seen == 1<<seenBool:
		return batch.Of(batch.Bool)
	case s.seen&^integers == 0:
		return batch.Of(batch.Int64)
	case s.seen&^(integers|1<<seenBig) == 0:
		return batch.DecimalOf(38, 0)
	case s.seen&^(1<<seenInt|1<<seenFloat) == 0:
		return batch.Of(batch.Float64)
	case s.seen == 1<<seenString:
		return batch.Of(batch.String)
	case s.seen == 1<<seenArray:
		return batch.ListOf(s.element.typ())
	case s.seen == 1<<seenObject && len(s.names) > 0 && len(s.names) <= maxShapeMembers:
		return batch.StructOf(s.fields(maxShapeMembers)...)
	}
	return batch.Of(batch.JSON)
}

// fields returns the first members, at most limit, as fields.
func (s *shape) fields(limit int) []batch.Field {
	names := s.names[:min(limit, len(s.names))]
	fields := make([]batch.Field, len(names))
	for i, name := range names {
		fields[i] = batch.Field{Name: name, Type: s.members[name].typ(), Nullable: true}
	}
	return fields
}
