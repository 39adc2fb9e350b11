package provider

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/internal/market"
)

// Form is how a cell becomes a value.
type Form uint8

// The forms.
const (
	Skip     Form = iota // not looked at
	DateForm             // 20240102 or 2024-01-02
	Decimal              // of the column's scale, exactly, after Times
	Count                // whole number, after Times
	Float                // the nearest float64, for sums that no decimal of ours holds
	Flag                 // 0 or 1
	TextForm             // as it is
	Name                 // a symbol in the provider's spelling, of the unit where that names one
	Seconds              // since 1970 UTC: an instant, or in a date column the exchange's date
	Millis               // likewise
	Clock                // the exchange's clock: 2006-01-02 15:04[:05], or its digits alone
)

// Field says what one cell of a record becomes.
type Field struct {
	Name   string // the provider's, in messages
	Column string // ours; "" is only checked
	Form   Form
	// Times is the factor that makes the provider's unit ours, a power of ten: 100 for lots, 1,000
	// or 10,000 for money. 0 is 1.
	Times int64
	// Round rounds decimals beyond the column's half up: they are noise of the provider's binary
	// floating point. Otherwise such a value is refused.
	Round bool
	Also  string // a second column for the same date: session_date beside ts
}

// Constant is a value that every row has, as text.
type Constant struct {
	Column, Text string
	// Assumed says that the provider does not know it, and the column requires a value.
	Assumed bool
}

// Layout is how the records of an answer become rows of a dataset: one field per cell.
type Layout struct {
	Dataset   string
	Fields    []Field
	Constants []Constant
	// Bar is the length of the bars whose Clock, Seconds or Millis name their end; 0 where they
	// name the start, as rows do.
	Bar time.Duration
}

// Unknown returns the columns of a dataset that no layout of it writes, or only with what is assumed: what an
// offer states as unknown.
func Unknown(layouts ...*Layout) []string {
	schema := datasetOf(layouts[0].Dataset).Schema
	known := map[string]bool{"symbol": true, "freq": true, "final": true}
	for _, l := range layouts {
		for _, f := range l.Fields {
			known[f.Column], known[f.Also] = true, true
		}
		for _, fixed := range l.Constants {
			known[fixed.Column] = known[fixed.Column] || !fixed.Assumed
		}
	}
	return slices.DeleteFunc(schema.Names(), func(name string) bool { return known[name] })
}

// plan is a Layout with column numbers.
type plan struct {
	layout  *Layout
	columns []planned // by field
	fixed   []value   // by column; what no field writes
	bound   []bool    // by column: a constant
	key     []int     // columns of the key
	final   int       // -1: none
}

// planned is a field with its columns.
type planned struct {
	column, also int // -1: none
	typ          batch.Type
	nullable     bool
	shift        int32 // digits the point moves
}

// value is one cell of a row.
type value struct {
	null    bool
	number  int64
	decimal decimal128.Num
	text    []byte
}

// planFor finds the columns of a layout. A layout that does not fit its dataset is a programming error.
func planFor(l *Layout) (*plan, error) {
	d, ok := market.DatasetByName(l.Dataset)
	if !ok {
		return nil, fmt.Errorf("layout: dataset %q is not known", l.Dataset)
	}
	p := &plan{layout: l, fixed: make([]value, d.Schema.Len()), bound: make([]bool, d.Schema.Len())}
	p.final = d.Schema.Index("final")
	for i := range p.fixed {
		p.fixed[i].null = true
	}
	written := map[int]bool{p.final: true}
	index := func(name string) (int, error) {
		if name == "" {
			return -1, nil
		}
		i := d.Schema.Index(name)
		if i < 0 || written[i] {
			return i, fmt.Errorf("layout of %s: column %q is not there, or written twice", l.Dataset, name)
		}
		written[i] = true
		return i, nil
	}
	for _, f := range l.Fields {
		c := planned{}
		var err error
		if c.column, err = index(f.Column); err != nil {
			return nil, err
		}
		if c.also, err = index(f.Also); err != nil {
			return nil, err
		}
		if c.column >= 0 {
			c.typ, c.nullable = d.Schema.Field(c.column).Type, d.Schema.Field(c.column).Nullable
		}
		for times := max(f.Times, 1); times > 1; times /= 10 {
			if times%10 != 0 {
				return nil, fmt.Errorf("layout of %s: %s: %d is no power of ten", l.Dataset, f.Name, f.Times)
			}
			c.shift++
		}
		p.columns = append(p.columns, c)
	}
	if err := p.constants(d.Schema, index); err != nil {
		return nil, err
	}
	for i, f := range d.Schema.Fields() {
		// The symbol of a unit is written where no field does.
		if !f.Nullable && !written[i] && f.Name != "symbol" && f.Name != "freq" {
			return nil, fmt.Errorf("layout of %s: nothing writes column %s", l.Dataset, f.Name)
		}
		if slices.Contains(d.Key, f.Name) {
			p.key = append(p.key, i)
		}
	}
	return p, nil
}

// constants notes what no field writes.
func (p *plan) constants(schema *batch.Schema, index func(string) (int, error)) error {
	for _, fixed := range p.layout.Constants {
		i, err := index(fixed.Column)
		if err != nil {
			return err
		}
		v := value{text: []byte(fixed.Text)}
		if schema.Field(i).Type.Kind == batch.Bool {
			yes, err := strconv.ParseBool(fixed.Text)
			if err != nil {
				return fmt.Errorf("layout of %s: constant %s: %w", p.layout.Dataset, fixed.Column, err)
			}
			v.number = flagOf(yes)
		}
		p.fixed[i], p.bound[i] = v, true
	}
	return nil
}

func flagOf(yes bool) int64 {
	if yes {
		return 1
	}
	return 0
}
