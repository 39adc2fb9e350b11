package sqlkit

import (
	"bytes"
	"context"
	"database/sql/driver"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tapeline/tapeline/connector"
)

// place names the last row read.
type place struct {
	Version int      `json:"v"`
	Sort    []string `json:"sort,omitempty"`
	Values  []string `json:"values,omitempty"` // SQL literals of the ordering expressions
	Ties             // of the incremental column
	Skip    int64    `json:"skip,omitempty"` // rows read of those that are equal in order
	Rows    int64    `json:"rows"`
	Done    bool     `json:"done,omitempty"`

	last driver.Value // the value of Ties
}

const placeVersion = 1

// resume takes a position over; nil is the start.
func (s *Source) resume(p connector.Position) error {
	s.at = place{Sort: s.sort}
	if p == nil {
		return nil
	}
	if err := json.Unmarshal(p, &s.at); err != nil || s.at.Version != placeVersion {
		return s.fail("position %q is of another version", p)
	}
	if !slices.Equal(s.at.Sort, s.sort) {
		return s.fail("the position is ordered by %v, the configuration by %v: start with --fresh",
			s.at.Sort, s.sort)
	}
	if s.config.Incremental.Column != "" {
		s.at.Resume()
	}
	return nil
}

// order chooses the ordering: the incremental column, then what is unique.
func (s *Source) order(all Table) error {
	s.sort, s.unique = all.Key, len(all.Key) > 0
	if name := s.config.Incremental.Column; name != "" {
		at := slices.IndexFunc(all.Columns, func(c Column) bool { return c.Name == name })
		if at < 0 {
			return s.fail("incremental.column: no column %q", name)
		}
		first := s.ordering(all.Columns[at])
		s.sort = append([]string{first}, slices.DeleteFunc(slices.Clone(all.Key),
			func(key string) bool { return key == first })...)
	}
	s.digits = make([]bool, len(s.sort))
	for i, key := range s.sort {
		s.digits[i] = slices.ContainsFunc(all.Columns, func(c Column) bool {
			return s.ordering(c) == key && strings.HasPrefix(strings.ToLower(c.Declared), "decimal")
		})
	}
	return nil
}

func (s *Source) ordering(c Column) string {
	if s.backend.Ordering != nil {
		return s.backend.Ordering(c)
	}
	return s.backend.Dialect.Quote(c.Name)
}

// from is what the query reads.
func (s *Source) from() string {
	if s.config.Table == "" {
		return "(" + strings.TrimRight(s.config.Query, "; \n\t") + ") AS query"
	}
	name, _ := ParseName(s.config.Table) // parsed before
	return s.backend.Dialect.QuoteName(name)
}

func (s *Source) query(ctx context.Context) (string, error) {
	d := s.backend.Dialect
	var list []string
	for _, c := range s.table.Columns {
		list = append(list, s.backend.Expression(c))
	}
	for _, key := range s.sort {
		if d == SQLite {
			key = "+" + key // as stored, where the driver would make times of declared types
		}
		list = append(list, key)
	}
	conditions, err := s.conditions(ctx)
	if err != nil {
		return "", err
	}
	if s.config.Where != "" {
		conditions = append(conditions, "("+s.config.Where+")")
	}
	sql := "SELECT " + strings.Join(list, ", ") + " FROM " + s.from()
	if len(conditions) > 0 {
		sql += " WHERE " + strings.Join(conditions, " AND ")
	}
	if len(s.sort) > 0 {
		ordering := slices.Clone(s.sort)
		// Rows that are counted must come in one order each time: only equal rows may change places.
		for i := range s.table.Columns {
			if !s.unique {
				ordering = append(ordering, strconv.Itoa(i+1))
			}
		}
		sql += " ORDER BY " + strings.Join(ordering, ", ")
	}
	if s.at.Skip > 0 {
		sql += " LIMIT 9223372036854775807 OFFSET " + strconv.FormatInt(s.at.Skip, 10)
	}
	return sql, nil
}

// conditions returns what holds for rows after the position.
func (s *Source) conditions(ctx context.Context) ([]string, error) {
	d := s.backend.Dialect
	switch {
	case len(s.at.Values) > 0 && s.unique:
		return []string{d.After(s.sort, s.at.Values, s.at.Ties)}, nil
	case len(s.at.Values) > 0:
		return []string{s.sort[0] + " >= " + s.at.Values[0]}, nil
	case s.config.Incremental.InitialValue != nil:
		initial, err := s.initial(ctx)
		return []string{s.sort[0] + " > " + initial}, err
	case s.config.Incremental.Column != "":
		return []string{s.sort[0] + " IS NOT NULL"}, nil
	}
	return nil, nil
}

// initial returns initial_value as a literal of the column's own spelling.
func (s *Source) initial(ctx context.Context) (string, error) {
	d, value := s.backend.Dialect, s.config.Incremental.InitialValue
	at, moment := Moment(value)
	if d != SQLite || !moment {
		return d.initial(value), nil
	}
	// SQLite compares as stored: text by its characters, numbers below all text.
	rows, err := s.session.Query(ctx, "SELECT +"+s.sort[0]+" FROM "+s.from()+" WHERE "+s.sort[0]+
		" IS NOT NULL LIMIT 1")
	if err != nil {
		return "", s.backend.Classify("read "+s.name(), err)
	}
	found, err := Collect(rows)
	if err != nil || len(found) == 0 {
		return d.initial(value), s.backend.Classify("read "+s.name(), err)
	}
	text, ok := found[0][0].(string)
	if !ok {
		return "", s.fail("incremental.initial_value: %v is a time, column %s holds numbers as %v",
			value, s.config.Incremental.Column, found[0][0])
	}
	layout := "2006-01-02 15:04:05.999999999"
	if len(text) > len("2006-01-02") && text[len("2006-01-02")] == 'T' {
		layout = "2006-01-02T15:04:05.999999999"
	}
	if strings.HasSuffix(text, "Z") {
		layout += "Z"
	}
	return d.Literal(at.Format(layout)), nil
}

// warnOfNulls says that some rows will never be read. It is a courtesy: a failure says nothing.
func (s *Source) warnOfNulls(ctx context.Context) {
	column := s.config.Incremental.Column
	if column == "" || s.config.Table == "" {
		return
	}
	sql := "SELECT 1 FROM " + s.from() + " WHERE " + s.sort[0] + " IS NULL"
	if s.config.Where != "" {
		sql += " AND (" + s.config.Where + ")"
	}
	if _, found, err := s.session.Int(ctx, sql+" LIMIT 1"); err == nil && found {
		s.env.Log.Warn("rows without a value in incremental.column are not read",
			"table", s.config.Table, "column", column)
	}
}

// advance moves the position to the row just read.
func (s *Source) advance() {
	s.at.Rows++
	current := s.values[len(s.table.Columns):]
	if s.unique {
		s.keepLast(current)
	}
	switch {
	case len(s.sort) == 0:
		s.at.Skip++
	case s.unique && len(s.sort) == 1:
		// Taken at the chunk's end.
	case s.unique:
		s.advanceTies()
	default:
		values := s.literals(current)
		if len(s.at.Values) > 0 && s.at.Values[0] == values[0] {
			s.at.Skip++
			return
		}
		s.at.Values, s.at.Skip = values, 1
	}
}

// keepLast copies the ordering values: a driver's bytes last until its next row, or its end.
func (s *Source) keepLast(current []driver.Value) {
	if s.last == nil {
		s.last = make([]driver.Value, len(current))
	}
	for i, v := range current {
		if text, ok := v.([]byte); ok {
			room, _ := s.last[i].([]byte)
			v = append(room[:0], text...)
		}
		s.last[i] = v
	}
}

// advanceTies names the row among those that share its first value.
func (s *Source) advanceTies() {
	if s.config.Incremental.Column == "" {
		return // the order is the key's
	}
	at := &s.at
	v := s.values[len(s.table.Columns)]
	known := sameValue(at.last, v)
	if at.last == nil {
		known = len(at.Values) > 0 && at.Values[0] == s.literals(s.last)[0]
	}
	if !known {
		at.Reset()
	}
	if !known || at.last == nil {
		at.last = keepValue(v)
	}
	if !at.Ordered {
		at.Add(s.literals(s.last)[1:])
	}
}

func keepValue(v driver.Value) driver.Value {
	if text, ok := v.([]byte); ok {
		return bytes.Clone(text)
	}
	return v
}

func sameValue(x, y driver.Value) bool {
	a, ok := x.([]byte)
	b, alsoOK := y.([]byte)
	if ok || alsoOK {
		return ok && alsoOK && bytes.Equal(a, b)
	}
	return x == y
}

// literals returns ordering values as SQL.
func (s *Source) literals(values []driver.Value) []string {
	out := make([]string, len(values))
	for i, v := range values {
		if text, ok := v.([]byte); ok && s.digits[i] {
			out[i] = string(text) // as a string it would be compared as a float
			continue
		}
		out[i] = s.backend.Dialect.Value(v)
	}
	return out
}

// position is the one after the last chunk; an incremental source goes on from its end.
func (s *Source) position(end bool) connector.Position {
	at := s.at
	at.Version = placeVersion
	at.Done = end && s.config.Incremental.Column == ""
	text, _ := json.Marshal(at) // plain members always marshal
	return text
}

// Moment returns a configured value as an instant, when it is one with an offset.
func Moment(v any) (at time.Time, ok bool) {
	switch v := v.(type) {
	case time.Time:
		return v.UTC(), true
	case string:
		at, err := time.Parse(time.RFC3339Nano, v)
		return at.UTC(), err == nil
	}
	return at, false
}
