package sim

import (
	"cmp"
	"fmt"
	"slices"
	"sync"

	"github.com/tapeline/tapeline/internal/market"
)

// american is a market of American shares made from a seed.
type american struct {
	calendar *Calendar
	sessions []Date
	list     []Security
	shares   map[string]*share
}

var _ Market = (*american)(nil)

// share is one stock; its life is made when somebody asks.
type share struct {
	seed  uint64
	first int   // session
	base  int64 // price around which it moves
	split [2]int64
	at    int // session of the split, 0: none
	pays  bool

	walked  sync.Once
	bars    []Bar
	actions []Action
}

const maxAmerican = 26 * 26 * 26

// SyntheticUS returns a market of American shares made from a seed: symbols stocks over [from, to] with
// quarterly dividends and with splits, among them reverse ones. AAPL has both, BRK-B neither. The same
// arguments give the same market.
func SyntheticUS(seed uint64, symbols int, from, to Date) (Market, error) {
	if symbols < 1 || symbols > maxAmerican {
		return nil, fmt.Errorf("synthetic market of %d symbols: want 1 to %d", symbols, maxAmerican)
	}
	calendar, err := market.CalendarOf(market.XNYS)
	if err != nil {
		return nil, fmt.Errorf("synthetic market: %w", err)
	}
	if covers := calendar.Covers(); from < covers.From || to > covers.To {
		return nil, fmt.Errorf("synthetic market from %s to %s: want days of %s", from, to, covers)
	}
	m := &american{shares: map[string]*share{}, calendar: NewCalendar(from, to, func(day Date) bool {
		open, err := calendar.IsOpen(day)
		return err == nil && open
	})}
	m.sessions = m.calendar.Open(from, to)
	if len(m.sessions) == 0 {
		return nil, fmt.Errorf("synthetic market from %s to %s: no trading day in between", from, to)
	}
	for i := range symbols {
		m.add(hashText(seed, "share"), i)
	}
	slices.SortFunc(m.list, func(a, b Security) int { return cmp.Compare(a.Code, b.Code) })
	return m, nil
}

func (m *american) add(seed uint64, i int) {
	code := string([]byte{'T', byte('A' + i/676), byte('A' + i/26%26), byte('A' + i%26)})
	switch i {
	case 0:
		code = "AAPL"
	case 1:
		code = "BRK-B"
	}
	n := len(m.sessions)
	s := &share{seed: hashText(seed, code), pays: i != 1}
	s.base = between(mix(s.seed, 1), 2_000, 40_000) * 100
	if i > 1 && n > 40 && chance(mix(s.seed, 2), 0.2) {
		s.first = int(between(mix(s.seed, 3), 1, int64(n)/2))
	}
	if i != 1 && (i == 0 || chance(mix(s.seed, 4), 0.5)) {
		splits := [][2]int64{{7, 1}, {2, 1}, {3, 1}, {4, 1}, {3, 2}, {1, 10}, {1, 8}}
		s.at = s.first + (n-s.first)/2
		if s.split = splits[0]; i > 0 {
			s.split = splits[below(mix(s.seed, 5), int64(len(splits)))]
		}
	}
	m.list = append(m.list, Security{Code: code, Name: "Test " + code + " Inc.", Kind: Stock, IPO: m.sessions[s.first]})
	m.shares[code] = s
}

// walk makes the life of a share.
func (m *american) walk(s *share) {
	const tick = 100
	round := func(price int64) int64 { return max(tick, divide(price, tick)*tick) }
	close, base, back := s.base, s.base, int64(factorOne)
	for t := s.first; t < len(m.sessions); t++ {
		draw := mix(s.seed, uint64(t)+1000)
		b := Bar{Date: m.sessions[t], Preclose: close, Trading: true}
		action := Action{Ex: b.Date}
		if s.pays && t != s.at && (t-s.first)%63 == 30 { // a quarter
			action.Cash = divide(close, 20_000) * 10_000 // half a percent, in whole cents
		}
		if s.at == t && t > s.first && s.split[0] > 0 {
			action.Split = s.split
			base = max(tick, base*s.split[1]/s.split[0])
		}
		if action.Cash > 0 || action.Split[0] > 0 {
			b.Preclose = divide(close*100-action.Cash, 100)
			if action.Split[0] > 0 {
				b.Preclose = divide(b.Preclose*action.Split[1], action.Split[0])
			}
			was, is := close*100, close*100-action.Cash
			if action.Split[0] > 0 {
				was, is = was*action.Split[0], is*action.Split[1]
			}
			back = divide(back*was, is)
			action.Back = back
			s.actions = append(s.actions, action)
		}
		change := between(draw, -25_000, 25_000)
		if b.Preclose > 3*base {
			change -= 5_000
		} else if b.Preclose < base/3 {
			change += 5_000
		}
		b.Open = round(b.Preclose + b.Preclose*between(mix(draw, 1), -8_000, 8_000)/1_000_000)
		b.Close = round(b.Preclose + b.Preclose*change/1_000_000)
		b.High = max(b.Open, b.Close) + tick*below(mix(draw, 2), 200)
		b.Low = max(tick, min(b.Open, b.Close)-tick*below(mix(draw, 3), 30))
		b.Volume = between(mix(draw, 4), 100_000, 90_000_000)
		close = b.Close
		s.bars = append(s.bars, b)
	}
}

// share returns a stock with its life.
func (m *american) share(code string) *share {
	s := m.shares[code]
	if s != nil {
		s.walked.Do(func() { m.walk(s) })
	}
	return s
}

// Calendar returns the days of the market.
func (m *american) Calendar() *Calendar { return m.calendar }

// Securities returns the listing.
func (m *american) Securities() []Security { return m.list }

// Bars appends the daily bars of a code in [from, to].
func (m *american) Bars(dst []Bar, code string, from, to Date) []Bar {
	s := m.share(code)
	if s == nil {
		return dst
	}
	for _, b := range s.bars {
		if b.Date >= from && b.Date <= to {
			dst = append(dst, b)
		}
	}
	return dst
}

// Actions returns the ex-right days of a code. Cash is per old share.
func (m *american) Actions(code string) []Action {
	if s := m.share(code); s != nil {
		return s.actions
	}
	return nil
}

// State says what the code did on a day.
func (m *american) State(code string, day Date) State {
	s := m.shares[code]
	listed := s != nil && m.calendar.IsOpen(day) && day >= m.sessions[s.first]
	return State{Listed: listed, Trading: listed}
}
