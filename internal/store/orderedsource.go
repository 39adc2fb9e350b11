package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"sync"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/market"
)

// orderedSource reads one dataset as of one commit in order of the key's texts.
type orderedSource struct {
	cfg  SourceConfig
	env  connector.Env
	want Ordered

	mu    sync.Mutex
	store *Store
	view  *View
	read  *orderedRead
	at    orderedPlace

	groups [][]string // from the present one on
	next   func() (*batch.Batch, error, bool)
	stop   func()
	rows   *batch.Batch
	row    int // next of rows
	skip   int // rows of the groups read before
}

var _ connector.Source = (*orderedSource)(nil)

// orderedPlace is where the stream stands: rows since a symbol's first, which no grouping changes.
type orderedPlace struct {
	Seq  Seq    `json:"seq"`
	From string `json:"from"`
	Rows int    `json:"rows"`
	Done bool   `json:"done,omitempty"`
}

// orderedVersion is the first byte of a position.
const orderedVersion = 2

// adjustments are the values of setting adjust.
func adjustments() map[string]market.Adjustment {
	return map[string]market.Adjustment{
		"": market.Raw, "none": market.Raw, "forward": market.Forward, "backward": market.Backward,
	}
}

func newOrderedSource(env connector.Env, plain *source) (*orderedSource, error) {
	cfg := plain.cfg
	if cfg.Incremental {
		return nil, misuse("read store", "incremental follows the commits: leave order and adjust out")
	}
	how, ok := adjustments()[cfg.Adjust]
	if !ok {
		return nil, misuse("read store", "adjust %q: want none, forward or backward", cfg.Adjust)
	}
	if cfg.Order != "" && cfg.Order != "key" && (cfg.Order != "stored" || how != market.Raw) {
		return nil, misuse("read store", "order %q: want stored or key; adjusted prices come in order of the key", cfg.Order)
	}
	return &orderedSource{cfg: cfg, env: env, want: Ordered{
		Dataset: cfg.Dataset, Range: plain.span, Columns: cfg.Columns, Adjust: how,
	}}, nil
}

// Open plans the read, or what of it follows the position.
func (s *orderedSource) Open(ctx context.Context, _ connector.Partition, position connector.Position) error {
	const op = "open store"
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at = orderedPlace{Seq: Seq(s.cfg.AsOf)}
	if position != nil {
		if position[0] != orderedVersion {
			return misuse(op, "position is of another order; start with --fresh")
		}
		if err := json.Unmarshal(position[1:], &s.at); err != nil {
			return misuse(op, "position: %w", err)
		}
	}
	var err error
	if s.store, err = Open(s.cfg.Path, Config{Existing: true}); err != nil {
		return classify(op, err)
	}
	if s.view, err = s.store.View(ctx, s.at.Seq); err != nil {
		return classify(op, err)
	}
	if err = s.view.Known(s.cfg.Symbols); err != nil {
		return classify(op, err)
	}
	if s.at.Seq = s.view.Seq(); s.view.lease == 0 {
		if err = s.view.hold(ctx); err != nil {
			return classify(op, err)
		}
	}
	if s.read, err = s.view.orderedRead(s.want); err != nil {
		return classify(op, err)
	}
	s.groups, s.skip = s.read.groups(s.at.From), s.at.Rows
	return nil
}

// Read returns the next rows, or io.EOF with the position that ends the stream.
func (s *orderedSource) Read(ctx context.Context) (connector.Chunk, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case context.Cause(ctx) != nil:
			return connector.Chunk{}, context.Cause(ctx)
		case s.view == nil:
			return connector.Chunk{}, classify("read store", ErrClosed)
		case s.at.Done || s.next == nil && len(s.groups) == 0:
			s.at = orderedPlace{Seq: s.at.Seq, Done: true}
			position, err := s.position()
			return connector.Chunk{Position: position}, errors.Join(err, io.EOF)
		case s.rows != nil && s.row < s.rows.Rows():
			return s.chunk()
		}
		if err := s.advance(); err != nil {
			return connector.Chunk{}, classify("read store", err)
		}
	}
}

// advance reads the next rows of the group, or begins the next group.
func (s *orderedSource) advance() error {
	if s.next == nil {
		if group := s.groups[0]; s.skip == 0 && len(group) > 0 {
			s.at.From, s.at.Rows = group[0], 0
		}
		s.next, s.stop = iter.Pull2(s.read.rows(s.groups[0]))
		s.groups = s.groups[1:]
	}
	b, err, ok := s.next()
	if !ok {
		s.stop()
		s.next, s.rows = nil, nil
		return nil
	}
	if err != nil {
		return err
	}
	s.rows, s.row = b, min(s.skip, b.Rows())
	s.skip -= s.row
	return nil
}

// chunk hands over rows of those read.
func (s *orderedSource) chunk() (connector.Chunk, error) {
	const cellBytes = 16
	rowBytes := cellBytes * s.rows.Schema().Len()
	limits := s.env.Budget.Limits()
	n := max(1, min(limits.Rows, limits.Bytes/rowBytes, s.rows.Rows()-s.row))
	rows := s.rows.Slice(s.row, s.row+n).WithOrigin(&batch.Origin{
		Name: fmt.Sprintf("%s %s %s", s.cfg.Path, s.cfg.Dataset, s.at.From), Record: int64(s.at.Rows) + 1,
	})
	s.row += n
	s.at.Rows += n
	position, err := s.position()
	return connector.Chunk{Batch: rows, Position: position, Bytes: n * rowBytes}, err
}

func (s *orderedSource) position() (connector.Position, error) {
	text, err := json.Marshal(s.at)
	return append(connector.Position{orderedVersion}, text...), err
}

// Ack has nothing to do: the view stays.
func (s *orderedSource) Ack(context.Context, connector.Position) error { return nil }

// Close releases the view.
func (s *orderedSource) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	if s.next != nil {
		s.stop()
	}
	if s.view != nil {
		errs = append(errs, s.view.Close())
	}
	if s.store != nil {
		errs = append(errs, s.store.Close())
	}
	s.view, s.store, s.rows, s.next = nil, nil, nil, nil
	return errors.Join(errs...)
}

// Discover returns the columns the source will deliver.
func (s *orderedSource) Discover(ctx context.Context) (*batch.Schema, error) {
	store, err := Open(s.cfg.Path, Config{Existing: true})
	if err != nil {
		return nil, classify("discover store", err)
	}
	var schema *batch.Schema
	view, err := store.View(ctx, 0)
	if err == nil {
		schema, err = view.OrderedSchema(s.want)
		err = errors.Join(err, view.Close())
	}
	return schema, errors.Join(classify("discover store", err), store.Close())
}
