package tencent

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"golang.org/x/text/encoding/simplifiedchinese"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/provider"
	"github.com/tapeline/tapeline/internal/provider/providertest"
	"github.com/tapeline/tapeline/internal/sim"
)

func serve(t testing.TB, text string) provider.Settings {
	t.Helper()
	return providertest.Serve(t, Vendor(), func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) })
}

func answered(rows string) string {
	return `{"code":0,"msg":"","data":{"sh600519":{"day":[` + rows + `],"qt":{"sh600519":[]},"version":"16"}}}`
}

// TestKlines: open, close, high, low; lots with decimals that are zero; an object behind an ex-right day.
func TestKlines(t *testing.T) {
	t.Parallel()
	const row = `["2024-01-02","1715.000","1685.010","1718.190","1678.100","32156.000"`
	const want = `{"symbol":"600519.XSHG","date":"2024-01-02","open":1715.0000,"high":1718.1900,"low":1678.1000,"close":1685.0100,` +
		`"preclose":null,"volume":3215600,"amount":null,"turn":null,"trade_status":true,"is_st":null,"final":true}`
	unit := providertest.Unit(t, market.Bar1D, "600519.XSHG", "2024-01-02", "2024-01-05")
	const name = "bar_1d 600519.XSHG 2024-01-02..2024-01-05 of tencent, "
	for _, c := range []struct {
		name, answer string
		want         []string
	}{
		{"plain", answered(row + "]"), []string{want, name + "1, ok"}},
		{"ex-right day", answered(row + `,{"nd":"2023","cqr":"2024-01-02","FHcontent":"10派308.76元"}]`), []string{want, name + "1, ok"}},
		{"no days", answered(""), []string{name + "0, empty_confirmed"}},
		{
			"part of a share", answered(strings.Replace(row, "32156.000", "32156.005", 1) + "]"),
			[]string{`inexact_number 600519.XSHG 2024-01-02 volume: "32156.005" times 100 is no number that the column holds, with 0 decimals`, name + "1, ok"},
		},
		{"short", answered(`["2024-01-02","1"]`), []string{"row_length 600519.XSHG - 2 values for 6 columns", name + "1, ok"}},
		{
			"adjusted series", strings.Replace(answered(row+"]"), `"day"`, `"qfqday"`, 1),
			[]string{"unknown_symbol 600519.XSHG - kline of sh600519: the service has no days of it", name + "1, failed"},
		},
		{
			"an array for an object", `{"code":1,"msg":"param error","data":[]}`,
			[]string{"refused 600519.XSHG - kline of sh600519: code 1: param error", name + "1, failed"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := providertest.Read(t, Vendor(), serve(t, c.answer), unit)
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("%v\n%s\nwant\n%s", err, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
	for answer, want := range map[string]string{
		strings.ReplaceAll(answered(row+"]"), "sh600519", "sh600000"): "tencent_wrong_symbol", "<html>": "provider_malformed",
	} {
		settings := serve(t, answer)
		settings.Attempts = 1
		_, err := providertest.Read(t, Vendor(), settings, unit)
		if failure, ok := errors.AsType[*connector.Error](err); !ok || failure.Code != want {
			t.Errorf("%s: %v, want %s", answer, err, want)
		}
	}
	for _, u := range []market.Unit{
		{Dataset: market.Bar1D}, {Dataset: market.Bar1D, Symbol: "BTCUSDT.BINANCE"}, {Dataset: market.BarMin, Symbol: "600000.XSHG"},
	} {
		if _, _, err := begin(nil, []market.Unit{u}); err == nil {
			t.Errorf("%s is begun", u)
		}
	}
}

// TestQuote: names come in GBK.
func TestQuote(t *testing.T) {
	t.Parallel()
	gbk := func(text string) string {
		out, err := simplifiedchinese.GBK.NewEncoder().String(text)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	unit := providertest.Unit(t, market.Listing, "600519.XSHG", "2024-01-05", "2024-01-05")
	for answer, want := range map[string]string{
		`v_sh600519="1~贵州茅台~600519~1685.01~1715.00";` + "\n": `{"symbol":"600519.XSHG","name":"贵州茅台","class":"unknown","ipo_date":null,"out_date":null,"status":"listed"}`,
		`v_pv_none_match="1";`: "unknown_symbol 600519.XSHG - quote of sh600519: the service does not know it",
	} {
		got, err := providertest.Read(t, Vendor(), serve(t, gbk(answer)), unit)
		if err != nil || len(got) != 2 || got[0] != want {
			t.Errorf("%v %s, want %s", err, got, want)
		}
	}
	for _, answer := range []string{`v_sh600519="1~x~600000~1";`, `v_sh600519="1~x`, "<html>", ""} {
		settings := serve(t, answer)
		if _, err := providertest.Read(t, Vendor(), settings, unit); err == nil || !strings.Contains(err.Error(), "it is no quote") {
			t.Errorf("%q: %v", answer, err)
		}
	}
}

// TestFull: the same bars, however few an answer holds in truth.
// invariant: an answer that is full is never taken for the whole window
func TestFull(t *testing.T) {
	t.Parallel()
	m, err := sim.Synthetic(3, 2, sim.DateOf(2018, 1, 1), sim.DateOf(2024, 6, 28))
	if err != nil {
		t.Fatal(err)
	}
	w, err := sim.StartTencent(context.Background(), "127.0.0.1:0", m, sim.WebConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	settings := providertest.At(Vendor(), "http://"+w.Address())
	n := 0
	for _, b := range m.Bars(nil, "sh.600000", sim.DateOf(2018, 1, 1), sim.DateOf(2024, 6, 28)) {
		if b.Trading {
			n++
		}
	}
	unit := providertest.Unit(t, market.Bar1D, "600000.XSHG", "2018-01-01", "2024-06-28")
	got, err := providertest.Read(t, Vendor(), settings, unit)
	// Behind the rows come the unit and the days of which the second look, in a window more, has none either.
	rows := slices.IndexFunc(got, func(line string) bool { return !strings.HasPrefix(line, "{") })
	confirmed := slices.IndexFunc(got[rows+1:], func(line string) bool { return !strings.HasSuffix(line, "0, empty_confirmed") })
	if err != nil || rows != n || len(got) == n+1 || confirmed >= 0 || w.Stats().ByKind["kline"] != 4 {
		t.Errorf("%v: %d rows, want %d; asked %v\n%s", err, rows, n, w.Stats().ByKind, strings.Join(got[max(rows, 0):], "\n"))
	}
	// A window of more sessions than an answer holds.
	client, err := Vendor().NewClient(settings, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	k := &klines{client: client, code: "sh600000", left: []market.Interval{unit.Interval()}}
	if err := k.next(t.Context(), nil); err != nil || len(k.left) != 2 || k.left[0].From != unit.From || k.left[1].To != unit.To || k.left[0].To+1 != k.left[1].From {
		t.Errorf("%v: the full answer leaves %v", err, k.left)
	}
}

// FuzzKlines: whatever the answer, every record is a row or a bad record.
func FuzzKlines(f *testing.F) {
	f.Add([]byte(answered(`["2024-01-02","1","1","1","1","1.0"]`)))
	f.Add([]byte(answered(`["2024-01-02",1,null,{},[],"x"],7,null,[]`)))
	f.Add([]byte(`{"code":0,"data":{"sh600519":{"day":{}}}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		settings := serve(t, string(text))
		settings.Attempts = 1
		got, err := providertest.Read(t, Vendor(), settings, providertest.Unit(t, market.Bar1D, "600519.XSHG", "2024-01-02", "2024-01-02"))
		if err != nil {
			return
		}
		document, err := provider.Document(text)
		if err != nil {
			t.Fatal(err)
		}
		records := 0
		for range document.Member("data").Member("sh600519").Member("day").Elements() {
			records++
		}
		if !strings.HasSuffix(got[len(got)-1], ", failed") && len(got) != records+1 {
			t.Fatalf("%d records make %s", records, got)
		}
	})
}
