package expr

import (
	"math"
	"slices"

	"github.com/tapeline/tapeline/batch"
)

// constantSet holds the literals of x in [...].
type constantSet struct {
	values []value
	null   bool // the list has a NULL: what is not found is NULL
	words  map[uint64]struct{}
	texts  map[string]struct{}
	fixed  []uint64 // few fixed-width values, tested one by one
}

// fewWords is up to how many values a loop beats a map.
const fewWords = 8

func newConstantSet() *constantSet { return &constantSet{} }

func (s *constantSet) empty() bool { return len(s.values) == 0 }

func (s *constantSet) add(v value) { s.values = append(s.values, v) }

// prepare builds the look-up for the type that values will have.
func (s *constantSet) prepare(typ batch.Type) {
	if typ.Text() {
		s.texts = map[string]struct{}{}
		for _, v := range s.values {
			s.texts[string(v.text)] = struct{}{}
		}
		return
	}
	if typ.Kind == batch.Decimal {
		return
	}
	s.words = map[uint64]struct{}{}
	for _, v := range s.values {
		if typ.Kind == batch.Float64 && math.IsNaN(v.float()) {
			continue
		}
		s.words[word(typ, v)] = struct{}{}
	}
	if len(s.words) <= fewWords {
		for w := range s.words {
			s.fixed = append(s.fixed, w)
		}
		slices.Sort(s.fixed)
	}
}

// word is a value's bits; both zeros of floats are one.
func word(typ batch.Type, v value) uint64 {
	if typ.Kind == batch.Float64 && v.float() == 0 {
		return 0
	}
	return v.low
}

// has reports whether a value that is not NULL is in the set.
func (s *constantSet) has(typ batch.Type, v value) bool {
	switch {
	case s.texts != nil:
		_, ok := s.texts[string(v.text)]
		return ok
	case s.words != nil:
		return s.hasWord(word(typ, v))
	}
	for _, c := range s.values {
		if c.low == v.low && c.high == v.high {
			return true
		}
	}
	return false
}

func (s *constantSet) hasWord(w uint64) bool {
	if s.fixed != nil {
		return slices.Contains(s.fixed, w)
	}
	_, ok := s.words[w]
	return ok
}
