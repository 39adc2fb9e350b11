package intake

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/internal/market"
)

// TestDaySet drives a set of dates and a map with the same dates.
func TestDaySet(t *testing.T) {
	const seed = 11
	random := rand.New(rand.NewPCG(seed, seed))
	for range 50 {
		var set daySet
		twin := map[market.Date]bool{}
		for range 200 {
			d := market.Date(random.IntN(600) - 300)
			if got := set.add(d); got == twin[d] {
				t.Fatalf("seed %d: adding %s said %v", seed, d, got)
			}
			twin[d] = true
		}
		var want []market.Date
		for d := range twin {
			want = append(want, d)
		}
		slices.Sort(want)
		if got := set.dates(); !slices.Equal(got, want) {
			t.Fatalf("seed %d: got %v, want %v", seed, got, want)
		}
	}
}

// Days are one interval where no session lies between them.
func TestRuns(t *testing.T) {
	open := sessionsOf(market.XSHG)
	parse := func(list ...string) (out []market.Date) {
		for _, text := range list {
			d, err := market.ParseDate(text)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, d)
		}
		return out
	}
	for _, c := range []struct {
		days []market.Date
		want string
	}{
		{parse("2024-01-05", "2024-01-08", "2024-01-09"), "2024-01-05..2024-01-09"},
		{parse("2024-01-05", "2024-01-09"), "2024-01-05, 2024-01-09"},
		{parse("2024-02-08", "2024-02-19"), "2024-02-08..2024-02-19"}, // spring festival
		{parse("2024-01-06", "2024-01-07"), "2024-01-06..2024-01-07"},
		{parse("1970-01-02", "1970-01-05"), "1970-01-02, 1970-01-05"}, // before the calendar
	} {
		if got := open.runs(c.days).String(); strings.ReplaceAll(got, " ", "") != strings.ReplaceAll(c.want, " ", "") {
			t.Errorf("%v: got %s, want %s", c.days, got, c.want)
		}
	}
}

func TestReading(t *testing.T) {
	price := batch.Field{Name: "open", Type: batch.DecimalOf(18, 4)}
	volume := batch.Field{Name: "volume", Type: batch.Of(batch.Int64)}
	date := batch.Field{Name: "date", Type: batch.Of(batch.Date)}
	for _, c := range []struct {
		r          reading
		text, want string // "" is refused
	}{
		{reading{price, 1, false}, "10.12", "10.1200"},
		{reading{price, 1, false}, "10.12345", ""},
		{reading{price, 1, true}, "10.12345", "10.1235"},
		{reading{price, 1, true}, "-10.12345", "-10.1235"},
		{reading{price, 1, false}, "1.0119999885559082e1", ""},
		{reading{price, 10000, false}, "14606.63037200", "146066303.7200"},
		{reading{price, 1, false}, "1e3", "1000.0000"},
		{reading{price, 1, false}, "1e999999999", ""},
		{reading{price, 1, false}, "1/3", ""},
		{reading{price, 1, false}, "0x10", ""},
		{reading{price, 1, false}, "123456789012345.1", ""},
		{reading{volume, 100, false}, "12.5", "1250"},
		{reading{volume, 1, false}, "12345.0", "12345"},
		{reading{volume, 1, false}, "12.5", ""},
		{reading{date, 1, false}, "2024/1/2", "2024-01-02"},
		{reading{date, 1, false}, "20240102", "2024-01-02"},
		{reading{date, 1, false}, "2024-01-02 00:00:00", "2024-01-02"},
		{reading{date, 1, false}, "2024-01-02T09:30:00", ""},
		{reading{date, 1, false}, "2024-13-02", ""},
	} {
		texts := batch.NewAppender(batch.Of(batch.String))
		texts.Text(c.text)
		column, bad := c.r.column(texts.Column())
		got := ""
		if len(bad) == 0 {
			got = string(batch.AppendText(nil, column, 0))
		}
		if got != c.want {
			t.Errorf("%s as %s x %d: got %q %v, want %q", c.text, c.r.field.Type, c.r.unit, got, bad, c.want)
		}
	}
}

func TestSymbols(t *testing.T) {
	for _, c := range []struct{ scheme, class, text, want string }{
		{"", "", "sh.600000", "600000.XSHG"},
		{"", "", "000001.SZ", "000001.XSHE"},
		{"", "", "600000", ""},
		{"", "stock", "600000", "600000.XSHG"},
		{"", "index", "000001", "000001.XSHG"},
		{"", "", "foo", ""}, // any word could be a ticker
		{"yahoo", "", "AAPL", "AAPL.USA"},
		{"", "", "00700", ""},
		{"", "", "HK.00700", "00700.XHKG"},
	} {
		s := newSymbols(&Mapping{Scheme: c.scheme, Class: c.class})
		got, err := s.read([]byte(c.text))
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%+v: got %q, %v", c, got, err)
		}
	}
	s := newSymbols(&Mapping{})
	if got, err := s.ofFile("data/sh.600000.csv.gz"); got != "600000.XSHG" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestMappingProblems(t *testing.T) {
	d, _ := market.DatasetByName(market.Bar1D)
	m := Mapping{
		Columns: map[string]string{"opn": "x"}, VolumeUnit: 10, AmountUnit: 7, Turn: "bp", Symbol: "nowhere",
		Scheme: "bloomberg", Class: "thing",
	}
	if problems := m.Check(d); len(problems) != 7 {
		t.Errorf("got %v", problems)
	}
	schema := func(names ...string) *batch.Schema {
		var fields []batch.Field
		for _, name := range names {
			fields = append(fields, batch.Field{Name: name, Type: batch.Of(batch.String)})
		}
		return batch.NewSchema(fields...)
	}
	usual := schema("Code", "日期", "开盘", "最高", "最低", "收盘", "extra")
	m = Mapping{}
	b, err := m.bind(d, usual, "f.csv")
	if err != nil || !slices.Equal(b.ignored, []string{"extra"}) {
		t.Errorf("got %+v, %v", b, err)
	}
	for _, c := range []struct {
		m      Mapping
		schema *batch.Schema
		want   string
	}{
		{Mapping{}, schema("date", "open"), "no column for high, low, close"},
		{Mapping{Symbol: "column"}, schema("date", "open", "high", "low", "close"), "no column for symbol"},
		{Mapping{Columns: map[string]string{"open": "开"}}, usual, "did you mean 开盘?"},
		{Mapping{}, schema("\xc8\xd5"), "--encoding gbk"},
	} {
		if _, err := c.m.bind(d, c.schema, "f.csv"); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
}
