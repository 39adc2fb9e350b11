package sim

import (
	"fmt"
	"strconv"
	"time"
)

const (
	depositFields = "pubDate, demandDepositRate, fixedDepositRate3Month, fixedDepositRate6Month, " +
		"fixedDepositRate1Year, fixedDepositRate2Year, fixedDepositRate3Year, fixedDepositRate5Year, " +
		"installmentFixedDepositRate1Year, installmentFixedDepositRate3Year, installmentFixedDepositRate5Year"
	loanFields = "pubDate, loanRate6Month, loanRate6MonthTo1Year, loanRate1YearTo3Year, " +
		"loanRate3YearTo5Year, loanRateAbove5Year, mortgateRateBelow5Year, mortgateRateAbove5Year"
	reserveFields = "pubDate, effectiveDate, bigInstitutionsRatioPre, bigInstitutionsRatioAfter, " +
		"mediumInstitutionsRatioPre, mediumInstitutionsRatioAfter"
	moneyMonthFields = "statYear, statMonth, m0Month, m0YOY, m0ChainRelative, m1Month, m1YOY, " +
		"m1ChainRelative, m2Month, m2YOY, m2ChainRelative"
	moneyYearFields = "statYear, m0Year, m0YearYOY, m1Year, m1YearYOY, m2Year, m2YearYOY"
)

// addMacro adds the figures of the central bank, made from the seed.
func addMacro(all map[string]query) {
	all["47"] = query{2, depositFields, rates(10, 35)}
	all["49"] = query{2, loanFields, rates(7, 435)}
	all["51"] = query{3, reserveFields, reserves}
	all["53"] = query{2, moneyMonthFields, moneyMonths}
	all["55"] = query{2, moneyYearFields, moneyYears}
}

// decision returns the day in a year on which the bank changed a rate.
func decision(seed uint64, year int) Date {
	return DateOf(year, time.January, 1) + Date(below(mix(seed, uint64(year)), 360))
}

// rates answers a table of rates: start, end. One change a year; columns grow from the first rate, in
// hundredths of a percent.
func rates(columns int, first int64) func(*asked) *refusal {
	return func(a *asked) *refusal {
		from, to, refused := a.span(a.args[0], a.args[1])
		if refused != nil {
			return refused
		}
		seed := a.seed ^ uint64(first)
		for year := from.Time().Year(); year <= to.Time().Year(); year++ {
			day := decision(seed, year)
			if day < from || day > min(to, a.today) {
				continue
			}
			row := []string{day.String()}
			rate := first + between(mix(seed, uint64(day)), 0, 60)
			for i := range columns {
				row = append(row, fixedText((rate+int64(i)*25)*10_000, ratioDecimals))
			}
			a.rows.add(row...)
		}
		return nil
	}
}

// reserves answers query_required_reserve_ratio_data: start, end, yearType (0 by publication, 1 by
// effect).
func reserves(a *asked) *refusal {
	from, to, refused := a.span(a.args[0], a.args[1])
	if refused != nil {
		return refused
	}
	if a.args[2] != "0" && a.args[2] != "1" {
		return refuse("10004006")
	}
	ratio := func(year int) int64 { return 2150 - int64(year-2010)*50 } // hundredths of a percent
	for year := from.Time().Year() - 1; year <= to.Time().Year(); year++ {
		published := decision(a.seed^0x727272, year)
		effective := published + 10
		by := published
		if a.args[2] == "1" {
			by = effective
		}
		if by < from || by > to || published > a.today {
			continue
		}
		before, after := ratio(year), ratio(year+1)
		a.rows.add(published.String(), effective.String(), percentText(before), percentText(after),
			percentText(before-200), percentText(after-200))
	}
	return nil
}

// percentText writes hundredths of a percent; at least half a percent.
func percentText(hundredths int64) string {
	return fixedText(max(hundredths, 50)*10_000, ratioDecimals)
}

// moneyMonths answers query_money_supply_data_month: YYYY-MM, YYYY-MM.
func moneyMonths(a *asked) *refusal {
	first, last, refused := stretch(a, "2006-01", 7)
	if refused != nil {
		return refused
	}
	for m := month(first); m <= month(last); m++ {
		// A month's figures come out on the 15th of the next one.
		if DateOf(m/12, time.Month(m%12+2), 15) > a.today {
			break
		}
		row := []string{strconv.Itoa(m / 12), fmt.Sprintf("%02d", m%12+1)}
		for i, base := range []int64{30_000, 200_000, 700_000} {
			row = append(row, money(a.seed, base, m), growth(mix(a.seed, uint64(m*8+i))),
				growth(mix(a.seed, uint64(m*8+i+4))))
		}
		a.rows.add(row...)
	}
	return nil
}

// moneyYears answers query_money_supply_data_year: YYYY, YYYY.
func moneyYears(a *asked) *refusal {
	first, last, refused := stretch(a, "1978", 4)
	if refused != nil {
		return refused
	}
	for year := first.Time().Year(); year <= last.Time().Year() && year < a.today.Time().Year(); year++ {
		row := []string{strconv.Itoa(year)}
		for i, base := range []int64{30_000, 200_000, 700_000} {
			row = append(row, money(a.seed, base, year*12+11), growth(mix(a.seed, uint64(year*3+i))))
		}
		a.rows.add(row...)
	}
	return nil
}

// stretch reads two months or years, of size characters; by default from that one to today.
func stretch(a *asked, earliest string, size int) (first, last Date, refused *refusal) {
	start, end := a.args[0], a.args[1]
	if start == "" {
		start = earliest
	}
	if end == "" {
		end = a.today.String()[:size]
	}
	read := func(text string) (Date, bool) {
		if len(text) != size {
			return 0, false
		}
		day, err := ParseDate((text + "-01-01")[:len(time.DateOnly)])
		return day, err == nil
	}
	first, startOK := read(start)
	last, endOK := read(end)
	switch {
	case !startOK:
		return 0, 0, refuse("10004007")
	case !endOK:
		return 0, 0, refuse("10004008")
	case first > last:
		return 0, 0, refuse("10004009")
	}
	return first, last, nil
}

// money returns a stock of money in 100 million yuan, growing by about a tenth a year.
func money(seed uint64, base int64, m int) string {
	grown := base * int64(100+(m-1978*12)*10/12) / 200
	return fixedText((grown*10_000+below(mix(seed, uint64(m)), 10_000))*100, ratioDecimals)
}

// growth returns a change in percent.
func growth(draw uint64) string { return fixedText(between(draw, -200, 1800)*10_000, ratioDecimals) }
