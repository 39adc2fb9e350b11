package market

import (
	"fmt"

	"github.com/tapeline/tapeline/batch"
)

// Names of the datasets.
const (
	Bar1D       = "bar_1d"
	BarMin      = "bar_min"
	Crypto1D    = "crypto_1d"
	CryptoMin   = "crypto_min"
	Valuation1D = "valuation_1d"
	AdjFactor   = "adj_factor"
	CorpAction  = "corp_action"
	Fundamental = "fundamental"
	Constituent = "constituent"
	StatusEvent = "status_event"
	CalendarDay = "calendar"
	Listing     = "instrument"
)

// Dataset is one table of market data. Rows on their way carry canonical symbols as text; the store
// adds source, commit and run to each.
type Dataset struct {
	Name      string
	Schema    *batch.Schema
	Key       []string // the columns that name a row
	Partition Partition
	Time      string // the column of its date or instant; "" when rows have none
}

// Scales of the decimals: digits behind the point.
const (
	PriceScale  = 4 // raw prices and amounts
	FactorScale = 6 // adjustment factors and ratios
	CryptoScale = 8 // prices of crypto currencies
)

func required(name string, typ batch.Type) batch.Field {
	return batch.Field{Name: name, Type: typ}
}

func optional(name string, typ batch.Type) batch.Field {
	return batch.Field{Name: name, Type: typ, Nullable: true}
}

// datasets is never altered.
var datasets = makeDatasets()

func makeDatasets() []Dataset {
	text, date := batch.Of(batch.String), batch.Of(batch.Date)
	price, ratio := batch.DecimalOf(18, PriceScale), batch.DecimalOf(18, FactorScale)
	count, flag := batch.Of(batch.Int64), batch.Of(batch.Bool)
	instant := batch.TimestampOf(batch.Microsecond, "UTC")
	schema := batch.NewSchema
	return append([]Dataset{
		{Bar1D, schema(
			required("symbol", text), required("date", date), required("open", price),
			required("high", price), required("low", price), required("close", price),
			optional("preclose", price), optional("volume", count), optional("amount", price),
			optional("turn", ratio), required("trade_status", flag), optional("is_st", flag),
			required("final", flag),
		), []string{"symbol", "date"}, PartitionYear, "date"},
		// ts is the start of the bar; session_date the exchange's own day.
		{BarMin, schema(
			required("symbol", text), required("freq", text), required("ts", instant),
			required("session_date", date), required("open", price), required("high", price),
			required("low", price), required("close", price), optional("volume", count),
			optional("amount", price), required("final", flag),
		), []string{"symbol", "freq", "ts"}, PartitionMonth, "ts"},
		{Valuation1D, schema(
			required("symbol", text), required("date", date), optional("pe_ttm", ratio),
			optional("pb_mrq", ratio), optional("ps_ttm", ratio), optional("pcf_ncf_ttm", ratio),
		), []string{"symbol", "date"}, PartitionYear, "date"},
		{AdjFactor, schema(
			required("symbol", text), required("ex_date", date), optional("fore_factor", ratio),
			required("back_factor", ratio), optional("adjust_factor", ratio),
		), []string{"symbol", "ex_date"}, PartitionNone, "ex_date"},
		// Amounts per share. raw keeps what a number cannot, such as "0.288或0.32".
		{CorpAction, schema(
			required("symbol", text), required("ex_date", date), required("kind", text),
			optional("cash", ratio), optional("stock_dividend", ratio), optional("transfer", ratio),
			optional("rights_ratio", ratio), optional("rights_price", price),
			optional("split_ratio", ratio), optional("record_date", date),
			optional("pay_date", date), optional("raw", text),
		), []string{"symbol", "ex_date", "kind"}, PartitionNone, "ex_date"},
		// Ratios stand in value, money and numbers of shares in amount. amount_text has an amount that
		// 18 digits do not hold, as it was served: revenues of a trillion with six decimals.
		{Fundamental, schema(
			required("symbol", text), required("stat_date", date), required("pub_date", date),
			required("item", text), optional("value", ratio), optional("amount", ratio), optional("amount_text", text),
		), []string{"symbol", "stat_date", "pub_date", "item"}, PartitionYear, "pub_date"},
		{Constituent, schema(
			required("index_symbol", text), required("symbol", text), required("valid_from", date),
			optional("valid_to", date), optional("update_date", date),
		), []string{"index_symbol", "symbol", "valid_from"}, PartitionNone, "valid_from"},
		{StatusEvent, schema(
			required("symbol", text), required("date", date), required("kind", text),
			optional("detail", text),
		), []string{"symbol", "date", "kind"}, PartitionNone, "date"},
		{CalendarDay, schema(
			required("mic", text), required("date", date), required("is_open", flag),
		), []string{"mic", "date"}, PartitionNone, "date"},
		{Listing, schema(
			required("symbol", text), required("name", text), required("class", text),
			optional("ipo_date", date), optional("out_date", date), required("status", text),
		), []string{"symbol"}, PartitionNone, ""},
	}, cryptoDatasets()...)
}

// cryptoDatasets have days of UTC; amount is in the currency of the quote. Sums of 21 digits, as of coins
// that cost nothing, fit neither 18 digits nor the store's 64 bits: they are the nearest float64.
func cryptoDatasets() []Dataset {
	price, sum := batch.DecimalOf(18, CryptoScale), batch.Of(batch.Float64)
	schema := func(key ...batch.Field) *batch.Schema {
		return batch.NewSchema(append(key,
			required("open", price), required("high", price), required("low", price), required("close", price),
			required("volume", sum), required("amount", sum), required("trades", batch.Of(batch.Int64)),
			required("final", batch.Of(batch.Bool)))...)
	}
	symbol := required("symbol", batch.Of(batch.String))
	return []Dataset{
		{
			Crypto1D, schema(symbol, required("date", batch.Of(batch.Date))),
			[]string{"symbol", "date"},
			PartitionYear, "date",
		},
		{
			CryptoMin, schema(symbol, required("freq", batch.Of(batch.String)),
				required("ts", batch.TimestampOf(batch.Microsecond, "UTC"))),
			[]string{"symbol", "freq", "ts"},
			PartitionMonth, "ts",
		},
	}
}

// Datasets returns all datasets.
func Datasets() []Dataset { return append([]Dataset(nil), datasets...) }

// Daily reports whether a dataset has one row for each symbol and session.
func Daily(name string) bool { return name == Bar1D || name == Crypto1D || name == Valuation1D }

// DatasetByName returns a dataset.
func DatasetByName(name string) (Dataset, bool) {
	for _, d := range datasets {
		if d.Name == name {
			return d, true
		}
	}
	return Dataset{}, false
}

// Partition is the stretch of time whose rows are kept together.
type Partition uint8

// The partitions.
const (
	PartitionNone Partition = iota // all rows together
	PartitionYear
	PartitionMonth
	PartitionDay
)

// String returns none, year, month or day.
func (p Partition) String() string {
	return [...]string{"none", "year", "month", "day"}[p]
}

// Of returns the dates of the partition that holds d.
func (p Partition) Of(d Date) Interval {
	year, month, _ := d.Civil()
	switch p {
	case PartitionYear:
		return Interval{DateOf(year, 1, 1), DateOf(year, 12, 31)}
	case PartitionMonth:
		return Interval{DateOf(year, month, 1), DateOf(year, month+1, 1) - 1}
	case PartitionDay:
		return Interval{d, d}
	}
	return Interval{MinDate, MaxDate}
}

// Label returns the name of the partition that holds d: "all", "2024", "2024-01" or "2024-01-02".
func (p Partition) Label(d Date) string {
	year, month, _ := d.Civil()
	switch p {
	case PartitionYear:
		return fmt.Sprintf("%04d", year)
	case PartitionMonth:
		return fmt.Sprintf("%04d-%02d", year, month)
	case PartitionDay:
		return d.String()
	}
	return "all"
}
