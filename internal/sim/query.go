package sim

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// query is one type of request.
type query struct {
	args   int    // behind method, user, page and rows per page
	fields string // as the vendor writes them, odd blanks included
	run    func(*asked) *refusal
}

// asked is one request while it is answered.
type asked struct {
	view
	seed   uint64
	args   []string
	rows   *records
	bars   []Bar // room
	fields string
}

const (
	tradeDateFields = "calendar_date, is_trading_day"
	allStockFields  = "code,tradeStatus,code_name"
	basicFields     = "code, code_name, ipoDate, outDate, type, status"
	factorFields    = "code,dividOperateDate,foreAdjustFactor,backAdjustFactor,adjustFactor"
	industryFields  = "updateDate, code, code_name, industry, industryClassification"
	memberFields    = "updateDate, code, code_name"
	dividendFields  = "code, dividPreNoticeDate, dividAgmPumDate, dividPlanAnnounceDate, dividPlanDate, " +
		"dividRegistDate, dividOperateDate, dividPayDate, dividStockMarketDate, dividCashPsBeforeTax,\t" +
		"dividCashPsAfterTax, dividStocksPs,\tdividCashStock, dividReserveToStockPs"
)

// queries returns every type that is answered; the others are refused as retired.
func queries() map[string]query {
	all := map[string]query{
		kindKData:   {6, "", kdata},
		kindOldData: {6, "", kdata},
		"33":        {2, tradeDateFields, tradeDates},
		"35":        {1, allStockFields, allStock},
		"45":        {2, basicFields, stockBasic},
		"13":        {3, dividendFields, dividends},
		"15":        {3, factorFields, adjustFactors},
		"59":        {2, industryFields, industry},
		"61":        {1, memberFields, members(300, "hs300")},
		"63":        {1, memberFields, members(50, "sz50")},
		"65":        {1, memberFields, members(500, "zz500")},
		"67":        {1, memberFields, withStatus(isTerminated)},
		"69":        {1, memberFields, withStatus(isSuspended)},
		"71":        {1, memberFields, withStatus(isST)},
		"73":        {1, memberFields, withStatus(isStarST)},
	}
	addFundamentals(all)
	addMacro(all)
	return all
}

// date reads a date argument; an empty one stands for the default.
func (a *asked) date(text string, missing Date, code string) (Date, *refusal) {
	if text == "" {
		return missing, nil
	}
	day, err := ParseDate(text)
	if err != nil {
		return 0, refuse(code)
	}
	return day, nil
}

// span reads a range of dates; by default from 2015 to today.
func (a *asked) span(start, end string) (from, to Date, refused *refusal) {
	from, refused = a.date(start, DateOf(2015, time.January, 1), "10004007")
	if refused != nil {
		return 0, 0, refused
	}
	to, refused = a.date(end, a.today, "10004008")
	if refused != nil {
		return 0, 0, refused
	}
	if from > to {
		return 0, 0, refuse("10004009")
	}
	return from, to, nil
}

// tradeDates answers query_trade_dates: start, end.
func tradeDates(a *asked) *refusal {
	from, to, refused := a.span(a.args[0], a.args[1])
	if refused != nil {
		return refused
	}
	calendar := a.market.Calendar()
	for day := max(from, calendar.From()); day <= min(to, calendar.To()); day++ {
		a.rows.add(a.dates.of(day), flagText(calendar.IsOpen(day)))
	}
	return nil
}

// allStock answers query_all_stock: day.
func allStock(a *asked) *refusal {
	day, refused := a.date(a.args[0], a.today, "10004010")
	if refused != nil {
		return refused
	}
	if day > a.shown {
		return nil
	}
	for _, s := range a.market.Securities() {
		if state := a.market.State(s.Code, day); state.Listed && s.shows(a.today) {
			a.rows.add(s.Code, flagText(state.Trading), nameUnder(&s, state))
		}
	}
	return nil
}

// nameUnder returns the name on a day: one under special treatment is marked.
func nameUnder(s *Security, state State) string {
	if state.ST {
		return "ST" + s.Name
	}
	return s.Name
}

// stockBasic answers query_stock_basic: code, code_name.
func stockBasic(a *asked) *refusal {
	code, name := strings.ToLower(a.args[0]), a.args[1]
	if code != "" && !validCode(code) {
		return refuse("10004011")
	}
	for _, s := range a.market.Securities() {
		if !s.shows(a.today) || code != "" && s.Code != code || !strings.Contains(s.Name, name) {
			continue
		}
		out, status := "", "1"
		if s.Out != 0 && s.Out <= a.today {
			out, status = s.Out.String(), "0"
		}
		shown := nameUnder(&s, a.market.State(s.Code, a.lastOpen(a.shown)))
		a.rows.add(s.Code, shown, s.IPO.String(), out, strconv.Itoa(int(s.Kind)), status)
	}
	return nil
}

// lastOpen returns the last trading day up to day that is published.
func (v *view) lastOpen(day Date) Date {
	calendar := v.market.Calendar()
	day = min(day, v.shown, calendar.To())
	for day >= calendar.From() && !calendar.IsOpen(day) {
		day--
	}
	return day
}

// adjustFactors answers query_adjust_factor: code, start, end.
func adjustFactors(a *asked) *refusal {
	code := strings.ToLower(a.args[0])
	if !validCode(code) {
		return refuse("10004011")
	}
	from, to, refused := a.span(a.args[1], a.args[2])
	if refused != nil {
		return refused
	}
	if _, ok := a.security(code); !ok {
		return nil
	}
	actions := a.market.Actions(code)
	latest := Back(actions, a.shown)
	for _, action := range actions {
		if action.Ex < from || action.Ex > min(to, a.shown) {
			continue
		}
		back := fixedText(action.Back, ratioDecimals)
		a.rows.add(code, action.Ex.String(), fixedText(Fore(action.Back, latest), ratioDecimals), back, back)
	}
	return nil
}

// fixedText returns a value of that many decimals.
func fixedText(value int64, decimals int) string {
	return string(appendFixed(nil, value, decimals, decimals))
}

func flagText(on bool) string { return string(appendFlag(nil, on)) }

// validCode reports whether a code has the vendor's form: sh.600000.
func validCode(code string) bool {
	if len(code) != 9 || code[2] != '.' || !digits([]byte(code[3:])) {
		return false
	}
	return code[:2] == "sh" || code[:2] == "sz" || code[:2] == "bj"
}

func findSecurity(list []Security, code string) (int, bool) {
	return slices.BinarySearchFunc(list, code, func(s Security, code string) int {
		return cmp.Compare(s.Code, code)
	})
}
