package market

import "time"

// SettleQuarter is how many days after the end of a quarter all of its statements are published: the annual
// ones by the end of April. Until then a quarter without a statement says nothing.
const SettleQuarter = 121

// QuarterEnds returns the last days of quarters in an interval, in order.
func QuarterEnds(v Interval) []Date {
	if v.Empty() {
		return nil
	}
	var ends []Date
	year, month, _ := v.From.Civil()
	for next := (month-1)/3*3 + 4; ; next += 3 {
		end := DateOf(year, next, 1) - 1
		if end > v.To {
			return ends
		}
		ends = append(ends, end)
	}
}

// StatementDue returns the day by which the statement of the quarter that ends on a day has to be published
// in China: four months after the year, two after its half, one after the other quarters.
func StatementDue(end Date) Date {
	year, month, _ := end.Civil()
	months := map[time.Month]time.Month{time.December: 4, time.June: 2}[month]
	return DateOf(year, month+max(1, months)+1, 1) - 1
}
