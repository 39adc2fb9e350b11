package market

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tapeline/tapeline/batch"
)

// TestDatasets: keys and time are columns, keys are never NULL, and a price has the scale that
// adjustment counts on.
func TestDatasets(t *testing.T) {
	t.Parallel()
	if len(Datasets()) != 12 {
		t.Errorf("%d datasets", len(Datasets()))
	}
	for _, d := range Datasets() {
		if same, ok := DatasetByName(d.Name); !ok || same.Schema != d.Schema {
			t.Errorf("%s is not found", d.Name)
		}
		for _, name := range d.Key {
			if i := d.Schema.Index(name); i < 0 || d.Schema.Field(i).Nullable {
				t.Errorf("%s: key %s is no column, or NULL", d.Name, name)
			}
		}
		if d.Time != "" {
			if i := d.Schema.Index(d.Time); i < 0 || d.Schema.Field(i).Nullable {
				t.Errorf("%s: time %s is no column, or NULL", d.Name, d.Time)
			}
		} else if d.Partition != PartitionNone {
			t.Errorf("%s: a partition without a time", d.Name)
		}
		for i, field := range d.Schema.Fields() {
			if d.Schema.Index(field.Name) != i {
				t.Errorf("%s: column %s twice", d.Name, field.Name)
			}
			want := priceType
			if strings.HasPrefix(d.Name, "crypto_") {
				want = batch.DecimalOf(18, CryptoScale)
			}
			if field.Name == "close" && !field.Type.Equal(want) {
				t.Errorf("%s: close is %s", d.Name, field.Type)
			}
		}
	}
	if d, ok := DatasetByName("bars"); ok {
		t.Error(d)
	}
	bars, _ := DatasetByName(Bar1D)
	if got, want := bars.Schema.String(), "symbol string not null, date date not null, "+
		"open decimal(18,4) not null, high decimal(18,4) not null, low decimal(18,4) not null, "+
		"close decimal(18,4) not null, preclose decimal(18,4), volume int64, amount decimal(18,4), "+
		"turn decimal(18,6), trade_status bool not null, is_st bool, final bool not null"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

func TestPartition(t *testing.T) {
	t.Parallel()
	d := dateOf(t, "2024-02-10")
	for p, want := range map[Partition]string{
		PartitionNone:  "none all 0001-01-01..9999-12-31",
		PartitionYear:  "year 2024 2024-01-01..2024-12-31",
		PartitionMonth: "month 2024-02 2024-02-01..2024-02-29",
		PartitionDay:   "day 2024-02-10 2024-02-10",
	} {
		if got := p.String() + " " + p.Label(d) + " " + p.Of(d).String(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if got := PartitionMonth.Of(dateOf(t, "2023-12-31")); got.String() != "2023-12-01..2023-12-31" {
		t.Error(got)
	}
}

func TestUnitRows(t *testing.T) {
	t.Parallel()
	units := []Unit{
		{Bar1D, "600000.XSHG", "1d", "baostock", 19000, 19100, 66, StateOK},
		{Bar1D, "", "1d", "tushare", 19100, 19100, 5000, StatePartial},
		{AdjFactor, "000001.XSHE", "", "baostock", -5, 19100, 0, StateEmpty},
	}
	b := batch.NewBuilder(UnitSchema())
	for _, u := range units {
		AppendUnit(b, u)
	}
	rows, err := b.Batch()
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range units {
		if got, err := UnitAt(rows, i); err != nil || got != want {
			t.Errorf("%+v, %v; want %+v", got, err, want)
		}
	}
	if got := units[1].String(); got != "bar_1d universe 2022-04-18 of tushare" {
		t.Error(got)
	}
	for state, covers := range map[State]bool{StateOK: true, StateEmpty: true, StatePartial: false, StateFailed: false} {
		if state.Covers() != covers {
			t.Errorf("%s covers: %t", state, !covers)
		}
	}
	bars, _ := DatasetByName(Bar1D)
	if _, err := UnitAt(rowsOf(t, bars.Schema, goodBar, cells{}), 0); err == nil || !strings.Contains(err.Error(), "want (dataset string") {
		t.Error(err)
	}
}

func TestUnitValidate(t *testing.T) {
	t.Parallel()
	good := Unit{Bar1D, "600000.XSHG", "1d", "baostock", 1, 2, 2, StateOK}
	for want, spoil := range map[string]func(*Unit){
		"names no dataset":        func(u *Unit) { u.Dataset = "" },
		"or no source":            func(u *Unit) { u.Source = "" },
		"is after to":             func(u *Unit) { u.From = 3 },
		"-1 rows":                 func(u *Unit) { u.Rows = -1 },
		"state \"done\", want ok": func(u *Unit) { u.State = "done" },
		"confirmed to be empty":   func(u *Unit) { u.State = StateEmpty },
		"six digits":              func(u *Unit) { u.Symbol = "600000" },
	} {
		u := good
		spoil(&u)
		if err := u.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", u, err, want)
		}
	}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
}

func TestQuarantineRows(t *testing.T) {
	t.Parallel()
	list := []Quarantine{
		{Bar1D, "600000.XSHG", 19000, "baostock", RuleOrder, "2022-01-08,1,2,3", "page 1 row 7", "low above high"},
		{Bar1D, "", 0, "baostock", "parse", "\x00,", "page 2 row 1", "no date"},
	}
	b := batch.NewBuilder(QuarantineSchema())
	for _, q := range list {
		AppendQuarantine(b, q)
	}
	rows, err := b.Batch()
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range list {
		if got, err := QuarantineAt(rows, i); err != nil || got != want {
			t.Errorf("%+v, %v; want %+v", got, err, want)
		}
	}
	if _, err := QuarantineAt(rowsOf(t, UnitSchema(), nil), 0); err == nil || !strings.Contains(err.Error(), "quarantine row 0: columns (dataset string") {
		t.Error(err)
	}
}

func TestInstrument(t *testing.T) {
	t.Parallel()
	old, now := Symbol{"430047", BJSE}, Symbol{"920047", BJSE}
	i := Instrument{Symbol: now, IPO: 100, Aliases: []Alias{{old, 0, 199}, {Symbol{"430048", BJSE}, 200, 249}}}
	for d, want := range map[Date]string{50: "430047.BJSE", 199: "430047.BJSE", 200: "430048.BJSE", 249: "430048.BJSE", 250: "920047.BJSE"} {
		if got := i.SymbolOn(d).String(); got != want {
			t.Errorf("on day %d it is %s, want %s", d, got, want)
		}
	}
	if got := i.Life(); got != (Interval{100, MaxDate}) {
		t.Error(got)
	}
	if got := (Instrument{Out: 7}).Life(); got != (Interval{MinDate, 7}) {
		t.Error(got)
	}
	if got := (Instrument{Out: 7}).lifeText(); got != "?..1970-01-08" {
		t.Error(got)
	}
	for _, name := range classNames {
		if c, err := ParseClass(strings.ToUpper(name)); err != nil || c.String() != name {
			t.Errorf("%s is %s, %v", name, c, err)
		}
	}
	if _, err := ParseClass("share"); err == nil || !strings.Contains(err.Error(), "want one of unknown, stock") {
		t.Error(err)
	}
	if got := Class(77).String(); got != "class(77)" {
		t.Error(got)
	}
}

func TestProvider(t *testing.T) {
	t.Parallel()
	p := Provider{Name: "baostock", Offers: []Offer{
		{Dataset: Bar1D, Markets: []MIC{XSHG, XSHE}, Shapes: BySymbol, Classes: []Class{Stock, Index}},
		{Dataset: CalendarDay, Markets: []MIC{XSHG}, Shapes: Whole | ByDate},
	}}
	bars, ok := p.Offer(Bar1D)
	if !ok || !bars.Serves(XSHE, Stock) || bars.Serves(BJSE, Stock) || bars.Serves(XSHG, ETF) {
		t.Error(bars, ok)
	}
	days, ok := p.Offer(CalendarDay)
	if !ok || !days.Serves(XSHG, ETF) || !days.Shapes.Has(Whole) || days.Shapes.Has(BySymbol) || days.Shapes.Has(Whole|BySymbol) {
		t.Error(days, ok)
	}
	if o, ok := p.Offer(Fundamental); ok {
		t.Error(o)
	}
}

func TestIntervalText(t *testing.T) {
	t.Parallel()
	s := IntervalsOf(Interval{5, 5}, Interval{0, 3}, Interval{9, 7})
	if got := s.String() + " " + Intervals(nil).String() + " " + (Interval{2, 1}).String(); got != "1970-01-01..1970-01-04,1970-01-06 empty empty" {
		t.Error(got)
	}
	if got := s.Span(); got != (Interval{0, 5}) || !Intervals(nil).Span().Empty() {
		t.Error(got)
	}
	if diff := cmp.Diff(IntervalsOf(Interval{1, 2}, Interval{4, 4}), DatesOf(4, 2, 1, 2)); diff != "" {
		t.Error(diff)
	}
	for _, src := range [][]byte{{}, {1}, {5, 0, 0}, {0x80, 0}, {1, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1, 0}, {1, 0, 0xff, 0xff, 0xff, 0x7f}} {
		if got, _, err := DecodeIntervals(src); err == nil {
			t.Errorf("% x is %s", src, got)
		}
	}
}
