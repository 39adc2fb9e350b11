package market

import (
	"testing"
	"time"
)

func TestDate(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text string
		want Date
	}{{"1970-01-01", 0}, {"2024-01-02", 19724}, {"20240102", 19724}, {"0001-01-01", MinDate}, {"9999-12-31", MaxDate}} {
		got, err := ParseDate(c.text)
		if err != nil || got != c.want {
			t.Errorf("%q is %d, %v; want %d", c.text, got, err, c.want)
		}
	}
	for _, text := range []string{"", "2024-02-30", "2024-13-01", "02/01/2024", "2024-1-2", "0000-01-01", "today"} {
		if got, err := ParseDate(text); err == nil {
			t.Errorf("%q is %s", text, got)
		}
	}
	shanghai, err := time.LoadLocation("Asia/Shanghai")
	if err != nil {
		t.Fatal(err)
	}
	// 20:00 UTC is the next day in Shanghai.
	if got := From(time.Date(2024, 1, 1, 20, 0, 0, 0, time.UTC).In(shanghai)); got.String() != "2024-01-02" {
		t.Error(got)
	}
	if got := Date(-1); got.String() != "1969-12-31" || got.Weekday() != time.Wednesday || got.Year() != 1969 {
		t.Error(got, got.Weekday(), got.Year())
	}
	for d := Date(-800); d < 800; d++ {
		if d.Weekday() != d.Time().Weekday() {
			t.Fatalf("%s is a %s", d, d.Weekday())
		}
		if year, month, day := d.Civil(); DateOf(year, month, day) != d {
			t.Fatalf("%s is %d-%d-%d", d, year, month, day)
		}
	}
	if got := DateOf(2024, 1, 2).At(shanghai, 9*time.Hour+30*time.Minute); !got.Equal(time.Date(2024, 1, 2, 1, 30, 0, 0, time.UTC)) {
		t.Error(got)
	}
}

func FuzzParseDate(f *testing.F) {
	f.Add("2024-01-02")
	f.Add("20240229")
	f.Fuzz(func(t *testing.T, text string) {
		d, err := ParseDate(text)
		if err != nil {
			return
		}
		if back, err := ParseDate(d.String()); err != nil || back != d {
			t.Fatalf("%q is %s, which is %s, %v", text, d, back, err)
		}
	})
}
