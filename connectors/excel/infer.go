package excel

import (
	"fmt"
	"io"
	"math"
	"reflect"
	"slices"
	"strconv"

	"github.com/tapeline/tapeline/batch"
)

// area is the part of a sheet that is read; the last column and row are -1 for all.
type area struct{ column, row, lastColumn, lastRow int }

// parseArea reads A1 notation: "B2:F100", "B:F" or "B2".
func parseArea(text string) (area, error) {
	a := area{lastColumn: -1, lastRow: -1}
	if text == "" {
		return a, nil
	}
	bad := fmt.Errorf("range: %q is not of the form B2:F100, B:F or B2", text)
	first, last := text, ""
	for i := range text {
		if text[i] == ':' {
			first, last = text[:i], text[i+1:]
			break
		}
	}
	column, row, ok := parseReference(first)
	if !ok {
		return a, bad
	}
	a.column, a.row = column, max(row-1, 0)
	if last == "" {
		return a, nil
	}
	column, row, ok = parseReference(last)
	if !ok || column < a.column || row > 0 && row <= a.row {
		return a, bad
	}
	a.lastColumn, a.lastRow = column, row-1
	return a, nil
}

// declared is one column of the configuration.
type declared struct {
	name string
	typ  batch.Type
}

// parseColumns reads schema.columns: a mapping in the document's order, as YAML libraries keep it
// in a slice of structs with Key and Value, or a plain map, taken by name.
func parseColumns(columns any) ([]declared, []error) {
	var out []declared
	var problems []error
	add := func(name string, typ any) {
		t, err := batch.ParseType(fmt.Sprint(typ))
		if err != nil {
			problems = append(problems, fmt.Errorf("schema.columns.%s: %w", name, err))
		}
		out = append(out, declared{name, t})
	}
	if plain, ok := columns.(map[string]any); ok {
		names := make([]string, 0, len(plain))
		for name := range plain {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			add(name, plain[name])
		}
		return out, problems
	}
	list := reflect.ValueOf(columns)
	if !list.IsValid() {
		return nil, nil
	}
	wrong := []error{fmt.Errorf("schema.columns: want a mapping of names to types")}
	if list.Kind() != reflect.Slice || list.Type().Elem().Kind() != reflect.Struct {
		return nil, wrong
	}
	for i := range list.Len() {
		key, value := list.Index(i).FieldByName("Key"), list.Index(i).FieldByName("Value")
		if !key.IsValid() || !value.IsValid() {
			return nil, wrong
		}
		add(fmt.Sprint(key.Interface()), value.Interface())
	}
	return out, problems
}

// layout is what a source knows of one file's sheet before its rows.
type layout struct {
	names []string
	first int // column of names[0]
	data  int // number of the last row before the data, from 1; 0 none
}

// readLayout reads up to and including the header. ended means that the sheet holds no row.
func (s *source) readLayout(sh *sheet) (l *layout, row []cell, err error) {
	skipTo := s.area.row + s.cfg.SkipRows
	for {
		row, err = sh.next(row)
		if err != nil {
			return nil, nil, err
		}
		if row = s.clip(row); sh.row <= skipTo || len(row) == 0 {
			continue
		}
		break
	}
	last := row[len(row)-1].column
	if s.area.lastColumn >= 0 {
		last = s.area.lastColumn
	}
	l = &layout{first: s.area.column}
	if !s.header() && s.area.lastColumn < 0 {
		last = max(last, s.area.column+len(s.declared)-1)
	}
	for column := l.first; column <= last; column++ {
		l.names = append(l.names, columnName(column))
	}
	if !s.header() {
		for i := range min(len(s.declared), len(l.names)) {
			l.names[i] = s.declared[i].name
		}
		l.data = sh.row - 1
		return l, row, nil
	}
	for _, c := range row {
		if name := sh.book.spell(c); name != "" {
			l.names[c.column-l.first] = name
		}
	}
	for i, name := range l.names {
		for n := 2; slices.Contains(l.names[:i], l.names[i]); n++ {
			l.names[i] = fmt.Sprintf("%s_%d", name, n)
		}
	}
	l.data = sh.row
	return l, nil, nil
}

func (s *source) header() bool { return s.cfg.Header == nil || *s.cfg.Header }

// clip leaves the cells of the configured range.
func (s *source) clip(row []cell) []cell {
	for len(row) > 0 && row[0].column < s.area.column {
		row = row[1:]
	}
	for len(row) > 0 && s.area.lastColumn >= 0 && row[len(row)-1].column > s.area.lastColumn {
		row = row[:len(row)-1]
	}
	return row
}

// guess narrows what a column may be.
type guess struct {
	seen, numbers, whole, moments, days, clocks, booleans, failures int
}

func (g *guess) see(c cell, w *workbook) {
	if c.kind == failure {
		g.failures++
		return
	}
	g.seen++
	v, err := strconv.ParseFloat(c.text, 64)
	switch {
	case c.kind == boolean:
		g.booleans++
	case c.kind == number && err == nil:
		g.numbers++
		if v == math.Trunc(v) && math.Abs(v) < 1e18 {
			g.whole++
		}
	case c.kind == moment && err == nil:
		g.moments++
		if v >= 0 && v < 1 {
			g.clocks++
		}
		if w.millis(v)%86_400_000 == 0 {
			g.days++
		}
	}
}

func (g *guess) typ() batch.Type {
	switch {
	case g.seen == 0:
		return batch.Of(batch.String)
	case g.whole == g.seen:
		return batch.Of(batch.Int64)
	case g.numbers == g.seen:
		return batch.Of(batch.Float64)
	case g.booleans == g.seen:
		return batch.Of(batch.Bool)
	case g.clocks == g.seen:
		return batch.Of(batch.Time)
	case g.days == g.seen:
		return batch.Of(batch.Date)
	case g.moments == g.seen:
		return batch.TimestampOf(batch.Millisecond, "")
	}
	return batch.Of(batch.String)
}

// inferTypes reads a sample of rows.
func (s *source) inferTypes(sh *sheet, l *layout, row []cell) ([]batch.Type, error) {
	guesses := make([]guess, len(l.names))
	for n := 0; n < s.cfg.SampleRows; n++ {
		for _, c := range row {
			if at := c.column - l.first; at < len(guesses) {
				guesses[at].see(c, sh.book)
			}
		}
		next, err := sh.next(nil)
		if err == io.EOF { //nolint:errorlint // the end of the sheet
			break
		}
		if err != nil {
			return nil, err
		}
		if s.area.lastRow >= 0 && sh.row > s.area.lastRow+1 {
			break
		}
		row = s.clip(next)
	}
	types := make([]batch.Type, len(guesses))
	for i, g := range guesses {
		types[i] = g.typ()
	}
	return types, nil
}
