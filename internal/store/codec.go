package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/internal/store/segment"
)

// layoutVersion is the version of how the columns of a dataset lie in a segment.
const layoutVersion = 1

// segmentSchema returns the columns of a dataset's segments. A foreign reader finds the codes of
// instruments in columns of the fields' own names.
func segmentSchema(d *dataset) (*segment.Schema, error) {
	columns := make([]segment.Column, 0, d.width())
	for _, f := range d.fields {
		c := segment.Column{Name: f.Name, Type: segmentType(f), Nullable: f.Nullable}
		if f.instrument {
			c.Name, c.Symbol = f.Name+"_id", f.Name
		}
		columns = append(columns, c)
	}
	for i, name := range []string{"_op", "_source", "_run", "_seq"} {
		typ := batch.Of(batch.Int32)
		if i == seqOffset {
			typ = batch.Of(batch.Int64)
		}
		columns = append(columns, segment.Column{Name: name, Type: typ})
	}
	return segment.NewSchema(d.Name, layoutVersion, d.keys, columns...)
}

// segmentType returns the type under which a field is kept in a segment.
func segmentType(f field) batch.Type {
	switch f.kind {
	case kindText:
		return batch.Of(batch.String)
	case kindInt32:
		if f.Type.Kind != batch.Date {
			return batch.Of(batch.Int32)
		}
	case kindInt64:
		switch k := f.Type.Kind; {
		case k == batch.Decimal:
		case k == batch.Timestamp && f.Type.Unit != batch.Second && (f.Type.Zone == "" || f.Type.Zone == "UTC"):
		default:
			return batch.Of(batch.Int64)
		}
	case kindBool, kindFloat:
	}
	return f.Type
}

// encodeSegment appends the bytes of a segment.
func encodeSegment(dst []byte, b *segment.Block, compacted bool, s *symbols) ([]byte, error) {
	options := segment.Options{Symbol: s.name}
	if compacted {
		options.Compression = segment.Zstd
	}
	raw, _, err := segment.Encode(dst, b, options)
	return raw, err
}

// decodeSegment reads a segment as a whole.
func decodeSegment(d *dataset, name string, raw []byte) (*segment.Block, error) {
	p, err := openSegment(d, name, bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		return nil, err
	}
	b := segment.NewBlock(d.layout)
	return b, damaged(p.reader.Read(b, nil, segment.Range{To: int64(p.rows())}))
}

func damaged(err error) error {
	if errors.Is(err, segment.ErrCorrupt) {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return err
}

// paged is a segment that is read page by page.
type paged struct{ reader *segment.Reader }

var _ reader = (*paged)(nil)

// openSegment opens a segment.
func openSegment(d *dataset, name string, file io.ReaderAt, size int64) (*paged, error) {
	r, err := segment.Open(name, file, size, d.layout)
	if err != nil {
		return nil, damaged(err)
	}
	return &paged{r}, nil
}

func (p *paged) rows() int { return int(p.reader.Info().Rows) }

func (p *paged) find(least, most int64) (span, error) {
	var low, high segment.Key
	if least != minLong {
		low = segment.Key{{Int: least}}
	}
	if most != maxLong {
		high = segment.Key{{Int: most}}
	}
	return p.search(low, high)
}

func (p *paged) search(low, high segment.Key) (span, error) {
	rows, err := p.reader.Find(low, high)
	return span{int(rows.From), int(rows.To)}, damaged(err)
}

func (p *paged) read(d *dataset, q *query, columns []int, into *segment.Block) ([]segment.Run, error) {
	dated, selective := q.dated && d.timeAt >= 0, false
	var spans []span
	var err error
	switch least, most := d.bounds(q.from, q.to); {
	case dated && d.timeAt == 0:
		spans = make([]span, 1)
		spans[0], err = p.find(least, most)
	case dated && d.timeAt == 1 && d.indexed() && len(q.ids) == 1:
		id := int64(q.ids[0])
		spans = make([]span, 1)
		spans[0], err = p.search(segment.Key{{Int: id}, {Int: least}}, segment.Key{{Int: id}, {Int: most}})
	default:
		spans, err = q.spans(d, p)
		selective = dated
	}
	into.Reset(d.layout, columns)
	for _, s := range spans {
		rows := segment.Range{From: int64(s.from), To: int64(s.to)}
		switch least, most := d.bounds(q.from, q.to); {
		case err != nil:
		case selective:
			err = p.reader.AppendSelected(into, rows, d.timeAt, least, most)
		default:
			err = p.reader.Append(into, rows)
		}
	}
	if err != nil || into.Len() == 0 {
		return nil, damaged(err)
	}
	return []segment.Run{into.Whole()}, nil
}

// samples returns values of the first key column, an integer, that at most each step rows are at or
// below: the rows between two of them are known without reading them.
func (p *paged) samples(d *dataset, step int, visit func(value int64, rows int)) error {
	if step >= segment.PageRows {
		return damaged(p.reader.PageEnds(visit))
	}
	b := &segment.Block{}
	if err := p.reader.Read(b, []int{0}, segment.Range{To: int64(p.rows())}); err != nil {
		return damaged(err)
	}
	return memory{b}.samples(d, step, visit)
}

// memory is a decoded segment.
type memory struct{ block *segment.Block }

var _ reader = memory{}

func (m memory) rows() int { return m.block.Len() }

func (m memory) find(least, most int64) (span, error) {
	return ascending(&m.block.Vectors[0], span{0, m.block.Len()}, least, most), nil
}

func (m memory) read(d *dataset, q *query, _ []int, _ *segment.Block) ([]segment.Run, error) {
	spans, err := q.spans(d, m)
	runs := make([]segment.Run, 0, len(spans))
	for _, s := range spans {
		if !q.dated || d.timeAt < 0 {
			runs = append(runs, segment.Run{Block: m.block, From: s.from, To: s.to})
			continue
		}
		least, most := d.bounds(q.from, q.to)
		v := &m.block.Vectors[d.timeAt]
		if d.timeAt == 0 || d.timeAt == 1 && len(q.ids) == 1 {
			s = ascending(v, s, least, most)
			runs = append(runs, segment.Run{Block: m.block, From: s.from, To: s.to})
			continue
		}
		for row := s.from; row < s.to; {
			from := row
			for row < s.to && number(v, row) >= least && number(v, row) <= most {
				row++
			}
			if from < row {
				runs = append(runs, segment.Run{Block: m.block, From: from, To: row})
			} else {
				row++
			}
		}
	}
	return slices.DeleteFunc(runs, func(r segment.Run) bool { return r.Len() == 0 }), err
}

func (m memory) samples(_ *dataset, step int, visit func(value int64, rows int)) error {
	v := &m.block.Vectors[0]
	for at := 0; at < m.block.Len(); at += step {
		end := min(at+step, m.block.Len())
		visit(number(v, end-1), end-at)
	}
	return nil
}
