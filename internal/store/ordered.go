package store

import (
	"bytes"
	"cmp"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/internal/market"
)

// Ordered describes a read in the order in which people look for rows: by the texts of the key, as
// symbol and then date, over all partitions. A dataset that is not kept by symbol comes partition by
// partition.
type Ordered struct {
	Dataset string
	Range   Range
	Columns []string          // in this order; nil: all
	Adjust  market.Adjustment // of the prices of bar_1d, by the view's own factors
}

// groupSymbols is of how many symbols the rows are in memory at a time.
const groupSymbols = 32

// Ordered returns the rows of a view in order of the key's texts.
func (v *View) Ordered(o Ordered) iter.Seq2[*batch.Batch, error] {
	return func(yield func(*batch.Batch, error) bool) {
		r, err := v.orderedRead(o)
		if err != nil {
			yield(nil, err)
			return
		}
		for _, symbols := range r.groups("") {
			for b, err := range r.rows(symbols) {
				if err != nil || b.Len() > 0 {
					if !yield(b, err) || err != nil {
						return
					}
				}
			}
		}
	}
}

// OrderedSchema returns the columns that Ordered yields.
func (v *View) OrderedSchema(o Ordered) (*batch.Schema, error) {
	r, err := v.orderedRead(o)
	if err != nil {
		return nil, err
	}
	return r.schema, nil
}

// orderedRead is an Ordered that was checked and resolved.
type orderedRead struct {
	Ordered
	view    *View
	key     []string
	bySym   bool     // the first key column is a symbol
	names   []string // symbols that may have rows, sorted; where bySym
	read    []string // Columns and what sorting and adjusting need
	schema  *batch.Schema
	factors map[string]market.Factors
}

func (v *View) orderedRead(o Ordered) (*orderedRead, error) {
	d, err := v.store.dataset(v.plan(), o.Dataset)
	if err != nil {
		return nil, err
	}
	r := &orderedRead{Ordered: o, view: v, key: d.Key}
	r.bySym = d.Key[0] == "symbol" || strings.HasSuffix(d.Key[0], "_symbol")
	if r.Columns == nil {
		r.Columns = d.Schema.Names()
	}
	need := slices.Concat(r.Columns, r.key)
	if o.Adjust != market.Raw {
		if o.Dataset != market.Bar1D {
			return nil, fmt.Errorf("adjust dataset %s: only prices of %s are adjusted", o.Dataset, market.Bar1D)
		}
		need = append(need, "close", "preclose")
		if r.factors, err = v.Factors(); err != nil {
			return nil, err
		}
	}
	for _, name := range need {
		if !slices.Contains(r.read, name) {
			r.read = append(r.read, name)
		}
	}
	empty, err := v.collect(o.Dataset, Range{From: market.MaxDate, To: market.MinDate, exact: true}, r.read)
	if err == nil {
		var shaped *batch.Batch
		if shaped, err = r.shape(empty); err == nil {
			r.schema = shaped.Schema()
		}
	}
	if err != nil {
		return nil, err
	}
	return r, r.resolve()
}

// resolve lists the symbols that are read, by the names their rows are read back under.
func (r *orderedRead) resolve() error {
	switch {
	case !r.bySym:
	case r.Range.Symbols == nil:
		r.names = r.view.Symbols()
	default:
		symbols := r.view.store.symbols
		for _, text := range r.Range.Symbols {
			id := symbols.find(text, r.Range.To)
			if id == 0 {
				continue
			}
			name, err := symbols.name(id)
			if err != nil {
				return err
			}
			r.names = append(r.names, name)
		}
		slices.Sort(r.names)
		r.names = slices.Compact(r.names)
	}
	return nil
}

// groups parts the symbols from one on.
func (r *orderedRead) groups(from string) [][]string {
	if !r.bySym {
		return [][]string{nil}
	}
	at, _ := slices.BinarySearch(r.names, from)
	return slices.Collect(slices.Chunk(r.names[at:], groupSymbols))
}

// rows returns the rows of a group in order.
func (r *orderedRead) rows(symbols []string) iter.Seq2[*batch.Batch, error] {
	span := r.Range
	if !r.bySym {
		return func(yield func(*batch.Batch, error) bool) {
			for b, err := range r.view.Scan(r.Dataset, span, r.read) {
				if err == nil {
					b, err = r.shape(b)
				}
				if !yield(b, err) || err != nil {
					return
				}
			}
		}
	}
	span.Symbols = symbols
	return func(yield func(*batch.Batch, error) bool) {
		b, err := r.view.collect(r.Dataset, span, r.read)
		if err != nil {
			yield(nil, err)
			return
		}
		b = inOrder(b, r.key)
		if r.Adjust == market.Raw {
			b, err = r.shape(b)
			yield(b, err)
			return
		}
		for one := range runsOf(b, r.key[0]) {
			if one, err = r.shape(one); !yield(one, err) || err != nil {
				return
			}
		}
	}
}

// shape adjusts the rows of one symbol and leaves the columns that were asked for.
func (r *orderedRead) shape(b *batch.Batch) (*batch.Batch, error) {
	if r.Adjust != market.Raw {
		var factors market.Factors
		if b.Rows() > 0 {
			symbol := string(b.Column(b.Schema().Index("symbol")).Bytes(0))
			var known bool
			if factors, known = r.factors[symbol]; !known {
				if err := unexplained(symbol, b); err != nil {
					return nil, err
				}
			}
		}
		var err error
		if b, err = factors.Adjust(b, r.Adjust); err != nil {
			return nil, err
		}
	}
	fields, columns := make([]batch.Field, len(r.Columns)), make([]*batch.Column, len(r.Columns))
	for i, name := range r.Columns {
		at := b.Schema().Index(name)
		if at < 0 {
			return nil, fmt.Errorf("dataset %s has no column %s", r.Dataset, name)
		}
		fields[i], columns[i] = b.Schema().Field(at), b.Column(at)
	}
	schema := r.schema
	if schema == nil {
		schema = batch.NewSchema(fields...)
	}
	return batch.New(schema, columns, b.Rows()), nil
}

// unexplained refuses to adjust a symbol without factors whose precloses tell of an event.
func unexplained(symbol string, b *batch.Batch) error {
	date, last, before := b.Schema().Index("date"), b.Schema().Index("close"), b.Schema().Index("preclose")
	closes, precloses := batch.Values[decimal128.Num](b.Column(last)), batch.Values[decimal128.Num](b.Column(before))
	for row := 1; row < b.Rows(); row++ {
		if b.Column(before).IsNull(row) || precloses[row] == closes[row-1] || precloses[row] == (decimal128.Num{}) {
			continue
		}
		return fmt.Errorf("adjust %s: its preclose of %s is not the close before, so there was a dividend or a "+
			"split (or a session before is missing), and no %s of it is stored: sync that dataset, or read without "+
			"adjustment", symbol, market.Date(b.Column(date).Int(row)), market.AdjFactor)
	}
	return nil
}

// Factors returns the adjustment factors of all symbols as of the view.
func (v *View) Factors() (map[string]market.Factors, error) {
	out := map[string]market.Factors{}
	for b, err := range v.Scan(market.AdjFactor, Range{}, []string{"symbol", "ex_date", "back_factor"}) {
		if err != nil {
			return nil, err
		}
		for one := range runsOf(b, "symbol") {
			symbol := string(one.Column(0).Bytes(0))
			factors, err := market.FactorsOf(one)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", symbol, err)
			}
			out[symbol] = factors
		}
	}
	return out, nil
}

// runsOf parts a dense batch where a text column changes; the parts are dense.
func runsOf(b *batch.Batch, name string) iter.Seq[*batch.Batch] {
	return func(yield func(*batch.Batch) bool) {
		column := b.Column(b.Schema().Index(name))
		for from, row := 0, 1; from < b.Rows(); row++ {
			if row < b.Rows() && bytes.Equal(column.Bytes(row), column.Bytes(from)) {
				continue
			}
			part, _ := b.Slice(from, row).Dense() // nothing is lazy, so nothing fails
			if from = row; !yield(part) {
				return
			}
		}
	}
}

// inOrder sorts a dense batch by the texts of its key. Rows come in runs of one symbol that are in
// order, as a rule one for each partition: then ordering the runs is enough.
func inOrder(b *batch.Batch, key []string) *batch.Batch {
	columns := make([]*batch.Column, len(key))
	for i, name := range key {
		columns[i] = b.Column(b.Schema().Index(name))
	}
	compare := func(i, j int32) int {
		for _, c := range columns {
			if order := compareCells(c, int(i), int(j)); order != 0 {
				return order
			}
		}
		return 0
	}
	type run struct{ from, to int32 }
	var runs []run
	for row := range int32(b.Rows()) {
		if last := len(runs) - 1; last >= 0 && compareCells(columns[0], int(row-1), int(row)) == 0 &&
			compare(row-1, row) < 0 {
			runs[last].to = row + 1
			continue
		}
		runs = append(runs, run{row, row + 1})
	}
	slices.SortFunc(runs, func(x, y run) int { return compare(x.from, y.from) })
	rows := make([]int32, 0, b.Rows())
	sorted, still := true, true
	for i, r := range runs {
		if i > 0 {
			sorted = sorted && compare(runs[i-1].to-1, r.from) < 0
			still = still && runs[i-1].to == r.from
		}
		for row := r.from; row < r.to; row++ {
			rows = append(rows, row)
		}
	}
	switch {
	case sorted && still:
		return b
	case !sorted:
		slices.SortFunc(rows, compare)
	}
	gathered := make([]*batch.Column, len(b.Columns()))
	for i, c := range b.Columns() {
		gathered[i] = c.Gather(rows)
	}
	return batch.New(b.Schema(), gathered, len(rows))
}

// compareCells compares two cells of a key column.
func compareCells(c *batch.Column, i, j int) int {
	switch c.Type().Kind {
	case batch.String, batch.JSON:
		return bytes.Compare(c.Bytes(i), c.Bytes(j))
	case batch.Decimal:
		values := batch.Values[decimal128.Num](c)
		return values[i].Cmp(values[j])
	case batch.Bool, batch.Float64, batch.Uint8, batch.Uint16, batch.Uint32:
		return bytes.Compare(batch.AppendText(nil, c, i), batch.AppendText(nil, c, j))
	}
	return cmp.Compare(c.Int(i), c.Int(j))
}

// Between is the range of the dates from one to another, both included.
func Between(from, to market.Date) Range { return Range{From: from, To: to, exact: true} }
