package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/store/segment"
)

// When a partition is compacted.
const (
	compactSegments = 16     // overlapping segments, when they hold a tenth of the rows
	compactAlways   = 64     // segments, whatever they hold
	foldBlobs       = 64     // blobs that follow each other
	foldRows        = 20_000 // rows of such blobs
	// outputRows is what an output holds at most, unless one instrument has more: one row group.
	outputRows = segment.GroupRows
)

// Compaction is what Compact did.
type Compaction struct {
	Partitions, Inputs, Outputs int
	Rows, Bytes                 int64 // of the outputs
	Collected                   int   // segments that no reader needs any more
	FreedBytes                  int64
}

// Compact merges segments where that pays, or wherever there are two when all is asked for, and
// collects what no reader can want any more. It is no commit: no row changes. Committed.
func (w *Writer) Compact(ctx context.Context, all bool) (Compaction, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var total Compaction
	if err := w.usable(); err != nil {
		return total, err
	}
	s, err := w.store.refresh(ctx)
	if err != nil {
		return total, err
	}
	for _, d := range s.byID {
		for _, partition := range s.partitions(d) {
			if err := context.Cause(ctx); err != nil {
				return total, err
			}
			run := s.compactable(s.segments[d.id][partition], all)
			if len(run) == 0 {
				continue
			}
			if err := w.compact(ctx, d, partition, run, &total); err != nil {
				return total, fmt.Errorf("compact %s of %d: %w", d.Name, partition, err)
			}
		}
	}
	if err = w.collect(ctx, &total); err == nil {
		err = w.forget(ctx)
	}
	if total.Inputs+total.Collected > 0 {
		w.store.cfg.Log.Info("compacted the store", "inputs", total.Inputs, "outputs", total.Outputs,
			"rows", total.Rows, "collected", total.Collected)
	}
	return total, err
}

// compactable returns the run of a partition's segments to merge; none when it does not pay.
func (s *state) compactable(list []*segmentInfo, all bool) []*segmentInfo {
	var rows, deletes, largest int64
	distinct := map[Seq]bool{} // the outputs of one compaction lie beside each other: they count once
	for _, info := range list {
		rows += info.rows
		deletes += info.deletes
		largest = max(largest, info.rows)
		distinct[info.lo] = true
	}
	switch n := len(distinct); {
	case n < 2:
		return nil
	case all, n >= compactAlways, n >= compactSegments && (rows-largest)*10 >= rows:
		return list
	}
	var blobs []*segmentInfo
	var blobRows int64
	for _, info := range list {
		if info.file != "" {
			blobs, blobRows = nil, 0
			continue
		}
		blobs = append(blobs, info)
		blobRows += info.rows
	}
	if len(blobs) >= foldBlobs || len(blobs) > 1 && blobRows >= foldRows {
		return blobs
	}
	return nil
}

// compact merges a contiguous run of one partition's segments.
func (w *Writer) compact(
	ctx context.Context, d *dataset, partition market.Date, run []*segmentInfo, total *Compaction,
) error {
	s, err := w.store.refresh(ctx)
	if err != nil {
		return err
	}
	m := &merging{writer: w, dataset: d, partition: partition, lo: run[0].lo, hi: run[0].hi}
	for _, info := range run {
		m.lo, m.hi = min(m.lo, info.lo), max(m.hi, info.hi)
	}
	hi := m.hi
	first := s.segments[d.id][partition][0].id == run[0].id
	drop, err := w.droppable(ctx, first, hi)
	if err != nil {
		return err
	}
	err = m.merge(ctx, run, drop)
	outputs, dropped := m.outputs, false
	if err == nil {
		err = w.syncNames(outputs)
	}
	if err != nil {
		w.discard(outputs)
		return err
	}
	for _, info := range run {
		dropped = dropped || drop && info.deletes > 0
	}
	err = w.store.catalog.change(ctx, func(ctx context.Context, tx *sql.Conn) error {
		t := &transaction{ctx: ctx, tx: tx}
		t.one(fmt.Errorf("%w: another process has taken the writer lock", ErrFenced),
			`UPDATE meta SET changes = changes + 1 WHERE token = ? AND seq = ?`, w.token, int64(s.seq))
		if dropped {
			t.exec(`UPDATE meta SET floor = max(floor, ?)`, int64(hi))
		}
		now := time.Now().UnixNano()
		for _, info := range run {
			t.exec(`UPDATE segment SET retired = ?, until = ? WHERE id = ?`, now, int64(hi), info.id)
		}
		for _, n := range outputs {
			t.segment(n)
		}
		return t.err
	})
	if err = w.settle(ctx, s, err); err != nil {
		if w.broken == nil {
			w.discard(outputs)
		}
		return err
	}
	w.compacted(ctx, s, run, m, dropped)
	total.Partitions++
	total.Inputs, total.Outputs = total.Inputs+len(run), total.Outputs+len(outputs)
	for _, n := range outputs {
		total.Rows, total.Bytes = total.Rows+n.info.rows, total.Bytes+n.info.bytes
	}
	return nil
}

// compacted makes the outputs what readers of this process see.
func (w *Writer) compacted(ctx context.Context, s *state, run []*segmentInfo, m *merging, dropped bool) {
	fresh := s.clone()
	fresh.changes++
	if dropped {
		fresh.floor = max(fresh.floor, m.hi)
	}
	for _, info := range run {
		fresh.remove(info)
	}
	for _, n := range m.outputs {
		fresh.add(n.info)
	}
	w.store.publish(fresh, func() {})
	for _, info := range run {
		w.store.cache.forget(info)
	}
}

// droppable reports whether tombstones may go: only from a run that starts at the oldest segment and
// lies past the horizon of time and behind every cursor.
// invariant: a tombstone goes only when nothing it hides and no reader that waits for it is left
func (w *Writer) droppable(ctx context.Context, first bool, hi Seq) (bool, error) {
	if !first {
		return false, nil
	}
	cursors, err := w.store.Cursors(ctx)
	if err != nil {
		return false, err
	}
	for _, c := range cursors {
		if c.Seq < hi {
			return false, nil
		}
	}
	var committed int64
	err = w.store.catalog.db.QueryRowContext(ctx, `SELECT time FROM journal WHERE seq = ?`, int64(hi)).
		Scan(&committed)
	if errors.Is(err, sql.ErrNoRows) {
		return true, nil // the journal has forgotten it
	}
	return time.Since(time.Unix(0, committed)) > w.store.cfg.Horizon, explain(err)
}

// merging writes what results from a run of segments, a bounded number of rows at a time.
type merging struct {
	writer    *Writer
	dataset   *dataset
	partition market.Date
	lo, hi    Seq

	rows    *segment.Block // that wait to become a segment
	raw     []byte         // of the segment before: memory for the next
	outputs []*newSegment
}

// merge reads the run in pieces and writes the outputs. Synced: their bytes. Outputs that were begun are
// named when it fails.
func (m *merging) merge(ctx context.Context, run []*segmentInfo, drop bool) error {
	d := m.dataset
	read := &walk{
		view: &View{store: m.writer.store}, dataset: d, deletes: !drop, arena: &arena{}, held: &held{},
	}
	defer read.held.close()
	bounds, err := read.bounds(ctx, run, chunkRows)
	if err != nil {
		return err
	}
	only := newState()
	only.byID[d.id] = d
	only.segments[d.id] = map[market.Date][]*segmentInfo{m.partition: run}
	m.rows = d.block(d.width())
	for _, in := range bounds {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		runs, err := read.partition(ctx, only, m.partition, in)
		if err != nil {
			return err
		}
		if m.rows.Len()+segment.RunsLen(runs) > outputRows {
			if err := m.flush(); err != nil {
				return err
			}
		}
		m.rows.AppendRuns(runs)
	}
	return m.flush()
}

// flush makes a segment of the rows that wait. Synced: its bytes.
func (m *merging) flush() error {
	w, d := m.writer, m.dataset
	if m.rows.Len() == 0 {
		return nil
	}
	raw, err := encodeSegment(m.raw[:0], m.rows, true, w.store.symbols)
	if err != nil {
		return fmt.Errorf("encode segment of %s: %w", d.Name, err)
	}
	n := &newSegment{info: w.describe(d, m.partition, m.rows, raw), raw: raw}
	n.info.lo, n.info.hi = m.lo, m.hi
	n.info.file = w.fileName(d, n.info)
	m.outputs = append(m.outputs, n)
	err = w.writeFile(n)
	m.raw, n.raw = raw, nil
	m.rows.Reset(d.layout, nil)
	return err
}

// collect removes what compactions replaced once no cursor, lease, view or horizon needs it.
func (w *Writer) collect(ctx context.Context, total *Compaction) error {
	s, err := w.store.refresh(ctx)
	if err != nil {
		return err
	}
	pinned, horizon := w.store.pinned(), Seq(0)
	var gone []*segmentInfo
	err = w.store.catalog.change(ctx, func(ctx context.Context, tx *sql.Conn) (err error) {
		horizon = 0 // the transaction may be repeated
		// Within the transaction, as a reader may take a lease at any moment before.
		if gone, err = w.collectable(ctx, tx, s, pinned); err != nil || len(gone) == 0 {
			return err
		}
		for _, info := range gone {
			horizon = max(horizon, info.until)
		}
		t := &transaction{ctx: ctx, tx: tx}
		t.one(fmt.Errorf("%w: another process has taken the writer lock", ErrFenced),
			`UPDATE meta SET changes = changes + 1, horizon = max(horizon, ?) WHERE token = ?`,
			int64(horizon), w.token)
		for _, info := range gone {
			t.exec(`DELETE FROM blob WHERE segment = ?`, info.id)
			t.exec(`DELETE FROM segment WHERE id = ?`, info.id)
		}
		return t.err
	})
	if err == nil && len(gone) == 0 {
		return nil
	}
	if err = w.settle(ctx, s, err); err != nil {
		return fmt.Errorf("collect segments: %w", err)
	}
	fresh := s.clone()
	fresh.changes++
	fresh.horizon = max(fresh.horizon, horizon)
	w.store.publish(fresh, func() {})
	folders := map[string]bool{}
	for _, info := range gone {
		total.Collected++
		total.FreedBytes += info.bytes
		w.store.cache.forget(info)
		if info.file == "" {
			continue
		}
		name := filepath.Join(w.store.dir, filepath.FromSlash(info.file))
		if err := w.store.fs.Remove(name); err != nil {
			return fmt.Errorf("collect segments: %w", err)
		}
		folders[filepath.Dir(name)] = true
	}
	for folder := range folders {
		if err := w.store.fs.SyncDir(folder); err != nil {
			return fmt.Errorf("collect segments: %w", err)
		}
	}
	return nil
}

// collectable returns the replaced segments that may go, oldest first.
func (w *Writer) collectable(
	ctx context.Context, q querier, s *state, pinned map[int64]bool,
) ([]*segmentInfo, error) {
	var retired []*segmentInfo
	err := each(ctx, q, func(rows *sql.Rows) error {
		info, err := scanSegment(rows)
		retired = append(retired, info)
		return err
	}, `SELECT `+segmentColumns+` FROM segment WHERE retired <> 0 ORDER BY retired, id`)
	if err != nil || len(retired) == 0 {
		return nil, err
	}
	least, err := leastWanted(ctx, q)
	if err != nil || least == 0 {
		return nil, err
	}
	var live, kept int64
	for _, parts := range s.segments {
		for _, list := range parts {
			for _, info := range list {
				live += info.bytes
			}
		}
	}
	for _, info := range retired {
		kept += info.bytes
	}
	old := time.Now().Add(-w.store.cfg.Horizon).UnixNano()
	room := int64(w.store.cfg.HorizonShare * float64(live))
	return slices.DeleteFunc(retired, func(info *segmentInfo) bool {
		if info.retired > old && kept <= room || info.hi > least || pinned[info.id] {
			return true
		}
		kept -= info.bytes
		return false
	}), nil
}

// leastWanted returns the earliest commit that a cursor has yet to go on from; 0 while an earlier commit is
// being read, which may need anything.
func leastWanted(ctx context.Context, q querier) (Seq, error) {
	least := int64(maxLong)
	err := q.QueryRowContext(ctx, `SELECT coalesce(min(seq), ?) FROM (
		SELECT seq FROM cursor WHERE expires > ? UNION ALL SELECT 0 FROM lease WHERE expires > ?)`,
		least, time.Now().UnixNano(), time.Now().UnixNano()).Scan(&least)
	return Seq(least), explain(err)
}

// pinned returns the segments that open views of this process read.
func (s *Store) pinned() map[int64]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[int64]bool{}
	for v := range s.views {
		for id := range v.plan().ids() {
			out[id] = true
		}
	}
	return out
}
