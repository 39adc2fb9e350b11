package baostock

import (
	"fmt"
	"strings"
	"sync"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/market"
)

// piece is a run of records of one page, to become rows of one dataset. It is decoded once, by
// whoever asks first: for its rows or for its bad records.
type piece struct {
	page     *page
	from, to int // records
	call     *call
	dataset  int // which of the call's shapes
	last     market.Date
	unit     market.Unit

	once   sync.Once
	memory *memory
	batch  *batch.Batch
	bad    []badRecord
	err    error
}

// badRecord is a record that makes no row.
type badRecord struct {
	market.Quarantine

	record int64 // of its query's answer, from 1
}

// memory is the columns of a batch, reused.
type memory struct{ columns []column }

var memories = sync.Pool{New: func() any { return &memory{} }}

// newPiece holds the page until release.
func newPiece(p *page, from, to int, c *call, dataset int, last market.Date, unit market.Unit) *piece {
	p.retain()
	return &piece{page: p, from: from, to: to, call: c, dataset: dataset, last: last, unit: unit}
}

// decode makes the rows.
func (p *piece) decode(r *recordReader) error {
	p.once.Do(func() { p.err = p.make(r) })
	return p.err
}

// release gives the memory back; what was not decoded before never is.
func (p *piece) release() {
	p.once.Do(func() {})
	if p.memory != nil {
		memories.Put(p.memory)
		p.memory, p.batch = nil, nil
	}
	p.page.release()
}

// make reads every record once per variant.
// invariant: the rows and the bad rows of a piece are as many as its records make
func (p *piece) make(r *recordReader) error {
	s := p.call.shapes[p.dataset]
	layouts, err := s.layouts(p.page.answer.fields, p.call, p.last)
	if err != nil {
		return err
	}
	m := memories.Get().(*memory)
	p.memory = m
	m.reset(s.dataset.Schema, (p.to-p.from)*len(layouts))
	for i := range layouts {
		layouts[i].bind(m.columns)
	}
	row := 0
	var kept []int32 // record of each row, once it is not row+from
	for i := p.from; i < p.to; i++ {
		record := p.page.record(i)
		for n := range layouts {
			rule := r.read(m.columns, record, &layouts[n], row)
			if marked, ok := p.page.marks[i]; ok && rule == "" {
				rule = r.wrong(marked, "%s %s is there more than once", p.call.key,
					p.page.key(i, fieldIndex(p.page.answer.fields, p.call.key)))
			}
			if kept == nil && (rule != "" || len(layouts) > 1) {
				kept = make([]int32, row, (p.to-p.from)*len(layouts))
				for k := range kept {
					kept[k] = int32(k)
				}
			}
			if rule != "" {
				m.unset(row)
				p.refuse(r, i, rule)
				continue
			}
			if kept != nil {
				kept = append(kept, int32(i-p.from))
			}
			row++
		}
	}
	origin := &batch.Origin{Name: p.place(), Record: p.number(p.from)}
	p.batch = m.batch(s.dataset.Schema, row).WithOrigin(origin.Gather(kept))
	return nil
}

// place names the question whose answer holds the records.
func (p *piece) place() string {
	name := p.call.query.String()
	var nameSb113 strings.Builder
	for _, arg := range p.call.args {
		if arg != "" && len(arg) < 32 { // not the list of fields
			nameSb113.WriteString(" " + arg)
		}
	}
	name += nameSb113.String()
	return name
}

// number is the number of a record among all of its query, from 1.
func (p *piece) number(record int) int64 {
	return int64(p.page.number-1)*int64(min(pageRows, p.page.answer.perPage)) + int64(record) + 1
}

func (p *piece) refuse(r *recordReader, record int, rule string) {
	raw := p.page.record(record)
	const most = 64 << 10
	bad := badRecord{record: p.number(record)}
	bad.Quarantine = market.Quarantine{
		Dataset: p.unit.Dataset, Symbol: p.unit.Symbol, Date: r.date, Source: p.unit.Source,
		Rule: rule, Raw: strings.ToValidUTF8(string(raw[:min(len(raw), most)]), "\ufffd"), Message: r.why,
		Place: fmt.Sprintf("%s record %d", p.place(), bad.record),
	}
	p.bad = append(p.bad, bad)
}

// rejected returns the bad records, each once, as the dead letters want them.
func (p *piece) rejected() []connector.Rejected {
	var list []connector.Rejected
	before := int64(0)
	for i := range p.bad {
		bad := &p.bad[i]
		if bad.record == before {
			continue
		}
		before = bad.record
		list = append(list, connector.Rejected{
			Place:  batch.Place{Name: p.place(), Record: bad.record},
			Reason: bad.Rule + ": " + bad.Message, Record: bad.Raw,
		})
	}
	return list
}

func (m *memory) reset(schema *batch.Schema, rows int) {
	m.columns = room(m.columns, schema.Len())
	for i := range m.columns {
		m.columns[i].reset(schema.Field(i), rows)
	}
}

func (m *memory) unset(row int) {
	for i := range m.columns {
		m.columns[i].unset(row)
	}
}

func (m *memory) batch(schema *batch.Schema, rows int) *batch.Batch {
	columns := make([]*batch.Column, len(m.columns))
	for i := range m.columns {
		columns[i] = m.columns[i].column(rows)
	}
	return batch.New(schema, columns, rows)
}

// refusals is the payload of the chunk that ends a unit's rows: its bad records.
type refusals struct {
	pieces []*piece
	ghosts []*piece            // of pieces: their rows were handed over before a restart
	more   []market.Quarantine // what was refused as a whole
}

func (q *refusals) release() {
	for _, p := range q.ghosts {
		p.release()
	}
}

func (q *refusals) decode(r *recordReader) (*batch.Batch, error) {
	b := batch.NewBuilder(market.QuarantineSchema())
	for _, p := range q.pieces {
		if err := p.decode(r); err != nil {
			return nil, err
		}
		for i := range p.bad {
			market.AppendQuarantine(b, p.bad[i].Quarantine)
		}
	}
	for _, bad := range q.more {
		market.AppendQuarantine(b, bad)
	}
	return b.Batch()
}
