package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/store/segment"
)

// blobRows is below how many rows a segment is kept in the catalog instead of a file of its own: one
// sync instead of three.
const blobRows = 1000

// draft is a commit in the store's own form.
type draft struct {
	run, source string
	edits       map[string]*edits
	unknown     map[string][]string // by dataset: columns of which the source knows nothing
	coverage    []Cover
	quarantine  []market.Quarantine
	epoch       *Epoch
}

// Commit makes the changes in one step: all of them, or none. Committed. Rows that are stored already
// are not written; when nothing is left, nothing is written and the newest sequence is returned.
func (w *Writer) Commit(ctx context.Context, c Changes) (Seq, error) {
	s, err := w.store.refresh(ctx)
	if err != nil {
		return 0, err
	}
	d := draft{
		run: c.Run, source: c.Source, edits: map[string]*edits{}, coverage: c.Coverage,
		quarantine: c.Quarantine, epoch: c.Epoch,
	}
	for name, batches := range c.Puts {
		b, err := w.blockOf(s, name, batches, false)
		if err != nil {
			return 0, err
		}
		if e := d.of(b.dataset); b.block.Len() > 0 {
			e.puts = []segment.Run{b.block.Whole()}
		}
	}
	for name, batches := range c.Deletes {
		b, err := w.blockOf(s, name, batches, true)
		if err != nil {
			return 0, err
		}
		if e := d.of(b.dataset); b.block.Len() > 0 {
			e.deletes = b.block
		}
	}
	for _, r := range c.Replace {
		if err := w.replaceIn(s, &d, r); err != nil {
			return 0, err
		}
	}
	return w.apply(ctx, d)
}

func (d *draft) of(ds *dataset) *edits {
	e := d.edits[ds.Name]
	if e == nil {
		e = &edits{dataset: ds}
		d.edits[ds.Name] = e
	}
	return e
}

type datasetBlock struct {
	dataset *dataset
	block   *segment.Block
}

// blockOf joins the batches of one dataset, of equal keys the last.
func (w *Writer) blockOf(s *state, name string, batches []*batch.Batch, keys bool) (datasetBlock, error) {
	ds, err := w.writable(s, name)
	if err != nil {
		return datasetBlock{}, err
	}
	in := inward{ds, w.store.symbols, keys}
	width := len(ds.fields)
	if keys {
		width = ds.keys
	}
	var inputs [][]segment.Run
	for _, b := range batches {
		part, refused, err := in.block(b)
		if err == nil && len(refused) > 0 {
			err = &connector.Error{
				Op: "write dataset " + name, Class: connector.Data, Err: &connector.PartialError{Rows: refused},
			}
		}
		if err != nil {
			return datasetBlock{}, err
		}
		inputs = append(inputs, part.Sort())
	}
	rows, err := ds.gathered(width, segment.Merge(nil, inputs))
	return datasetBlock{ds, rows}, err
}

// writable returns a dataset, refusing one whose columns this program knows otherwise, and those that
// only commits write.
func (w *Writer) writable(s *state, name string) (*dataset, error) {
	if name == Restatements || name == Quarantined {
		return nil, fmt.Errorf("dataset %s is written by commits themselves", name)
	}
	d, err := w.store.dataset(s, name)
	if err != nil {
		return nil, err
	}
	known, ok := market.DatasetByName(name)
	if ok && (!known.Schema.Equal(d.Schema) || !slices.Equal(known.Key, d.Key)) {
		return nil, fmt.Errorf("dataset %s of this store has other columns (%s) than this program writes "+
			"(%s): export it and write it into a new store", name, d.Schema, known.Schema)
	}
	return d, nil
}

func (w *Writer) replaceIn(s *state, d *draft, r Replace) error {
	ds, err := w.writable(s, r.Dataset)
	if err != nil {
		return err
	}
	if ds.timeAt < 0 || r.Empty() {
		return fmt.Errorf("replace %s in dataset %s: it has no dates, or the interval is empty",
			r.Interval, r.Dataset)
	}
	id := int32(0)
	if r.Symbol != "" {
		if !ds.fields[0].instrument {
			return fmt.Errorf("replace in dataset %s: it is not kept by symbol", r.Dataset)
		}
		if id = w.store.symbols.find(r.Symbol, r.To); id == 0 {
			return nil // nothing of it is stored
		}
	}
	e := d.of(ds)
	e.replace = append(e.replace, span32{id, r.Interval})
	return nil
}

// plannedCommit is a commit ready for the catalog.
type plannedCommit struct {
	seq      Seq
	now      time.Time
	outcomes []*outcome
	segments []*newSegment
	covers   map[coverKey][]knowledge
	counts   []DatasetChange
	datasets []*dataset // that the catalog does not name yet
}

// newSegment is a segment before the catalog names it.
type newSegment struct {
	info  *segmentInfo
	block *segment.Block // nil: it is not kept in memory
	raw   []byte
}

// apply commits a draft. Committed.
func (w *Writer) apply(ctx context.Context, d draft) (Seq, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.usable(); err != nil {
		return 0, err
	}
	s, err := w.store.refresh(ctx)
	if err != nil {
		return 0, err
	}
	p := &plannedCommit{seq: s.seq + 1, now: time.Now()}
	if err := w.plan(ctx, s, d, p); err != nil {
		return 0, err
	}
	if len(p.outcomes) == 0 && len(p.covers) == 0 && len(d.quarantine) == 0 {
		if d.epoch == nil {
			return s.seq, nil
		}
		err := w.store.catalog.change(ctx, func(ctx context.Context, tx *sql.Conn) error {
			return advance(ctx, tx, d.epoch)
		})
		return s.seq, err
	}
	if err := w.encode(s, d, p); err != nil {
		return 0, err
	}
	if err := w.writeFiles(p.segments); err != nil {
		w.discard(p.segments)
		return 0, err
	}
	if err := w.record(ctx, s, d, p); err != nil {
		return 0, err
	}
	w.published(ctx, s, p)
	return p.seq, nil
}

func (w *Writer) usable() error {
	switch {
	case w.closed || w.store.closed.Load():
		return ErrClosed
	case w.broken != nil:
		return fmt.Errorf("an earlier commit has no known outcome, lock the store again: %w", w.broken)
	}
	return nil
}

// plan works out what is left to write.
func (w *Writer) plan(ctx context.Context, s *state, d draft, p *plannedCommit) error {
	own := ownValues{w.store.names.of(d.source), w.store.names.of(d.run), p.seq}
	for _, name := range slices.Sorted(maps.Keys(d.edits)) {
		e := d.edits[name]
		if known := s.datasets[name]; known != nil {
			if !known.alike(e.dataset) { // another commit has made it meanwhile
				return fmt.Errorf("dataset %s has columns (%s) and key %s by now, these rows have (%s) and %s: "+
					"write them into a dataset of another name", name, known.Schema,
					strings.Join(known.Key, ", "), e.dataset.Schema, strings.Join(e.dataset.Key, ", "))
			}
			e.dataset = known
		}
		e.unknown = e.dataset.fieldsOf(d.unknown[name])
		parts := map[market.Date][]segment.Run{}
		if e.puts != nil {
			parts = e.dataset.split(e.puts)
		}
		for _, partition := range w.touched(s, e, parts) {
			puts, err := e.dataset.gathered(len(e.dataset.fields), parts[partition])
			if err != nil {
				return err
			}
			o, err := w.diff(ctx, s, e, partition, puts, own)
			if err != nil {
				return fmt.Errorf("compare with dataset %s: %w", name, err)
			}
			if o != nil {
				p.outcomes = append(p.outcomes, o)
			}
		}
	}
	groups, err := gather(d.coverage, w.store.symbols.ofUnit)
	p.covers = w.store.covers.news(groups)
	return err
}

// touched returns the partitions that the edits may change.
func (w *Writer) touched(s *state, e *edits, parts map[market.Date][]segment.Run) []market.Date {
	found := map[market.Date]bool{}
	for partition := range parts {
		found[partition] = true
	}
	if e.deletes != nil {
		for partition := range e.dataset.split([]segment.Run{e.deletes.Whole()}) {
			found[partition] = true
		}
	}
	for _, r := range e.replace {
		for _, partition := range s.partitions(e.dataset) {
			in := e.dataset.partitionOf(partition)
			if in == (market.Interval{}) || in.From <= r.in.To && r.in.From <= in.To {
				found[partition] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// encode makes segments of the outcomes, the restatements and the quarantine.
func (w *Writer) encode(s *state, d draft, p *plannedCommit) error {
	counts := map[string]*DatasetChange{}
	var restated []restatement
	add := func(o *outcome) error {
		c := counts[o.dataset.Name]
		if c == nil {
			c = &DatasetChange{Dataset: o.dataset.Name}
			counts[o.dataset.Name] = c
		}
		c.New, c.Changed, c.Deleted = c.New+o.counts.New, c.Changed+o.counts.Changed, c.Deleted+o.counts.Deleted
		restated = append(restated, o.restated...)
		n, err := w.segment(o.dataset, o.partition, o.rows, p.seq)
		p.segments = append(p.segments, n)
		return err
	}
	for _, o := range p.outcomes {
		if err := add(o); err != nil {
			return err
		}
	}
	for _, side := range []func() (*outcome, error){
		func() (*outcome, error) { return w.restatements(s, d, p, restated) },
		func() (*outcome, error) { return w.quarantined(s, d, p) },
	} {
		o, err := side()
		if err == nil && o != nil {
			p.outcomes = append(p.outcomes, o)
			err = add(o)
		}
		if err != nil {
			return err
		}
	}
	w.name(s, p)
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		p.counts = append(p.counts, *counts[name])
	}
	return nil
}

// name numbers datasets that are written for the first time.
func (w *Writer) name(s *state, p *plannedCommit) {
	next := int32(len(s.byID) + 1)
	fresh := map[string]*dataset{}
	for i, o := range p.outcomes {
		if o.dataset.id == 0 {
			d := fresh[o.dataset.Name]
			if d == nil {
				copied := *o.dataset
				d = &copied
				d.id = next
				next++
				fresh[d.Name] = d
				p.datasets = append(p.datasets, d)
			}
			o.dataset = d
		}
		p.segments[i].info.dataset = o.dataset.id
	}
}

// segment encodes rows and says where they go.
func (w *Writer) segment(
	d *dataset, partition market.Date, b *segment.Block, seq Seq,
) (*newSegment, error) {
	const usual = 32 // bytes of a row
	raw, err := encodeSegment(make([]byte, 0, usual*b.Len()), b, false, w.store.symbols)
	if err != nil {
		return nil, fmt.Errorf("encode segment of %s: %w", d.Name, err)
	}
	n := &newSegment{info: w.describe(d, partition, b, raw), block: b, raw: raw}
	n.info.lo, n.info.hi = seq, seq
	if b.Len() >= w.store.cfg.fileRows {
		n.info.file = w.fileName(d, n.info)
	}
	return n, nil
}

// describe returns what the catalog says of a segment.
func (w *Writer) describe(d *dataset, partition market.Date, b *segment.Block, raw []byte) *segmentInfo {
	info := &segmentInfo{
		dataset: d.id, partition: partition, rows: int64(b.Len()),
		bytes: int64(len(raw)), checksum: int64(xxhash.Sum64(raw)),
	}
	for _, op := range b.Vectors[d.own(opOffset)].Int32s {
		info.deletes += int64(op)
	}
	if d.fields[0].instrument {
		ids := b.Vectors[0].Int32s
		info.firstID, info.lastID = ids[0], ids[b.Len()-1]
	}
	if d.timeAt >= 0 {
		info.from, info.to = d.dateAt(b, 0), d.dateAt(b, 0)
		for row := range b.Len() {
			date := d.dateAt(b, row)
			info.from, info.to = min(info.from, date), max(info.to, date)
		}
	}
	return info
}

// fileName returns a name that no file has had.
func (w *Writer) fileName(d *dataset, info *segmentInfo) string {
	w.number++
	return strings.Join([]string{
		d.Name, d.label(info.partition),
		fmt.Sprintf("%010d-%010d-%d-%d.parquet", info.lo, info.hi, w.token, w.number),
	}, "/")
}

// restatements are the rows of dataset restatement that a commit brings; nil when it has none.
func (w *Writer) restatements(s *state, d draft, p *plannedCommit, list []restatement) (*outcome, error) {
	return w.aside(s, d, p, Restatements, len(list), func(b *batch.Builder, i int) {
		r := list[i]
		for at, text := range []string{r.dataset, r.key, r.column} {
			b.Column(2 + at).Text(text)
		}
		for at, cell := range [][]byte{r.old, r.new} {
			if cell == nil {
				b.Column(5 + at).Null()
			} else {
				b.Column(5 + at).Bytes(cell)
			}
		}
		b.Column(7).Text(d.source)
	})
}

// quarantined are the rows of dataset quarantine that a commit brings; nil when it has none.
func (w *Writer) quarantined(s *state, d draft, p *plannedCommit) (*outcome, error) {
	return w.aside(s, d, p, Quarantined, len(d.quarantine), func(b *batch.Builder, i int) {
		q := d.quarantine[i]
		b.Column(2).Text(q.Dataset)
		b.Column(3).Text(q.Symbol)
		if q.Date == 0 {
			b.Column(4).Null()
		} else {
			b.Column(4).Int(int64(q.Date))
		}
		for at, text := range []string{q.Source, q.Rule, q.Raw, q.Place, q.Message} {
			b.Column(5 + at).Text(text)
		}
	})
}

// aside makes rows of one of the store's own datasets: fill writes what lies between the number and
// the run.
func (w *Writer) aside(
	s *state, d draft, p *plannedCommit, name string, rows int, fill func(b *batch.Builder, i int),
) (*outcome, error) {
	if rows == 0 {
		return nil, nil
	}
	ds, err := w.store.dataset(s, name)
	if err != nil {
		return nil, err
	}
	b := batch.NewBuilder(ds.Schema)
	last := ds.Schema.Len() - 1
	for i := range rows {
		b.Column(0).Int(int64(p.seq))
		b.Column(1).Int(int64(i + 1))
		fill(b, i)
		b.Column(last - 1).Text(d.run)
		b.Column(last).Int(p.now.UnixMicro())
	}
	made, err := b.Batch()
	if err != nil {
		return nil, err
	}
	in := inward{ds, w.store.symbols, false}
	block, refused, err := in.block(made)
	if err == nil && len(refused) > 0 {
		err = refused[0]
	}
	if err != nil {
		return nil, fmt.Errorf("write dataset %s: %w", name, err)
	}
	own := ownValues{w.store.names.of(d.source), w.store.names.of(d.run), p.seq}
	whole, err := ds.whole(block, opPut, own)
	return &outcome{
		dataset: ds, rows: whole, counts: DatasetChange{Dataset: name, New: int64(rows)},
	}, err
}

// writeFiles writes the segments that get a file. Synced: bytes and names.
func (w *Writer) writeFiles(segments []*newSegment) error {
	for _, n := range segments {
		if err := w.writeFile(n); err != nil {
			return err
		}
	}
	return w.syncNames(segments)
}

// writeFile writes a segment that gets a file. Synced: its bytes.
func (w *Writer) writeFile(n *newSegment) error {
	if n.info.file == "" {
		return nil
	}
	fs := w.store.fs
	name := filepath.Join(w.store.dir, filepath.FromSlash(n.info.file))
	if err := fs.MkdirAll(filepath.Dir(name)); err != nil {
		return fmt.Errorf("make folder of segments: %w", err)
	}
	if _, err := fs.Stat(name); err == nil {
		return fmt.Errorf("write segment %s: it exists already, though no commit names it", n.info.file)
	}
	file, err := fs.Create(name)
	if err != nil {
		return fmt.Errorf("write segment: %w", err)
	}
	_, err = file.Write(n.raw)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("write segment %s: %w (is the disk full? nothing is lost: free space and run again)",
			n.info.file, err)
	}
	return nil
}

// syncNames makes the names of files durable. Synced.
func (w *Writer) syncNames(segments []*newSegment) error {
	folders := map[string]bool{}
	for _, n := range segments {
		if n.info.file != "" {
			folders[filepath.Dir(filepath.Join(w.store.dir, filepath.FromSlash(n.info.file)))] = true
		}
	}
	for _, folder := range slices.Sorted(maps.Keys(folders)) {
		if err := w.store.fs.SyncDir(folder); err != nil {
			return fmt.Errorf("sync folder of segments: %w", err)
		}
	}
	return nil
}

// discard removes files that no commit will name; what cannot be removed is swept at the next Lock.
func (w *Writer) discard(segments []*newSegment) {
	for _, n := range segments {
		if n.info.file != "" {
			_ = w.store.fs.Remove(filepath.Join(w.store.dir, filepath.FromSlash(n.info.file)))
		}
	}
}

// published makes the commit the state that readers of this process see.
func (w *Writer) published(ctx context.Context, s *state, p *plannedCommit) {
	fresh := s.clone()
	fresh.seq = p.seq
	fresh.changes++
	for _, d := range p.datasets {
		fresh.addDataset(d)
	}
	for i, n := range p.segments {
		fresh.add(n.info)
		w.store.cache.put(n.info, p.segments[i].block)
	}
	for key, groups := range p.covers {
		w.store.covers.add(key, groups)
	}
	w.store.publish(fresh, func() {
		for _, o := range p.outcomes {
			w.store.last.drop(o.dataset, o.rows)
		}
	})
}
