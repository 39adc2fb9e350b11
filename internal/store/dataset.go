package store

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/store/segment"
)

// Datasets of the store's own.
const (
	Restatements = "restatement"
	Quarantined  = "quarantine"
)

// ownDatasets are written by commits beside their rows; seq and number make their rows unique.
func ownDatasets() []market.Dataset {
	text, count := batch.Of(batch.String), batch.Of(batch.Int64)
	field := func(name string, typ batch.Type) batch.Field { return batch.Field{Name: name, Type: typ} }
	optional := func(name string, typ batch.Type) batch.Field {
		return batch.Field{Name: name, Type: typ, Nullable: true}
	}
	observed := field("observed_at", batch.TimestampOf(batch.Microsecond, "UTC"))
	return []market.Dataset{
		{Name: Restatements, Schema: batch.NewSchema(
			field("commit", count), field("number", count), field("dataset", text), field("key", text),
			field("column", text), optional("old", text), optional("new", text),
			field("source", text), field("run", text), observed,
		), Key: []string{"commit", "number"}},
		{Name: Quarantined, Schema: batch.NewSchema(
			field("commit", count), field("number", count), field("dataset", text),
			field("symbol", text), optional("date", batch.Of(batch.Date)), field("source", text),
			field("rule", text), field("raw", text), field("place", text), field("message", text),
			field("run", text), observed,
		), Key: []string{"commit", "number"}},
	}
}

// dataset is a dataset as the store lays it out: key columns first, then the others, then the
// columns the store adds.
type dataset struct {
	market.Dataset
	id      int32 // 0 while the catalog does not name it
	fields  []field
	keys    int  // the first fields are the key
	timeAt  int  // block column of the date or instant; -1: none
	finalAt int  // block column that says whether a bar is final; -1: none
	strict  bool // symbols have to be canonical
	microAt bool // the time is an instant in microseconds
	layout  *segment.Schema
}

// field is one column in the order of a block.
type field struct {
	batch.Field
	kind       kind
	at         int  // in the schema
	instrument bool // text outside, the number of an instrument inside
}

// The store's own columns follow the fields.
const (
	opOffset     = iota // opPut or opDelete
	sourceOffset        // number of a name
	runOffset           // number of a name
	seqOffset
	ownColumns
)

const (
	opPut    = 0
	opDelete = 1
)

// kind is how a column's values lie in a block: which slice of its vector they are.
type kind uint8

const (
	kindInt64 kind = iota + 1 // integers, decimals up to 18 digits, instants
	kindInt32                 // dates, small integers, instruments
	kindFloat
	kindBool
	kindText
)

const microsPerDay = 24 * 60 * 60 * 1_000_000

// kindOf returns the form of a type inside, if it has one.
func kindOf(t batch.Type) (kind, bool) {
	switch t.Kind {
	case batch.Bool:
		return kindBool, true
	case batch.Int8, batch.Int16, batch.Int32, batch.Uint8, batch.Uint16, batch.Date:
		return kindInt32, true
	case batch.Int64, batch.Uint32, batch.Time, batch.Timestamp, batch.Duration:
		return kindInt64, true
	case batch.Float64:
		return kindFloat, true
	case batch.Decimal:
		return kindInt64, t.Precision <= 18
	case batch.String, batch.JSON:
		return kindText, true
	}
	return 0, false
}

// newDataset lays a dataset out and says what the store cannot hold.
func newDataset(m market.Dataset) (*dataset, error) {
	d := &dataset{Dataset: m, timeAt: -1, finalAt: -1}
	if len(m.Key) == 0 {
		return nil, fmt.Errorf("dataset %s: it has no key; name its key columns", m.Name)
	}
	place := slices.Clone(m.Key)
	for _, name := range m.Schema.Names() {
		if !slices.Contains(m.Key, name) {
			place = append(place, name)
		}
	}
	if len(place) != m.Schema.Len() {
		return nil, fmt.Errorf("dataset %s: columns (%s) must have distinct names and hold the key %s",
			m.Name, m.Schema, strings.Join(m.Key, ", "))
	}
	for i, name := range place {
		at := m.Schema.Index(name)
		if at < 0 {
			return nil, fmt.Errorf("dataset %s: key column %s is not among its columns (%s)",
				m.Name, name, m.Schema)
		}
		f := field{Field: m.Schema.Field(at), at: at}
		k, ok := kindOf(f.Type)
		if !ok {
			return nil, fmt.Errorf("dataset %s, column %s: the store has no form for %s; cast it to "+
				"decimal(18,s), int64 or string", m.Name, name, f.Type)
		}
		f.kind = k
		key := i < len(m.Key)
		if key && f.Type.Kind == batch.String && (name == "symbol" || strings.HasSuffix(name, "_symbol")) {
			f.kind, f.instrument = kindInt32, true
		}
		f.Nullable = f.Nullable && !key
		if name == m.Time && f.Type.Kind != batch.Date && (f.Type.Kind != batch.Timestamp ||
			f.Type.Unit != batch.Microsecond) {
			return nil, fmt.Errorf("dataset %s: its time %s is a %s, want date or timestamp(us)",
				m.Name, name, f.Type)
		}
		if name == m.Time && !key {
			return nil, fmt.Errorf("dataset %s: its time %s must belong to the key", m.Name, name)
		}
		if name == m.Time {
			d.timeAt, d.microAt = i, f.Type.Kind == batch.Timestamp
		}
		if name == "final" && f.kind == kindBool {
			d.finalAt = i
		}
		d.fields = append(d.fields, f)
	}
	d.keys = len(m.Key)
	_, d.strict = market.DatasetByName(m.Name)
	var err error
	d.layout, err = segmentSchema(d)
	return d, err
}

// alike reports whether blocks of both lie alike.
func (d *dataset) alike(o *dataset) bool {
	return d == o || d.Schema.Equal(o.Schema) && slices.Equal(d.Key, o.Key) && d.Time == o.Time &&
		d.Partition == o.Partition
}

// width is the number of columns of a whole block.
func (d *dataset) width() int { return len(d.fields) + ownColumns }

func (d *dataset) own(offset int) int { return len(d.fields) + offset }

// columns returns the numbers of the first n columns of a block.
func (d *dataset) columns(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

// instruments returns the numbers of the fields that hold instruments.
func (d *dataset) instruments() (list []int) {
	for i, f := range d.fields {
		if f.instrument {
			list = append(list, i)
		}
	}
	return list
}

// fieldsOf returns the numbers of the fields with these names, but for those of the key.
func (d *dataset) fieldsOf(names []string) (list []int) {
	for i := d.keys; i < len(d.fields); i++ {
		if slices.Contains(names, d.fields[i].Name) {
			list = append(list, i)
		}
	}
	return list
}

// block returns an empty block of the first n columns.
func (d *dataset) block(n int) *segment.Block {
	b := &segment.Block{}
	b.Reset(d.layout, d.columns(n))
	return b
}

// extended returns a block of the first n columns that shares those of another one and gets others.
func (d *dataset) extended(b *segment.Block, n int, others ...segment.Vector) (*segment.Block, error) {
	out := d.block(n)
	copy(out.Vectors, b.Vectors[:n-len(others)])
	copy(out.Vectors[n-len(others):], others)
	return out, out.SetLen(b.Len())
}

// gathered returns the first n columns of runs as one block.
func (d *dataset) gathered(n int, runs []segment.Run) (*segment.Block, error) {
	if len(runs) == 1 && runs[0].Len() == runs[0].Block.Len() {
		return d.extended(runs[0].Block, n)
	}
	out := d.block(n)
	out.AppendRuns(runs)
	return out, nil
}

// dateAt returns the date of a row; 0 when the dataset has no time.
func (d *dataset) dateAt(b *segment.Block, row int) market.Date {
	if d.timeAt < 0 {
		return 0
	}
	return d.dateOf(number(&b.Vectors[d.timeAt], row))
}

// dateOf returns the date of a value of the time column.
func (d *dataset) dateOf(value int64) market.Date {
	if !d.microAt {
		return market.Date(value)
	}
	day := value / microsPerDay
	if value%microsPerDay < 0 {
		day--
	}
	return market.Date(day)
}

// partitionOf returns the dates kept together with d's.
func (d *dataset) partitionOf(date market.Date) market.Interval {
	if d.timeAt < 0 || d.Partition == market.PartitionNone {
		return market.Interval{From: 0, To: 0}
	}
	return d.Partition.Of(date)
}

// label names a partition's folder.
func (d *dataset) label(partition market.Date) string {
	if d.timeAt < 0 {
		return market.PartitionNone.Label(partition)
	}
	return d.Partition.Label(partition)
}

// split cuts sorted runs by partition.
func (d *dataset) split(rows []segment.Run) map[market.Date][]segment.Run {
	if d.timeAt < 0 || d.Partition == market.PartitionNone {
		return map[market.Date][]segment.Run{0: rows}
	}
	runs := map[market.Date][]segment.Run{}
	for _, r := range rows {
		for from := r.From; from < r.To; {
			in := d.Partition.Of(d.dateAt(r.Block, from))
			to := from + 1
			for to < r.To && in.Contains(d.dateAt(r.Block, to)) {
				to++
			}
			runs[in.From] = append(runs[in.From], segment.Run{Block: r.Block, From: from, To: to})
			from = to
		}
	}
	return runs
}

// definition is a dataset in the catalog.
type definition struct {
	Columns   []definedColumn `json:"columns"`
	Key       []string        `json:"key"`
	Partition string          `json:"partition"`
	Time      string          `json:"time,omitempty"`
}

type definedColumn struct {
	Name     string `json:"name"`
	Type     string `json:"type"`
	Nullable bool   `json:"nullable,omitempty"`
}

func (d *dataset) definition() (string, error) {
	out := definition{Key: d.Key, Partition: d.Partition.String(), Time: d.Time}
	for _, f := range d.Schema.Fields() {
		out.Columns = append(out.Columns, definedColumn{f.Name, f.Type.String(), f.Nullable})
	}
	text, err := json.Marshal(out)
	return string(text), err
}

// parseDefinition reads what definition wrote.
func parseDefinition(name, text string) (*dataset, error) {
	var in definition
	if err := json.Unmarshal([]byte(text), &in); err != nil {
		return nil, fmt.Errorf("%w: definition of dataset %s: %w", ErrCorrupt, name, err)
	}
	fields := make([]batch.Field, len(in.Columns))
	for i, c := range in.Columns {
		typ, err := batch.ParseType(c.Type)
		if err != nil {
			return nil, fmt.Errorf("%w: definition of dataset %s: %w", ErrCorrupt, name, err)
		}
		fields[i] = batch.Field{Name: c.Name, Type: typ, Nullable: c.Nullable}
	}
	m := market.Dataset{Name: name, Schema: batch.NewSchema(fields...), Key: in.Key, Time: in.Time}
	for p := market.PartitionNone; ; p++ {
		if p > market.PartitionDay {
			return nil, fmt.Errorf("%w: definition of dataset %s: partition %q", ErrCorrupt, name, in.Partition)
		}
		if p.String() == in.Partition {
			m.Partition = p
			break
		}
	}
	return newDataset(m)
}
