package repair

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/tapeline/tapeline/internal/market"
)

// Table is a file of prices: CSV with a header, a row for each bar, in any order of time.
type Table struct {
	Header  []string
	Records [][]string
	Series  Series // oldest first

	place [columns]int // of the header; -1: it lacks the column
	order []int        // records by row of the series
}

// names are how vendors head their columns, in lower case without blanks, dots and underscores.
var names = map[string]Column{
	"open": Open, "high": High, "low": Low, "close": Close, "adjclose": AdjClose, "adjustedclose": AdjClose,
	"volume": Volume, "vol": Volume, "dividends": Dividend, "dividend": Dividend, "stocksplits": Split,
	"split": Split, "splits": Split, "capitalgains": Gain, "capitalgain": Gain,
}

// timeNames head the column of the time.
var timeNames = []string{"date", "datetime", "time", "timestamp"}

// ErrNoPrices is a file that holds no prices.
var ErrNoPrices = errors.New("no file of prices")

// Read reads a file of prices.
func Read(r io.Reader) (*Table, error) {
	lines := csv.NewReader(r)
	header, err := lines.Read()
	if err != nil {
		return nil, fmt.Errorf("%w: header: %w", ErrNoPrices, err)
	}
	t := &Table{Header: header}
	at, err := t.columns()
	if err != nil {
		return nil, err
	}
	for {
		record, err := lines.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		row, err := t.row(record, at)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", len(t.Records)+2, err)
		}
		t.order = append(t.order, len(t.Records))
		t.Records, t.Series.Rows = append(t.Records, record), append(t.Series.Rows, row)
	}
	rows := t.Series.Rows
	slices.SortStableFunc(t.order, func(a, b int) int { return rows[a].Time.Compare(rows[b].Time) })
	sorted := make([]Row, len(rows))
	for i, record := range t.order {
		sorted[i] = rows[record]
		if i > 0 && sorted[i].Time.Equal(sorted[i-1].Time) {
			return nil, fmt.Errorf("line %d: a second row of %s", record+2, sorted[i].Time.Format(time.DateTime))
		}
	}
	t.Series.Rows = sorted
	return t, nil
}

// columns finds the columns and returns that of the time.
func (t *Table) columns() (timeAt int, err error) {
	for c := range t.place {
		t.place[c] = -1
	}
	timeAt = -1
	for i, text := range t.Header {
		name := strings.NewReplacer(" ", "", ".", "", "_", "", "\ufeff", "").Replace(strings.ToLower(text))
		if c, ok := names[name]; ok && t.place[c] < 0 {
			t.place[c] = i
		}
		if timeAt < 0 && slices.Contains(timeNames, name) {
			timeAt = i
		}
	}
	var lacks []string
	if timeAt < 0 {
		lacks = append(lacks, "date")
	}
	for c := Open; c <= Close; c++ {
		if t.place[c] < 0 {
			lacks = append(lacks, c.String())
		}
	}
	if lacks != nil {
		return 0, fmt.Errorf("%w: header %q has no column %s", ErrNoPrices, strings.Join(t.Header, ","),
			strings.Join(lacks, ", "))
	}
	return timeAt, nil
}

// layouts are how times are written.
var layouts = []string{
	time.DateOnly, "2006-01-02 15:04:05Z07:00", time.DateTime, time.RFC3339, "20060102", "2006-01-02T15:04:05",
}

func (t *Table) row(record []string, timeAt int) (r Row, err error) {
	for _, layout := range layouts {
		if r.Time, err = time.Parse(layout, record[timeAt]); err == nil {
			break
		}
	}
	if err != nil {
		return r, fmt.Errorf("time %q: want a date as 2024-01-02, with a time where needed", record[timeAt])
	}
	for c, at := range t.place {
		r.Values[c] = absent
		if at < 0 {
			continue
		}
		if r.Values[c], err = parse(record[at], scaleOf(Column(c))); err != nil {
			return r, fmt.Errorf("column %s: %w", t.Header[at], err)
		}
	}
	return r, nil
}

// parse reads a number, rounded half up to a scale; an empty text and nan are none.
func parse(text string, scale int) (int64, error) {
	text = strings.TrimSpace(text)
	if text == "" || strings.EqualFold(text, "nan") || strings.EqualFold(text, "null") {
		return absent, nil
	}
	if v, err := market.ParseFixed(text, scale); err == nil {
		return v, nil
	}
	const longest, most = 64, 40 // characters, and digits that an exponent may add
	wrong := fmt.Errorf("%q is not a number", text)
	if len(text) > longest || strings.ContainsAny(text, "/_xXpP") {
		return 0, wrong
	}
	if _, exponent, ok := strings.Cut(strings.ToLower(text), "e"); ok {
		var n int
		if _, err := fmt.Sscanf(exponent, "%d", &n); err != nil || n > most || n < -most {
			return 0, wrong
		}
	}
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		return 0, wrong
	}
	n := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil)
	n.Mul(n.Lsh(n, 1), r.Num())
	n.Add(n, r.Denom())
	n.Div(n, new(big.Int).Lsh(r.Denom(), 1))
	if !n.IsInt64() || n.Int64() == absent {
		return 0, fmt.Errorf("%s has more digits than 64 bits hold at %d behind the point", text, scale)
	}
	return n.Int64(), nil
}

// Apply writes the repaired numbers into the records. What was not changed keeps its text.
func (t *Table) Apply(changes []Change) {
	for _, c := range changes {
		t.Records[t.order[c.Row]][t.place[c.Column]] = Format(c.Column, c.New)
	}
}

// Text returns a cell as it is in the file.
func (t *Table) Text(row int, c Column) string { return t.Records[t.order[row]][t.place[c]] }

// Line returns the line of the file that holds a row.
func (t *Table) Line(row int) int { return t.order[row] + 2 }

// Write writes the file.
func (t *Table) Write(w io.Writer) error {
	out := csv.NewWriter(w)
	if err := out.Write(t.Header); err != nil {
		return err
	}
	return out.WriteAll(t.Records)
}
