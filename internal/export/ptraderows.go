package export

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/store"
)

func day(name string) batch.Field {
	return batch.Field{Name: name, Type: batch.TimestampOf(batch.Nanosecond, "")}
}

func word(name string) batch.Field {
	return batch.Field{Name: name, Type: batch.Of(batch.String), Nullable: true}
}

func number(name string) batch.Field {
	return batch.Field{Name: name, Type: batch.Of(batch.Float64), Nullable: true}
}

func count(name string) batch.Field {
	return batch.Field{Name: name, Type: batch.Of(batch.Int64), Nullable: true}
}

// table builds rows of one file.
type table struct{ *batch.Builder }

func newTable(s *batch.Schema) table { return table{batch.NewBuilder(s)} }

func (t table) day(i int, d market.Date) { t.Column(i).Time(d.Time()) }

func (t table) number(i int, v float64) { t.Column(i).Float(v) }

// text writes a text, NULL for "".
func (t table) text(i int, v string) {
	if v == "" {
		t.Column(i).Null()
		return
	}
	t.Column(i).Text(v)
}

// nulls writes NULL into columns.
func (t table) nulls(columns ...int) {
	for _, i := range columns {
		t.Column(i).Null()
	}
}

// cells are the columns of a batch by name.
type cells struct{ b *batch.Batch }

func (c cells) column(name string) *batch.Column { return c.b.Column(c.b.Schema().Index(name)) }

func (c cells) date(name string, row int) (market.Date, bool) {
	column := c.column(name)
	if column.IsNull(row) {
		return 0, false
	}
	return market.Date(column.Int(row)), true
}

func (c cells) text(name string, row int) string {
	if column := c.column(name); !column.IsNull(row) {
		return string(column.Bytes(row))
	}
	return ""
}

func (c cells) fixed(name string, row int) (int64, bool) {
	column := c.column(name)
	if column.IsNull(row) {
		return 0, false
	}
	return int64(batch.Values[decimal128.Num](column)[row].LowBits()), true
}

// number returns a decimal as the double nearest to it: below 2^53 a quotient by a power of ten is.
func (c cells) number(name string, row int) (float64, bool) {
	v, ok := c.fixed(name, row)
	scale := 1.0
	for range c.column(name).Type().Scale {
		scale *= 10
	}
	return float64(v) / scale, ok
}

// copyNumbers writes decimals of a row as doubles.
func (t table) copyNumbers(c cells, row, first int, names ...string) {
	for i, name := range names {
		if v, ok := c.number(name, row); ok {
			t.number(first+i, v)
		} else {
			t.Column(first + i).Null()
		}
	}
}

var stockSchema = batch.NewSchema(
	day("date"), number("open"), number("close"), number("high"), number("low"), number("high_limit"),
	number("low_limit"), number("preclose"), count("volume"), number("money"),
)

func (p *ptrade) stock(symbol string) (*batch.Batch, error) {
	parsed, err := market.ParseSymbol(symbol)
	if err != nil {
		return nil, err
	}
	b, err := p.point(market.Bar1D, symbol)
	if err != nil {
		return nil, err
	}
	t, c := newTable(stockSchema), cells{b}
	for row := range b.Rows() {
		d, _ := c.date("date", row)
		t.day(0, d)
		t.copyNumbers(c, row, 1, "open", "close", "high", "low")
		st := c.column("is_st")
		percent := market.LimitPercent(parsed, d, !st.IsNull(row) && st.Bits().Get(row))
		if before, ok := c.fixed("preclose", row); ok && percent > 0 {
			t.number(5, limit(before, 100+percent))
			t.number(6, limit(before, 100-percent))
		} else {
			t.nulls(5, 6)
		}
		t.copyNumbers(c, row, 7, "preclose")
		if volume := c.column("volume"); volume.IsNull(row) {
			t.Column(8).Null()
		} else {
			t.Column(8).Int(volume.Int(row))
		}
		t.copyNumbers(c, row, 9, "amount")
	}
	return t.Batch()
}

// limit is a share of a price, rounded half up to a hundredth as the exchanges do.
func limit(price, percent int64) float64 {
	const ofHundredths = 10_000 // a price of 4 decimals times a percentage, in hundredths
	return float64((price*percent+ofHundredths/2)/ofHundredths) / 100
}

var exrightsSchema = batch.NewSchema(
	day("date"), number("allotted_ps"), number("rationed_ps"), number("rationed_px"), number("bonus_ps"),
	number("dividend"),
)

// exrights are the corporate actions of a symbol, one row a day.
func (p *ptrade) exrights(symbol string) (*batch.Batch, error) {
	b, err := p.point(market.CorpAction, symbol)
	if err != nil {
		return nil, err
	}
	t, c := newTable(exrightsSchema), cells{b}
	names := [][]string{{"stock_dividend", "transfer"}, {"rights_ratio"}, {"rights_price"}, nil, {"cash"}}
	for from, to := 0, 0; from < b.Rows(); from = to {
		d, _ := c.date("ex_date", from)
		for to = from; to < b.Rows() && c.column("ex_date").Int(to) == int64(d); {
			to++
		}
		t.day(0, d)
		for i, group := range names {
			sum, known := 0.0, false
			for _, name := range group {
				for row := from; row < to; row++ {
					if v, ok := c.number(name, row); ok {
						sum, known = sum+v, true
					}
				}
			}
			if dividend := i == len(names)-1; dividend && !known {
				t.Column(1 + i).Null()
			} else {
				t.number(1+i, sum)
			}
		}
	}
	return t.Batch()
}

// quarter is what was published of one quarter.
type quarter struct {
	end, published market.Date
	items          map[string]float64
}

// quarters returns what is known of each quarter, by its end; of an item published twice the later.
func (p *ptrade) quarters(symbol string) ([]quarter, error) {
	b, err := p.view.Point(market.Fundamental, symbol, 0, p.r.To, nil)
	if err != nil {
		return nil, err
	}
	byEnd := map[market.Date]*quarter{}
	c := cells{b}
	for row := range b.Rows() { // by end, then by publication
		end, _ := c.date("stat_date", row)
		published, _ := c.date("pub_date", row)
		q := byEnd[end]
		if q == nil {
			q = &quarter{end: end, items: map[string]float64{}}
			byEnd[end] = q
		}
		q.published = max(q.published, published)
		for _, name := range []string{"value", "amount"} {
			if v, ok := c.number(name, row); ok {
				q.items[c.text("item", row)] = v
			}
		}
	}
	list := make([]quarter, 0, len(byEnd))
	for _, q := range byEnd {
		list = append(list, *q)
	}
	slices.SortFunc(list, func(a, b quarter) int { return cmp.Compare(a.end, b.end) })
	return list, nil
}

// mean is the mean of an item over up to four quarters up to one.
func mean(list []quarter, at int, item string) (float64, bool) {
	sum, n := 0.0, 0
	for i := max(0, at-3); i <= at; i++ {
		if v, ok := list[i].items[item]; ok {
			sum, n = sum+v, n+1
		}
	}
	return sum / float64(max(n, 1)), n > 0
}

// fundamentalItems are the columns of fundamentals/ with BaoStock's items; _ttm is the mean of four
// quarters.
var fundamentalItems = [][2]string{
	{"operating_revenue_grow_rate", "YOYORev"},
	{"net_profit_grow_rate", "YOYNI"},
	{"basic_eps_yoy", "YOYEPSBasic"},
	{"np_parent_company_yoy", "YOYPNI"},
	{"net_profit_ratio", "npMargin"},
	{"net_profit_ratio_ttm", "npMargin"},
	{"gross_income_ratio", "gpMargin"},
	{"gross_income_ratio_ttm", "gpMargin"},
	{"roa", "roa"},
	{"roa_ttm", "roa"},
	{"roe", "roeAvg"},
	{"roe_ttm", "roeAvg"},
	{"total_asset_grow_rate", "YOYAsset"},
	{"total_asset_turnover_rate", "AssetTurnRatio"},
	{"current_assets_turnover_rate", "CATurnRatio"},
	{"inventory_turnover_rate", "INVTurnRatio"},
	{"accounts_receivables_turnover_rate", "NRTurnRatio"},
	{"current_ratio", "currentRatio"},
	{"quick_ratio", "quickRatio"},
	{"debt_equity_ratio", "liabilityToAsset"},
	{"interest_cover", "ebitToInterest"},
	{"roic", "roic"},
	{"roa_ebit_ttm", "roaEbitTTM"},
}

func fundamentalSchema() *batch.Schema {
	fields := []batch.Field{day("date"), word("publ_date")}
	for _, item := range fundamentalItems {
		fields = append(fields, number(item[0]))
	}
	return batch.NewSchema(fields...)
}

func (p *ptrade) fundamentals(symbol string) (*batch.Batch, error) {
	list, err := p.quarters(symbol)
	if err != nil {
		return nil, err
	}
	t := newTable(fundamentalSchema())
	for i, q := range list {
		t.day(0, q.end)
		t.text(1, compact(q.published))
		for j, item := range fundamentalItems {
			v, ok := q.items[item[1]]
			if strings.HasSuffix(item[0], "_ttm") && item[0] != "roa_ebit_ttm" {
				v, ok = mean(list, i, item[1])
			}
			if ok {
				t.number(2+j, v)
			} else {
				t.Column(2 + j).Null()
			}
		}
	}
	return t.Batch()
}

// compact writes a date as YYYYMMDD.
func compact(d market.Date) string { return strings.ReplaceAll(d.String(), "-", "") }

var valuationSchema = batch.NewSchema(
	day("date"), number("pe_ttm"), number("pb"), number("ps_ttm"), number("pcf"), number("roe"), number("roe_ttm"),
	number("roa"), number("roa_ttm"), number("naps"), number("total_shares"), number("a_floats"), number("turnover_rate"),
)

// valuation is the daily valuation of a symbol with what was published by then.
func (p *ptrade) valuation(symbol string) (*batch.Batch, error) {
	b, err := p.point(market.Valuation1D, symbol)
	if err != nil || b.Rows() == 0 {
		return b, err
	}
	list, err := p.quarters(symbol)
	if err != nil {
		return nil, err
	}
	published := slices.Clone(list)
	slices.SortStableFunc(published, func(a, b quarter) int { return cmp.Compare(a.published, b.published) })
	rows, err := p.point(market.Bar1D, symbol, "date", "close", "turn")
	if err != nil {
		return nil, err
	}
	bars := cells{rows}
	t, c, bar, known := newTable(valuationSchema), cells{b}, 0, 0
	for row := range b.Rows() {
		d, _ := c.date("date", row)
		t.day(0, d)
		t.copyNumbers(c, row, 1, "pe_ttm", "pb_mrq", "ps_ttm", "pcf_ncf_ttm")
		for known < len(published) && published[known].published <= d {
			known++
		}
		t.publishedBy(list, published[:known])
		for bar < rows.Rows() && bars.column("date").Int(bar) < int64(d) {
			bar++
		}
		pb, ok := c.number("pb_mrq", row)
		if bar == rows.Rows() || bars.column("date").Int(bar) != int64(d) {
			t.nulls(9, 12)
			continue
		}
		if last, priced := bars.number("close", bar); ok && priced && pb > 0 {
			t.number(9, last/pb)
		} else {
			t.Column(9).Null()
		}
		t.copyNumbers(bars, bar, 12, "turn")
	}
	return t.Batch()
}

// publishedBy writes what the last published quarter says of a day's valuation.
func (t table) publishedBy(list, published []quarter) {
	if len(published) == 0 {
		t.nulls(5, 6, 7, 8, 10, 11)
		return
	}
	q := published[len(published)-1]
	at := slices.IndexFunc(list, func(o quarter) bool { return o.end == q.end })
	put := func(i int, v float64, ok bool) {
		if ok {
			t.number(i, v)
		} else {
			t.Column(i).Null()
		}
	}
	for i, item := range map[int]string{5: "roeAvg", 7: "roa", 10: "totalShare", 11: "liqaShare"} {
		v, ok := q.items[item]
		put(i, v, ok)
	}
	for i, item := range map[int]string{6: "roeAvg", 8: "roa"} {
		v, ok := mean(list, at, item)
		put(i, v, ok)
	}
}

var metadataSchema = batch.NewSchema(
	word("symbol"), word("stock_name"), word("listed_date"), word("de_listed_date"), word("blocks"),
)

func (p *ptrade) stockMetadata() (*batch.Batch, error) {
	t := newTable(metadataSchema)
	rows := p.view.Ordered(store.Ordered{Dataset: market.Listing, Range: store.Range{Symbols: p.r.Symbols}})
	for b, err := range rows {
		if err != nil {
			return nil, err
		}
		c := cells{b}
		for row := range b.Rows() {
			name := p.names[c.text("symbol", row)]
			if name == "" {
				continue
			}
			t.text(0, name)
			t.text(1, c.text("name", row))
			for i, column := range []string{"ipo_date", "out_date"} {
				if d, ok := c.date(column, row); ok {
					t.text(2+i, d.String())
				} else {
					t.Column(2 + i).Null()
				}
			}
			t.text(4, board(c.text("symbol", row)))
		}
	}
	return t.Batch()
}

// board is the market segment of a Chinese share.
func board(symbol string) string {
	switch {
	case strings.HasSuffix(symbol, ".BJSE"):
		return "北交所"
	case strings.HasPrefix(symbol, "68"):
		return "科创板"
	case strings.HasPrefix(symbol, "30"):
		return "创业板"
	}
	return "主板"
}

var benchmarkSchema = batch.NewSchema(
	day("date"), number("open"), number("high"), number("low"), number("close"), number("volume"), number("money"),
)

func (p *ptrade) benchmark() (*batch.Batch, error) {
	b, err := p.point(market.Bar1D, benchmarkCode)
	if err != nil {
		return nil, err
	}
	t, c := newTable(benchmarkSchema), cells{b}
	for row := range b.Rows() {
		d, _ := c.date("date", row)
		t.day(0, d)
		t.copyNumbers(c, row, 1, "open", "high", "low", "close")
		if volume := c.column("volume"); volume.IsNull(row) {
			t.Column(5).Null()
		} else {
			t.number(5, float64(volume.Int(row)))
		}
		t.copyNumbers(c, row, 6, "amount")
	}
	return t.Batch()
}

// tradeDays are the open days of the Shanghai exchange.
func (p *ptrade) tradeDays() (*batch.Batch, error) {
	t := newTable(batch.NewSchema(day("date")))
	span := p.r.span()
	span.Symbols = nil
	for b, err := range p.view.Ordered(store.Ordered{Dataset: market.CalendarDay, Range: span}) {
		if err != nil {
			return nil, err
		}
		c := cells{b}
		for row := range b.Rows() {
			if d, _ := c.date("date", row); c.text("mic", row) == string(market.XSHG) && c.column("is_open").Bits().Get(row) {
				t.day(0, d)
			}
		}
	}
	return t.Batch()
}

// listed writes lists of symbols by two texts, as JSON.
func (p *ptrade) listed(schema *batch.Schema, lists map[[2]string][]string) (*batch.Batch, error) {
	t := newTable(schema)
	keys := make([][2]string, 0, len(lists))
	for key := range lists {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b [2]string) int {
		return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1]))
	})
	for _, key := range keys {
		names := lists[key]
		slices.Sort(names)
		text, err := json.Marshal(names)
		if err != nil {
			return nil, err
		}
		t.text(0, key[0])
		t.text(1, key[1])
		t.text(2, string(text))
	}
	return t.Batch()
}

// constituents are the members of each index on each day on which they changed.
func (p *ptrade) constituents() (*batch.Batch, error) {
	type member struct {
		name     string
		from, to market.Date
	}
	members, days := map[string][]member{}, map[string]map[market.Date]bool{}
	for b, err := range p.view.Scan(market.Constituent, store.Range{}, nil) {
		if err != nil {
			return nil, err
		}
		c := cells{b}
		for row := range b.Rows() {
			index := p.names[c.text("index_symbol", row)]
			name := p.names[c.text("symbol", row)]
			if index == "" || name == "" {
				continue
			}
			m := member{name: name, to: market.MaxDate}
			m.from, _ = c.date("valid_from", row)
			if days[index] == nil {
				days[index] = map[market.Date]bool{}
			}
			days[index][m.from] = true
			if to, ok := c.date("valid_to", row); ok {
				m.to = to
				days[index][to+1] = true
			}
			members[index] = append(members[index], m)
		}
	}
	lists := map[[2]string][]string{}
	for index, on := range days {
		for d := range on {
			for _, m := range members[index] {
				if m.from <= d && d <= m.to {
					key := [2]string{compact(d), index}
					lists[key] = append(lists[key], m.name)
				}
			}
		}
	}
	return p.listed(batch.NewSchema(word("date"), word("index_code"), word("symbols")), lists)
}

// stockStatus are the symbols suspended, under special treatment and delisted, by day.
func (p *ptrade) stockStatus() (*batch.Batch, error) {
	kinds := map[string]string{"suspend": "HALT", "st": "ST", "star_st": "ST", "delist": "DELISTING"}
	lists := map[[2]string][]string{}
	span := p.r.span()
	for b, err := range p.view.Scan(market.StatusEvent, span, nil) {
		if err != nil {
			return nil, err
		}
		c := cells{b}
		for row := range b.Rows() {
			kind, name := kinds[c.text("kind", row)], p.names[c.text("symbol", row)]
			if kind == "" || name == "" {
				continue
			}
			d, _ := c.date("date", row)
			key := [2]string{compact(d), kind}
			lists[key] = append(lists[key], name)
		}
	}
	return p.listed(batch.NewSchema(word("date"), word("status_type"), word("symbols")), lists)
}

var versionSchema = batch.NewSchema(word("version"), count("num_stocks"), word("export_date"), word("start_date"))

func (p *ptrade) version() (*batch.Batch, error) {
	life, stocks, err := p.stocks()
	if err != nil {
		return nil, err
	}
	t := newTable(versionSchema)
	t.text(0, ptradeVersion)
	t.Column(1).Int(int64(stocks))
	t.Column(2).Null() // the manifest says which commit the folder shows
	if stocks == 0 {
		t.Column(3).Null()
	} else {
		t.text(3, life.From.String())
	}
	return t.Batch()
}
