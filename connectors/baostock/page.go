package baostock

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/tapeline/tapeline/connector"
)

// page is one answer with the places of its records. Who holds it calls release once per retain.
type page struct {
	answer answer
	number int
	bounds []uint32       // start and end of each record in answer.data
	marks  map[int]string // records that cannot count, because of others: the rule they break
	last   bool           // no page follows
	frame  frame          // as it was received
	memory *[]byte        // what a compressed frame expands to; nil: it was not expanded
	refs   atomic.Int32
}

var pages = sync.Pool{New: func() any { return &page{} }}

// expanded is memory of pages that are being read; of those that wait to be, there are more.
var expanded = sync.Pool{New: func() any { return new([]byte) }}

// page asks for one page and reads it. keys knows the records of the pages before.
func (s *session) page(
	ctx context.Context, q Query, args []string, number int, keys *keySet,
) (*page, error) {
	p, err := s.receive(ctx, q, args, number)
	if err != nil {
		return nil, err
	}
	if err := s.read(p, q, args, keys); err != nil {
		return nil, s.distrust(ctx, operation(q, args), err)
	}
	return p, nil
}

// receive asks for one page. Its answer is still to be read.
func (s *session) receive(ctx context.Context, q Query, args []string, number int) (*page, error) {
	p := pages.Get().(*page)
	p.refs.Store(1)
	p.number, p.marks, p.bounds = number, nil, p.bounds[:0]
	var err error
	if p.frame, err = s.ask(ctx, q, args, number, p.frame.memory); err != nil {
		p.release()
		return nil, err
	}
	return p, nil
}

// read expands and splits a page that was received. One that cannot be read is released.
func (s *session) read(p *page, q Query, args []string, keys *keySet) error {
	err := p.parse(q, args)
	if err == nil {
		err = p.split(keys)
	}
	if err != nil {
		p.release()
		return err
	}
	s.count(func(t *Statistics) { t.Rows += int64(p.records()) })
	// A service that answers with smaller pages than it was asked for has more behind a full one.
	p.last = p.records() < min(pageRows, p.answer.perPage)
	if (q == StockBasic || q == AllStock) && (p.answer.perPage < pageRows || p.records()%roundRows == 0) {
		p.last = p.records() == 0 // a list that is cut is not known to end with a page that is short
	}
	if !p.last {
		keys.end(p)
	}
	return nil
}

// parse expands the frame, where it is compressed, and reads the answer's form.
func (p *page) parse(q Query, args []string) (err error) {
	f := p.frame
	if f.zipped {
		p.memory = expanded.Get().(*[]byte)
		if *p.memory, err = inflate(*p.memory, f.body, maxFrame); err != nil {
			return fmt.Errorf("%w: inflate %d bytes: %w", errFrame, len(f.body), err)
		}
		f.body = *p.memory
	}
	p.answer, err = parseAnswer(q, args, p.number, f)
	return err
}

// roundRows divides the page caps that services have. A list of so many rows may be cut, though the service
// says that its pages hold more: it once fell from 5,000 to 100 overnight.
const roundRows = 50

func (p *page) retain() { p.refs.Add(1) }

func (p *page) release() {
	if p.refs.Add(-1) == 0 {
		p.answer = answer{}
		p.frame.body = nil
		if p.memory != nil {
			expanded.Put(p.memory)
			p.memory = nil
		}
		pages.Put(p)
	}
}

func (p *page) records() int { return len(p.bounds) / 2 }

// record returns the text of record i.
func (p *page) record(i int) []byte { return p.answer.data[p.bounds[2*i]:p.bounds[2*i+1]] }

// Rules that a record breaks together with another one.
const (
	ruleDuplicate = "duplicate_row"   // the same text was there before
	ruleConflict  = "conflicting_row" // another text with the same key
)

// split finds the records and marks those whose key was there before.
func (p *page) split(keys *keySet) error {
	data := p.answer.data
	if len(data) == 0 {
		return nil
	}
	keys.begin(p)
	t := tokens{data: data}
	ok := t.take('{') && t.string() && string(t.token) == "record" && t.take(':') && t.take('[')
	for first := true; ok && !t.take(']'); first = false {
		if ok = first || t.take(','); !ok {
			break
		}
		t.blank()
		start := t.at
		key, cut := t.cut(keys.cell)
		if ok = cut; !ok {
			break
		}
		p.bounds = append(p.bounds, uint32(start), uint32(t.at))
		keys.add(p, key)
	}
	if ok = ok && t.take('}'); ok {
		t.blank()
		ok = t.at == len(data)
	}
	if !ok {
		return &connector.Error{
			Op: "read an answer of " + Name, Class: connector.Transient, Code: Name + "_malformed",
			Err: fmt.Errorf("%w: no list of records at byte %d: %q",
				errFrame, t.at, clip(data[min(t.at, len(data)):])),
		}
	}
	return nil
}

// keySet finds records with the same key among the pages of one query. Records come in ascending
// order of their keys; only when they do not is a map of all keys made.
type keySet struct {
	field  string   // the column of the key; "": records have none
	cell   int      // where it is in the page at hand; -1: nowhere
	last   []byte   // greatest key so far, in the page at hand or of its own
	own    []byte   // memory of last between pages
	older  []string // keys of the pages before
	places map[string]int
	clash  bool // there were different records with the same key
}

// olderPage is the place of a record in a page before.
const olderPage = -1

// begin finds the column of the key in a new page.
func (k *keySet) begin(p *page) {
	k.cell = -1
	if k.field != "" {
		k.cell = slices.Index(p.answer.fields, k.field)
	}
	for key := range k.places {
		k.places[key] = olderPage
	}
}

// end keeps the keys of a page that others follow.
func (k *keySet) end(p *page) {
	if k.cell < 0 {
		return
	}
	k.own = append(k.own[:0], k.last...)
	k.last = k.own
	for i := 0; k.places == nil && i < p.records(); i++ {
		if key := p.key(i, k.cell); len(key) > 0 {
			k.older = append(k.older, string(key))
		}
	}
}

// key returns the text of a cell of record i, quotes stripped; nil where it has none.
func (p *page) key(i, cell int) []byte {
	t := tokens{data: p.record(i)}
	key, _ := t.record(cell)
	return key
}

// add notes the key of the page's newest record.
func (k *keySet) add(p *page, key []byte) {
	if len(key) == 0 {
		return
	}
	newest := p.records() - 1
	if k.places == nil {
		if bytes.Compare(key, k.last) > 0 {
			k.last = key
			return
		}
		k.places = make(map[string]int, len(k.older)+newest)
		for _, known := range k.older {
			k.places[known] = olderPage
		}
		for i := range newest {
			k.places[string(p.key(i, k.cell))] = i
		}
	}
	before, known := k.places[string(key)]
	switch {
	case !known:
		k.places[string(key)] = newest
	case before != olderPage && bytes.Equal(p.record(before), p.record(newest)):
		p.mark(newest, ruleDuplicate)
	default: // which of them is right, nobody knows
		k.clash = true
		p.mark(newest, ruleConflict)
		if before != olderPage {
			p.mark(before, ruleConflict)
		}
	}
}

func (p *page) mark(record int, rule string) {
	if p.marks == nil {
		p.marks = map[int]string{}
	}
	p.marks[record] = rule
}

// appendRows appends the records as texts.
func (p *page) appendRows(rows [][]string) ([][]string, error) {
	var r recordReader
	for i := range p.records() {
		row := make([]string, 0, len(p.answer.fields))
		bad := r.texts(p.record(i), func(text []byte) { row = append(row, string(text)) })
		if bad == "" && len(row) != len(p.answer.fields) {
			bad = fmt.Sprintf("%d values for %d columns", len(row), len(p.answer.fields))
		}
		if bad != "" {
			return nil, &connector.Error{
				Op:    fmt.Sprintf("read record %d of page %d of %s", i+1, p.number, Name),
				Class: connector.Data, Err: fmt.Errorf("%s in %q", bad, clip(p.record(i))),
			}
		}
		rows = append(rows, row)
	}
	return rows, nil
}
