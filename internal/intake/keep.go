package intake

import (
	"fmt"
	"hash/maphash"
	"strings"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/internal/market"
)

// keep narrows rows to those that are to be stored: a key that came before is refused, a day of another
// source is that source's.
func (s *source) keep(original, rows *batch.Batch, held *held) *batch.Batch {
	if !s.job.daily() {
		rows = s.once(original, rows, held)
		s.count(rows)
		return rows
	}
	symbols, dates := rows.Column(rows.Schema().Index("symbol")), rows.Column(rows.Schema().Index("date"))
	selected := make([]int32, 0, rows.Len())
	var last []byte
	var p *proof
	var others market.Intervals
	var calendar *market.Calendar
	for i := range rows.Len() {
		row := rows.Row(i)
		if text := symbols.Bytes(row); p == nil || string(text) != string(last) {
			last = text
			if p = s.proved[string(text)]; p == nil {
				p = &proof{}
				s.proved[string(text)] = p
			}
			others, calendar = s.job.others[string(text)], s.calendarOf(string(text))
		}
		d := market.Date(dates.Int(row))
		switch {
		case closed(calendar, d):
			held.rows(original, rows, market.RuleSession, []batch.RowError{{
				Row: row, Reason: fmt.Sprintf("%s is no session of %s", d, calendar.MIC()),
			}})
		case !p.seen.add(d):
			held.rows(original, rows, market.RuleDuplicate, []batch.RowError{{Row: row, Reason: twice}})
		case !s.job.Replace && others.Contains(d):
			s.job.kept.Add(1)
		default:
			p.stored.add(d)
			selected = append(selected, int32(row))
		}
	}
	if len(selected) == rows.Len() {
		return rows
	}
	return rows.Select(selected)
}

// calendarOf returns the built-in calendar of a symbol's market, nil where there is none.
func (s *source) calendarOf(symbol string) *market.Calendar {
	mic := market.MIC(symbol[strings.LastIndexByte(symbol, '.')+1:])
	c, known := s.calendars[mic]
	if !known {
		c, _ = market.CalendarOf(mic) // nil: no day is refused
		s.calendars[mic] = c
	}
	return c
}

// closed reports whether a calendar knows that a day was no session.
func closed(c *market.Calendar, d market.Date) bool {
	if c == nil {
		return false
	}
	open, err := c.IsOpen(d)
	return err == nil && !open
}

// once narrows rows of a dataset without days to those whose key is new. So many keys are remembered; of
// rows behind them the last counts.
func (s *source) once(original, rows *batch.Batch, held *held) *batch.Batch {
	const most = 4 << 20 // 200 MB
	d := s.job.Dataset
	selected := make([]int32, 0, rows.Len())
	var key []byte
	for i := range rows.Len() {
		row := rows.Row(i)
		key = key[:0]
		for _, name := range d.Key {
			key = append(batch.AppendText(key, rows.Column(d.Schema.Index(name)), row), 0)
		}
		sum := [2]uint64{maphash.Bytes(s.seeds[0], key), maphash.Bytes(s.seeds[1], key)}
		if s.keys[sum] {
			held.rows(original, rows, market.RuleDuplicate, []batch.RowError{{Row: row, Reason: twice}})
			continue
		}
		if len(s.keys) < most {
			s.keys[sum] = true
		}
		selected = append(selected, int32(row))
	}
	if len(selected) == rows.Len() {
		return rows
	}
	return rows.Select(selected)
}

// twice is why a row is refused whose key came before.
const twice = "this import has a row of the same key before it, which counts"

// count notes the symbols of datasets without days.
func (s *source) count(rows *batch.Batch) {
	at := rows.Schema().Index("symbol")
	if at < 0 {
		return
	}
	for i := range rows.Len() {
		if text := rows.Column(at).Bytes(rows.Row(i)); s.proved[string(text)] == nil {
			s.proved[string(text)] = &proof{}
		}
	}
}
