package baostock

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/connector/conntest"
	"github.com/tapeline/tapeline/internal/market"
)

// unit is a unit of a symbol over dates.
func unit(dataset, symbol, from, to string) market.Unit {
	parse := func(text string) market.Date {
		d, err := market.ParseDate(text)
		if err != nil {
			panic(err.Error())
		}
		return d
	}
	return market.Unit{Dataset: dataset, Symbol: symbol, From: parse(from), To: parse(to)}
}

// told is what a source handed over: "TABLE: row" each.
func told(t testing.TB, cfg Config, at connector.Position, rows int) (list []string, positions []connector.Position) {
	t.Helper()
	env := environment()
	env.Budget = connector.NewBudget(connector.Limits{Rows: rows, Bytes: 1 << 20})
	s, err := newSource(env, &cfg, newSessions())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := s.Open(t.Context(), connector.Partition{}, at); err != nil {
		t.Fatal(err)
	}
	decode := s.(connector.Decoder).NewDecode()
	for {
		chunk, err := s.Read(t.Context())
		if errors.Is(err, io.EOF) {
			return list, positions
		}
		if err != nil {
			t.Fatal(err)
		}
		if chunk.Batch == nil {
			if chunk, err = decode(chunk); err != nil {
				t.Fatal(err)
			}
		}
		for i := range chunk.Batch.Len() {
			list = append(list, chunk.Table+" "+string(batch.AppendRow(nil, chunk.Batch, i)))
		}
		for _, r := range chunk.Rejected {
			list = append(list, fmt.Sprintf("rejected %s: %s", r.Place, r.Reason))
		}
		positions = append(positions, chunk.Position)
		if chunk.Release != nil {
			chunk.Release()
		}
	}
}

func environment() connector.Env {
	return connector.Env{
		Log: slog.New(slog.DiscardHandler),
		Go:  func(_ string, f func(context.Context) error) { go func() { _ = f(context.Background()) }() },
	}
}

func expect(t testing.TB, got []string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestSourcesConform(t *testing.T) {
	for name, coverage := range map[string]bool{"rows": false, "coverage": true} {
		t.Run(name, func(t *testing.T) {
			config := func(t testing.TB, f *fake) *Config {
				f.t = t
				cfg := f.config()
				cfg.Symbols, cfg.From, cfg.To = []string{"sh.600000", "000001.XSHE"}, "2000-01-01", "2000-02-20"
				cfg.Coverage = coverage
				return &cfg
			}
			c := conntest.SourceCase{
				Connector: Connector(),
				Config: func(t testing.TB) any {
					return config(t, &fake{rows: bars(40)})
				},
				Blocking: func(t testing.TB) any {
					return config(t, &fake{rows: bars(40), answer: func(n int, _ fakeRequest) []byte {
						if n > 2 {
							return stall
						}
						return nil
					}})
				},
			}
			conntest.Source(t, c)
		})
	}
}

// TestUnits is the stream of two units of one answer and an empty one.
func TestUnits(t *testing.T) {
	f := &fake{t: t, rows: bars(2)}
	cfg := f.config()
	cfg.Units = []market.Unit{
		unit("bar_1d", "600000.XSHG", "2000-01-01", "2000-01-03"),
		unit("valuation_1d", "600000.XSHG", "2000-01-01", "2000-01-03"),
		unit("bar_1d", "000001.XSHE", "2000-02-01", "2000-02-03"),
	}
	want := []string{
		`bar_1d {"symbol":"600000.XSHG","date":"2000-01-01","open":7.2500,"high":7.9900,"low":7.0100,"close":7.5000,"preclose":7.4900,"volume":1000000,"amount":9000000.1234,"turn":0.123456,"trade_status":true,"is_st":false,"final":true}`,
		`bar_1d {"symbol":"600000.XSHG","date":"2000-01-02","open":8.2500,"high":8.9900,"low":8.0100,"close":8.5000,"preclose":7.4900,"volume":1000001,"amount":9000001.1234,"turn":0.123456,"trade_status":true,"is_st":false,"final":true}`,
		`_unit {"dataset":"bar_1d","symbol":"600000.XSHG","freq":"","source":"baostock","from":"2000-01-01","to":"2000-01-03","rows":2,"state":"ok"}`,
		`valuation_1d {"symbol":"600000.XSHG","date":"2000-01-01","pe_ttm":5.123456,"pb_mrq":0.512345,"ps_ttm":1.000001,"pcf_ncf_ttm":-3.141592}`,
		`valuation_1d {"symbol":"600000.XSHG","date":"2000-01-02","pe_ttm":5.123456,"pb_mrq":0.512345,"ps_ttm":1.000001,"pcf_ncf_ttm":-3.141592}`,
		`_unit {"dataset":"valuation_1d","symbol":"600000.XSHG","freq":"","source":"baostock","from":"2000-01-01","to":"2000-01-03","rows":2,"state":"ok"}`,
		`_unit {"dataset":"bar_1d","symbol":"000001.XSHE","freq":"","source":"baostock","from":"2000-02-01","to":"2000-02-03","rows":0,"state":"empty_confirmed"}`,
	}
	got, positions := told(t, cfg, nil, 100)
	expect(t, got, want...)
	if n := f.count("query_history_k_data_plus"); n != 2 {
		t.Errorf("%d requests, want 2", n)
	}
	// From behind the first unit on, its twin is asked alone.
	got, _ = told(t, cfg, positions[2], 100)
	expect(t, got, want[3:]...)
}

// damaged answers bars with some records damaged.
func damaged(damage func(i int, row []string) []string) func(fakeRequest) ([]string, [][]string) {
	return func(r fakeRequest) ([]string, [][]string) {
		fields, rows := bars(5)(r)
		for i := range rows {
			rows[i] = damage(i, rows[i])
		}
		return fields, rows
	}
}

// TestBadRecords holds rows and bad rows of a unit against what its records make, from the start and
// from each position within the unit.
// invariant: the rows and the bad rows of a piece are as many as its records make
func TestBadRecords(t *testing.T) {
	f := &fake{t: t, rows: damaged(func(i int, row []string) []string {
		switch i {
		case 1:
			row[3] = "7.12345"
		case 3:
			return row[:5]
		}
		return row
	})}
	cfg := f.config()
	cfg.Units = []market.Unit{unit("bar_1d", "600000.XSHG", "2000-01-01", "2000-01-31")}
	for _, size := range []int{1, 2, 100} {
		all, positions := told(t, cfg, nil, size)
		if len(all) != 6 {
			t.Fatalf("%d rows, want 3 bars, 2 bad and the unit:\n%s", len(all), strings.Join(all, "\n"))
		}
		for i, part := range []string{`"rule":"inexact_number"`, `"rule":"row_length"`, `"rows":5,"state":"ok"`} {
			if !strings.Contains(all[3+i], part) {
				t.Errorf("row %d is %s, want %s", 3+i, all[3+i], part)
			}
		}
		for i, at := range positions {
			rest, _ := told(t, cfg, at, 3)
			if len(rest) > len(all) || len(rest) > 0 {
				expect(t, rest, all[len(all)-len(rest):]...)
			}
			if want := max(0, len(positions)-2-i); len(rest) < min(want, 1) {
				t.Errorf("batches of %d rows: nothing follows position %d", size, i)
			}
		}
	}
	cfg.Units = nil
	cfg.Symbols, cfg.From = []string{"sh.600000"}, "2000-01-01"
	plain, _ := told(t, cfg, nil, 100)
	if len(plain) != 5 || !strings.HasPrefix(plain[3], "rejected query_history_k_data_plus sh.600000") {
		t.Errorf("without coverage:\n%s", strings.Join(plain, "\n"))
	}
}

// TestNotFinal: bars of a day whose evening has not come are marked, and not covered.
func TestNotFinal(t *testing.T) {
	for _, c := range []struct {
		hour         int
		final, state string
	}{
		{17, "false", `"to":"2000-01-01","rows":2,"state":"ok"`},
		{18, "true", `"to":"2000-01-02","rows":2,"state":"ok"`},
	} {
		f := &fake{t: t, rows: bars(2)}
		cfg := f.config()
		cfg.Now = func() time.Time { return time.Date(2000, 1, 2, c.hour, 0, 0, 0, exchangeZone) }
		cfg.Units = []market.Unit{unit("bar_1d", "600000.XSHG", "2000-01-01", "2000-01-02")}
		got, _ := told(t, cfg, nil, 10)
		if len(got) != 3 || !strings.Contains(got[1], `"final":`+c.final) || !strings.Contains(got[2], c.state) {
			t.Errorf("at %d:\n%s", c.hour, strings.Join(got, "\n"))
		}
	}
}

// TestDisorder: rows out of order count, the same row twice counts once, and of two rows for one day
// none does: then the unit is not whole.
func TestDisorder(t *testing.T) {
	reorder := func(change func(rows [][]string) [][]string) func(fakeRequest) ([]string, [][]string) {
		return func(r fakeRequest) ([]string, [][]string) {
			fields, rows := bars(5)(r)
			return fields, change(rows)
		}
	}
	other := func(row []string) []string {
		changed := append([]string(nil), row...)
		changed[2] = "9.99"
		return changed
	}
	for name, c := range map[string]struct {
		change func(rows [][]string) [][]string
		want   []string
	}{
		"unsorted": {func(r [][]string) [][]string { return [][]string{r[3], r[0], r[4], r[1], r[2]} }, []string{"_unit 5 ok"}},
		"twice":    {func(r [][]string) [][]string { return append(r, r[1]) }, []string{"_quarantine duplicate_row", "_unit 6 ok"}},
		"conflict": {
			func(r [][]string) [][]string { return append(r, other(r[1])) },
			[]string{"_quarantine conflicting_row", "_quarantine conflicting_row", "_unit 6 partial"},
		},
		"other code": {func(r [][]string) [][]string { r[2][1] = "sh.600001"; return r }, []string{"_quarantine wrong_code", "_unit 5 ok"}},
		"adjusted":   {func(r [][]string) [][]string { r[2][9] = "2"; return r }, []string{"_quarantine adjusted_price", "_unit 5 ok"}},
		"later":      {func(r [][]string) [][]string { r[4][0] = "2001-01-01"; return r }, []string{"_quarantine outside_range", "_unit 5 ok"}},
		"text":       {func(r [][]string) [][]string { r[4][3] = "\x07"; return r }, []string{"_quarantine bad_text", "_unit 5 ok"}},
		"long":       {func(r [][]string) [][]string { r[4] = append(r[4], "x"); return r }, []string{"_quarantine row_length", "_unit 5 ok"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fake{t: t, rows: reorder(c.change)}
			cfg := f.config()
			cfg.Units = []market.Unit{unit("bar_1d", "600000.XSHG", "2000-01-01", "2000-01-31")}
			got, _ := told(t, cfg, nil, 2)
			var tail []string
			for _, row := range got {
				if short := brief(row); short != row {
					tail = append(tail, short)
				}
			}
			expect(t, tail, c.want...)
		})
	}
}

// TestDuplicatePages serves the first page again as the second.
func TestDuplicatePages(t *testing.T) {
	f := &fake{t: t, rows: bars(25)}
	f.answer = func(_ int, r fakeRequest) []byte {
		if r.typ != 95 || r.parts[2] == "3" {
			return nil
		}
		fields, rows := bars(10)(r)
		r.parts[3] = "10"
		return answerFrame(r, fields, records(rows))
	}
	cfg := f.config()
	cfg.Units = []market.Unit{unit("bar_1d", "600000.XSHG", "2000-01-01", "2000-01-31")}
	got, _ := told(t, cfg, nil, 100)
	if last := brief(got[len(got)-1]); last != "_unit 20 partial" {
		t.Errorf("%s", strings.Join(got, "\n"))
	}
}

// TestRefusedUnit: a question that the service refuses fails its unit, and the next goes on.
func TestRefusedUnit(t *testing.T) {
	f := &fake{t: t, rows: bars(1)}
	f.answer = func(_ int, r fakeRequest) []byte {
		if r.typ == 95 && r.arg(0) == "sh.600001" {
			return plainFrame(4, join("10004011", "股票代码错误"))
		}
		return nil
	}
	cfg := f.config()
	cfg.Units = []market.Unit{
		unit("bar_1d", "600001.XSHG", "2000-01-01", "2000-01-31"),
		unit("bar_1d", "600000.XSHG", "2000-01-01", "2000-01-31"),
	}
	got, positions := told(t, cfg, nil, 100)
	want := []string{"_quarantine baostock_10004011", "_unit 1 failed", brief(got[2]), "_unit 1 ok"}
	for i := range got {
		got[i] = brief(got[i])
	}
	expect(t, got, want...)
	rest, _ := told(t, cfg, positions[0], 100)
	for i := range rest {
		rest[i] = brief(rest[i])
	}
	expect(t, rest, want[1:]...)
}
