package sim

import (
	"bufio"
	"fmt"
	"io"
)

// WriteOracle writes the truth as CSV: the wire's daily columns, unadjusted, with the vendor's
// decimals, of every code listed by the day to, up to that day. LoadCSV reads it back.
func WriteOracle(w io.Writer, m Market, to Date) error {
	out := bufio.NewWriter(w)
	row := append([]byte(DailyFields), '\n')
	style := barStyle{adjust: "3", dates: newDateText(m.Calendar())}
	columns := kdataColumns("d")
	var bars []Bar
	for _, s := range m.Securities() {
		if !s.shows(to) {
			continue
		}
		style.code, style.decimals = s.Code, s.decimals()
		bars = m.Bars(bars[:0], s.Code, m.Calendar().From(), to)
		for i := range bars {
			for k, c := range columns {
				if k > 0 {
					row = append(row, ',')
				}
				row = style.appendValue(row, c, &bars[i])
			}
			row = append(row, '\n')
			if _, err := out.Write(row); err != nil {
				return fmt.Errorf("write oracle: %w", err)
			}
			row = row[:0]
		}
	}
	if _, err := out.Write(row); err != nil {
		return fmt.Errorf("write oracle: %w", err)
	}
	return flush(out)
}

// WriteFactors writes the ex-right days as CSV in the columns of query_adjust_factor, as a client
// sees them on the day to.
func WriteFactors(w io.Writer, m Market, to Date) error {
	out := bufio.NewWriter(w)
	fmt.Fprintln(out, factorFields)
	for _, s := range m.Securities() {
		if !s.shows(to) {
			continue
		}
		actions := m.Actions(s.Code)
		latest := Back(actions, to)
		for _, a := range actions {
			if a.Ex > to {
				break
			}
			back := appendFixed(nil, a.Back, ratioDecimals, ratioDecimals)
			fmt.Fprintf(out, "%s,%s,%s,%s,%s\n", s.Code, a.Ex,
				appendFixed(nil, Fore(a.Back, latest), ratioDecimals, ratioDecimals), back, back)
		}
	}
	return flush(out)
}

func flush(out *bufio.Writer) error {
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write oracle: %w", err)
	}
	return nil
}
