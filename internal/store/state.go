package store

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"

	"github.com/tapeline/tapeline/internal/market"
)

// segmentInfo is what the catalog says of a segment.
type segmentInfo struct {
	id              int64
	dataset         int32
	partition       market.Date
	lo, hi          Seq // the commits whose rows it holds
	rows, deletes   int64
	firstID, lastID int32 // instruments of the first key column; 0 where it is none
	from, to        market.Date
	bytes           int64
	checksum        int64
	file            string // below the store's folder; "" for a blob in the catalog
	retired         int64  // when a compaction replaced it, in Unix ns; 0 while it counts
	until           Seq    // hi of what replaced it
}

// fresh reports whether the segment holds one commit only, as no compaction's output does for long.
func (s *segmentInfo) fresh() bool { return s.lo == s.hi }

// state is what readers plan from. It is never altered once it is published.
type state struct {
	seq      Seq
	changes  int64 // of the catalog, when it was read
	horizon  Seq
	floor    Seq
	datasets map[string]*dataset
	byID     map[int32]*dataset
	segments map[int32]map[market.Date][]*segmentInfo // ascending by lo
}

func newState() *state {
	return &state{
		datasets: map[string]*dataset{}, byID: map[int32]*dataset{},
		segments: map[int32]map[market.Date][]*segmentInfo{},
	}
}

// clone returns a copy that may be altered; the lists of segments are shared until edit.
func (s *state) clone() *state {
	c := *s
	c.datasets, c.byID = map[string]*dataset{}, map[int32]*dataset{}
	maps.Copy(c.datasets, s.datasets)
	maps.Copy(c.byID, s.byID)
	c.segments = map[int32]map[market.Date][]*segmentInfo{}
	for id, parts := range s.segments {
		copied := make(map[market.Date][]*segmentInfo, len(parts))
		maps.Copy(copied, parts)
		c.segments[id] = copied
	}
	return &c
}

func (s *state) addDataset(d *dataset) {
	s.datasets[d.Name], s.byID[d.id] = d, d
}

// add puts a segment at its place: by the commits it holds, then by number.
func (s *state) add(info *segmentInfo) {
	parts := s.segments[info.dataset]
	if parts == nil {
		parts = map[market.Date][]*segmentInfo{}
		s.segments[info.dataset] = parts
	}
	list := slices.Clone(parts[info.partition])
	at := len(list)
	for at > 0 && (list[at-1].lo > info.lo || list[at-1].lo == info.lo && list[at-1].id > info.id) {
		at--
	}
	parts[info.partition] = slices.Insert(list, at, info)
}

func (s *state) remove(info *segmentInfo) {
	parts := s.segments[info.dataset]
	list := slices.DeleteFunc(slices.Clone(parts[info.partition]),
		func(o *segmentInfo) bool { return o.id == info.id })
	if parts[info.partition] = list; len(list) == 0 {
		delete(parts, info.partition)
	}
}

// partitions returns a dataset's partitions, ascending.
func (s *state) partitions(d *dataset) []market.Date {
	out := make([]market.Date, 0, len(s.segments[d.id]))
	for p := range s.segments[d.id] {
		out = append(out, p)
	}
	slices.Sort(out)
	return out
}

// ids returns the segments the state names.
func (s *state) ids() map[int64]bool {
	out := map[int64]bool{}
	for _, parts := range s.segments {
		for _, list := range parts {
			for _, info := range list {
				out[info.id] = true
			}
		}
	}
	return out
}

const segmentColumns = `id, dataset, partition, lo, hi, rows, deletes, first_id, last_id, from_date,
	to_date, bytes, checksum, file, retired, until`

func scanSegment(rows *sql.Rows) (*segmentInfo, error) {
	var i segmentInfo
	return &i, rows.Scan(&i.id, &i.dataset, &i.partition, &i.lo, &i.hi, &i.rows, &i.deletes, &i.firstID,
		&i.lastID, &i.from, &i.to, &i.bytes, &i.checksum, &i.file, &i.retired, &i.until)
}

// loadState reads the catalog within one transaction. asOf 0: as it is now.
func loadState(ctx context.Context, q querier, asOf Seq) (*state, error) {
	s := newState()
	if err := q.QueryRowContext(ctx, `SELECT seq, changes, horizon, floor FROM meta`).
		Scan(&s.seq, &s.changes, &s.horizon, &s.floor); err != nil {
		return nil, explain(err)
	}
	if asOf != 0 && asOf < s.horizon {
		return nil, fmt.Errorf("%w: commit %d lies before the history kept, which starts at %d (raise the "+
			"horizon to keep more)", ErrHorizon, asOf, s.horizon)
	}
	if asOf > s.seq {
		return nil, fmt.Errorf("%w: %d, the newest is %d", ErrFuture, asOf, s.seq)
	}
	err := each(ctx, q, func(rows *sql.Rows) error {
		var id int32
		var name, text string
		if err := rows.Scan(&id, &name, &text); err != nil {
			return err
		}
		d, err := parseDefinition(name, text)
		if err != nil {
			return err
		}
		d.id = id
		s.addDataset(d)
		return nil
	}, `SELECT id, name, definition FROM dataset`)
	if err != nil {
		return nil, err
	}
	// What a compaction replaced counts for commits before its output does.
	where, args := `retired = 0`, []any{}
	if asOf != 0 && asOf != s.seq {
		s.seq = asOf
		where, args = `hi <= ? AND (retired = 0 OR until > ?)`, []any{int64(asOf), int64(asOf)}
	}
	return s, each(ctx, q, func(rows *sql.Rows) error {
		info, err := scanSegment(rows)
		if err == nil {
			s.place(info)
		}
		return err
	}, `SELECT `+segmentColumns+` FROM segment WHERE `+where+` ORDER BY dataset, partition, lo, id`, args...)
}

// place appends a segment that comes in order.
func (s *state) place(info *segmentInfo) {
	if s.segments[info.dataset] == nil {
		s.segments[info.dataset] = map[market.Date][]*segmentInfo{}
	}
	parts := s.segments[info.dataset]
	parts[info.partition] = append(parts[info.partition], info)
}

// loadSymbols reads the instruments and the names.
func loadSymbols(ctx context.Context, q querier) (instruments, texts *symbols, err error) {
	instruments, texts = newSymbols(), newSymbols()
	load := func(into *symbols, query string) {
		if err != nil {
			return
		}
		err = each(ctx, q, func(rows *sql.Rows) error {
			var id int32
			var text string
			if err := rows.Scan(&id, &text); err != nil {
				return err
			}
			into.add(id, text)
			return nil
		}, query)
	}
	load(instruments, `SELECT id, symbol FROM instrument ORDER BY id`)
	load(texts, `SELECT id, text FROM name ORDER BY id`)
	if err != nil {
		return nil, nil, err
	}
	err = each(ctx, q, func(rows *sql.Rows) error {
		var text string
		var a alias
		if err := rows.Scan(&text, &a.valid.From, &a.valid.To, &a.instrument); err != nil {
			return err
		}
		instruments.byText[text] = append([]alias{a}, instruments.byText[text]...)
		return nil
	}, `SELECT symbol, valid_from, valid_to, instrument FROM alias ORDER BY symbol, valid_from DESC`)
	return instruments, texts, err
}

// loadCoverage reads all that is known of so many instruments.
func loadCoverage(ctx context.Context, q querier, instruments int) (*coverage, error) {
	c := newCoverage()
	err := each(ctx, q, func(rows *sql.Rows) error {
		var key coverKey
		var raw []byte
		if err := rows.Scan(&key.dataset, &key.freq, &key.source, &raw); err != nil {
			return err
		}
		groups, err := openCoverage(raw, instruments)
		if err != nil {
			return fmt.Errorf("%w: coverage of %s: %w", ErrCorrupt, key.dataset, err)
		}
		c.add(key, groups)
		return nil
	}, `SELECT dataset, freq, source, bytes FROM coverage ORDER BY id`)
	return c, err
}
