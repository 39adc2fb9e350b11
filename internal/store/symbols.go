package store

import (
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/tapeline/tapeline/internal/market"
)

// symbols are the instruments by number, and the codes that name them. Numbers are given once and
// never change, so the same set serves every commit.
type symbols struct {
	mu     sync.RWMutex
	texts  []string // by number - 1: the code rows are read back under
	byText map[string][]alias
	added  []int32 // numbers the catalog does not hold yet
}

// alias is one code of an instrument on some dates.
type alias struct {
	instrument int32
	valid      market.Interval
}

func always() market.Interval { return market.Interval{From: market.MinDate, To: market.MaxDate} }

func newSymbols() *symbols { return &symbols{byText: map[string][]alias{}} }

// find returns the instrument a code names on a date, or named last before; 0: none. The zero date
// stands for "now".
func (s *symbols) find(text string, date market.Date) int32 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	list := s.byText[text]
	if found := s.locate(list, date); found.instrument != 0 {
		return found.instrument
	}
	var last alias
	for _, a := range list {
		if a.valid.To > last.valid.To && (date == 0 || a.valid.To < date) {
			last = a
		}
	}
	return last.instrument
}

func (*symbols) locate(list []alias, date market.Date) alias {
	if date == 0 {
		date = market.MaxDate
	}
	for _, a := range list {
		if a.valid.Contains(date) {
			return a
		}
	}
	return alias{}
}

// taken reports whether a code names an instrument on some of the dates, be it in rows that no commit
// has brought yet.
func (s *symbols) taken(text string, dates market.Interval) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.ContainsFunc(s.byText[text], func(a alias) bool {
		return a.valid.From <= dates.To && dates.From <= a.valid.To
	})
}

// number returns the instrument a code names on a date, giving it a number when it has none.
func (s *symbols) number(text []byte, date market.Date, strict bool) (int32, error) {
	found, err := s.resolve(text, date, strict)
	return found.instrument, err
}

// resolve is number, with the dates on which the code names the same instrument.
func (s *symbols) resolve(text []byte, date market.Date, strict bool) (alias, error) {
	s.mu.RLock()
	found := s.locate(s.byText[string(text)], date)
	s.mu.RUnlock()
	if found.instrument != 0 {
		return found, nil
	}
	name := string(text)
	if strict {
		if _, err := market.ParseSymbol(name); err != nil {
			return alias{}, err
		}
	} else if name == "" {
		return alias{}, fmt.Errorf("empty symbol")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if list := s.byText[name]; len(list) > 0 {
		if found = s.locate(list, date); found.instrument != 0 {
			return found, nil
		}
		return alias{}, fmt.Errorf("symbol %s names no instrument on %s", name, date)
	}
	s.add(int32(len(s.texts)+1), name)
	s.added = append(s.added, int32(len(s.texts)))
	return s.byText[name][0], nil
}

// ofUnit returns the instrument of a unit of work that ends on a date.
func (s *symbols) ofUnit(symbol string, to market.Date) (int32, error) {
	return s.number([]byte(symbol), to, true)
}

// add records a number that the catalog holds or will hold.
func (s *symbols) add(number int32, text string) {
	for len(s.texts) < int(number) {
		s.texts = append(s.texts, "")
	}
	s.texts[number-1] = text
	s.byText[text] = append(s.byText[text], alias{number, always()})
}

// name returns the code of an instrument.
func (s *symbols) name(number int32) (string, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if number < 1 || int(number) > len(s.texts) {
		return "", fmt.Errorf("%w: instrument %d is not in the catalog", ErrCorrupt, number)
	}
	return s.texts[number-1], nil
}

// all returns the codes rows are read back under.
func (s *symbols) all() []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Clone(s.texts)
}

// pending returns what the catalog does not hold yet; stored says that it does.
func (s *symbols) pending() map[int32]string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := map[int32]string{}
	for _, number := range s.added {
		out[number] = s.texts[number-1]
	}
	return out
}

func (s *symbols) stored(numbers map[int32]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.added = slices.DeleteFunc(s.added, func(n int32) bool { _, ok := numbers[n]; return ok })
}

// replace takes over another set as a whole, as read from the catalog.
func (s *symbols) replace(o *symbols) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, added := s.texts, s.added
	s.texts, s.byText, s.added = slices.Clone(o.texts), maps.Clone(o.byText), nil
	for _, number := range added { // the writer's own, which its next commit will store
		text := before[number-1]
		if int(number) > len(o.texts) && len(s.byText[text]) == 0 {
			s.add(number, text)
			s.added = append(s.added, number)
		}
	}
}

// names are short texts that rows refer to by number: sources and runs. The same rules as of symbols.
type names struct{ symbols }

func newNames() *names { return &names{symbols{byText: map[string][]alias{}}} }

// of returns the number of a text; 0 for "".
func (n *names) of(text string) int32 {
	if text == "" {
		return 0
	}
	number, err := n.number([]byte(text), 0, false)
	if err != nil {
		return 0
	}
	return number
}
