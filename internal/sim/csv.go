package sim

import (
	"cmp"
	"compress/gzip"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// recorded is a market read from files.
type recorded struct {
	calendar *Calendar
	list     []Security
	bars     map[string][]Bar
	actions  map[string][]Action
	decimals map[string]int
}

var _ Market = (*recorded)(nil)

// LoadCSV reads a folder of daily bars: *.csv and *.csv.gz, header first, the vendor's column names in
// any order. date, open, high, low, close and preclose must be there; without a column code the file's
// name is the code. calendar (calendar_date,is_trading_day) and basics
// (code,code_name,ipoDate,outDate,type,status) are files or "": then the days of the bars are the
// trading days, and a code is listed from its first bar on.
func LoadCSV(dir, calendar, basics string) (Market, error) {
	m := &recorded{bars: map[string][]Bar{}, actions: map[string][]Action{}, decimals: map[string]int{}}
	files, err := barFiles(dir)
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		if err := m.readBars(file); err != nil {
			return nil, err
		}
	}
	if len(m.bars) == 0 {
		return nil, fmt.Errorf("read bars of %s: the files have no rows", dir)
	}
	for code, bars := range m.bars {
		slices.SortStableFunc(bars, func(a, b Bar) int { return cmp.Compare(a.Date, b.Date) })
		for i := 1; i < len(bars); i++ {
			if bars[i].Date == bars[i-1].Date {
				return nil, fmt.Errorf("read bars of %s: %s has two rows for %s", dir, code, bars[i].Date)
			}
		}
		m.actions[code] = deriveActions(bars)
		for _, a := range m.actions[code] {
			if a.Back > maxFactor {
				return nil, fmt.Errorf("read bars of %s: the preclose of %s on %s makes a factor above %d; "+
					"it must be the close before, or that without the right", dir, code, a.Ex, maxFactor/factorOne)
			}
		}
	}
	if err := m.readCalendar(calendar); err != nil {
		return nil, err
	}
	if err := m.readBasics(basics); err != nil {
		return nil, err
	}
	return m, nil
}

func barFiles(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read bars: %w", err)
	}
	var files []string
	for _, e := range entries {
		if name := e.Name(); strings.HasSuffix(name, ".csv") || strings.HasSuffix(name, ".csv.gz") {
			files = append(files, filepath.Join(dir, name))
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("read bars of %s: no *.csv or *.csv.gz there", dir)
	}
	return files, nil
}

// deriveActions takes a day whose preclose is not the close before for an ex-right day: the factor
// grows by close/preclose, rounded half up to 6 decimals.
func deriveActions(bars []Bar) []Action {
	var actions []Action
	back := int64(factorOne)
	for i := 1; i < len(bars) && back <= maxFactor; i++ {
		if bars[i].Preclose == bars[i-1].Close || bars[i].Preclose <= 0 {
			continue
		}
		back = divide(back*bars[i-1].Close, bars[i].Preclose)
		actions = append(actions, Action{Ex: bars[i].Date, Back: back})
	}
	return actions
}

// readBars reads one file of bars.
func (m *recorded) readBars(path string) error {
	name, _, _ := strings.Cut(filepath.Base(path), ".csv")
	return readCSV(path, []string{"date", "open", "high", "low", "close", "preclose"}, func(row csvRow) error {
		code := name
		if row.has("code") {
			code = row.text("code")
		}
		if !validCode(code) {
			return row.wrong("code", code, "want one as sh.600000")
		}
		bar, decimals, err := row.bar()
		if err != nil {
			return err
		}
		m.bars[code] = append(m.bars[code], bar)
		m.decimals[code] = max(m.decimals[code], decimals)
		return nil
	})
}

// readCalendar reads the file of trading days, or takes the days of the bars.
func (m *recorded) readCalendar(path string) error {
	open := map[Date]bool{}
	var first, last Date
	see := func(day Date, isOpen bool) {
		if len(open) == 0 {
			first, last = day, day
		}
		first, last, open[day] = min(first, day), max(last, day), isOpen
	}
	if path == "" {
		for _, bars := range m.bars {
			for i := range bars {
				see(bars[i].Date, true)
			}
		}
		m.calendar = NewCalendar(first, last, func(day Date) bool { return open[day] })
		return nil
	}
	err := readCSV(path, []string{"calendar_date", "is_trading_day"}, func(row csvRow) error {
		day, err := row.date("calendar_date")
		if err != nil {
			return err
		}
		flag, err := row.flag("is_trading_day")
		see(day, flag)
		return err
	})
	if err != nil {
		return err
	}
	m.calendar = NewCalendar(first, last, func(day Date) bool { return open[day] })
	for code, bars := range m.bars {
		for i := range bars {
			if !m.calendar.IsOpen(bars[i].Date) {
				return fmt.Errorf("read calendar %s: %s has a bar on %s, which is no trading day there",
					path, code, bars[i].Date)
			}
		}
	}
	return nil
}

// readBasics reads the listing, or makes one up from the bars.
func (m *recorded) readBasics(path string) error {
	known := map[string]Security{}
	if path != "" {
		err := readCSV(path, []string{"code", "code_name", "ipoDate", "outDate", "type"}, func(row csvRow) error {
			s, err := row.security()
			known[s.Code] = s
			return err
		})
		if err != nil {
			return err
		}
	}
	for code, bars := range m.bars {
		s, ok := known[code]
		switch {
		case !ok && path != "":
			return fmt.Errorf("read basics %s: %s has bars but no line there", path, code)
		case !ok:
			s = Security{Code: code, Name: code[3:], IPO: bars[0].Date, Kind: kindOf(code)}
		}
		s.Decimals = m.decimals[code]
		known[code] = s
	}
	for _, s := range known {
		m.list = append(m.list, s)
	}
	slices.SortFunc(m.list, func(a, b Security) int { return cmp.Compare(a.Code, b.Code) })
	return nil
}

// kindOf tells a kind by the range of codes.
func kindOf(code string) Kind {
	switch {
	case strings.HasPrefix(code, "sh.000"), strings.HasPrefix(code, "sz.399"):
		return Index
	case strings.HasPrefix(code, "sh.5"), strings.HasPrefix(code, "sz.15"):
		return ETF
	}
	return Stock
}

// Calendar returns the days of the market.
func (m *recorded) Calendar() *Calendar { return m.calendar }

// Securities returns the listing.
func (m *recorded) Securities() []Security { return m.list }

// Actions returns the ex-right days of a code.
func (m *recorded) Actions(code string) []Action { return m.actions[code] }

// Bars appends the bars of a code in [from, to].
func (m *recorded) Bars(dst []Bar, code string, from, to Date) []Bar {
	bars := m.bars[code]
	first, end := barIndex(bars, from), barIndex(bars, to+1)
	if first >= end {
		return dst
	}
	return append(dst, bars[first:end]...)
}

// State says what the code did on a day; one without a bar rests.
func (m *recorded) State(code string, day Date) State {
	i, ok := slices.BinarySearchFunc(m.list, code, func(s Security, code string) int {
		return cmp.Compare(s.Code, code)
	})
	if !ok || !m.calendar.IsOpen(day) || day < m.list[i].IPO || m.list[i].Out != 0 && day >= m.list[i].Out {
		return State{}
	}
	bars := m.bars[code]
	if at := barIndex(bars, day); at < len(bars) && bars[at].Date == day {
		return State{Listed: true, Trading: bars[at].Trading, ST: bars[at].ST}
	}
	return State{Listed: true}
}

// barIndex returns the index of the first bar on or after day.
func barIndex(bars []Bar, day Date) int {
	i, _ := slices.BinarySearchFunc(bars, day, func(b Bar, day Date) int { return cmp.Compare(b.Date, day) })
	return i
}

// readCSV calls row for every line of a file, gzipped or not, that has at least the columns wanted.
func readCSV(path string, wanted []string, row func(csvRow) error) (err error) {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	var text io.Reader = file
	if strings.HasSuffix(path, ".gz") {
		if text, err = gzip.NewReader(file); err != nil {
			return fmt.Errorf("read %s: %w", path, err)
		}
	}
	reader := csv.NewReader(text)
	reader.ReuseRecord = true
	header, err := reader.Read()
	if err != nil {
		return fmt.Errorf("read header of %s: %w", path, err)
	}
	columns := map[string]int{}
	for i, name := range header {
		columns[strings.TrimSpace(strings.TrimPrefix(name, "\ufeff"))] = i
	}
	for _, name := range wanted {
		if _, ok := columns[name]; !ok {
			return fmt.Errorf("read %s: no column %s; it has %s", path, name, strings.Join(header, ","))
		}
	}
	for {
		cells, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", path, err)
		}
		line, _ := reader.FieldPos(0)
		if err := row(csvRow{path, line, columns, cells}); err != nil {
			return err
		}
	}
}
