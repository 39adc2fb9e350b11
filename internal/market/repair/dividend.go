package repair

import (
	"math"
	"math/big"
	"slices"
	"time"
)

const (
	largeDividend = 0.035  // of the price: from here on it shows in one day's prices
	smallDividend = 0.0005 // of the price: below, it is hardly worth paying
	twiceWithin   = 17 * 24 * time.Hour
	twiceAlike    = 0.08 // share by which a dividend that is stated twice may differ
)

// payment is a dividend as the rows around it show it. Ratios are shares of the close before.
type payment struct {
	row, before int     // before: the last row with prices ahead of it
	share       float64 // the dividend
	drop        float64 // close before to low
	dropNext    float64 // close to next low
	fall        float64 // close before to close
	noise       float64 // usual distance of a low from the close before, around it
	quiet       bool    // not traded, and no price moved
}

// payments returns the dividends that have prices before and on their day, oldest first.
func (s *Series) payments() []payment {
	var list []payment
	rows := s.validRows()
	for i := range s.Rows {
		if s.Rows[i].Values[Dividend] <= 0 || !s.Rows[i].valid() {
			continue
		}
		at, _ := slices.BinarySearch(rows, i)
		if at == 0 {
			continue
		}
		list = append(list, s.payment(rows, at))
	}
	return list
}

func (s *Series) payment(rows []int, at int) payment {
	row, before := &s.Rows[rows[at]], &s.Rows[rows[at-1]]
	base := before.number(Close)
	p := payment{
		row: rows[at], before: rows[at-1], share: row.number(Dividend) / base,
		drop: 1 - row.number(Low)/base, fall: 1 - row.number(Close)/base,
	}
	p.dropNext = p.drop
	if at+1 < len(rows) {
		p.dropNext = (row.number(Close) - s.Rows[rows[at+1]].number(Low)) / base
	}
	p.quiet = row.number(Volume) == 0 && p.drop == 0 && (p.dropNext == 0 || at+1 == len(rows))
	const around = 4
	var usual []float64
	for i := max(1, at-around); i < min(len(rows), at+around); i++ {
		if i != at && i != at+1 {
			usual = append(usual, math.Abs(1-s.Rows[rows[i]].number(Low)/s.Rows[rows[i-1]].number(Close)))
		}
	}
	for _, v := range usual {
		p.noise += v / float64(len(usual))
	}
	return p
}

// implied is the dividend, as a share of the close before, that the adjusted prices contain.
func (s *Series) implied(p payment) float64 {
	return 1 - s.Rows[p.before].adjustment()/s.Rows[p.row].adjustment()
}

// dividends corrects what dividends are, and then what adjusted prices make of them. Where the row of
// a dividend has no adjusted prices, only the first.
func (s *Series) dividends() {
	due := map[int]bool{} // rows before which adjusted prices have to follow
	for _, p := range s.payments() {
		due[p.row] = true
	}
	for i := range s.Rows {
		due[i] = due[i] || s.Rows[i].Values[Gain] > 0
	}
	s.small()
	for _, p := range s.payments() {
		switch {
		case s.beforeSplit(p):
			split := s.Rows[p.row].Values[Split]
			s.set(p.row, Dividend, scaled(s.Rows[p.row].Values[Dividend], ratio(one, split)), RuleDividendSplit)
		case s.early(p):
			s.set(p.row+1, Dividend, s.Rows[p.row].Values[Dividend], RuleDividendDay)
			s.set(p.row, Dividend, 0, RuleDividendDay)
			due[p.row+1] = true
		case s.large(p):
			s.set(p.row, Dividend, scaled(s.Rows[p.row].Values[Dividend], big.NewRat(1, 100)), RuleDividendUnit)
		}
	}
	s.twice()
	s.adjust(due)
}

// off reports whether a dividend of one size explains a price's drop much better than that of another.
func off(share, better, drop, noise float64) bool {
	return 2*math.Abs(better-drop) <= math.Abs(share-drop) && share-drop > 3*noise
}

// large reports whether a dividend is a hundred times too large: the price moved as by its hundredth.
func (s *Series) large(p payment) bool {
	if p.share <= largeDividend {
		return false
	}
	if p.quiet { // prices say nothing; nobody pays a multiple of the price
		const unlikely, mostQuiet = 0.25, 0.75
		return p.share > 1 || p.share > unlikely && s.quietShare() > mostQuiet
	}
	drop := max(p.drop, p.dropNext)
	return drop <= 0 && p.share > 3*p.noise || off(p.share, p.share/100, drop, p.noise)
}

// quietShare is the share of rows without any trade.
func (s *Series) quietShare() float64 {
	quiet := 0
	for i := range s.Rows {
		if s.Rows[i].number(Volume) == 0 {
			quiet++
		}
	}
	return float64(quiet) / float64(len(s.Rows))
}

// small corrects dividends that are a hundred times too small. One of them cannot be told from the
// noise of prices, many can: their days are far likelier with the hundredfold.
func (s *Series) small() {
	const least, likelier = 3, 3.0 // log of the ratio of likelihoods
	var few []payment
	all := s.payments()
	for _, p := range all {
		if p.share < smallDividend {
			few = append(few, p)
		}
	}
	if len(few) < least || 4*len(few) < 3*len(all) {
		return
	}
	var falls []float64
	rows := s.validRows()
	for i := 1; i < len(rows); i++ {
		falls = append(falls, 1-s.Rows[rows[i]].number(Close)/s.Rows[rows[i-1]].number(Close))
	}
	noise := max(deviation(falls), 1e-4)
	evidence := 0.0
	for _, p := range few {
		off, offScaled := p.fall-p.share, p.fall-100*p.share
		evidence += (off*off - offScaled*offScaled) / (2 * noise * noise)
	}
	if evidence < likelier {
		return
	}
	for _, p := range few {
		s.set(p.row, Dividend, scaled(s.Rows[p.row].Values[Dividend], big.NewRat(100, 1)), RuleDividendUnit)
	}
}

// beforeSplit reports whether a dividend is stated in shares before the split of its day.
func (s *Series) beforeSplit(p payment) bool {
	split := s.Rows[p.row].Values[Split]
	if split <= 0 || math.Abs(math.Log(float64(split)/one)) < math.Log(leastSplit) {
		return false
	}
	const alike = 0.02
	after := p.share / (float64(split) / one)
	if implied := s.implied(p); math.Abs(implied/after-1) < alike {
		return true
	}
	return p.share > largeDividend && !p.quiet && off(p.share, after, max(p.drop, p.dropNext), p.noise) &&
		!off(p.share, p.share/100, max(p.drop, p.dropNext), p.noise)
}

// early reports whether a dividend is stated a session before the price fell by it.
func (s *Series) early(p payment) bool {
	next := p.row + 1
	return p.share > largeDividend && p.share > 3*p.noise && !p.quiet && p.fall < p.share/4 &&
		p.drop < p.share/2 && p.dropNext > 0.6*p.share && p.dropNext < 1.5*p.share &&
		next < len(s.Rows) && s.Rows[next].valid() && s.Rows[next].Values[Dividend] <= 0
}

// twice takes out dividends that are stated twice. Who pays every few weeks states none twice.
func (s *Series) twice() {
	list := s.payments()
	var gaps []float64
	for i := 1; i < len(list); i++ {
		gaps = append(gaps, s.between(list[i-1], list[i]).Hours())
	}
	if len(gaps) == 0 || len(gaps) > 2 && median(gaps) < (2*twiceWithin).Hours() {
		return
	}
	for i := 1; i < len(list); i++ {
		older, newer := list[i-1], list[i]
		if s.between(older, newer) > twiceWithin || math.Abs(s.Rows[newer.row].number(Dividend)/
			s.Rows[older.row].number(Dividend)-1) >= twiceAlike {
			continue
		}
		surplus := newer
		if newer.drop*s.Rows[newer.before].number(Close) > 1.5*older.drop*s.Rows[older.before].number(Close) {
			surplus = older
		}
		s.set(surplus.row, Dividend, 0, RuleDividendTwice)
		list[i] = older // a third one is compared with what is left
		if surplus == older {
			list[i] = newer
		}
	}
}

func (s *Series) between(a, b payment) time.Duration {
	return s.Rows[b.row].Time.Sub(s.Rows[a.row].Time)
}

// adjust rescales the adjusted prices before each dividend so that they follow from it.
func (s *Series) adjust(due map[int]bool) {
	given := slices.Clone(s.Rows)
	rows := s.validRows()
	factor := big.NewRat(1, 1) // of all adjusted prices before
	changed := false
	for i := len(given) - 1; i >= 0; i-- {
		if changed && given[i].has(AdjClose) {
			s.set(i, AdjClose, scaled(given[i].Values[AdjClose], factor), RuleAdjustment)
		}
		at, found := slices.BinarySearch(rows, i)
		if !due[i] || !found || at == 0 {
			continue
		}
		if by := correction(&given[i], &given[rows[at-1]]); by != nil {
			factor.Mul(factor, by)
			changed = true
		}
	}
}

// correction is what the adjusted prices ahead of a dividend have to be multiplied by; nil where they
// follow from it.
func correction(on, ahead *Row) *big.Rat {
	base := ahead.Values[Close]
	paid := max(0, on.Values[Dividend]) + max(0, on.Values[Gain])
	if !on.has(AdjClose) || !ahead.has(AdjClose) || on.Values[AdjClose] <= 0 || ahead.Values[AdjClose] <= 0 ||
		paid >= base {
		return nil
	}
	const share, least = 0.05, 3e-5 // of the dividend, and of the price: rounding of vendors
	want := float64(paid) / float64(base)
	implied := 1 - ahead.adjustment()/on.adjustment()
	if math.Abs(implied-want) <= max(share*want, least) {
		return nil
	}
	// (1 - paid / base) × (adjusted / close on the day) / (adjusted / close ahead)
	right := ratio(base-paid, base)
	right.Mul(right, ratio(on.Values[AdjClose], on.Values[Close]))
	return right.Mul(right, ratio(base, ahead.Values[AdjClose]))
}

// gains takes capital gains out of dividends that contain them.
func (s *Series) gains() {
	const most = 2.0 / 3
	rows := s.validRows()
	usual, days := 0.0, 0
	for i := 1; i < len(rows); i++ {
		row, before := &s.Rows[rows[i]], &s.Rows[rows[i-1]]
		if row.number(Dividend) == 0 && row.number(Gain) == 0 {
			usual += math.Abs(1 - row.number(Close)/before.number(Close))
			days++
		}
	}
	usual /= float64(max(days, 1))
	var judged []int
	twice := 0
	for i := 1; i < len(rows); i++ {
		row, base := &s.Rows[rows[i]], s.Rows[rows[i-1]].number(Close)
		if row.number(Gain) <= 0 || row.Values[Dividend] < row.Values[Gain] {
			continue
		}
		judged = append(judged, rows[i])
		fall := 1 - row.number(Close)/base - usual
		alone, both := row.number(Dividend)/base, (row.number(Dividend)+row.number(Gain))/base
		if math.Abs(fall-alone) < math.Abs(fall-both) {
			twice++
		}
	}
	if float64(twice) < most*float64(len(judged)) {
		return
	}
	for _, i := range judged {
		s.set(i, Dividend, s.Rows[i].Values[Dividend]-s.Rows[i].Values[Gain], RuleGains)
	}
}
