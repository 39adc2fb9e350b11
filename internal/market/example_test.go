package market_test

import (
	"fmt"

	"github.com/tapeline/tapeline/internal/market"
)

// A code of one provider becomes a symbol, and the code of another.
func ExampleScheme() {
	symbol, err := market.BaoStock.Parse("sh.600000", market.Unknown)
	fmt.Println(symbol, err)
	for _, scheme := range []market.Scheme{market.Tushare, market.PTrade, market.EastMoney, market.VNPY} {
		text, err := scheme.Format(symbol)
		fmt.Println(scheme, text, err)
	}
	// Output:
	// 600000.XSHG <nil>
	// tushare 600000.SH <nil>
	// ptrade 600000.SS <nil>
	// eastmoney 1.600000 <nil>
	// vnpy 600000.SSE <nil>
}

// Six digits name a share in Shenzhen and an index in Shanghai.
func ExampleScheme_Parse() {
	share, _ := market.Tushare.Parse("000001", market.Stock)
	index, _ := market.Tushare.Parse("000001", market.Index)
	_, err := market.Tushare.Parse("000001", market.Unknown)
	fmt.Println(share, index, err != nil)
	// Output: 000001.XSHE 000001.XSHG true
}

// What is missing of a week: the sessions without those that are covered.
func ExampleIntervals() {
	calendar, err := market.CalendarOf(market.XSHG)
	if err != nil {
		fmt.Println(err)
		return
	}
	from, to := market.DateOf(2024, 4, 1), market.DateOf(2024, 4, 10)
	open, err := calendar.Open(from, to)
	if err != nil {
		fmt.Println(err)
		return
	}
	covered := market.IntervalsOf(market.Interval{From: from, To: from + 1})
	fmt.Println(market.DatesOf(open...).Subtract(covered...))
	// Output: 2024-04-03,2024-04-08..2024-04-10
}

// A day of trading in UTC, with its lunch break; what the calendar does not know is an error.
func ExampleCalendar_Sessions() {
	calendar, _ := market.CalendarOf(market.XSHG)
	sessions, _ := calendar.Sessions(market.DateOf(2024, 1, 2))
	for _, s := range sessions {
		fmt.Println(s.Open.Format("15:04"), s.Close.Format("15:04"))
	}
	_, err := calendar.IsOpen(market.DateOf(2050, 1, 3))
	fmt.Println(err)
	// Output:
	// 01:30 03:30
	// 05:00 07:00
	// calendar of XSHG: 2050-01-03 is not covered; it knows 1990-12-03..2026-12-31: lay the provider's calendar over it, or take a release that knows more
}

// A split of 2 for 1 and a dividend: the newest prices stay, older ones shrink.
func ExampleFactors() {
	closes := []int64{200000, 100000, 100000}   // 20.0000, 10.0000, 10.0000
	precloses := []int64{200000, 100000, 95000} // 10.0000 after the split, 9.5000 after the dividend
	days := []market.Date{market.DateOf(2024, 1, 2), market.DateOf(2024, 1, 3), market.DateOf(2024, 1, 4)}
	events, err := market.DeriveFactors(days, closes, precloses)
	if err != nil {
		fmt.Println(err)
		return
	}
	factors, err := market.NewFactors(events)
	if err != nil {
		fmt.Println(err)
		return
	}
	for i, d := range days {
		fore := market.FormatFixed(closes[i]*factors.Fore(d), market.AdjustedScale)
		fmt.Println(d, market.FormatFixed(closes[i], market.PriceScale), fore)
	}
	// Output:
	// 2024-01-02 20.0000 9.5000000000
	// 2024-01-03 10.0000 9.5000000000
	// 2024-01-04 10.0000 10.0000000000
}
