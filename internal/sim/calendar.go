package sim

// Calendar is a run of days, each open or closed.
type Calendar struct {
	from Date
	open []bool // by day from from on
}

// NewCalendar returns the calendar of [from, to] in which isOpen decides.
func NewCalendar(from, to Date, isOpen func(Date) bool) *Calendar {
	c := &Calendar{from: from}
	for day := from; day <= to; day++ {
		c.open = append(c.open, isOpen(day))
	}
	return c
}

// From returns the first day.
func (c *Calendar) From() Date { return c.from }

// To returns the last day.
func (c *Calendar) To() Date { return c.from + Date(len(c.open)) - 1 }

// IsOpen reports whether the market trades on the day; days outside are closed.
func (c *Calendar) IsOpen(day Date) bool {
	i := int(day - c.from)
	return i >= 0 && i < len(c.open) && c.open[i]
}

// Open returns the open days of [from, to].
func (c *Calendar) Open(from, to Date) []Date {
	var days []Date
	for day := max(from, c.From()); day <= min(to, c.To()); day++ {
		if c.IsOpen(day) {
			days = append(days, day)
		}
	}
	return days
}
