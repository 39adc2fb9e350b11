package market

import (
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"github.com/tapeline/tapeline/batch"
)

// rowsOf returns a batch of rows whose cells are texts by column name; a row without a cell takes it
// from base, "NULL" is NULL.
func rowsOf(t testing.TB, schema *batch.Schema, base map[string]string, rows ...map[string]string) *batch.Batch {
	t.Helper()
	b := batch.NewBuilder(schema)
	for _, row := range rows {
		for i, field := range schema.Fields() {
			text, ok := row[field.Name]
			if !ok {
				text, ok = base[field.Name]
			}
			switch {
			case text == "NULL" || !ok:
				b.Column(i).Null()
			case field.Type.Kind == batch.Decimal && strings.HasPrefix(text, "bits:"):
				b.Column(i).Decimal(decimal128.New(1, 5))
			default:
				if err := b.Column(i).Any(text); err != nil {
					t.Fatalf("%s: %v", field.Name, err)
				}
			}
		}
	}
	out, err := b.Batch()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

type cells = map[string]string

var goodBar = cells{
	"symbol": "600000.XSHG", "date": "2024-01-02", "open": "10.00", "high": "10.50", "low": "9.90",
	"close": "10.20", "preclose": "10.00", "volume": "1000", "amount": "10200.0000", "turn": "0.5",
	"trade_status": "true", "is_st": "false", "final": "true", "pct_chg": "2.000000",
}

func one(rows ...cells) []cells { return rows }

func TestCheckBars(t *testing.T) {
	t.Parallel()
	const flat = "10.00"
	for _, c := range []struct {
		name string
		row  cells
		want string // rules, and a part of the first message
	}{
		{"good", cells{}, ""},
		{"without what may be unknown", cells{"preclose": "NULL", "volume": "NULL", "amount": "NULL", "turn": "NULL", "is_st": "NULL", "pct_chg": "NULL"}, ""},
		{"bare digits", cells{"symbol": "600000"}, "symbol: six digits"},
		{"other scheme", cells{"symbol": "600000.SH"}, "symbol: market \"SH\""},
		{"zero price", cells{"low": "0"}, "price_positive: open 10.0000, high 10.5000, low 0.0000"},
		{"negative preclose", cells{"preclose": "-1", "pct_chg": "NULL"}, "price_positive: preclose -1.0000 is not above 0"},
		{"zero preclose", cells{"preclose": "0", "pct_chg": "NULL"}, "price_positive: preclose 0.0000"},
		{"low above close", cells{"low": "10.30"}, "ohlc_order: "},
		{"high below open", cells{"high": "10.19"}, "ohlc_order: "},
		{"fields in another order", cells{"open": "10.50", "high": "9.90", "low": "10.20", "close": "10.00", "pct_chg": "0"}, "ohlc_order: "},
		{"negative volume", cells{"volume": "-1"}, "negative: volume -1 is negative"},
		{"negative amount", cells{"amount": "-0.0001"}, "negative: amount -0.0001"},
		{"negative turn", cells{"turn": "-0.000001"}, "negative: turn -0.000001"},
		{"wrong change", cells{"pct_chg": "2.010001"}, "pct_change: pct_chg 2.010001, but close 10.2000 after 10.0000"},
		{"change within the tolerance", cells{"pct_chg": "2.010000"}, ""},
		{"change as a fraction", cells{"pct_chg": "0.02"}, "pct_change: "},
		{"too many digits", cells{"volume": "NULL", "amount": "bits:"}, "precision: column amount"},
		{
			"suspended",
			cells{"trade_status": "false", "open": flat, "high": flat, "low": flat, "close": flat, "volume": "0", "amount": "0", "turn": "NULL", "pct_chg": "0"},
			"",
		},
		{
			"suspended without volume",
			cells{"trade_status": "false", "open": flat, "high": flat, "low": flat, "close": flat, "volume": "NULL", "amount": "NULL", "turn": "NULL", "pct_chg": "NULL"},
			"",
		},
		{
			"suspended and traded",
			cells{"trade_status": "false", "open": flat, "high": flat, "low": flat, "close": flat, "pct_chg": "0"},
			"suspended_flat: suspended, but volume 1000",
		},
		{"suspended and moving", cells{"trade_status": "false", "volume": "0", "amount": "0"}, "suspended_flat: suspended, but not flat"},
	} {
		found := Check(Bar1D, rowsOf(t, realSchema, goodBar, cells{}, c.row, cells{}))
		rule, message, _ := strings.Cut(c.want, ": ")
		switch {
		case c.want == "" && len(found) > 0:
			t.Errorf("%s: %v", c.name, found)
		case c.want != "" && (len(found) == 0 || found[0].Row != 1 || found[0].Rule != rule || !strings.Contains(found[0].Error(), message)):
			t.Errorf("%s: %v, want %s", c.name, found, c.want)
		}
	}
}

// TestCheckOtherDatasets: one broken row of each kind.
func TestCheckOtherDatasets(t *testing.T) {
	t.Parallel()
	minute := cells{
		"symbol": "600000.XSHG", "freq": "5m", "ts": "2024-01-02T01:30:00Z", "session_date": "2024-01-02",
		"open": "10", "high": "11", "low": "9", "close": "10", "volume": "5", "final": "true",
	}
	factor := cells{"symbol": "600000.XSHG", "ex_date": "2024-01-02", "back_factor": "1.5"}
	action := cells{"symbol": "600000.XSHG", "ex_date": "2024-01-02", "kind": "dividend", "cash": "0.32"}
	listing := cells{"symbol": "600000.XSHG", "name": "x", "class": "stock", "ipo_date": "1999-11-10", "status": "listed"}
	member := cells{"index_symbol": "000300.XSHG", "symbol": "600000.XSHG", "valid_from": "2020-01-01"}
	for _, c := range []struct {
		dataset   string
		base, row cells
		want      string
	}{
		{BarMin, minute, cells{}, ""},
		{BarMin, minute, cells{"high": "9.5"}, RuleOrder},
		{BarMin, minute, cells{"volume": "-1"}, RuleNegative},
		{BarMin, minute, cells{"amount": "-1"}, RuleNegative},
		{AdjFactor, factor, cells{}, ""},
		{AdjFactor, factor, cells{"back_factor": "0"}, RuleNegative},
		{AdjFactor, factor, cells{"fore_factor": "-1"}, RuleNegative},
		{CorpAction, action, cells{}, ""},
		{CorpAction, action, cells{"cash": "-0.1"}, RuleNegative},
		{Listing, listing, cells{}, ""},
		{Listing, listing, cells{"out_date": "1999-11-10"}, ""},
		{Listing, listing, cells{"out_date": "1999-11-09"}, RuleDateOrder},
		{Constituent, member, cells{}, ""},
		{Constituent, member, cells{"valid_to": "2019-12-31"}, RuleDateOrder},
		{Constituent, member, cells{"index_symbol": "000300"}, RuleSymbol},
		{CalendarDay, cells{"mic": "XSHG", "date": "2024-01-02", "is_open": "true"}, cells{}, ""},
		{CalendarDay, cells{"mic": "XSHG", "date": "2024-01-02", "is_open": "true"}, cells{"is_open": "NULL"}, RuleRequired},
		{Valuation1D, cells{"symbol": "600000.XSHG", "date": "2024-01-02", "pe_ttm": "-5.9"}, cells{}, ""},
		{Fundamental, cells{"symbol": "600000.XSHG", "stat_date": "2023-12-31", "pub_date": "2024-03-31", "item": "roe", "value": "0.1"}, cells{"symbol": "NULL"}, RuleSymbol},
		{StatusEvent, cells{"symbol": "600000.XSHG", "date": "2024-01-02", "kind": "suspend"}, cells{}, ""},
	} {
		d, ok := DatasetByName(c.dataset)
		if !ok {
			t.Fatal(c.dataset)
		}
		found := Check(c.dataset, rowsOf(t, d.Schema, c.base, one(cells{}, c.row)...))
		if c.want == "" && len(found) > 0 || c.want != "" && (len(found) == 0 || found[0].Row != 1 || found[0].Rule != c.want) {
			t.Errorf("%s with %v: %v, want %q", c.dataset, c.row, found, c.want)
		}
	}
}

// TestCheckSchema: without the right columns no row is taken, and nothing panics.
func TestCheckSchema(t *testing.T) {
	t.Parallel()
	d, _ := DatasetByName(Bar1D)
	bars := rowsOf(t, d.Schema, goodBar, cells{}, cells{})
	spans := &batch.Spans{Data: []byte("x\ny\n"), Offsets: []uint32{0, 2, 2, 4}, Stride: 2, Step: 1, Gap: 1}
	other := append([]batch.Field(nil), d.Schema.Fields()...)
	other[7].Type = batch.Of(batch.Int32)
	for want, found := range map[string][]RuleError{
		`dataset "bars" is not known`:        Check("bars", bars),
		"there is no column ex_date":         Check(AdjFactor, bars),
		"column volume is int32, want int64": Check(Bar1D, bars.WithColumns(batch.NewSchema(other...), append(append(append([]*batch.Column(nil), bars.Columns()[:7]...), batch.NullColumn(batch.Of(batch.Int32), 2)), bars.Columns()[8:]...))),
		"column symbol is still text":        Check(Bar1D, bars.Replace(0, batch.LazyColumn(batch.Of(batch.String), spans, 0))),
	} {
		if len(found) != 2 || found[0].Rule != RuleSchema || !strings.Contains(found[1].Message, want) {
			t.Errorf("%v, want %q for both rows", found, want)
		}
	}
	if v, err := NewVerifier("bars", nil); err == nil {
		t.Error(v)
	}
	v, err := NewVerifier(AdjFactor, nil)
	if err != nil {
		t.Fatal(err)
	}
	if found := v.Batch(bars); len(found) != 2 || found[0].Rule != RuleSchema {
		t.Error(found)
	}
}

// TestCheckForeignChange: a column pct_chg of a type the rule does not know is left alone.
func TestCheckForeignChange(t *testing.T) {
	t.Parallel()
	fields := append([]batch.Field(nil), realSchema.Fields()...)
	fields[len(fields)-1].Type = batch.Of(batch.String)
	if found := Check(Bar1D, rowsOf(t, batch.NewSchema(fields...), goodBar, cells{"pct_chg": "much"})); found != nil {
		t.Error(found)
	}
}

// TestCheckSelection: rows that are not selected do not count, and numbers are physical.
func TestCheckSelection(t *testing.T) {
	t.Parallel()
	bars := rowsOf(t, realSchema, goodBar, cells{"low": "0"}, cells{}, cells{"volume": "-1", "low": "10.3"}, cells{"low": "0"})
	found := Check(Bar1D, bars.Select([]int32{1, 2}))
	if len(found) != 2 || found[0].Row != 2 || found[1].Row != 2 {
		t.Fatal(found)
	}
	errs := RowErrors(found)
	if len(errs) != 1 || errs[0].Row != 2 {
		t.Fatal(errs)
	}
	if left := bars.Select([]int32{1, 2}).Without(errs); left.Len() != 1 || left.Row(0) != 1 {
		t.Error(left.Selection())
	}
}

// TestCheckAllocations: nothing is allocated for rows that are right.
func TestCheckAllocations(t *testing.T) {
	s := readReal(t)[0]
	if n := testing.AllocsPerRun(20, func() { _ = Check(Bar1D, s.bars) }); n > 1 {
		t.Errorf("%v allocations for %d rows, want 1 a call", n, s.bars.Rows())
	}
}

// TestRules: what is found carries a name that is documented, once, with a scope.
func TestRules(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, r := range Rules() {
		if r.Doc == "" || seen[r.Name] {
			t.Errorf("rule %s is without words or stands twice", r.Name)
		}
		seen[r.Name] = true
		for _, name := range r.Datasets {
			if _, ok := DatasetByName(name); !ok {
				t.Errorf("rule %s is of dataset %s", r.Name, name)
			}
		}
	}
}

// TestCheckCrypto: the rules count on eight decimals, and on floating point.
func TestCheckCrypto(t *testing.T) {
	t.Parallel()
	d, _ := DatasetByName(Crypto1D)
	good := cells{
		"symbol": "PEPEUSDT.BINANCE", "date": "2024-01-02", "open": "0.00000002", "high": "0.00000003",
		"low": "0.00000001", "close": "0.00000002", "volume": "92233720368547758.5", "amount": "1",
		"trades": "0", "final": "true",
	}
	rows := rowsOf(t, d.Schema, good, cells{}, cells{"close": "0.00000004"}, cells{"amount": "-0.00000001"},
		cells{"low": "0", "trades": "-1"})
	var got []string
	for _, e := range Check(Crypto1D, rows) {
		got = append(got, e.Error())
	}
	want := []string{
		"row 1 breaks ohlc_order: low and high do not enclose open and close: open 0.00000002, high 0.00000003, low 0.00000001, close 0.00000004",
		"row 2 breaks negative: amount -1e-08 is negative",
		"row 3 breaks price_positive: a price is not above 0: open 0.00000002, high 0.00000003, low 0.00000000, close 0.00000002",
		"row 3 breaks negative: trades -1 is negative",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
