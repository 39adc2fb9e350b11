package repair_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tapeline/tapeline/internal/market/repair"
	"github.com/tapeline/tapeline/internal/testenv"
)

const one = 10_000_000_000

func at(v float64) int64 { return int64(math.Round(v*1e4)) * one / 1e4 } // prices have four digits

// history makes a series without a fault: a wandering price with dividends of up to 3 % each quarter, a
// split, and adjusted prices that follow from them.
func history(chance *rand.Rand, n int) []repair.Row {
	rows := make([]repair.Row, n)
	day := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	price := 5 + 100*chance.Float64()
	split := n/2 + chance.IntN(n/4)
	for i := range rows {
		for day = day.AddDate(0, 0, 1); day.Weekday() == time.Saturday || day.Weekday() == time.Sunday; {
			day = day.AddDate(0, 0, 1)
		}
		r := &rows[i]
		r.Time = day
		if i%63 == 30 {
			paid := price * (0.005 + 0.025*chance.Float64())
			price -= paid
			r.Values[repair.Dividend] = at(paid)
		}
		open := price * math.Exp(0.005*chance.NormFloat64())
		price *= math.Exp(0.012 * chance.NormFloat64())
		r.Values[repair.Open], r.Values[repair.Close] = at(open), at(price)
		r.Values[repair.High] = at(max(open, price) * (1 + 0.004*chance.Float64()))
		r.Values[repair.Low] = at(min(open, price) * (1 - 0.004*chance.Float64()))
		r.Values[repair.Volume] = 100_000 + chance.Int64N(1_000_000)
		if i == split {
			r.Values[repair.Split] = 4 * one // prices before are stated after it
		}
	}
	adjusted := 1.0
	for i := n - 1; i >= 0; i-- {
		r := &rows[i]
		r.Values[repair.AdjClose] = int64(math.Round(float64(r.Values[repair.Close]) * adjusted))
		if paid := r.Values[repair.Dividend]; paid > 0 && i > 0 {
			adjusted *= 1 - float64(paid)/float64(rows[i-1].Values[repair.Close])
		}
	}
	return rows
}

// TestCleanSeriesStay: a series without a fault is not changed.
func TestCleanSeriesStay(t *testing.T) {
	for seed := range uint64(100) {
		s := repair.Series{Rows: history(rand.New(rand.NewPCG(seed, 1)), 250+int(seed))}
		if changes := s.Repair(); len(changes) > 0 {
			t.Errorf("seed %d: %d cells changed, the first %+v", seed, len(changes), changes[0])
		}
	}
}

// fault spoils a series from a row on, backwards, and returns the rule that undoes it.
type fault func(rows []repair.Row, chance *rand.Rand) (rule string)

var faults = map[string]fault{
	"older rows a hundredfold": func(rows []repair.Row, chance *rand.Rand) string {
		for i := range 1 + chance.IntN(len(rows)-10) {
			prices(&rows[i], 100, 1)
		}
		return repair.RuleUnit
	},
	"a block at a hundredth": func(rows []repair.Row, chance *rand.Rand) string {
		from := 10 + chance.IntN(len(rows)-40)
		for i := from; i < from+1+chance.IntN(20); i++ {
			prices(&rows[i], 1, 100)
		}
		return repair.RuleUnit
	},
	"one price a hundredfold": func(rows []repair.Row, chance *rand.Rand) string {
		r := &rows[10+chance.IntN(len(rows)-20)]
		r.Values[repair.Column(chance.IntN(3))] *= 100 // open, high or low
		return repair.RuleCell
	},
	"the split is missing": func(rows []repair.Row, _ *rand.Rand) string {
		split := slices.IndexFunc(rows, func(r repair.Row) bool { return r.Values[repair.Split] > 0 })
		for i := range split {
			prices(&rows[i], 4, 1)
			rows[i].Values[repair.Volume] /= 4
			rows[i].Values[repair.Dividend] = 0 // of which prices would be the wrong measure
		}
		return repair.RuleSplit
	},
	"one day lacks the split": func(rows []repair.Row, _ *rand.Rand) string {
		split := slices.IndexFunc(rows, func(r repair.Row) bool { return r.Values[repair.Split] > 0 })
		prices(&rows[split-7], 4, 1)
		return repair.RuleSplit
	},
	"adjusted prices leave dividends out": func(rows []repair.Row, _ *rand.Rand) string {
		for i := range rows {
			rows[i].Values[repair.AdjClose] = rows[i].Values[repair.Close]
		}
		return repair.RuleAdjustment
	},
	"dividends a hundredth": func(rows []repair.Row, _ *rand.Rand) string {
		for i := range rows {
			rows[i].Values[repair.Dividend] = rows[i].Values[repair.Dividend] / 10000 * 100
		}
		return repair.RuleDividendUnit
	},
	"dividends a hundredfold": func(rows []repair.Row, _ *rand.Rand) string {
		for i := range rows {
			rows[i].Values[repair.Dividend] *= 100
		}
		return repair.RuleDividendUnit
	},
}

func prices(r *repair.Row, by, over int64) {
	for c := repair.Open; c <= repair.AdjClose; c++ {
		r.Values[c] = r.Values[c] / over * by
	}
}

// TestFaultsAreUndone: the price of every cell is that before the fault, to rounding; a repaired series is
// not changed again.
func TestFaultsAreUndone(t *testing.T) {
	for name, spoil := range faults {
		t.Run(name, func(t *testing.T) {
			missed := 0
			const seeds = 50
			for seed := range uint64(seeds) {
				chance := rand.New(rand.NewPCG(seed, 2))
				rows := history(chance, 300)
				want := slices.Clone(rows)
				rule := spoil(rows, chance)
				s := repair.Series{Rows: rows}
				changes := s.Repair()
				if !slices.ContainsFunc(changes, func(c repair.Change) bool { return c.Rule == rule }) {
					missed++
					continue
				}
				for i := range want {
					for c := repair.Open; c <= repair.AdjClose; c++ {
						if off := math.Abs(float64(s.Rows[i].Values[c])/float64(want[i].Values[c]) - 1); off > 2e-4 {
							t.Fatalf("seed %d, row %d: %s is %s, want %s", seed, i, c, repair.Format(c, s.Rows[i].Values[c]),
								repair.Format(c, want[i].Values[c]))
						}
					}
				}
				if again := s.Repair(); len(again) > 0 {
					t.Fatalf("seed %d: changed again: %+v", seed, again[0])
				}
			}
			// Small dividends do not always stand out of the noise of prices: then they stay as they are.
			if most := map[string]int{"dividends a hundredth": 20}[name]; missed > most {
				t.Errorf("%d of %d are not undone by its rule", missed, seeds)
			}
		})
	}
}

// TestChineseSharesStay: real raw prices with ex-rights days, halts and limits are right, and stay.
func TestChineseSharesStay(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(testenv.Data(t, "ashare_baostock_daily"), "*.csv.gz"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		table := readFile(t, name)
		if changes := table.Series.Repair(); len(changes) > 0 {
			t.Errorf("%s: %d cells changed, the first %+v", filepath.Base(name), len(changes), changes[0])
		}
	}
}

func TestReadRefusesWhatIsNoPrice(t *testing.T) {
	const header = "Date,Open,High,Low,Close\n"
	for _, test := range []struct{ text, want string }{
		{"", "no file of prices: header: EOF"},
		{"a,b\n", `no file of prices: header "a,b" has no column date, open, high, low, close`},
		{header + "2024-01-02,1,1,1\n", "record on line 2: wrong number of fields"},
		{header + "2024-01-02,1,1,1,x\n", `line 2: column Close: "x" is not a number`},
		{header + "2024-01-02,1,1,1,1e999\n", `line 2: column Close: "1e999" is not a number`},
		{header + "2024-01-02,1,1,1,1/3\n", `line 2: column Close: "1/3" is not a number`},
		{header + "2024-01-02,1,1,1,1e12\n", "line 2: column Close: 1e12 has more digits than 64 bits hold at 10 behind the point"},
		{header + "yesterday,1,1,1,1\n", `line 2: time "yesterday": want a date as 2024-01-02, with a time where needed`},
		{header + "2024-01-02,1,1,1,1\n2024-01-02,1,1,1,1\n", "line 3: a second row of 2024-01-02 00:00:00"},
	} {
		_, err := repair.Read(strings.NewReader(test.text))
		if diff := cmp.Diff(test.want, fmt.Sprint(err)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", test.text, diff)
		}
	}
}

// TestRightCellsKeepTheirText: only what is repaired is written anew, in the order of the file.
func TestRightCellsKeepTheirText(t *testing.T) {
	var text, want strings.Builder
	text.WriteString("when,date,open,high,low,close,volume,note\n")
	want.WriteString("when,date,open,high,low,close,volume,note\n")
	for i := 30; i > 0; i-- { // newest first
		price := fmt.Sprintf("%d.50", 100+i%3)
		line := fmt.Sprintf("x,2024-01-%02d,%s,%s,%s,%s,1e3,\"a, b\"\n", i, price, price, price, price)
		want.WriteString(line)
		if i == 12 {
			line = strings.ReplaceAll(line, price, strings.Replace(price, ".50", "50", 1)+".000")
		}
		text.WriteString(line)
	}
	table, err := repair.Read(strings.NewReader(text.String()))
	if err != nil {
		t.Fatal(err)
	}
	changes := table.Series.Repair()
	table.Apply(changes)
	var got strings.Builder
	if err := table.Write(&got); err != nil {
		t.Fatal(err)
	}
	// The repaired cells lose their trailing zero, nothing else changes.
	expected := strings.ReplaceAll(want.String(), "2024-01-12,100.50,100.50,100.50,100.50", "2024-01-12,100.5,100.5,100.5,100.5")
	if diff := cmp.Diff(expected, got.String()); diff != "" || len(changes) != 4 {
		t.Errorf("%d changes; file (-want +got):\n%s", len(changes), diff)
	}
}
