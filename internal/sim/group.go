package sim

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// monday returns the Monday on or before a day: lists of the vendor are made weekly.
func monday(day Date) Date { return day - Date((day.Weekday()+6)%7) }

// stocks returns the stocks listed on a day.
func (a *asked) stocks(day Date) []Security {
	var list []Security
	for _, s := range a.market.Securities() {
		if s.Kind == Stock && s.shows(a.today) && s.IPO <= day && (s.Out == 0 || day < s.Out) {
			list = append(list, s)
		}
	}
	return list
}

// members answers a list of an index: date. The first size stocks in an order made from the seed.
func members(size int, index string) func(*asked) *refusal {
	return func(a *asked) *refusal {
		day, refused := a.date(a.args[0], a.today, "10004010")
		if refused != nil {
			return refused
		}
		update := monday(min(day, a.today))
		list := a.stocks(update)
		rank := func(s Security) uint64 { return hashText(a.seed, index+s.Code) }
		slices.SortFunc(list, func(x, y Security) int { return cmp.Compare(rank(x), rank(y)) })
		list = list[:min(size, len(list))]
		slices.SortFunc(list, func(x, y Security) int { return cmp.Compare(x.Code, y.Code) })
		for _, s := range list {
			a.rows.add(update.String(), s.Code, s.Name)
		}
		return nil
	}
}

// industry answers query_stock_industry: code, date.
func industry(a *asked) *refusal {
	code := strings.ToLower(a.args[0])
	if code != "" && !validCode(code) {
		return refuse("10004011")
	}
	day, refused := a.date(a.args[1], a.today, "10004010")
	if refused != nil {
		return refused
	}
	update := monday(min(day, a.today))
	names := []string{
		"A01农业", "B06煤炭开采和洗选业", "C14食品制造业", "C27医药制造业", "C31黑色金属冶炼和压延加工业",
		"C39计算机、通信和其他电子设备制造业", "D44电力、热力生产和供应业", "F51批发业", "G55水上运输业",
		"I65软件和信息技术服务业", "J66货币金融服务", "J67资本市场服务", "K70房地产业", "",
	}
	for _, s := range a.stocks(update) {
		if code == "" || s.Code == code {
			name := names[below(hashText(a.seed^0x696e64, s.Code), int64(len(names)))]
			a.rows.add(update.String(), s.Code, s.Name, name, "证监会行业分类")
		}
	}
	return nil
}

// withStatus answers a list of securities in some state: date, which is mandatory.
func withStatus(in func(*asked, Security, Date) bool) func(*asked) *refusal {
	return func(a *asked) *refusal {
		if a.args[0] == "" {
			return refuse("10004005")
		}
		day, refused := a.date(a.args[0], 0, "10004010")
		if refused != nil {
			return refused
		}
		day = a.lastOpen(day)
		for _, s := range a.market.Securities() {
			if s.Kind == Stock && s.shows(a.today) && in(a, s, day) {
				a.rows.add(day.String(), s.Code, nameUnder(&s, a.market.State(s.Code, day)))
			}
		}
		return nil
	}
}

func isTerminated(_ *asked, s Security, day Date) bool { return s.Out != 0 && s.Out <= day }

func isSuspended(a *asked, s Security, day Date) bool {
	state := a.market.State(s.Code, day)
	return state.Listed && !state.Trading
}

func isST(a *asked, s Security, day Date) bool {
	return a.market.State(s.Code, day).ST && !isStarST(a, s, day)
}

// isStarST picks one in three of those under special treatment, by the seed.
func isStarST(a *asked, s Security, day Date) bool {
	return a.market.State(s.Code, day).ST && hashText(a.seed, s.Code)%3 == 0
}

// quarterEnd returns the last day of a quarter, 1 to 4.
func quarterEnd(year, quarter int) Date {
	return DateOf(year, time.Month(quarter*3)+1, 1) - 1
}
