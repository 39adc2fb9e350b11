package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/store/segment"
)

// positionVersion is the first byte of a position.
const positionVersion = 1

// place is where a source's stream stands: rows of a partition are counted in order of the key, which
// is the same whatever a compaction did.
type place struct {
	Seq       Seq         `json:"seq"`
	After     Seq         `json:"after,omitempty"` // what was read by runs before
	Partition market.Date `json:"partition"`
	Rows      int         `json:"rows"` // read of the partition
	Done      bool        `json:"done,omitempty"`

	Codes string `json:"codes,omitempty"` // of instruments, as the rows are read
	Again bool   `json:"again,omitempty"` // everything is read, since codes changed
	Code  int    `json:"code,omitempty"`  // former codes of which all keys were deleted
	Gone  int    `json:"gone,omitempty"`  // keys deleted of the next of them
}

func (p place) position() (connector.Position, error) {
	text, err := json.Marshal(p)
	return append(connector.Position{positionVersion}, text...), err
}

func parsePlace(raw connector.Position) (place, error) {
	var p place
	if len(raw) == 0 || raw[0] != positionVersion {
		return p, fmt.Errorf("position is of another version; start with --fresh")
	}
	err := json.Unmarshal(raw[1:], &p)
	if err == nil && min(p.Rows, p.Code, p.Gone) < 0 || min(p.Seq, p.After) < 0 {
		err = errors.New("negative number")
	}
	return p, err
}

// source reads one dataset as of one commit.
type source struct {
	cfg      SourceConfig
	env      connector.Env
	span     Range
	rowBytes int

	mu    sync.Mutex
	store *Store
	view  *View
	walk  *walk
	at    place

	partitions []market.Date // from the present one on
	bounds     []*bound      // of the present partition, what is left; nil before it is begun
	rows       []segment.Run // that were read and not handed out yet
	skip       int           // rows of the partition read before
	recoding   recoding
}

var _ connector.Source = (*source)(nil)

func newSource(env connector.Env, cfg SourceConfig) (*source, error) {
	s := &source{cfg: cfg, env: env, span: Range{Symbols: cfg.Symbols}}
	if cfg.From != "" || cfg.To != "" {
		s.span.From, s.span.To, s.span.exact = market.MinDate, market.MaxDate, true
	}
	const op = "read store"
	if cfg.Path == "" || cfg.Dataset == "" {
		return nil, misuse(op, "path and dataset: required")
	}
	for _, bound := range []struct {
		key, text string
		into      *market.Date
	}{{"from", cfg.From, &s.span.From}, {"to", cfg.To, &s.span.To}} {
		if bound.text == "" {
			continue
		}
		date, err := market.ParseDate(bound.text)
		if err != nil {
			return nil, misuse(op, "%s: %w", bound.key, err)
		}
		*bound.into = date
	}
	if cfg.From != "" && cfg.To != "" && s.span.From > s.span.To {
		return nil, misuse(op, "from %s is after to %s", cfg.From, cfg.To)
	}
	if cfg.Incremental && cfg.AsOf != 0 {
		return nil, misuse(op, "as_of fixes the commit, incremental follows it: give one of them")
	}
	return s, nil
}

// Open plans the read, or what of it follows the position.
func (s *source) Open(ctx context.Context, _ connector.Partition, position connector.Position) error {
	const op = "open store"
	if err := context.Cause(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	at := place{Seq: Seq(s.cfg.AsOf)}
	if position != nil {
		var err error
		if at, err = parsePlace(position); err != nil {
			return misuse(op, "%w", err)
		}
	}
	var err error
	if s.store, err = Open(s.cfg.Path, Config{Existing: true}); err != nil {
		return classify(op, err)
	}
	goesOn := at.Done && s.cfg.Incremental
	if goesOn {
		at = place{After: at.Seq, Codes: at.Codes}
	}
	if s.view, err = s.store.View(ctx, at.Seq); err != nil {
		return classify(op, err)
	}
	if at.Seq = s.view.Seq(); s.view.lease == 0 {
		if err = s.view.hold(ctx); err != nil {
			return classify(op, err)
		}
	}
	if floor := s.view.plan().floor; at.After != 0 && at.After < floor {
		return misuse(op, "%w: the last run read up to commit %d, deletes are kept from commit %d on: "+
			"start with --fresh", ErrHorizon, at.After, floor)
	}
	if err = s.recode(&at, position != nil); err != nil {
		return err
	}
	s.at = at
	return classify(op, s.plan())
}

func (s *source) plan() error {
	if s.span.After = s.at.After; s.at.Again {
		s.span.After = 0
	}
	if err := s.view.Known(s.cfg.Symbols); err != nil {
		return err
	}
	state := s.view.plan()
	var columns []string
	if len(s.cfg.Columns) > 0 {
		columns = s.cfg.Columns
	}
	w, err := s.view.newWalk(state, s.cfg.Dataset, s.span, columns)
	if err != nil {
		return err
	}
	s.walk, w.deletes, w.held = w, s.at.After != 0 || s.at.Again, &held{}
	const cellBytes = 16
	s.rowBytes = cellBytes * len(w.out.fields)
	for _, p := range w.partitions(state) {
		if p >= s.at.Partition || s.at.Rows == 0 && s.at.Partition == 0 {
			s.partitions = append(s.partitions, p)
		}
	}
	if len(s.partitions) > 0 && s.partitions[0] == s.at.Partition {
		s.skip = s.at.Rows
	}
	return nil
}

// Read returns the next rows, or io.EOF with the position that ends the stream.
func (s *source) Read(ctx context.Context) (connector.Chunk, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	const op = "read store"
	for {
		if err := context.Cause(ctx); err != nil {
			return connector.Chunk{}, err
		}
		if s.view == nil {
			return connector.Chunk{}, classify(op, ErrClosed)
		}
		if s.at.Done {
			return s.end()
		}
		if s.at.Code < len(s.recoding.codes) {
			if chunk, ok, err := s.forget(); ok || err != nil {
				return chunk, classify(op, err)
			}
			continue
		}
		if len(s.rows) > 0 {
			return s.next()
		}
		if err := s.advance(ctx); err != nil {
			return connector.Chunk{}, classify(op, err)
		}
	}
}

func (s *source) end() (connector.Chunk, error) {
	position, err := s.at.position()
	if err == nil {
		err = io.EOF
	}
	return connector.Chunk{Position: position}, err
}

// next hands over rows that were read.
func (s *source) next() (connector.Chunk, error) {
	limits := s.env.Budget.Limits()
	n := max(1, min(limits.Rows, limits.Bytes/s.rowBytes))
	head, rest := segment.SplitRuns(s.rows, n)
	n = segment.RunsLen(head)
	rows, err := s.walk.finish(head)
	if err != nil {
		return connector.Chunk{}, classify("read store", err)
	}
	s.rows = rest
	s.at.Rows += n
	position, err := s.at.position()
	rows = rows.WithOrigin(&batch.Origin{Name: s.cfg.Path + " " + s.cfg.Dataset, Record: int64(s.at.Rows-n) + 1})
	return connector.Chunk{Batch: rows, Position: position, Bytes: n * s.rowBytes}, err
}

// advance reads the next block, or begins the next partition, or ends the stream.
func (s *source) advance(ctx context.Context) error {
	s.rows = nil
	if len(s.partitions) == 0 {
		s.at = place{Seq: s.at.Seq, After: s.at.After, Codes: s.at.Codes, Done: true}
		return nil
	}
	partition := s.partitions[0]
	if s.bounds == nil {
		s.at.Partition, s.at.Rows = partition, s.skip
		return s.view.again(ctx, func(state *state) (err error) {
			s.bounds, err = s.walk.bounds(ctx, state.segments[s.walk.dataset.id][partition], chunkRows)
			return err
		})
	}
	if len(s.bounds) == 0 {
		s.bounds, s.partitions, s.skip = nil, s.partitions[1:], 0
		s.walk.held.close()
		return nil
	}
	in := s.bounds[0]
	s.bounds = s.bounds[1:]
	return s.view.again(ctx, func(state *state) error {
		runs, err := s.walk.partition(ctx, state, partition, in)
		if err != nil {
			return err
		}
		before, rest := segment.SplitRuns(runs, s.skip)
		s.rows = rest
		s.skip -= segment.RunsLen(before)
		return nil
	})
}

// cursorTime is how long deletes wait for the next run of an incremental read.
const cursorTime = 30 * 24 * time.Hour

// Ack keeps what the next run will need.
func (s *source) Ack(ctx context.Context, position connector.Position) error {
	at, err := parsePlace(position)
	if err != nil || !at.Done || !s.cfg.Incremental {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.store == nil {
		return nil
	}
	return s.store.SetCursor(ctx, Cursor{
		Name: s.env.Workflow + "/" + s.env.Node, Seq: at.Seq, Expires: time.Now().Add(cursorTime),
	})
}

// Close releases the view.
func (s *source) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	if s.walk != nil {
		s.walk.held.close()
	}
	if s.recoding.next != nil {
		s.recoding.stop()
	}
	if s.view != nil {
		errs = append(errs, s.view.Close())
	}
	if s.store != nil {
		errs = append(errs, s.store.Close())
	}
	s.view, s.store, s.rows, s.recoding = nil, nil, nil, recoding{}
	return errors.Join(errs...)
}

// Discover returns the columns the source will deliver.
func (s *source) Discover(context.Context) (*batch.Schema, error) {
	store, err := Open(s.cfg.Path, Config{Existing: true})
	if err != nil {
		return nil, classify("discover store", err)
	}
	d, err := store.dataset(store.state, s.cfg.Dataset)
	if err == nil {
		var o *outward
		var columns []string
		if len(s.cfg.Columns) > 0 {
			columns = s.cfg.Columns
		}
		if o, err = newOutward(d, store.symbols, columns); err == nil {
			return o.schema, store.Close()
		}
	}
	return nil, errors.Join(classify("discover store", err), store.Close())
}
