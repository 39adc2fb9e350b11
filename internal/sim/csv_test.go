package sim

import (
	"compress/gzip"
	"encoding/csv"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tapeline/tapeline/internal/testenv"
)

// TestRealBars serves the real files and compares every value with its text there.
func TestRealBars(t *testing.T) {
	dir := testenv.Data(t, "ashare_baostock_daily")
	m, err := LoadCSV(dir, "", "")
	if err != nil {
		t.Fatal(err)
	}
	c := login(t, serve(t, Config{Market: m}))
	files, err := filepath.Glob(filepath.Join(dir, "*.csv.gz"))
	if err != nil {
		t.Fatal(err)
	}
	names := strings.Split(DailyFields, ",")
	rows, suspended, blank, ex := 0, 0, 0, 0
	for _, file := range files {
		code := strings.TrimSuffix(filepath.Base(file), ".csv.gz")
		want := readReal(t, file, names)
		got := c.kdata(t, code, DailyFields, "1990-01-01", "2030-01-01", "d", "3")
		sameRows(t, code, got, want)
		ex += len(c.query(t, "15", "query_adjust_factor", code, "1990-01-01", "2030-01-01").rows)
		rows += len(got)
		for _, row := range got {
			if row[11] == "0" {
				suspended++
			}
			if row[7] == "" {
				blank++
			}
		}
	}
	if rows != 156_636 || suspended != 101 || blank != 19 || ex != 658 {
		t.Errorf("%d rows, %d suspended, %d without volume, %d ex-right days", rows, suspended, blank, ex)
	}
	basics := c.query(t, "45", "query_stock_basic", "", "").rows
	if len(basics) != 150 || cmp.Diff(basics[0], []string{"sh.600000", "600000", "2020-01-02", "", "1", "1"}) != "" {
		t.Errorf("%d lines of the listing, the first is %v", len(basics), basics[0])
	}
	if days := c.query(t, "33", "query_trade_dates", "2020-01-01", "2024-12-31").rows; days[0][0] != "2020-01-02" ||
		days[len(days)-1][0] != "2024-06-28" {
		t.Errorf("the calendar is from %v to %v", days[0], days[len(days)-1])
	}
}

// readReal reads columns of a file by name.
func readReal(t *testing.T, path string, names []string) [][]string {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	text, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	all, err := csv.NewReader(text).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	at := map[string]int{}
	for i, name := range all[0] {
		at[name] = i
	}
	var rows [][]string
	for _, cells := range all[1:] {
		row := make([]string, len(names))
		for i, name := range names {
			row[i] = cells[at[name]]
		}
		rows = append(rows, row)
	}
	return rows
}

// folder writes files and returns where.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const plainBars = "\ufeffdate,open,high,low,close,preclose,volume\n" +
	"2024-01-03,10.5,11,10,10.25,10.000,200\n2024-01-02,10,10.5,9.5,10.125,10.000,100\n"

func TestLoadCSV(t *testing.T) {
	dir := folder(t, map[string]string{"sz.000001.csv": plainBars, "notes.txt": "no bars"})
	other := folder(t, map[string]string{
		"calendar.csv": "calendar_date,is_trading_day\n2024-01-01,0\n2024-01-02,1\n2024-01-03,1\n2024-01-04,1\n",
		"basics.csv": "code,code_name,ipoDate,outDate,type,status\nsz.000001,平安银行,1991-04-03,,1,1\n" +
			"sz.000003,PT金田A,1991-07-03,2024-01-03,1,0\n",
	})
	m, err := LoadCSV(dir, filepath.Join(other, "calendar.csv"), filepath.Join(other, "basics.csv"))
	if err != nil {
		t.Fatal(err)
	}
	c := login(t, serve(t, Config{Market: m}))
	want := [][]string{ // sorted, with four decimals, and the columns that the file lacks empty
		{"2024-01-02", "10.0000", "10.1250", "10.0000", "100", "", "", "1", "0"},
		{"2024-01-03", "10.5000", "10.2500", "10.0000", "200", "", "", "1", "0"},
	}
	got := c.kdata(t, "sz.000001", "date,open,close,preclose,volume,amount,turn,tradestatus,isST", "2024-01-01", "2024-01-31", "d", "3")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got := c.query(t, "15", "f", "sz.000001", "2024-01-01", "2024-01-31").rows; len(got) != 1 || got[0][3] != "1.012500" {
		t.Errorf("factors %v", got)
	}
	if diff := cmp.Diff([][]string{
		{"sz.000001", "平安银行", "1991-04-03", "", "1", "1"}, {"sz.000003", "PT金田A", "1991-07-03", "2024-01-03", "1", "0"},
	}, c.query(t, "45", "b", "", "").rows); diff != "" {
		t.Error(diff)
	}
	if got := c.query(t, "35", "a", "2024-01-04").rows; len(got) != 1 || got[0][1] != "0" {
		t.Errorf("a day without a bar: %v", got)
	}
	if got := c.query(t, "35", "a", "2024-01-02").rows; len(got) != 2 {
		t.Errorf("2024-01-02: %v", got)
	}
	if got := m.Bars(nil, "sz.000009", 0, 1<<20); got != nil || m.State("sz.000009", 19_725).Listed {
		t.Error("an unknown code has a history")
	}
}

func TestLoadCSVRefuses(t *testing.T) {
	header := "date,open,high,low,close,preclose,volume,adjustflag,tradestatus,isST\n"
	line := func(text string) map[string]string { return map[string]string{"sh.600000.csv": header + text} }
	for _, c := range []struct {
		name, want       string
		bars             map[string]string
		calendar, basics string
	}{
		{name: "no file", want: "no *.csv", bars: map[string]string{}},
		{name: "no rows", want: "have no rows", bars: line("")},
		{name: "empty", want: "read header", bars: map[string]string{"sh.600000.csv": ""}},
		{name: "gzip", want: "gzip", bars: map[string]string{"sh.600000.csv.gz": "plain text that is no gzip"}},
		{name: "column", want: "no column preclose", bars: map[string]string{"sh.600000.csv": "date,open,high,low,close\n"}},
		{name: "ragged", want: "wrong number of fields", bars: line("2024-01-02,1\n")},
		{name: "code", want: "600000", bars: map[string]string{"600000.csv": header + "2024-01-02,1,1,1,1,1,1,3,1,0\n"}},
		{name: "date", want: ":2: date", bars: line("20240102,1,1,1,1,1,1,3,1,0\n")},
		{name: "price", want: ":2: close", bars: line("2024-01-02,1,1,1,x,1,1,3,1,0\n")},
		{name: "sign", want: "want a decimal", bars: line("2024-01-02,1,1,1,1.-5,1,1,3,1,0\n")},
		{name: "digits", want: "more than 4 decimals", bars: line("2024-01-02,1,1,1,1.00001,1,1,3,1,0\n")},
		{name: "range", want: "want a price", bars: line("2024-01-02,1,1,1,-1,1,1,3,1,0\n")},
		{name: "volume", want: "more than 0 decimals", bars: line("2024-01-02,1,1,1,1,1,1.5,3,1,0\n")},
		{name: "adjusted", want: "want raw bars", bars: line("2024-01-02,1,1,1,1,1,1,2,1,0\n")},
		{name: "status", want: "tradestatus", bars: line("2024-01-02,1,1,1,1,1,1,3,2,0\n")},
		{name: "ST", want: "isST", bars: line("2024-01-02,1,1,1,1,1,1,3,1,x\n")},
		{name: "twice", want: "two rows for 2024-01-02", bars: line("2024-01-02,1,1,1,1,1,1,3,1,0\n2024-01-02,1,1,1,1,1,1,3,1,0\n")},
		{
			name: "factor", want: "makes a factor above 9000",
			bars: line("2024-01-02,9,9,9,9,9,1,3,1,0\n2024-01-03,1,1,1,1,0.0009,1,3,1,0\n"),
		},
		{
			name: "calendar", want: "no trading day there", bars: line("2024-01-02,1,1,1,1,1,1,3,1,0\n"),
			calendar: "calendar_date,is_trading_day\n2024-01-02,0\n",
		},
		{
			name: "calendar's date", want: "calendar_date", bars: line("2024-01-02,1,1,1,1,1,1,3,1,0\n"),
			calendar: "calendar_date,is_trading_day\nx,0\n",
		},
		{
			name: "not listed", want: "no line there", bars: line("2024-01-02,1,1,1,1,1,1,3,1,0\n"),
			basics: "code,code_name,ipoDate,outDate,type\n",
		},
		{
			name: "listing's date", want: "ipoDate", bars: line("2024-01-02,1,1,1,1,1,1,3,1,0\n"),
			basics: "code,code_name,ipoDate,outDate,type\nsh.600000,x,x,,1\n",
		},
		{
			name: "listing's end", want: "outDate", bars: line("2024-01-02,1,1,1,1,1,1,3,1,0\n"),
			basics: "code,code_name,ipoDate,outDate,type\nsh.600000,x,1999-11-10,x,1\n",
		},
		{
			name: "listing's kind", want: "type", bars: line("2024-01-02,1,1,1,1,1,1,3,1,0\n"),
			basics: "code,code_name,ipoDate,outDate,type\nsh.600000,x,1999-11-10,,9\n",
		},
		{
			name: "listing's code", want: "code", bars: line("2024-01-02,1,1,1,1,1,1,3,1,0\n"),
			basics: "code,code_name,ipoDate,outDate,type\n600000,x,1999-11-10,,1\n",
		},
	} {
		side := map[string]string{}
		calendar, basics := "", ""
		dir := t.TempDir()
		if c.calendar != "" {
			side["calendar.csv"], calendar = c.calendar, filepath.Join(dir, "calendar.csv")
		}
		if c.basics != "" {
			side["basics.csv"], basics = c.basics, filepath.Join(dir, "basics.csv")
		}
		for name, text := range side {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := LoadCSV(folder(t, c.bars), calendar, basics); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want ... %s ...", c.name, err, c.want)
		}
	}
	if _, err := LoadCSV(filepath.Join(t.TempDir(), "none"), "", ""); err == nil {
		t.Error("a folder that is not there was read")
	}
	if _, err := LoadCSV(folder(t, map[string]string{"sz.000001.csv": plainBars}), "none.csv", ""); err == nil {
		t.Error("a calendar that is not there was read")
	}
}
