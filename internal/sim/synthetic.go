package sim

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"sync"
	"time"
)

// maxSymbols is how many stocks the boards' ranges of codes hold.
const maxSymbols = 9000

// synthetic is a market made from a seed. Of a paper's history only a mark every marksEvery sessions
// is kept, and only once somebody asked; the days between are walked again.
type synthetic struct {
	seed     uint64
	calendar *Calendar
	sessions []Date
	ordinal  []int32  // by day of the calendar: sessions before it
	quarter  []uint64 // by session: quarters since year 0
	list     []Security
	papers   map[string]*paper
}

var _ Market = (*synthetic)(nil)

// paper is one security with the plan of its life, in sessions.
type paper struct {
	seed        uint64
	kind        Kind
	first, last int // sessions with bars
	tick        int64
	band        int64 // daily limit in thousandths
	base        int64 // price around which it moves, and of its first day
	swing       int64 // standard deviation of a day, in millionths
	shares      int64
	pauses      []pause
	special     pause // under special treatment; none when empty
	events      []event

	walked  sync.Once
	marks   []int64 // close before session first + i*marksEvery
	actions []Action
}

// pause is a run of sessions [from, to).
type pause struct {
	from, to int
	blank    bool // volume and amount are empty, not 0
}

func (p pause) has(session int) bool { return session >= p.from && session < p.to }

// event is a planned ex-right day.
type event struct {
	session         int
	yield           int64 // cash in millionths of the price
	bonus, transfer int64 // shares per share, 1e-6
}

// Synthetic returns a market made from a seed: symbols stocks over [from, to], and a few indices and
// funds. The same arguments give the same market.
func Synthetic(seed uint64, symbols int, from, to Date) (Market, error) {
	if symbols < 1 || symbols > maxSymbols {
		return nil, fmt.Errorf("synthetic market of %d symbols: want 1 to %d", symbols, maxSymbols)
	}
	if to < from {
		return nil, fmt.Errorf("synthetic market from %s to %s: the first day is after the last", from, to)
	}
	m := &synthetic{seed: seed, calendar: ChineseCalendar(from, to), papers: map[string]*paper{}}
	m.sessions = m.calendar.Open(from, to)
	if len(m.sessions) == 0 {
		return nil, fmt.Errorf("synthetic market from %s to %s: no trading day in between", from, to)
	}
	for day := from; day <= to; day++ {
		m.ordinal = append(m.ordinal, int32(sort.Search(len(m.sessions), func(i int) bool {
			return m.sessions[i] >= day
		})))
	}
	for _, day := range m.sessions {
		year, month, _ := day.Time().Date()
		m.quarter = append(m.quarter, uint64(year*4+int(month-1)/3))
	}
	for i := range symbols {
		m.addStock(i)
	}
	m.addFunds()
	m.rename(symbols)
	slices.SortFunc(m.list, func(a, b Security) int { return cmp.Compare(a.Code, b.Code) })
	return m, nil
}

// stockCode spreads stocks over the boards: of ten, four in Shanghai, three in Shenzhen, two on
// ChiNext and one on STAR.
func stockCode(i int) (code string, band int64) {
	round, slot := i/10, i%10
	switch {
	case slot < 4:
		return fmt.Sprintf("sh.%06d", 600000+round*4+slot), 100
	case slot < 7:
		return fmt.Sprintf("sz.%06d", 1+round*3+slot-4), 100
	case slot < 9:
		return fmt.Sprintf("sz.%06d", 300001+round*2+slot-7), 200
	default:
		return fmt.Sprintf("sh.%06d", 688001+round), 200
	}
}

func (m *synthetic) addStock(i int) {
	code, band := stockCode(i)
	seed := hashText(m.seed, code)
	n := len(m.sessions)
	p := &paper{
		seed: seed, kind: Stock, last: n - 1, tick: 100, band: band,
		base: between(mix(seed, 1), 400, 6000) * 100, swing: between(mix(seed, 2), 9_000, 28_000),
		shares: between(mix(seed, 3), 1, 200) * 50_000_000,
	}
	s := Security{Code: code, Name: stockName(seed, i), Kind: Stock}
	s.IPO = m.sessions[0] - Date(between(mix(seed, 4), 1, 5000))
	whole := i == 0 // sh.600000 is always there, for examples
	if !whole && n > 20 && chance(mix(seed, 5), 0.15) {
		p.first = int(between(mix(seed, 6), 1, int64(n)*9/10))
		s.IPO = m.sessions[p.first]
	}
	if !whole && n > 20 && chance(mix(seed, 7), 0.04) {
		out := int(between(mix(seed, 8), int64(p.first)+int64(n-p.first)/2, int64(n)-1))
		if out > p.first {
			s.Out, p.last = m.sessions[out], out-1
		}
	}
	m.plan(p)
	m.list = append(m.list, s)
	m.papers[code] = p
}

// plan draws the pauses, the special treatment and the ex-right days of a stock.
func (m *synthetic) plan(p *paper) {
	life := int64(p.last - p.first + 1)
	draws := p.seed ^ 0x706c616e
	for at := int64(p.first) + between(mix(draws, 0), 1, 800); at+1 < int64(p.last); {
		length := between(mix(draws, uint64(2*at+1)), 1, 10)
		p.pauses = append(p.pauses, pause{
			from: int(at), to: int(min(at+length, int64(p.last))), blank: chance(mix(draws, uint64(2*at+2)), 0.2),
		})
		at += length + between(mix(draws, uint64(2*at+3)), 200, 1400)
	}
	if life > 40 && chance(mix(draws, 1), 0.03) {
		from := p.first + int(below(mix(draws, 3), life/2))
		p.special = pause{from: from, to: min(from+int(between(mix(draws, 5), 20, 400)), p.last+1)}
	}
	last := m.sessions[p.last].Time().Year()
	for year := m.sessions[p.first].Time().Year(); year <= last; year++ {
		draw := hashText(draws, fmt.Sprint("ex", year))
		if !chance(mix(draw, 0), 0.65) {
			continue
		}
		day := DateOf(year, time.June, 1) + Date(below(mix(draw, 1), 50))
		e := event{session: m.session(day), yield: between(mix(draw, 2), 4_000, 40_000)}
		for e.session <= p.last && p.paused(e.session) {
			e.session++
		}
		if e.session <= p.first || e.session > p.last {
			continue
		}
		if chance(mix(draw, 3), 0.25) {
			e.transfer = between(mix(draw, 4), 1, 10) * 100_000
		}
		if chance(mix(draw, 5), 0.08) {
			e.bonus = between(mix(draw, 6), 1, 5) * 100_000
		}
		p.events = append(p.events, e)
	}
}

// addFunds adds what is listed beside the stocks.
func (m *synthetic) addFunds() {
	for _, f := range []struct {
		code, name string
		kind       Kind
		base       int64
	}{
		{"sh.000001", "上证综合指数", Index, 3000_0000},
		{"sh.000016", "上证50指数", Index, 2700_0000},
		{"sh.000300", "沪深300指数", Index, 3900_0000},
		{"sh.000905", "中证500指数", Index, 5600_0000},
		{"sz.399001", "深证成份指数", Index, 10200_0000},
		{"sz.399006", "创业板指数(价格)", Index, 2100_0000},
		{"sh.510050", "上证50ETF", ETF, 2_7000},
		{"sh.510300", "沪深300ETF", ETF, 3_9000},
		{"sz.159915", "创业板ETF", ETF, 2_1000},
	} {
		seed := hashText(m.seed, f.code)
		p := &paper{
			seed: seed, kind: f.kind, last: len(m.sessions) - 1, tick: 10, band: 100, base: f.base,
			swing: 11_000, shares: 20_000_000_000,
		}
		if f.kind == Index {
			p.tick = 1
		}
		m.list = append(m.list, Security{
			Code: f.code, Name: f.name, Kind: f.kind,
			IPO: m.sessions[0] - Date(between(mix(seed, 4), 300, 4000)),
		})
		m.papers[f.code] = p
	}
}

// rename gives some ChiNext stocks another code in mid-life: one, and one more per 500 symbols.
func (m *synthetic) rename(symbols int) {
	wanted, session := 1+symbols/500, len(m.sessions)*3/5
	for i := 7; i < symbols && wanted > 0 && session > 0; i += 10 {
		p, old := m.papers[m.list[i].Code], &m.list[i]
		if old.Out != 0 || p.first >= session {
			continue
		}
		renamed := *old
		renamed.Code, renamed.Since = fmt.Sprintf("sz.%06d", 302000+i), m.sessions[session]
		old.Renamed, old.Until = renamed.Code, renamed.Since
		m.list = append(m.list, renamed)
		m.papers[renamed.Code] = p
		wanted--
	}
}

// Calendar returns the days of the market.
func (m *synthetic) Calendar() *Calendar { return m.calendar }

// Securities returns the listing.
func (m *synthetic) Securities() []Security { return m.list }

// Actions returns the ex-right days of a code.
func (m *synthetic) Actions(code string) []Action {
	p := m.papers[code]
	if p == nil {
		return nil
	}
	p.walked.Do(func() { m.walk(p) })
	return p.actions
}

// State says what the code did on a day.
func (m *synthetic) State(code string, day Date) State {
	p := m.papers[code]
	if p == nil || !m.calendar.IsOpen(day) {
		return State{}
	}
	t := m.session(day)
	if t < p.first || t > p.last {
		return State{}
	}
	return State{Listed: true, Trading: !p.paused(t), ST: p.special.has(t)}
}

// session returns the first session on or after the day; those outside clip.
func (m *synthetic) session(day Date) int {
	i := int(day - m.calendar.From())
	switch {
	case i < 0:
		return 0
	case i >= len(m.ordinal):
		return len(m.sessions)
	}
	return int(m.ordinal[i])
}

func (p *paper) paused(session int) bool {
	for _, pause := range p.pauses {
		if pause.has(session) {
			return true
		}
	}
	return false
}

// stockName makes up a name as they are: Chinese, some with blanks or full-width letters inside.
func stockName(seed uint64, i int) string {
	places := []string{
		"浦发", "东方", "华夏", "长江", "中原", "天山", "海南", "江苏", "云南", "深圳", "白云", "皖能",
		"苏州", "宁波", "西藏", "金陵", "太行", "黄河", "珠江", "南山",
	}
	trades := []string{
		"银行", "科技", "股份", "医药", "能源", "电子", "证券", "机场", "高速", "水泥", "钢铁", "食品",
		"软件", "材料", "环保", "物流", "重工", "传媒", "农业", "通信",
	}
	place, trade := places[below(mix(seed, 20), 20)], trades[below(mix(seed, 21), 20)]
	switch {
	case i%97 == 3:
		runes := []rune(place)
		return string(runes[0]) + "  " + string(runes[1]) + "Ａ"
	case i%41 == 5:
		return place + trade + "B"
	}
	return place + trade
}
