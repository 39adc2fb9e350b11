package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/cespare/xxhash/v2"

	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/store/segment"
)

// Problem is one thing Verify found.
type Problem struct {
	Place, Message string
	Segment        *Extent // the segment that is damaged; nil: it is the catalog itself
}

// Verify has the catalog checked, reads every segment, also those kept for earlier commits, and
// compares checksums, counts, bounds and the order of keys with the catalog. progress, unless nil,
// is told how many segments were read.
func (s *Store) Verify(ctx context.Context, progress func(read, all int)) ([]Problem, error) {
	now, err := s.refresh(ctx)
	if err != nil {
		return nil, err
	}
	var all []*segmentInfo
	err = each(ctx, s.catalog.db, func(rows *sql.Rows) error {
		info, err := scanSegment(rows)
		all = append(all, info)
		return err
	}, `SELECT `+segmentColumns+` FROM segment ORDER BY id`)
	if err != nil {
		return nil, err
	}
	found, err := s.verifyCatalog(ctx)
	if err != nil {
		return nil, err
	}
	for i, info := range all {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		if progress != nil {
			progress(i, len(all))
		}
		message, err := s.verify(ctx, now.byID[info.dataset], info)
		if err != nil {
			return nil, err
		}
		if message == "" {
			continue
		}
		var still bool // another process may have collected it meanwhile
		if err := s.catalog.db.QueryRowContext(ctx, `SELECT count(*) FROM segment WHERE id = ? AND checksum = ?`,
			info.id, info.checksum).Scan(&still); err != nil {
			return nil, explain(err)
		}
		if still {
			found = append(found, Problem{info.place(), message, s.extent(now.byID[info.dataset], info)})
		}
	}
	return found, nil
}

// verifyCatalog has the database compare its tables with their indexes.
func (s *Store) verifyCatalog(ctx context.Context) ([]Problem, error) {
	var found []Problem
	err := each(ctx, s.catalog.db, func(rows *sql.Rows) error {
		var message string
		err := rows.Scan(&message)
		if message != "ok" {
			found = append(found, Problem{Place: CatalogName, Message: message + ": restore it from a backup"})
		}
		return err
	}, `PRAGMA integrity_check`)
	return found, err
}

// verify returns what is wrong with a segment, "" when nothing is. What cannot be read now and may be read
// later is no damage, for which a repair would give the segment up.
// invariant: a segment is damaged by what its bytes are, not by a read that failed
func (s *Store) verify(ctx context.Context, d *dataset, info *segmentInfo) (message string, err error) {
	if d == nil {
		return fmt.Sprintf("the catalog does not name its dataset %d", info.dataset), nil
	}
	content, size, done, err := s.contents(ctx, info)
	if err != nil {
		return lost(err)
	}
	defer done()
	watched := &watchedReader{ReaderAt: content}
	message = inspect(d, info, watched, size)
	if watched.failure != nil {
		return lost(fmt.Errorf("read segment %s: %w", info.place(), watched.failure))
	}
	return message, nil
}

// watchedReader remembers a read that failed.
type watchedReader struct {
	io.ReaderAt

	failure error
}

// ReadAt reads, and remembers where that fails but for the end.
func (r *watchedReader) ReadAt(p []byte, offset int64) (int, error) {
	n, err := r.ReaderAt.ReadAt(p, offset)
	if err != nil && !errors.Is(err, io.EOF) {
		r.failure = err
	}
	return n, err
}

// inspect returns what is wrong with the bytes of a segment, "" when nothing is.
func inspect(d *dataset, info *segmentInfo, content io.ReaderAt, size int64) string {
	hash := xxhash.New()
	if _, err := io.Copy(hash, io.NewSectionReader(content, 0, size)); err != nil {
		return err.Error()
	}
	if sum := hash.Sum64(); size != info.bytes || int64(sum) != info.checksum {
		return fmt.Sprintf("%d bytes with checksum %x, the catalog says %d with %x: restore it from a backup",
			size, sum, info.bytes, uint64(info.checksum))
	}
	p, err := openSegment(d, info.place(), content, size)
	if err == nil {
		err = info.check(p.rows())
	}
	if err != nil {
		return err.Error()
	}
	return verifyRows(d, info, p.reader)
}

// lost returns why a segment that does not read is damaged: it is not there, or the disk itself has lost
// bytes of it. Any other error is one of reading, and returned.
func lost(err error) (message string, _ error) {
	for _, gone := range []error{fs.ErrNotExist, sql.ErrNoRows, ErrCorrupt, syscall.EIO} {
		if errors.Is(err, gone) {
			return err.Error(), nil
		}
	}
	return "", err
}

// contents opens the bytes of a segment; done closes them.
func (s *Store) contents(ctx context.Context, info *segmentInfo) (in io.ReaderAt, size int64, done func(), err error) {
	if info.file == "" {
		raw, err := s.cache.raw(ctx, info)
		return bytes.NewReader(raw), int64(len(raw)), func() {}, err
	}
	file, err := s.fs.Open(filepath.Join(s.dir, filepath.FromSlash(info.file)))
	if err != nil {
		return nil, 0, nil, fmt.Errorf("open segment: %w", err)
	}
	done = func() { _ = file.Close() } // it was only read
	if size, err = file.Size(); err != nil {
		done()
		return nil, 0, nil, fmt.Errorf("read segment %s: %w", info.file, err)
	}
	return file, size, done, nil
}

// verifiedRows is how many rows are verified at a time.
const verifiedRows = 32 << 10

// verifyRows reads the rows of a segment in order, a part after the other, so that its size does not
// matter to the memory that takes.
func verifyRows(d *dataset, info *segmentInfo, r *segment.Reader) string {
	const step = verifiedRows
	block, before := segment.NewBlock(d.layout), segment.NewBlock(d.layout)
	for from := int64(0); from < info.rows; from += step {
		if err := damaged(r.Read(block, nil, segment.Range{From: from, To: min(from+step, info.rows)})); err != nil {
			return err.Error()
		}
		if !block.Sorted() || before.Len() > 0 && segment.CompareKeys(before, 0, block, 0) >= 0 {
			return "its keys do not ascend"
		}
		if message := d.verifyBounds(info, block, int(from)); message != "" {
			return message
		}
		before.Reset(d.layout, nil)
		before.AppendRange(block, block.Len()-1, block.Len())
	}
	return ""
}

// verifyBounds compares rows, the first of which is row from of the segment, with what the catalog says.
func (d *dataset) verifyBounds(info *segmentInfo, b *segment.Block, from int) string {
	for row := range b.Len() {
		if d.fields[0].instrument {
			if id := b.Vectors[0].Int32s[row]; id < info.firstID || id > info.lastID {
				return fmt.Sprintf("row %d: instrument %d lies outside the catalog's bounds", from+row, id)
			}
		}
		if date := d.dateAt(b, row); d.timeAt >= 0 && (date < info.from || date > info.to) {
			return fmt.Sprintf("row %d: date %s lies outside the catalog's bounds", from+row, date)
		}
		if seq := Seq(b.Vectors[d.own(seqOffset)].Int64s[row]); seq < info.lo || seq > info.hi {
			return fmt.Sprintf("row %d: commit %d lies outside %d..%d", from+row, seq, info.lo, info.hi)
		}
	}
	return ""
}

// Stats are sizes of a dataset, for reports.
type Stats struct {
	Dataset         string
	Rows            int64 // of live segments, replaced rows included
	Bytes           int64
	Segments, Blobs int // Blobs are among Segments
	Uncompacted     int // segments that hold one commit's rows
	First, Last     market.Date
	RetiredBytes    int64 // kept for earlier commits
}

// Stats returns the sizes of every dataset that has rows, by name.
func (s *Store) Stats(ctx context.Context) ([]Stats, error) {
	now, err := s.refresh(ctx)
	if err != nil {
		return nil, err
	}
	byName := map[string]*Stats{}
	of := func(info *segmentInfo) *Stats {
		name := now.byID[info.dataset].Name
		if byName[name] == nil {
			byName[name] = &Stats{Dataset: name, First: info.from, Last: info.to}
		}
		return byName[name]
	}
	for _, parts := range now.segments {
		for _, list := range parts {
			for _, info := range list {
				st := of(info)
				st.Rows, st.Bytes = st.Rows+info.rows, st.Bytes+info.bytes
				st.First, st.Last = min(st.First, info.from), max(st.Last, info.to)
				st.Segments++
				if info.file == "" {
					st.Blobs++
				}
				if info.fresh() {
					st.Uncompacted++
				}
			}
		}
	}
	err = each(ctx, s.catalog.db, func(rows *sql.Rows) error {
		var id int32
		var bytes int64
		err := rows.Scan(&id, &bytes)
		if d := now.byID[id]; d != nil && byName[d.Name] != nil {
			byName[d.Name].RetiredBytes = bytes
		}
		return err
	}, `SELECT dataset, sum(bytes) FROM segment WHERE retired <> 0 GROUP BY dataset`)
	if err != nil {
		return nil, err
	}
	out := make([]Stats, 0, len(byName))
	for _, st := range byName {
		out = append(out, *st)
	}
	slices.SortFunc(out, func(a, b Stats) int {
		if a.Dataset < b.Dataset {
			return -1
		}
		return 1
	})
	return out, nil
}
