package sim

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// csvRow is one line of a file.
type csvRow struct {
	path    string
	line    int
	columns map[string]int
	cells   []string
}

func (r csvRow) has(column string) bool { _, ok := r.columns[column]; return ok }

// text returns a cell without blanks around it; that of a missing column is empty.
func (r csvRow) text(column string) string {
	i, ok := r.columns[column]
	if !ok {
		return ""
	}
	return strings.TrimSpace(r.cells[i])
}

func (r csvRow) wrong(column, value, why string) error {
	return fmt.Errorf("%s:%d: %s %q: %s", r.path, r.line, column, value, why)
}

func (r csvRow) date(column string) (Date, error) {
	day, err := ParseDate(r.text(column))
	if err != nil {
		return 0, r.wrong(column, r.text(column), "want a day as 2024-01-02")
	}
	return day, nil
}

func (r csvRow) flag(column string) (bool, error) {
	switch r.text(column) {
	case "1":
		return true, nil
	case "0":
		return false, nil
	}
	return false, r.wrong(column, r.text(column), "want 0 or 1")
}

// security reads a line of the listing.
func (r csvRow) security() (s Security, err error) {
	s = Security{Code: r.text("code"), Name: r.text("code_name")}
	if !validCode(s.Code) {
		return s, r.wrong("code", s.Code, "want one as sh.600000")
	}
	if s.IPO, err = r.date("ipoDate"); err != nil {
		return s, err
	}
	if r.text("outDate") != "" {
		if s.Out, err = r.date("outDate"); err != nil {
			return s, err
		}
	}
	kind, err := strconv.ParseUint(r.text("type"), 10, 8)
	if err != nil || kind < 1 || kind > 5 {
		return s, r.wrong("type", r.text("type"), "want 1 (stock) to 5 (ETF)")
	}
	s.Kind = Kind(kind)
	return s, nil
}

// bar reads a line of bars, and how many decimals its prices have.
func (r csvRow) bar() (b Bar, decimals int, err error) {
	if b.Date, err = r.date("date"); err != nil {
		return b, 0, err
	}
	if adjust := r.text("adjustflag"); adjust != "" && adjust != "3" {
		return b, 0, r.wrong("adjustflag", adjust, "want raw bars, adjustflag 3")
	}
	decimals = priceDecimals
	for _, c := range []struct {
		name  string
		value *int64
	}{
		{"open", &b.Open}, {"high", &b.High}, {"low", &b.Low}, {"close", &b.Close}, {"preclose", &b.Preclose},
	} {
		var has int
		if *c.value, has, err = parseFixed(r.text(c.name), priceDecimals); err != nil {
			return b, 0, r.wrong(c.name, r.text(c.name), err.Error())
		}
		if *c.value < 0 || *c.value > maxPrice {
			return b, 0, r.wrong(c.name, r.text(c.name), "want a price from 0 to 100000 yuan")
		}
		decimals = max(decimals, min(has, servedDecimals))
	}
	if err := r.figures(&b); err != nil {
		return b, 0, err
	}
	b.Trading = b.Volume > 0
	if r.text("tradestatus") != "" {
		if b.Trading, err = r.flag("tradestatus"); err != nil {
			return b, 0, err
		}
	}
	if r.text("isST") != "" {
		b.ST, err = r.flag("isST")
	}
	return b, decimals, err
}

// Price times factor stays within 64 bits: up to 100,000 yuan, by up to 9,000.
const (
	maxPrice  = 100_000_0000
	maxFactor = 9_000 * factorOne
)

// figures reads the columns that may be empty.
func (r csvRow) figures(b *Bar) error {
	for _, c := range []struct {
		name     string
		value    *int64
		decimals int
		bit      Column
	}{
		{"volume", &b.Volume, 0, ColumnVolume},
		{"amount", &b.Amount, priceDecimals, ColumnAmount},
		{"turn", &b.Turn, ratioDecimals, ColumnTurn},
		{"pctChg", &b.Change, ratioDecimals, ColumnChange},
		{"peTTM", &b.PE, ratioDecimals, ColumnPE},
		{"psTTM", &b.PS, ratioDecimals, ColumnPS},
		{"pcfNcfTTM", &b.PCF, ratioDecimals, ColumnPCF},
		{"pbMRQ", &b.PB, ratioDecimals, ColumnPB},
	} {
		text := r.text(c.name)
		if text == "" {
			b.Empty |= c.bit
			continue
		}
		var err error
		if *c.value, _, err = parseFixed(text, c.decimals); err != nil {
			return r.wrong(c.name, text, err.Error())
		}
	}
	return nil
}

// parseFixed reads a decimal as a multiple of 10^-scale, and returns how many decimals it has. More
// decimals than scale must be zeros: a value is never rounded.
func parseFixed(text string, scale int) (value int64, decimals int, err error) {
	whole, fraction, _ := strings.Cut(text, ".")
	decimals = len(fraction)
	kept := fraction
	if len(kept) > scale {
		if strings.Trim(kept[scale:], "0") != "" {
			return 0, 0, fmt.Errorf("more than %d decimals", scale)
		}
		kept = kept[:scale]
	}
	value, err = strconv.ParseInt(whole+kept+strings.Repeat("0", scale-len(kept)), 10, 64)
	if err != nil || strings.ContainsAny(fraction, "+-") {
		return 0, 0, errors.New("want a decimal number")
	}
	return value, decimals, nil
}
