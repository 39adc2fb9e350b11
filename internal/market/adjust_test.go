package market

import (
	"math"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"pgregory.net/rapid"

	"github.com/tapeline/tapeline/batch"
)

// exactly returns the text of raw (4 decimals) × factor (6 decimals) by way of big integers.
func exactly(raw, factor int64) string {
	product := new(big.Int).Mul(big.NewInt(raw), big.NewInt(factor))
	return decimalText(product, AdjustedScale)
}

func decimalText(v *big.Int, scale int) string {
	return new(big.Rat).SetFrac(v, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil)).FloatString(scale)
}

// rounded returns a × b / c rounded half up.
func rounded(a, b, c int64) *big.Int {
	twice := new(big.Int).Mul(big.NewInt(2*a), big.NewInt(b))
	twice.Add(twice, big.NewInt(c))
	return twice.Div(twice, big.NewInt(2*c))
}

// TestAdjustRealSeries derives the factors of 150 real symbols and holds every adjusted price against
// arithmetic on text and big integers.
func TestAdjustRealSeries(t *testing.T) {
	t.Parallel()
	events, prices := 0, 0
	for _, s := range readReal(t) {
		list, err := DeriveFactors(s.dates, s.closes, s.precloses)
		if err != nil {
			t.Fatal(err)
		}
		events += len(list)
		f, err := NewFactors(list)
		if err != nil {
			t.Fatal(err)
		}
		forward, err := f.Adjust(s.bars, Forward)
		if err != nil {
			t.Fatal(err)
		}
		backward, err := f.Adjust(s.bars, Backward)
		if err != nil {
			t.Fatal(err)
		}
		latest := int64(FactorOne)
		if len(list) > 0 {
			latest = list[len(list)-1].Back
		}
		back, at := int64(FactorOne), 0
		for row, d := range s.dates {
			if at < len(list) && list[at].Ex == d {
				if want := rounded(back, s.closes[row-1], s.precloses[row]); want.Int64() != list[at].Back {
					t.Fatalf("%s %s: factor %d, want %s", s.symbol, d, list[at].Back, want)
				}
				back = list[at].Back
				at++
			}
			fore := rounded(back, FactorOne, latest).Int64()
			if f.Back(d) != back || f.Fore(d) != fore {
				t.Fatalf("%s %s: factors %d and %d, want %d and %d", s.symbol, d, f.Back(d), f.Fore(d), back, fore)
			}
			for i := 2; i <= 6; i++ {
				raw := s.bars.Column(i).Value(row).(batch.DecimalValue).Unscaled.LowBits()
				prices++
				if got, want := forward.Column(i).Value(row).(batch.DecimalValue).String(), exactly(int64(raw), fore); got != want {
					t.Fatalf("%s %s: forward %s, want %s", s.symbol, d, got, want)
				}
				if got, want := backward.Column(i).Value(row).(batch.DecimalValue).String(), exactly(int64(raw), back); got != want {
					t.Fatalf("%s %s: backward %s, want %s", s.symbol, d, got, want)
				}
			}
		}
		last := s.bars.Rows() - 1
		if got := forward.Column(5).Value(last).(batch.DecimalValue).String(); got != FormatFixed(s.closes[last], 4)+"000000" {
			t.Errorf("%s: the newest close became %s", s.symbol, got)
		}
	}
	if events != 658 || prices != 5*156_636 {
		t.Errorf("%d events and %d prices, want 658 and %d", events, prices, 5*156_636)
	}
}

// TestAdjustExample is a case by hand: 10 shares become 20, then a dividend of 1 on 21.
func TestAdjustExample(t *testing.T) {
	t.Parallel()
	f, err := NewFactors([]FactorEvent{{200, 2_100_000}, {100, 2_000_000}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		d          Date
		back, fore int64
	}{{99, 1_000_000, 476_190}, {100, 2_000_000, 952_381}, {199, 2_000_000, 952_381}, {200, 2_100_000, 1_000_000}} {
		if f.Back(c.d) != c.back || f.Fore(c.d) != c.fore {
			t.Errorf("day %d: %d and %d, want %d and %d", c.d, f.Back(c.d), f.Fore(c.d), c.back, c.fore)
		}
	}
	if e, ok := f.Event(100); !ok || e.Back != 2_000_000 {
		t.Error(e, ok)
	}
	if _, ok := f.Event(101); ok {
		t.Error("an event on day 101")
	}
	var none Factors
	if none.Back(5) != FactorOne || none.Fore(5) != FactorOne || len(f.Events()) != 2 {
		t.Error("factors without events are not 1")
	}
	// Dates in any order give what each alone gives.
	dates := []int32{200, 99, 150, 100, 300, -5, 99}
	for how, one := range map[Adjustment]func(Date) int64{
		Forward: f.Fore, Backward: f.Back, Raw: func(Date) int64 { return FactorOne },
	} {
		for i, got := range f.AppendFactors(nil, dates, how) {
			if want := one(Date(dates[i])); got != want {
				t.Errorf("%d, day %d: %d, want %d", how, dates[i], got, want)
			}
		}
	}
}

// TestAdjustExtremes: NULLs stay, negative and largest values are exact, and nothing overflows.
func TestAdjustExtremes(t *testing.T) {
	t.Parallel()
	b := batch.NewBuilder(batch.NewSchema(required("date", batch.Of(batch.Date)), optional("preclose", priceType)))
	raws := []int64{999_999_999_999_999_999, -123_456, 1}
	for i, raw := range raws {
		b.Column(0).Int(int64(i))
		b.Column(1).Decimal(decimal128.FromI64(raw))
	}
	b.Column(0).Int(9)
	b.Column(1).Null()
	rows, err := b.Batch()
	if err != nil {
		t.Fatal(err)
	}
	const back = 999_999_999_999
	f, err := NewFactors([]FactorEvent{{0, back}})
	if err != nil {
		t.Fatal(err)
	}
	out, err := f.Adjust(rows, Backward)
	if err != nil {
		t.Fatal(err)
	}
	for row, raw := range raws {
		if got, want := out.Column(1).Value(row).(batch.DecimalValue).String(), exactly(raw, back); got != want {
			t.Errorf("%d × %d is %s, want %s", raw, back, got, want)
		}
	}
	if !out.Column(1).IsNull(3) {
		t.Error("NULL became", out.Column(1).Value(3))
	}
	if same, err := f.Adjust(rows, Raw); err != nil || same != rows {
		t.Error("raw is not the batch itself:", err)
	}
	for want, columns := range map[string]*batch.Schema{
		"want date":                          batch.NewSchema(optional("preclose", priceType)),
		"column open is int64, want decimal": batch.NewSchema(required("date", batch.Of(batch.Date)), required("open", batch.Of(batch.Int64))),
	} {
		empty, err := batch.NewBuilder(columns).Batch()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Adjust(empty, Forward); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestFactorErrors(t *testing.T) {
	t.Parallel()
	for want, events := range map[string][]FactorEvent{
		"is not positive":       {{1, 0}},
		"two events on one day": {{1, 5}, {1, 6}},
		"does not fit 64 bits":  {{1, math.MaxInt64}, {2, 1}},
	} {
		if _, err := NewFactors(events); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", events, err, want)
		}
	}
	for want, c := range map[string][2][]int64{
		"follows":              nil2([]int64{1, 1}, []int64{1, 1}),
		"want positive prices": nil2([]int64{0, 1}, []int64{0, 5}),
		"does not fit 64 bits": nil2([]int64{math.MaxInt64, 1}, []int64{0, 1}),
	} {
		dates := []Date{1, 2}
		if want == "follows" {
			dates = []Date{2, 2}
		}
		if _, err := DeriveFactors(dates, c[0], c[1]); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", c, err, want)
		}
	}
	if list, err := DeriveFactors([]Date{1, 2, 3}, []int64{10, 20, 20}, []int64{9, 0, 20}); err != nil || len(list) != 0 {
		t.Errorf("a preclose that is not known made %v, %v", list, err)
	}
}

func nil2(closes, precloses []int64) [2][]int64 { return [2][]int64{closes, precloses} }

// TestFactorsOf reads events from rows of dataset adj_factor.
func TestFactorsOf(t *testing.T) {
	t.Parallel()
	d, _ := DatasetByName(AdjFactor)
	b := batch.NewBuilder(d.Schema)
	row := func(ex Date, back decimal128.Num) {
		b.Column(0).Text("600000.XSHG")
		b.Column(1).Int(int64(ex))
		b.Column(2).Null()
		b.Column(3).Decimal(back)
		b.Column(4).Null()
	}
	row(20, decimal128.FromI64(3_000_000))
	row(10, decimal128.FromI64(2_000_000))
	rows, err := b.Batch()
	if err != nil {
		t.Fatal(err)
	}
	f, err := FactorsOf(rows)
	if want := []FactorEvent{{10, 2_000_000}, {20, 3_000_000}}; err != nil || !slices.Equal(f.Events(), want) {
		t.Errorf("%v, %v; want %v", f.Events(), err, want)
	}
	row(10, decimal128.New(5, 0))
	if rows, err = b.Batch(); err != nil {
		t.Fatal(err)
	}
	if _, err := FactorsOf(rows); err == nil || !strings.Contains(err.Error(), "does not fit") {
		t.Error(err)
	}
	units, err := batch.NewBuilder(UnitSchema()).Batch()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := FactorsOf(units); err == nil || !strings.Contains(err.Error(), "want ex_date") {
		t.Error(err)
	}
}

// TestDerivedFactors: what was derived step by step gives back the closes to the last digit it can.
func TestDerivedFactors(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		closes := rapid.SliceOfN(rapid.Int64Range(100, 10_000_000), 2, 12).Draw(t, "closes")
		dates, precloses := make([]Date, len(closes)), make([]int64, len(closes))
		for i := range closes {
			dates[i] = Date(i)
			if i > 0 {
				precloses[i] = max(1, closes[i-1]*rapid.Int64Range(50, 100).Draw(t, "share")/100)
			}
		}
		list, err := DeriveFactors(dates, closes, precloses)
		if err != nil {
			t.Fatal(err)
		}
		f, err := NewFactors(list)
		if err != nil {
			t.Fatal(err)
		}
		for i := 1; i < len(closes); i++ {
			want := rounded(f.Back(dates[i-1]), closes[i-1], precloses[i]).Int64()
			if got := f.Back(dates[i]); got != want {
				t.Fatalf("factor of day %d is %d, want %d", i, got, want)
			}
			if _, event := f.Event(dates[i]); event != (precloses[i] != closes[i-1]) {
				t.Fatalf("day %d is an ex-date: %t", i, event)
			}
		}
	})
}

// TestAdjustAllocations: columns, not rows, cost allocations.
func TestAdjustAllocations(t *testing.T) {
	s := readReal(t)[0]
	list, err := DeriveFactors(s.dates, s.closes, s.precloses)
	if err != nil {
		t.Fatal(err)
	}
	f, err := NewFactors(list)
	if err != nil {
		t.Fatal(err)
	}
	count := func(b *batch.Batch) float64 {
		return testing.AllocsPerRun(20, func() { _, _ = f.Adjust(b, Forward) })
	}
	if few, many := count(s.bars.Slice(0, 10).Keep()), count(s.bars); few != many {
		t.Errorf("%v allocations for 10 rows, %v for %d", few, many, s.bars.Rows())
	}
}

func BenchmarkAdjust(b *testing.B) {
	s := readReal(b)[0]
	list, err := DeriveFactors(s.dates, s.closes, s.precloses)
	if err != nil {
		b.Fatal(err)
	}
	f, err := NewFactors(list)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.Adjust(s.bars, Forward); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(s.bars.Rows())*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mrows/s")
}

func BenchmarkCheck(b *testing.B) {
	s := readReal(b)[0]
	b.ReportAllocs()
	for b.Loop() {
		if found := Check(Bar1D, s.bars); found != nil {
			b.Fatal(found)
		}
	}
	b.ReportMetric(float64(s.bars.Rows())*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mrows/s")
}
