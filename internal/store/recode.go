package store

import (
	"iter"
	"slices"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
)

// A code change makes all rows of an instrument read back under another code, and no commit says so. What
// follows a store by its commits has them under the old one: it deletes those and reads everything again.

// recoding hands over deletes of the keys that rows had under earlier codes of their instruments.
type recoding struct {
	codes []Alias // that the source may have read rows under

	next func() (*batch.Batch, error, bool) // deletes of the present code; nil: not begun
	stop func()
	rows *batch.Batch
	row  int // next of rows
	skip int // deletes of the code handed over before
}

// recode compares the codes with those of the place, and begins anew where they changed.
func (s *source) recode(at *place, before bool) error {
	codes := s.view.Codes()
	changed := before && at.Codes != codes && s.readsCodes()
	if changed && !s.cfg.Incremental && !at.Done {
		return misuse("open store", "instruments have other codes than when this read began: start with --fresh")
	}
	if changed && s.cfg.Incremental {
		*at = place{Seq: at.Seq, After: at.After, Again: true}
	}
	if at.Codes = codes; at.Again {
		s.recoding.codes = s.formerCodes()
	}
	return nil
}

// readsCodes reports whether rows have a column of codes.
func (s *source) readsCodes() bool {
	d, err := s.store.dataset(s.view.plan(), s.cfg.Dataset)
	return err == nil && slices.ContainsFunc(d.fields, func(f field) bool {
		return f.instrument && (len(s.cfg.Columns) == 0 || slices.Contains(s.cfg.Columns, f.Name))
	})
}

// formerCodes returns the codes beside those that rows are read back under, of the instruments asked for.
func (s *source) formerCodes() []Alias {
	list := s.view.Aliases()
	if s.cfg.Symbols == nil {
		return list
	}
	wanted := map[int32]bool{}
	for _, text := range s.cfg.Symbols {
		wanted[s.store.symbols.find(text, s.span.To)] = true
	}
	return slices.DeleteFunc(list, func(a Alias) bool { return !wanted[s.store.symbols.named(a.Symbol)] })
}

// forget hands over deletes of the place's code; ok is false when there are no more of it.
func (s *source) forget() (chunk connector.Chunk, ok bool, err error) {
	r := &s.recoding
	if r.next == nil {
		r.next, r.stop = iter.Pull2(s.under(r.codes[s.at.Code]))
		r.rows, r.row, r.skip = nil, 0, s.at.Gone
	}
	for r.rows == nil || r.row == r.rows.Rows() {
		b, err, more := r.next()
		if err != nil {
			return chunk, false, err
		}
		if !more {
			r.stop()
			r.next = nil
			s.at.Code, s.at.Gone = s.at.Code+1, 0
			return chunk, false, nil
		}
		r.rows, r.row = b, min(r.skip, b.Rows())
		r.skip -= r.row
	}
	limits := s.env.Budget.Limits()
	n := max(1, min(limits.Rows, limits.Bytes/s.rowBytes, r.rows.Rows()-r.row))
	rows := r.rows.Slice(r.row, r.row+n)
	r.row += n
	s.at.Gone += n
	position, err := s.at.position()
	return connector.Chunk{Batch: rows, Position: position, Bytes: n * s.rowBytes}, true, err
}

// under returns an instrument's rows as deletes of their keys under a former code, which is never given to
// another one.
func (s *source) under(a Alias) iter.Seq2[*batch.Batch, error] {
	span := s.span
	span.After, span.Symbols = 0, nil
	if columns := s.walk.dataset.instruments(); len(columns) == 1 && columns[0] == 0 {
		span.Symbols = []string{a.Symbol}
	}
	return func(yield func(*batch.Batch, error) bool) {
		for b, err := range s.view.Scan(s.cfg.Dataset, span, s.walk.out.schema.Names()) {
			if err == nil {
				b, err = s.deletes(b, a)
			}
			if (err != nil || b.Rows() > 0) && !yield(b, err) {
				return
			}
		}
	}
}

// deletes returns the rows of a batch that name the instrument, as deletes under its former code.
func (s *source) deletes(b *batch.Batch, a Alias) (*batch.Batch, error) {
	var codes []int // columns of the batch
	for i, at := range s.walk.out.fields {
		if s.walk.dataset.fields[at].instrument {
			codes = append(codes, i)
		}
	}
	rows := []int32{}
	for i := range b.Len() {
		row := b.Row(i)
		if slices.ContainsFunc(codes, func(c int) bool { return string(b.Column(c).Bytes(row)) == a.Symbol }) {
			rows = append(rows, int32(row))
		}
	}
	b = b.Select(rows).Keep()
	for _, c := range codes {
		former := batch.NewAppender(b.Column(c).Type())
		for row := range b.Rows() {
			text := string(b.Column(c).Bytes(row))
			if text == a.Symbol {
				text = a.Code
			}
			if err := former.Any(text); err != nil {
				return nil, err
			}
		}
		b = b.Replace(c, former.Column())
	}
	return b.WithOperations(slices.Repeat([]batch.Operation{batch.Delete}, b.Rows())), nil
}
