package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/tapeline/tapeline/bench/duckdb"
	"github.com/tapeline/tapeline/bench/pollock/cases"
)

// usual is what DuckDB takes where a case states nothing, as the benchmark's authors have it.
var usual = cases.Parameters{Delimiter: ",", Quote: `"`, Escape: `"`}

// peer reads by DuckDB's read_csv.
type peer struct {
	child *duckdb.Child
	dir   string // for the rows of a case
}

// settings are those of the benchmark's authors (sut/duckdbparse) beside the dialect. Stating new_line
// too changes no score.
const settings = "strict_mode = false, ignore_errors = true, null_padding = true"

// read returns the rows that DuckDB makes of a case, NULL as the empty text.
func (d *peer) read(c cases.Case) (rows [][]string, err error) {
	path := filepath.Join(d.dir, "rows.json")
	columns := numbered(c.Parameters)
	if _, _, err := d.child.Ask("COPY (SELECT * FROM %s) TO %s (FORMAT json)", table(c, columns),
		quote(path)); err != nil {
		return nil, err
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	for lines := json.NewDecoder(file); ; {
		var cells map[string]string // null is ""
		if err := lines.Decode(&cells); errors.Is(err, io.EOF) {
			return rows, nil
		} else if err != nil {
			return nil, fmt.Errorf("rows of %s: %w", c.Name, err)
		}
		row := make([]string, len(columns))
		for i, name := range columns {
			row[i] = cells[name]
		}
		rows = append(rows, row)
	}
}

// numbered names as many columns as the case has: the stated names may be no names to DuckDB.
func numbered(p cases.Parameters) []string {
	names := make([]string, max(len(p.Names), int(p.Columns), 1))
	for i := range names {
		names[i] = fmt.Sprintf("c%d", i)
	}
	return names
}

// table returns the table function of a case with its dialect; all columns are text.
func table(c cases.Case, columns []string) string {
	p, types := c.Parameters, make([]string, len(columns))
	for i, name := range columns {
		types[i] = name + ": 'VARCHAR'"
	}
	or := func(text, instead string) string {
		if text == "" {
			text = instead
		}
		return quote(text)
	}
	return fmt.Sprintf("read_csv(%s, auto_detect = false, header = false, skip = %d, delim = %s, "+
		"quote = %s, escape = %s, columns = {%s}, %s)", quote(c.Path), p.SkipRows(),
		or(p.Delimiter, usual.Delimiter), or(p.Quote, usual.Quote), or(p.Escape, usual.Escape),
		strings.Join(types, ", "), settings)
}

// quote returns text as a string literal of SQL.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }
