package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/tapeline/tapeline/internal/market"
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
		message := s.verify(ctx, now.byID[info.dataset], info)
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

// verify returns what is wrong with a segment, "" when nothing is.
func (s *Store) verify(ctx context.Context, d *dataset, info *segmentInfo) string {
	if d == nil {
		return fmt.Sprintf("the catalog does not name its dataset %d", info.dataset)
	}
	raw, err := s.cache.raw(ctx, info)
	if err != nil {
		return err.Error()
	}
	if int64(len(raw)) != info.bytes || int64(xxhash.Sum64(raw)) != info.checksum {
		return fmt.Sprintf("%d bytes with checksum %x, the catalog says %d with %x: restore it from a backup",
			len(raw), xxhash.Sum64(raw), info.bytes, uint64(info.checksum))
	}
	b, err := decodeSegment(d, info.place(), raw)
	if err == nil {
		err = info.check(b.Len())
	}
	if err != nil {
		return err.Error()
	}
	if !b.Sorted() {
		return "its keys do not ascend"
	}
	for row := range b.Len() {
		if d.fields[0].instrument {
			if id := b.Vectors[0].Int32s[row]; id < info.firstID || id > info.lastID {
				return fmt.Sprintf("row %d: instrument %d lies outside the catalog's bounds", row, id)
			}
		}
		if date := d.dateAt(b, row); d.timeAt >= 0 && (date < info.from || date > info.to) {
			return fmt.Sprintf("row %d: date %s lies outside the catalog's bounds", row, date)
		}
		if seq := Seq(b.Vectors[d.own(seqOffset)].Int64s[row]); seq < info.lo || seq > info.hi {
			return fmt.Sprintf("row %d: commit %d lies outside %d..%d", row, seq, info.lo, info.hi)
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
