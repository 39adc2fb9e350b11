package baostock

import (
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/sim"
	"github.com/tapeline/tapeline/internal/testenv"
)

// simulated starts the simulated service, which shares no code with the client.
func simulated(t *testing.T, cfg sim.Config) (*sim.Server, Config) {
	t.Helper()
	server, err := sim.Start(t.Context(), "127.0.0.1:0", cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	own := Defaults()
	own.Address, own.RequestsPerSecond, own.RequestsPerDay = server.Address(), 0, 0
	return server, own
}

// TestSilentlyCutLists: lists of instruments are whole though the service's pages hold fewer rows than it
// says.
func TestSilentlyCutLists(t *testing.T) {
	m, err := sim.Synthetic(1, 230, sim.DateOf(2024, 1, 1), sim.DateOf(2024, 1, 31))
	if err != nil {
		t.Fatal(err)
	}
	for _, most := range []int{100, 10_000} {
		_, cfg := simulated(t, sim.Config{Market: m, PageCap: most})
		client, err := NewClient(cfg, nil)
		if err != nil {
			t.Fatal(err)
		}
		all, err := client.StockBasic(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		traded, err := client.AllStock(t.Context(), market.DateOf(2024, 1, 31))
		if err != nil {
			t.Fatal(err)
		}
		if len(all) < 230 || len(traded) < 225 {
			t.Errorf("pages of %d rows: %d instruments, %d of them of the day; want 230 and more", most, len(all), len(traded))
		}
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestRealBars reads real bars through the simulated service and holds each value against the file.
func TestRealBars(t *testing.T) {
	dir := testenv.Data(t, "ashare_baostock_daily")
	files, err := filepath.Glob(filepath.Join(dir, "s[hz].*.csv.gz"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files in %s: %v", dir, err)
	}
	loaded, err := sim.LoadCSV(dir, "", "")
	if err != nil {
		t.Fatal(err)
	}
	_, cfg := simulated(t, sim.Config{Market: loaded})
	if os.Getenv("TAPELINE_SOAK") == "" {
		files = files[:min(20, len(files))]
	}
	want := 0
	for _, file := range files {
		code := strings.TrimSuffix(filepath.Base(file), ".csv.gz")
		symbol, err := market.BaoStock.Parse(code, market.Unknown)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Units = []market.Unit{unit("bar_1d", symbol.String(), "1990-01-01", "2024-06-28")}
		got, _ := told(t, cfg, nil, 4096)
		rows := readFile(t, file)
		want += len(rows)
		if len(got) != len(rows)+1 || !strings.Contains(got[len(rows)], `"rows":`+strconv.Itoa(len(rows))+`,"state":"ok"`) {
			t.Fatalf("%s: %d rows of %d, then %s", code, len(got)-1, len(rows), got[len(got)-1])
		}
		for i, row := range rows {
			if diff := cmp.Diff(row.line(symbol.String()), got[i]); diff != "" {
				t.Fatalf("%s row %d: %s", code, i+1, diff)
			}
		}
	}
	t.Logf("%d bars of %d files", want, len(files))
}

type fileRow map[string]string

func readFile(t *testing.T, path string) []fileRow {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	r := csv.NewReader(z)
	head, err := r.Read()
	if err != nil {
		t.Fatal(err)
	}
	var rows []fileRow
	for {
		record, err := r.Read()
		if err == io.EOF {
			return rows
		}
		if err != nil {
			t.Fatal(err)
		}
		row := fileRow{}
		for i, name := range head {
			row[name] = record[i]
		}
		rows = append(rows, row)
	}
}

// line spells a row of a file as a bar of the source.
func (r fileRow) line(symbol string) string {
	number := func(name string, decimals int) string {
		text := r[name]
		if text == "" {
			return "null"
		}
		whole, fraction, _ := strings.Cut(text, ".")
		for len(fraction) < decimals {
			fraction += "0"
		}
		if decimals == 0 {
			return whole
		}
		return whole + "." + fraction[:decimals]
	}
	truth := func(name string) string { return strconv.FormatBool(r[name] == "1") }
	return `bar_1d {"symbol":"` + symbol + `","date":"` + r["date"] + `","open":` + number("open", 4) +
		`,"high":` + number("high", 4) + `,"low":` + number("low", 4) + `,"close":` + number("close", 4) +
		`,"preclose":` + number("preclose", 4) + `,"volume":` + number("volume", 0) +
		`,"amount":` + number("amount", 4) + `,"turn":` + number("turn", 6) +
		`,"trade_status":` + truth("tradestatus") + `,"is_st":` + truth("isST") + `,"final":true}`
}

// TestSimulatedDatasets reads every dataset of a synthetic market.
func TestSimulatedDatasets(t *testing.T) {
	to := sim.DateOf(2023, 12, 29)
	synthetic, err := sim.Synthetic(7, 12, sim.DateOf(2022, 1, 4), to)
	if err != nil {
		t.Fatal(err)
	}
	_, cfg := simulated(t, sim.Config{Market: synthetic})
	client, err := NewClient(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	listed, err := client.StockBasic(t.Context(), "", "")
	if err != nil || len(listed) < 12 {
		t.Fatalf("%d instruments, %v", len(listed), err)
	}
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	rows := map[string]int{}
	for _, d := range Provider().Offers {
		u := unit(d.Dataset, "", "2022-01-04", "2023-12-29")
		switch d.Dataset {
		case market.StatusEvent:
			u.From = u.To
		case market.BarMin:
			u.Freq = "60m"
		}
		symbols := []string{""}
		switch d.Dataset {
		case market.CalendarDay, market.Listing, market.StatusEvent, market.Constituent:
		default:
			symbols = nil
			for _, i := range listed {
				if i.Class == market.Stock {
					symbols = append(symbols, i.Symbol.String())
				}
			}
		}
		cfg.Units = nil
		for _, symbol := range symbols {
			u.Symbol = symbol
			cfg.Units = append(cfg.Units, u)
		}
		got, _ := told(t, cfg, nil, 1000)
		for _, row := range got {
			short := brief(row)
			// The simulated amounts of money have more decimals than real ones, and than are kept.
			tooFine := d.Dataset == market.Fundamental && short == market.QuarantineTable+" "+ruleInexact
			if !tooFine && strings.HasPrefix(short, market.QuarantineTable) || strings.HasSuffix(short, "failed") {
				t.Errorf("%s: %s", d.Dataset, row)
			}
			if short == row {
				rows[d.Dataset]++
			}
		}
	}
	t.Log(rows)
	for _, d := range Provider().Offers {
		if rows[d.Dataset] == 0 && d.Dataset != market.StatusEvent {
			t.Errorf("%s has no rows", d.Dataset)
		}
	}
}
