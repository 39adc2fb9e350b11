package sim

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// addFundamentals adds the reports of companies: figures made from the seed, published 20 to 110 days
// after the quarter they are about.
func addFundamentals(all map[string]query) {
	for _, q := range []struct{ kind, columns string }{
		{"17", "roeAvg,npMargin,gpMargin,netProfit,epsTTM,MBRevenue,totalShare,liqaShare"},
		{"19", "NRTurnRatio,NRTurnDays,INVTurnRatio,INVTurnDays,CATurnRatio,AssetTurnRatio"},
		{"21", "YOYEquity,YOYAsset,YOYNI,YOYEPSBasic,YOYPNI"},
		{"23", "dupontROE,dupontAssetStoEquity,dupontAssetTurn,dupontPnitoni,dupontNitogr,dupontTaxBurden," +
			"dupontIntburden,dupontEbittogr"},
		{"25", "currentRatio,quickRatio,cashRatio,YOYLiability,liabilityToAsset,assetToEquity"},
		{"27", "CAToAsset,NCAToAsset,tangibleAssetToAsset,ebitToInterest,CFOToOR,CFOToNP,CFOToGr"},
	} {
		all[q.kind] = query{3, "code,pubDate,statDate," + q.columns, report(strings.Split(q.columns, ","))}
	}
	all["29"] = query{3, "code,performanceExpPubDate,performanceExpStatDate,performanceExpUpdateDate," +
		"performanceExpressTotalAsset,performanceExpressNetAsset,performanceExpressEPSChgPct," +
		"performanceExpressROEWa,performanceExpressEPSDiluted,performanceExpressGRYOY," +
		"performanceExpressOPYOY", announced(express)}
	all["31"] = query{3, "code,profitForcastExpPubDate,profitForcastExpStatDate,profitForcastType," +
		"profitForcastAbstract,profitForcastChgPctUp,profitForcastChgPctDwn", announced(forecast)}
}

// report answers a quarterly report: code, year, quarter.
func report(columns []string) func(*asked) *refusal {
	return func(a *asked) *refusal {
		code := strings.ToLower(a.args[0])
		if !validCode(code) {
			return refuse("10004011")
		}
		year, quarter, ok := parseQuarter(a.args[1], a.args[2])
		if !ok {
			return refuse("10004006")
		}
		end := quarterEnd(year, quarter)
		draw := hashText(a.seed^uint64(end), code)
		published := end + Date(between(mix(draw, 0), 20, 110))
		if s, ok := a.security(code); !ok || s.Kind != Stock || published > a.today || end < s.IPO {
			return nil
		}
		row := []string{code, published.String(), end.String()}
		for _, column := range columns {
			row = append(row, figure(hashText(draw, column), column))
		}
		a.rows.add(row...)
		return nil
	}
}

// parseQuarter reads year and quarter.
func parseQuarter(year, quarter string) (y, q int, ok bool) {
	y, yearErr := strconv.Atoi(year)
	q, quarterErr := strconv.Atoi(quarter)
	return y, q, yearErr == nil && quarterErr == nil && len(year) == 4 && y >= 1990 && q >= 1 && q <= 4
}

// figure makes up the value of a column, in the size and with the decimals of the real ones; now and
// then there is none.
func figure(draw uint64, column string) string {
	switch column {
	case "totalShare", "liqaShare":
		return fixedText(between(draw, 1e8, 3e10)*100, 2)
	case "netProfit", "MBRevenue":
		return fixedText(between(draw, -1e14, 9e15), ratioDecimals)
	case "NRTurnDays", "INVTurnDays", "ebitToInterest":
		return fixedText(between(draw, 1e6, 2e8), ratioDecimals)
	}
	if draw%16 == 0 {
		return ""
	}
	return fixedText(between(draw, -300_000, 2_500_000), ratioDecimals)
}

// announced answers what companies announce at no fixed time: code, start, end of the publication.
// One quarter in four of a company has one.
func announced(row func(code string, end, published Date, draw uint64) []string) func(*asked) *refusal {
	return func(a *asked) *refusal {
		code := strings.ToLower(a.args[0])
		if !validCode(code) {
			return refuse("10004011")
		}
		from, to, refused := a.span(a.args[1], a.args[2])
		if refused != nil {
			return refused
		}
		s, ok := a.security(code)
		if !ok || s.Kind != Stock {
			return nil
		}
		to = min(to, a.today)
		for year := from.Time().Year() - 1; year <= to.Time().Year(); year++ {
			for quarter := 1; quarter <= 4; quarter++ {
				end := quarterEnd(year, quarter)
				draw := hashText(a.seed^uint64(end)^0x616e6e, code)
				published := end + Date(between(mix(draw, 1), 5, 60))
				if draw%4 == 0 && end >= s.IPO && published >= from && published <= to {
					a.rows.add(row(code, end, published, draw)...)
				}
			}
		}
		return nil
	}
}

func express(code string, end, published Date, draw uint64) []string {
	row := []string{code, published.String(), end.String(), published.String()}
	row = append(row, fixedText(between(mix(draw, 2), 1e15, 9e16), ratioDecimals),
		fixedText(between(mix(draw, 3), 1e14, 9e15), ratioDecimals))
	for i := range uint64(5) {
		row = append(row, fixedText(between(mix(draw, 4+i), -900_000, 1_500_000), ratioDecimals))
	}
	return row
}

func forecast(code string, end, published Date, draw uint64) []string {
	kinds := []string{"略增", "预增", "略减", "预减", "首亏", "扭亏", "续盈", "续亏"}
	kind := kinds[below(mix(draw, 2), int64(len(kinds)))]
	up := between(mix(draw, 3), -60, 200)
	down := up - between(mix(draw, 4), 0, 30)
	abstract := fmt.Sprintf("预计归属于上市公司股东的净利润 比上年同期变动%d%%至%d%%", down, up)
	return []string{
		code, published.String(), end.String(), kind, abstract,
		fixedText(up*factorOne, ratioDecimals), fixedText(down*factorOne, ratioDecimals),
	}
}

// dividends answers query_dividend_data: code, year, yearType. A market that knows only factors has
// none.
func dividends(a *asked) *refusal {
	code, yearType := strings.ToLower(a.args[0]), a.args[2]
	if !validCode(code) {
		return refuse("10004011")
	}
	year, err := strconv.Atoi(a.args[1])
	if err != nil || len(a.args[1]) != 4 || yearType != "report" && yearType != "operate" {
		return refuse("10004006")
	}
	if _, ok := a.security(code); !ok {
		return nil
	}
	for _, action := range a.market.Actions(code) {
		of := action.Ex.Time().Year()
		if yearType == "report" {
			of--
		}
		if of == year && action.Ex-40 <= a.shown && action.Cash+action.Bonus+action.Transfer > 0 {
			a.rows.add(dividendRow(code, action)...)
		}
	}
	return nil
}

func dividendRow(code string, action Action) []string {
	announced := DateOf(action.Ex.Time().Year(), time.March, 28)
	stockMarket := ""
	if action.Bonus+action.Transfer > 0 {
		stockMarket = action.Ex.String()
	}
	share := func(value int64) string {
		if value == 0 {
			return ""
		}
		return fixedText(value, ratioDecimals)
	}
	after := fixedText(action.Cash*9/10, ratioDecimals)
	if action.Ex%3 == 0 { // the vendor gives two rates as text
		after = decimalText(action.Cash*9/10) + "或" + decimalText(action.Cash)
	}
	text := "10派" + decimalText(action.Cash*10) + "元（含税）"
	if action.Transfer > 0 {
		text = "10转" + decimalText(action.Transfer*10) + "派" + decimalText(action.Cash*10) + "元（含税）"
	}
	return []string{
		code, "", (announced + 45).String(), announced.String(), (action.Ex - 7).String(),
		(action.Ex - 1).String(), action.Ex.String(), action.Ex.String(), stockMarket,
		fixedText(action.Cash, ratioDecimals), after, share(action.Bonus), text, share(action.Transfer),
	}
}

// decimalText returns a value of six decimals without zeros at its end.
func decimalText(value int64) string {
	return strings.TrimSuffix(strings.TrimRight(fixedText(value, ratioDecimals), "0"), ".")
}
