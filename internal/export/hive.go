package export

import (
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/store"
)

// layout says which files a folder has.
type layout interface {
	// datasets are those that the parts are made of.
	datasets() []input
	// touch adds the parts that show rows of a batch. In all, the batch is of all rows there are;
	// otherwise of those that changed, and listed are the parts there were.
	touch(dataset string, b *batch.Batch, all bool, listed parts, into map[string]bool)
	part(name string) (content, error)
	omitted() []string
	describe(m *manifest) error
}

// input is a dataset with the columns that tell to which part a row belongs.
type input struct {
	name    string
	columns []string
}

func newLayout(view *store.View, r Request) (layout, error) {
	if r.Layout == PTrade {
		return newPTrade(view, r)
	}
	d, ok := market.DatasetByName(r.Dataset)
	if !ok {
		// The store's own, and those of its users: one file.
		schema, err := view.OrderedSchema(store.Ordered{Dataset: r.Dataset})
		if err != nil {
			return nil, err
		}
		d = market.Dataset{Name: r.Dataset, Schema: schema, Key: schema.Names()[:1]}
	}
	h := &hive{view: view, r: r, dataset: d}
	var err error
	h.schema, err = view.OrderedSchema(h.ordered(store.Range{}))
	return h, err
}

// span is the range that a request asks for.
func (r Request) span() store.Range {
	span := store.Range{}
	if r.From != 0 || r.To != 0 {
		from, to := r.From, r.To
		if from == 0 {
			from = market.MinDate
		}
		if to == 0 {
			to = market.MaxDate
		}
		span = store.Between(from, to)
	}
	span.Symbols = r.Symbols
	return span
}

// hive is one dataset by year, and by month where the store keeps it so: year=2024/month=01. A dataset
// without partitions is one file.
type hive struct {
	view    *store.View
	r       Request
	dataset market.Dataset
	schema  *batch.Schema
}

func (h *hive) ordered(span store.Range) store.Ordered {
	return store.Ordered{Dataset: h.dataset.Name, Range: span, Adjust: h.r.Adjust}
}

func (h *hive) datasets() []input {
	column := h.dataset.Time
	if column == "" || h.dataset.Partition == market.PartitionNone {
		column = h.dataset.Key[0]
	}
	list := []input{{h.dataset.Name, []string{column}}}
	if h.r.Adjust != market.Raw {
		list = append(list, input{market.AdjFactor, []string{"symbol", "ex_date"}})
	}
	return list
}

func (h *hive) file() string { return h.dataset.Name + "." + h.r.Format }

// name is the part of a date.
func (h *hive) name(d market.Date) string {
	year, month, _ := d.Civil()
	switch h.dataset.Partition {
	case market.PartitionNone:
		return h.file()
	case market.PartitionYear:
		return fmt.Sprintf("year=%04d/%s", year, h.file())
	}
	return fmt.Sprintf("year=%04d/month=%02d/%s", year, int(month), h.file())
}

func (h *hive) touch(dataset string, b *batch.Batch, all bool, listed parts, into map[string]bool) {
	switch {
	case dataset != h.dataset.Name:
		// A factor says nothing of years without bars. A new one changes the forward factors of all
		// days before it, and the backward ones of all after.
		if !all && b.Len() > 0 {
			for name := range listed {
				into[name] = true
			}
		}
		return
	case b.Len() == 0:
		return
	case h.dataset.Partition == market.PartitionNone:
		into[h.file()] = true
		return
	}
	dates := b.Column(0)
	instants := dates.Type().Kind != batch.Date
	var held market.Interval
	for i := range b.Len() {
		day := dates.Int(b.Row(i))
		if instants {
			const microsPerDay = 24 * 60 * 60 * 1_000_000
			day = floorDiv(day, microsPerDay)
		}
		if d := market.Date(day); i == 0 || !held.Contains(d) {
			held = h.dataset.Partition.Of(d)
			into[h.name(d)] = true
		}
	}
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// days are the dates of a part.
func (h *hive) days(name string) (market.Interval, error) {
	if h.dataset.Partition == market.PartitionNone {
		return market.Interval{From: market.MinDate, To: market.MaxDate}, nil
	}
	year, month := 0, 1
	_, err := fmt.Sscanf(name, "year=%d/", &year)
	if h.dataset.Partition != market.PartitionYear && err == nil {
		_, err = fmt.Sscanf(name, "year=%d/month=%d/", &year, &month)
	}
	if err != nil || !strings.HasSuffix(name, "/"+h.file()) {
		return market.Interval{}, fmt.Errorf("the manifest lists it, though this export has no such part: name another folder")
	}
	days := h.dataset.Partition.Of(market.DateOf(year, 1, 1))
	if h.dataset.Partition != market.PartitionYear {
		days = market.PartitionMonth.Of(market.DateOf(year, time.Month(month), 1))
	}
	return days, nil
}

func (h *hive) part(name string) (content, error) {
	days, err := h.days(name)
	if err != nil {
		return content{}, err
	}
	span := h.r.span()
	if h.dataset.Partition != market.PartitionNone {
		if h.r.From != 0 {
			days.From = max(days.From, h.r.From)
		}
		if h.r.To != 0 {
			days.To = min(days.To, h.r.To)
		}
		span = store.Between(days.From, days.To)
		span.Symbols = h.r.Symbols
	}
	rows := h.view.Ordered(h.ordered(span))
	schema := h.schema
	if h.r.Format == "csv" {
		schema, rows = flagSchema(schema), numbered(rows)
	}
	return content{schema: schema, rows: rows, always: h.dataset.Partition == market.PartitionNone}, nil
}

func (h *hive) omitted() []string { return nil }

func (h *hive) describe(m *manifest) error {
	m.Version = "1"
	m.Description = fmt.Sprintf("dataset %s of a market store as of commit %d", h.dataset.Name, m.Sequence)
	return nil
}

// numbered writes truth values as vendors do in text: 1 and 0.
func numbered(rows iter.Seq2[*batch.Batch, error]) iter.Seq2[*batch.Batch, error] {
	return func(yield func(*batch.Batch, error) bool) {
		for b, err := range rows {
			if err == nil {
				b = flagNumbers(b)
			}
			if !yield(b, err) {
				return
			}
		}
	}
}

func flagSchema(s *batch.Schema) *batch.Schema {
	fields := make([]batch.Field, s.Len())
	for i, f := range s.Fields() {
		if f.Type.Kind == batch.Bool {
			f.Type = batch.Of(batch.Int8)
		}
		fields[i] = f
	}
	return batch.NewSchema(fields...)
}

func flagNumbers(b *batch.Batch) *batch.Batch {
	columns := make([]*batch.Column, len(b.Columns()))
	for i, c := range b.Columns() {
		if c.Type().Kind == batch.Bool {
			values := make([]int8, c.Len())
			for row := range values {
				if c.Bits().Get(row) {
					values[row] = 1
				}
			}
			c = batch.FixedColumn(batch.Of(batch.Int8), values, c.Validity())
		}
		columns[i] = c
	}
	return b.WithColumns(flagSchema(b.Schema()), columns)
}
