package export

import (
	"bytes"
	"fmt"
	"iter"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/store"
)

// Parts of the PTrade layout. Those of one symbol stand in folders, as stocks/600000.SS.parquet.
const (
	stocksDir       = "stocks"
	exrightsDir     = "exrights"
	valuationDir    = "valuation"
	fundamentalsDir = "fundamentals"

	stockMetadata  = "metadata/stock_metadata.parquet"
	benchmark      = "metadata/benchmark.parquet"
	tradeDays      = "metadata/trade_days.parquet"
	constituents   = "metadata/index_constituents.parquet"
	stockStatus    = "metadata/stock_status.parquet"
	versionFile    = "metadata/version.parquet"
	adjustForward  = "ptrade_adj_pre.parquet"
	adjustBackward = "ptrade_adj_post.parquet"

	ptradeVersion = "3.0.0"
	benchmarkCode = "000300.XSHG"
)

// ptrade is the folder that PTrade's local backtesters read: numbers are doubles, a day is a timestamp
// at midnight. What the store has no dataset for is NULL.
type ptrade struct {
	view    *store.View
	r       Request
	symbols map[string]bool   // wanted; nil: all
	names   map[string]string // PTrade's spelling of a symbol; "" where it has none
	reverse map[string]string
}

func newPTrade(view *store.View, r Request) (*ptrade, error) {
	if r.Adjust != market.Raw {
		return nil, fmt.Errorf("adjust: the PTrade layout holds raw prices and the factors beside them")
	}
	p := &ptrade{view: view, r: r, names: map[string]string{}, reverse: map[string]string{}}
	if r.Symbols != nil {
		p.symbols = map[string]bool{}
		for _, s := range r.Symbols {
			p.symbols[s] = true
		}
	}
	for _, text := range view.Symbols() {
		symbol, err := market.ParseSymbol(text)
		if err == nil {
			p.names[text], err = market.PTrade.Format(symbol)
		}
		if err != nil {
			p.names[text] = ""
			continue
		}
		p.reverse[p.names[text]] = text
	}
	return p, nil
}

func (p *ptrade) datasets() []input {
	return []input{
		{market.Bar1D, []string{"symbol"}},
		{market.Valuation1D, []string{"symbol"}},
		{market.CorpAction, []string{"symbol"}},
		{market.Fundamental, []string{"symbol"}},
		{market.AdjFactor, []string{"symbol"}},
		{market.Listing, []string{"symbol"}},
		{market.CalendarDay, []string{"mic"}},
		{market.Constituent, []string{"index_symbol"}},
		{market.StatusEvent, []string{"symbol"}},
	}
}

func (p *ptrade) touch(dataset string, b *batch.Batch, all bool, _ parts, into map[string]bool) {
	if all {
		for _, name := range []string{
			stockMetadata, benchmark, tradeDays, constituents, stockStatus, versionFile, adjustForward, adjustBackward,
		} {
			into[name] = true
		}
	}
	if b.Len() == 0 {
		return
	}
	switch dataset {
	case market.Listing:
		into[stockMetadata] = true
	case market.CalendarDay:
		into[tradeDays] = true
	case market.Constituent:
		into[constituents] = true
	case market.StatusEvent:
		into[stockStatus] = true
	case market.AdjFactor:
		into[adjustForward], into[adjustBackward] = true, true
	default:
		p.touchSymbols(dataset, b, into)
	}
}

// touchSymbols adds the files of the symbols of a batch.
func (p *ptrade) touchSymbols(dataset string, b *batch.Batch, into map[string]bool) {
	folders := map[string][]string{
		market.Bar1D: {stocksDir, valuationDir}, market.Valuation1D: {valuationDir},
		market.CorpAction: {exrightsDir}, market.Fundamental: {fundamentalsDir, valuationDir},
	}[dataset]
	column := b.Column(0)
	var last []byte
	for i := range b.Len() {
		text := column.Bytes(b.Row(i))
		if i > 0 && bytes.Equal(text, last) {
			continue
		}
		last = text
		symbol := string(text)
		if dataset == market.Bar1D {
			into[versionFile], into[adjustForward], into[adjustBackward] = true, true, true
			if symbol == benchmarkCode {
				into[benchmark] = true
			}
		}
		if name := p.names[symbol]; name != "" && p.wanted(symbol) {
			for _, folder := range folders {
				into[folder+"/"+name+".parquet"] = true
			}
		}
	}
}

func (p *ptrade) wanted(symbol string) bool { return p.symbols == nil || p.symbols[symbol] }

// part makes the rows of one file.
func (p *ptrade) part(name string) (content, error) {
	makers := map[string]func() (*batch.Batch, error){
		stockMetadata: p.stockMetadata, benchmark: p.benchmark, tradeDays: p.tradeDays,
		constituents: p.constituents, stockStatus: p.stockStatus, versionFile: p.version,
	}
	if maker := makers[name]; maker != nil {
		return whole(maker, true)
	}
	switch name {
	case adjustForward:
		return content{schema: adjustSchema, rows: p.factors(market.Forward), always: true}, nil
	case adjustBackward:
		return content{schema: adjustSchema, rows: p.factors(market.Backward), always: true}, nil
	}
	folder, file := path.Split(name)
	symbol := p.reverse[strings.TrimSuffix(file, ".parquet")]
	maker := map[string]func(symbol string) (*batch.Batch, error){
		stocksDir + "/": p.stock, exrightsDir + "/": p.exrights, valuationDir + "/": p.valuation,
		fundamentalsDir + "/": p.fundamentals,
	}[folder]
	if maker == nil {
		return content{}, fmt.Errorf("the manifest lists it, though this export has no such part: name another folder")
	}
	if symbol == "" { // the instrument has another code now, and another file
		return content{rows: func(func(*batch.Batch, error) bool) {}}, nil
	}
	return whole(func() (*batch.Batch, error) { return maker(symbol) }, false)
}

// whole is the content of one batch.
func whole(make func() (*batch.Batch, error), always bool) (content, error) {
	b, err := make()
	if err != nil {
		return content{}, err
	}
	return content{schema: b.Schema(), always: always, rows: func(yield func(*batch.Batch, error) bool) {
		yield(b, nil)
	}}, nil
}

// omitted lists symbols that PTrade has no spelling for.
func (p *ptrade) omitted() []string {
	var list []string
	for symbol, name := range p.names {
		if name == "" && p.wanted(symbol) {
			list = append(list, symbol)
		}
	}
	slices.Sort(list)
	return list
}

func (p *ptrade) describe(m *manifest) error {
	life, stocks, err := p.stocks()
	if err != nil {
		return err
	}
	m.Version = ptradeVersion
	m.Description = fmt.Sprintf("PTrade folder of a market store as of commit %d (%d stocks)", m.Sequence, stocks)
	m.DateRange = &dateRange{}
	if stocks > 0 {
		m.DateRange.Start, m.DateRange.End = life.From.String(), life.To.String()
	}
	return nil
}

// stocks returns the dates of all bars and how many symbols have some.
func (p *ptrade) stocks() (life market.Interval, symbols int, err error) {
	seen := map[string]bool{}
	life = market.Interval{From: market.MaxDate, To: market.MinDate}
	for b, err := range p.view.Scan(market.Bar1D, p.r.span(), []string{"symbol", "date"}) {
		if err != nil {
			return life, 0, err
		}
		var last []byte
		for row, day := range batch.Values[int32](b.Column(1)) {
			life.From, life.To = min(life.From, market.Date(day)), max(life.To, market.Date(day))
			if text := b.Column(0).Bytes(row); row == 0 || !bytes.Equal(text, last) {
				last = text
				seen[string(text)] = true
			}
		}
	}
	maps.DeleteFunc(seen, func(symbol string, _ bool) bool { return p.names[symbol] == "" })
	return life, len(seen), nil
}

// point reads the rows of one symbol within the request's dates.
func (p *ptrade) point(dataset, symbol string, columns ...string) (*batch.Batch, error) {
	return p.view.Point(dataset, symbol, p.r.From, p.r.To, columns)
}

var adjustSchema = batch.NewSchema(day("date"), word("symbol"), number("adj_a"), number("adj_b"))

// factors are the factors of every bar: price × adj_a + adj_b. A factor is a product, so adj_b is 0.
func (p *ptrade) factors(how market.Adjustment) iter.Seq2[*batch.Batch, error] {
	return func(yield func(*batch.Batch, error) bool) {
		factors, err := p.view.Factors()
		if err != nil {
			yield(nil, err)
			return
		}
		rows := p.view.Ordered(store.Ordered{
			Dataset: market.Bar1D, Range: p.r.span(), Columns: []string{"symbol", "date"},
		})
		for b, err := range rows {
			if err == nil {
				b, err = p.factorRows(b, factors, how)
			}
			if !yield(b, err) || err != nil {
				return
			}
		}
	}
}

func (p *ptrade) factorRows(
	b *batch.Batch, factors map[string]market.Factors, how market.Adjustment,
) (*batch.Batch, error) {
	t := newTable(adjustSchema)
	var of []int64
	symbols, dates := b.Column(0), batch.Values[int32](b.Column(1))
	for from, to := 0, 0; from < b.Rows(); from = to {
		symbol := string(symbols.Bytes(from))
		for to = from; to < b.Rows() && string(symbols.Bytes(to)) == symbol; {
			to++
		}
		name := p.names[symbol]
		if name == "" {
			continue
		}
		of = factors[symbol].AppendFactors(of[:0], dates[from:to], how)
		for i, day := range dates[from:to] {
			t.day(0, market.Date(day))
			t.text(1, name)
			t.number(2, float64(of[i])/market.FactorOne)
			t.number(3, 0)
		}
	}
	return t.Batch()
}
