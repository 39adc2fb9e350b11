package baostock

import (
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
	env := connector.Env{
		Log: slog.New(slog.DiscardHandler), Budget: connector.NewBudget(connector.Limits{Rows: rows, Bytes: 1 << 20}),
	}
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
