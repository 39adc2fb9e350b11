package binance

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/provider"
	"github.com/tapeline/tapeline/internal/provider/providertest"
	"github.com/tapeline/tapeline/internal/sim"
)

func serve(t testing.TB, text string) provider.Settings {
	t.Helper()
	pages := 0
	return providertest.Serve(t, Vendor(), func(w http.ResponseWriter, _ *http.Request) {
		if pages++; pages > 1 && strings.HasPrefix(text, "[[") {
			text = "[]"
		}
		_, _ = io.WriteString(w, text)
	})
}

// TestKlines: milliseconds that name the start, eight decimals, volumes of any size.
func TestKlines(t *testing.T) {
	t.Parallel()
	const day, next = 1704067200000, 1704153600000 // 2024-01-01, 2024-01-02
	row := func(open int64, values string) string {
		return fmt.Sprintf(`[%d,%s,%d,"1234.50000000",77,"1.0","2.0","0"]`, open, values, open+86399999)
	}
	sound := row(day, `"42283.58000000","44184.10000000","42180.77000000","44179.55000000","27174.29903000"`)
	unit := providertest.Unit(t, market.Crypto1D, "BTCUSDT.BINANCE", "2024-01-01", "2024-01-02")
	minutes := unit
	minutes.Dataset, minutes.Freq = market.CryptoMin, "60m"
	const name = " BTCUSDT.BINANCE 2024-01-01..2024-01-02 of binance, "
	const want = `"open":42283.58000000,"high":44184.10000000,"low":42180.77000000,"close":44179.55000000,` +
		`"volume":27174.29903,"amount":1234.5,"trades":77,"final":true}`
	for _, c := range []struct {
		name, answer string
		unit         market.Unit
		want         []string
	}{
		{
			"a day", "[" + sound + "]", unit,
			[]string{`{"symbol":"BTCUSDT.BINANCE","date":"2024-01-01",` + want, "crypto_1d" + name + "1, ok"},
		},
		{
			"hours", "[" + sound + "]", minutes,
			[]string{`{"symbol":"BTCUSDT.BINANCE","freq":"60m","ts":"2024-01-01T00:00:00.000000Z",` + want, "crypto_min" + name + "1, ok"},
		},
		{
			"many coins", "[" + row(day, `"0.00000002","0.00000002","0.00000001","0.00000001","92233720368547758.12345678"`) + "]", unit,
			[]string{
				`{"symbol":"BTCUSDT.BINANCE","date":"2024-01-01","open":0.00000002,"high":0.00000002,"low":0.00000001,"close":0.00000001,` +
					`"volume":92233720368547760,"amount":1234.5,"trades":77,"final":true}`, "crypto_1d" + name + "1, ok",
			},
		},
		{
			"a ninth decimal", "[" + row(day, `"0.000000021","1","0","1","1"`) + "]", unit,
			[]string{
				`inexact_number BTCUSDT.BINANCE 2024-01-01 open: "0.000000021" times 1 is no number that the column holds, with 8 decimals`,
				"crypto_1d" + name + "1, ok",
			},
		},
		{
			"no number", "[" + row(day, `"1","1","1","1","NaN"`) + "]", unit,
			[]string{`bad_number BTCUSDT.BINANCE 2024-01-01 volume: "NaN" is no number`, "crypto_1d" + name + "1, ok"},
		},
		{
			"another day", "[" + row(next+86400000, `"1","1","1","1","1"`) + "]", unit,
			[]string{"outside_range BTCUSDT.BINANCE 2024-01-03 2024-01-03 is not within 2024-01-01..2024-01-02", "crypto_1d" + name + "1, ok"},
		},
		{
			"another hour", "[" + row(next+86400000, `"1","1","1","1","1"`) + "]", minutes,
			[]string{"outside_range BTCUSDT.BINANCE 2024-01-03 2024-01-03 is not within 2024-01-01..2024-01-02", "crypto_min" + name + "1, ok"},
		},
		{"nothing", "[]", unit, []string{"crypto_1d" + name + "0, empty_confirmed"}},
		{
			"short", "[[1704067200000]]", unit,
			[]string{"row_length BTCUSDT.BINANCE - 1 values for 12 columns", "crypto_1d" + name + "1, ok"},
		},
		{
			"an object", `{"code":-1,"msg":"no"}`, unit,
			[]string{"refused BTCUSDT.BINANCE - klines of BTCUSDT: code -1: no", "crypto_1d" + name + "1, failed"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := providertest.Read(t, Vendor(), serve(t, c.answer), c.unit)
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("%v\n%s\nwant\n%s", err, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
}

// TestBegin: what cannot be asked at all.
func TestBegin(t *testing.T) {
	t.Parallel()
	for _, u := range []market.Unit{
		{Dataset: market.Crypto1D},
		{Dataset: market.Crypto1D, Symbol: "600000.XSHG"},
		{Dataset: market.CryptoMin, Symbol: "BTCUSDT.BINANCE", Freq: "2m"},
		{Dataset: market.Bar1D, Symbol: "BTCUSDT.BINANCE"},
	} {
		if _, _, err := begin(nil, []market.Unit{u}); err == nil {
			t.Errorf("%s is begun", u)
		}
	}
}

func archive(t testing.TB, files map[string]string) []byte {
	t.Helper()
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for name, text := range files {
		w, err := z.Create(name)
		if err == nil {
			_, err = io.WriteString(w, text)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestUnpack: a file is what its check sum says, and holds one file.
// invariant: a file is read only when its SHA-256 is the one published beside it
func TestUnpack(t *testing.T) {
	t.Parallel()
	sound := archive(t, map[string]string{"a.csv": "1,2\n"})
	sum := func(data []byte) []byte { return fmt.Appendf(nil, "%X  a.zip\n", sha256.Sum256(data)) }
	if text, err := unpack("a.zip", sound, sum(sound)); err != nil || string(text) != "1,2\n" {
		t.Errorf("%q %v", text, err)
	}
	two := archive(t, map[string]string{"a.csv": "1", "b.csv": "2"})
	for name, c := range map[string]struct {
		data, check []byte
		want        string
	}{
		"one byte differs": {append(slices.Clone(sound[:len(sound)-1]), sound[len(sound)-1]^1), sum(sound), "its SHA-256 is"},
		"cut":              {sound[:20], sum(sound), "its SHA-256 is"},
		"no sum":           {sound, nil, `the one published ""`},
		"no archive":       {[]byte("x"), sum([]byte("x")), "not a valid zip file"},
		"two files":        {two, sum(two), "holds 2 files"},
	} {
		if _, err := unpack("a.zip", c.data, c.check); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for text, want := range map[string]string{
		"1735689600000000": "1735689600000", "1735689600000": "1735689600000", "1735689600000001": "1735689600000001", "1735689600": "1735689600",
	} {
		if got := string(millis([]byte(text))); got != want {
			t.Errorf("%s is %s, want %s", text, got, want)
		}
	}
}

func simulated(t testing.TB, config sim.WebConfig, rules ...string) (*sim.Web, provider.Settings) {
	t.Helper()
	m, err := sim.SyntheticCoins(4, 3, sim.DateOf(2024, 11, 20), sim.DateOf(2025, 2, 10))
	if err != nil {
		t.Fatal(err)
	}
	w, settings := providertest.Simulate(t, Vendor(), config, sim.BinanceKinds(), rules, func(config sim.WebConfig) (*sim.Web, error) {
		return sim.StartBinance(context.Background(), "127.0.0.1:0", m, config)
	})
	settings.Now = func() time.Time { return time.Date(2025, 2, 10, 23, 0, 0, 0, time.UTC) }
	return w, settings
}

// TestFilesAndPages: months from files, in both units of time, and days over REST are the same bars, and a
// file that is wrong is not believed.
func TestFilesAndPages(t *testing.T) {
	t.Parallel()
	unit := providertest.Unit(t, market.CryptoMin, "BTCUSDT.BINANCE", "2024-11-28", "2025-02-02")
	unit.Freq = "15m"
	w, settings := simulated(t, sim.WebConfig{})
	want, err := providertest.Read(t, Vendor(), settings, unit)
	if err != nil || len(want) != 67*96+1 {
		t.Fatalf("%d rows, %v", len(want), err)
	}
	if stats := w.Stats(); stats.ByKind["file"] != 2 || stats.ByKind["klines"] != 2 {
		t.Errorf("asked %v", stats.ByKind)
	}
	for _, rule := range []string{
		"at 1 on file: truncate", "at 1 on file: missing", "at 2 on file: duplicate", "at 1 on checksum: garbage",
		"every 1 on checksum: status 404", "every 2 on klines: short", "from 1 on klines: pagecap 7", "every 3: reset",
	} {
		_, settings := simulated(t, sim.WebConfig{}, rule)
		settings.Attempts = 8
		if got, err := providertest.Read(t, Vendor(), settings, unit); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, %d rows, want %d", rule, err, len(got), len(want))
		}
	}
	_, settings = simulated(t, sim.WebConfig{}, "every 1 on file: truncate")
	_, err = providertest.Read(t, Vendor(), settings, unit)
	if failure, ok := errors.AsType[*connector.Error](err); !ok || failure.Code != "binance_bad_file" {
		t.Errorf("a file that is always wrong: %v", err)
	}
}

// TestPartsOfMonths: a file stands for a part of its month where that fills more than two pages, and brings nothing
// beside that part; few bars are asked for over REST, months of them in one go.
func TestPartsOfMonths(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		freq, from, to string
		files, pages   int64
	}{
		{"15m", "2024-12-10", "2025-01-20", 1, 2}, // 22 days fill three pages, 20 fill two
		{"15m", "2024-12-12", "2024-12-31", 0, 2},
		{"60m", "2024-11-20", "2025-01-31", 0, 2}, // 1,752 bars
	} {
		unit := providertest.Unit(t, market.CryptoMin, "BTCUSDT.BINANCE", c.from, c.to)
		unit.Freq = c.freq
		w, settings := simulated(t, sim.WebConfig{})
		got, err := providertest.Read(t, Vendor(), settings, unit)
		if asked := w.Stats().ByKind; err != nil || asked["file"] != c.files || asked["klines"] != c.pages {
			t.Errorf("%s %s..%s: %v, asked %v", c.freq, c.from, c.to, err, asked)
		}
		_, settings = simulated(t, sim.WebConfig{}, "every 1 on checksum: status 404")
		want, err := providertest.Read(t, Vendor(), settings, unit)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s %s..%s: %d rows with files, %d without, %v", c.freq, c.from, c.to, len(got), len(want), err)
		}
	}
}

// TestFileWithNames: a file that begins with a line of names, and a month that has none.
func TestFileWithNames(t *testing.T) {
	t.Parallel()
	const names = "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore\r\n"
	const row = "1735689600000000,1,2,0.5,1.5,10,1735693199999999,15,7,1,1,0\r\n"
	file := archive(t, map[string]string{"a.csv": names + row})
	settings := providertest.Serve(t, Vendor(), func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !strings.Contains(r.URL.Path, "/monthly/"):
			_, _ = io.WriteString(w, "[]")
		case !strings.Contains(r.URL.Path, "2025-01"):
			w.WriteHeader(http.StatusNotFound)
		case strings.HasSuffix(r.URL.Path, ".CHECKSUM"):
			_, _ = fmt.Fprintf(w, "%x  a.zip\n", sha256.Sum256(file))
		default:
			_, _ = w.Write(file)
		}
	})
	unit := providertest.Unit(t, market.CryptoMin, "BTCUSDT.BINANCE", "2024-12-01", "2025-01-31")
	unit.Freq = "15m"
	got, err := providertest.Read(t, Vendor(), settings, unit)
	if err != nil || len(got) != 2 || !strings.Contains(got[0], `"ts":"2025-01-01T00:00:00.000000Z","open":1.00000000`) || !strings.HasSuffix(got[1], "1, ok") {
		t.Errorf("%v %s", err, strings.Join(got, "\n"))
	}
}

// TestVolumes: what doc says of float64: up to 15 digits it is the text that was sent.
func TestVolumes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Range(1, 999_999_999_999_999).Draw(t, "1e-8 coins")
		sent := market.FormatFixed(n, market.CryptoScale)
		v, err := strconv.ParseFloat(sent, 64)
		if got := strconv.FormatFloat(v, 'f', market.CryptoScale, 64); err != nil || got != sent {
			t.Fatalf("%s is kept as %s (%v)", sent, got, err)
		}
	})
}

// TestPairs: what is traded and what was; unknown pairs; a list without any.
func TestPairs(t *testing.T) {
	t.Parallel()
	_, settings := simulated(t, sim.WebConfig{})
	got, err := providertest.Read(t, Vendor(), settings, providertest.Unit(t, market.Listing, "", "2025-02-10", "2025-02-10"))
	if err != nil || len(got) != 4 || got[0] != `{"symbol":"BTCUSDT.BINANCE","name":"BTC/USDT","class":"crypto","ipo_date":null,"out_date":null,"status":"listed"}` {
		t.Errorf("%v\n%s", err, strings.Join(got, "\n"))
	}
	client, err := Vendor().NewClient(settings, nil)
	if err != nil {
		t.Fatal(err)
	}
	if listed, err := listedOn(t.Context(), client, 0); err != nil || len(listed) != 3 {
		t.Errorf("%v %v", listed, err)
	}
	if err := client.Close(); err != nil {
		t.Error(err)
	}
	got, err = providertest.Read(t, Vendor(), settings, providertest.Unit(t, market.Crypto1D, "NONE.BINANCE", "2025-02-01", "2025-02-02"))
	if err != nil || len(got) != 2 || !strings.HasPrefix(got[0], "unknown_symbol NONE.BINANCE") || !strings.HasSuffix(got[1], "failed") {
		t.Errorf("%v\n%s", err, strings.Join(got, "\n"))
	}
	settings = serve(t, `{"symbols":[]}`)
	settings.Attempts = 1
	if _, err := providertest.Read(t, Vendor(), settings, providertest.Unit(t, market.Listing, "", "2025-02-10", "2025-02-10")); err == nil {
		t.Error("a list of nothing is taken")
	}
}

// TestLimits: 429 is waited out, 418 bans, and weight that is nearly spent is waited out before.
func TestLimits(t *testing.T) {
	t.Parallel()
	unit := providertest.Unit(t, market.Crypto1D, "BTCUSDT.BINANCE", "2024-12-01", "2024-12-31")
	w, settings := simulated(t, sim.WebConfig{Limit: 3, Window: 300 * time.Millisecond})
	if _, err := providertest.Read(t, Vendor(), settings, unit, unit); err != nil || w.Stats().ByStatus["429"] == 0 {
		t.Errorf("%v, %+v", err, w.Stats())
	}
	w, settings = simulated(t, sim.WebConfig{}, "every 1: status 418")
	settings.Budgets = provider.NewMemoryBudget()
	for range 2 {
		if _, err := providertest.Read(t, Vendor(), settings, unit); err == nil {
			t.Error("a ban is no error")
		}
	}
	if n := w.Stats().Requests; n != 1 {
		t.Errorf("%d requests, though the first was answered with a ban", n)
	}
	client, err := Vendor().NewClient(settings, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for used, waits := range map[string]bool{"5399": false, "5400": true, "": false} {
		if err := wait(ctx, http.Header{"X-Mbx-Used-Weight-1m": {used}}, client); (err != nil) != waits {
			t.Errorf("weight %q: %v", used, err)
		}
	}
}

// FuzzKlines: whatever the answer, every record is a row or a bad record.
func FuzzKlines(f *testing.F) {
	f.Add([]byte(`[[1704067200000,"1","1","1","1","1",2,"3",4,"5","6","0"]]`))
	f.Add([]byte(`[[1704067200000,null,{},[],"1e5","-1",2,"3",4,"5","6","0"],[],7,null]`))
	f.Add([]byte(`{"code":-1121,"msg":"Invalid symbol."}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		document, err := provider.Document(text)
		if err != nil || document[0] != '[' {
			return
		}
		records := 0
		for range document.Elements() {
			records++
		}
		settings := serve(t, string(text))
		settings.Attempts = 1
		unit := providertest.Unit(t, market.Crypto1D, "BTCUSDT.BINANCE", "2024-01-01", "2024-01-01")
		got, err := providertest.Read(t, Vendor(), settings, unit)
		if err == nil && !strings.HasPrefix(string(text), "[[") {
			return // asked for again until it is empty
		}
		if err == nil && len(got) != records+1 {
			t.Fatalf("%d records make %s", records, got)
		}
	})
}

// FuzzUnpack: no archive breaks it.
func FuzzUnpack(f *testing.F) {
	f.Add(archive(f, map[string]string{"a.csv": "1,2\n"}))
	f.Add([]byte("PK"))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _ = unpack("a", data, fmt.Appendf(nil, "%x", sha256.Sum256(data)))
	})
}
