package baostock

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/provider"
)

// source reads units: each from its queries, with its bad records and a row of table _unit behind
// its rows when it feeds a store.
type source struct {
	env      connector.Env
	cfg      Config
	sessions *sessions
	session  *session // nil: not opened
	coverage bool
	works    [][]market.Unit
	schema   *batch.Schema

	group   int // of works: what is being read
	at      provider.Position
	skip    int64 // records of the unit that were handed over before a restart
	current *reading

	ahead    *ahead // nil: nothing is asked ahead
	deciding bool   // it waits for the answer at hand

	closing   context.Context //nolint:containedctx // ends with Close, which knows no Read
	cancel    context.CancelFunc
	closeOnce sync.Once
}

var (
	_ connector.Source     = (*source)(nil)
	_ connector.Decoder    = (*source)(nil)
	_ connector.Discoverer = (*source)(nil)
	_ connector.Checker    = (*source)(nil)
)

func newSource(env connector.Env, cfg *Config, shared *sessions) (connector.Source, error) {
	s := &source{env: env, cfg: cfg.filled(), sessions: shared}
	s.coverage = s.cfg.Coverage || s.cfg.Units != nil
	err := s.cfg.validate()
	if err != nil {
		return nil, err
	}
	units, err := s.cfg.units()
	if err == nil {
		s.works, err = works(units)
	}
	if err != nil {
		return nil, &connector.Error{Op: "configure baostock", Class: connector.Permanent, Err: err}
	}
	s.schema = dataset(s.cfg.Dataset).Schema
	if len(s.works) > 0 {
		s.schema = dataset(s.works[0][0].Dataset).Schema
	}
	s.closing, s.cancel = context.WithCancel(context.Background())
	return s, nil
}

// Discover returns the columns of the first rows.
func (s *source) Discover(context.Context) (*batch.Schema, error) { return s.schema, nil }

// Check logs in.
func (s *source) Check(ctx context.Context) error {
	session := s.sessions.open(s.cfg, s.env.Log)
	client := Client{session: session}
	return errors.Join(client.Login(ctx), s.sessions.close(session))
}

// Open continues at a position. The unit of the position is asked for anew: its bad records, and
// whether it is whole, follow from all of its records.
func (s *source) Open(_ context.Context, _ connector.Partition, at connector.Position) error {
	if at != nil {
		total := 0
		for _, w := range s.works {
			total += len(w)
		}
		p, err := provider.ParsePosition(at, total)
		if err != nil {
			return &connector.Error{Op: "open baostock", Class: connector.Permanent, Err: err}
		}
		s.at, s.skip = p, p.Records
		before := 0
		for s.group < len(s.works) && before+len(s.works[s.group]) <= p.Unit {
			before += len(s.works[s.group])
			s.group++
		}
		if p.Unit > before {
			s.works[s.group] = s.works[s.group][p.Unit-before:]
		}
	}
	s.session = s.sessions.open(s.cfg, s.env.Log)
	if s.cfg.Heartbeat && s.env.Go != nil {
		s.env.Go("baostock heartbeat", func(ctx context.Context) error {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			defer context.AfterFunc(s.closing, cancel)()
			return s.session.keepAlive(ctx)
		})
	}
	return nil
}

// Read returns the next rows, the bad records of a unit, or the unit's end.
func (s *source) Read(ctx context.Context) (connector.Chunk, error) {
	return provider.ReadOpen(ctx, s.closing, s.read)
}

func (s *source) read(ctx context.Context) (connector.Chunk, error) {
	for {
		if err := ctx.Err(); err != nil {
			return connector.Chunk{}, err
		}
		if s.group == len(s.works) {
			return connector.Chunk{Position: s.at.Encode()}, io.EOF
		}
		if s.current == nil {
			if err := s.begin(); err != nil {
				return connector.Chunk{}, err
			}
		}
		switch c := s.current; {
		case c.left():
			if chunk, ok := s.hand(); ok {
				return chunk, nil
			}
		case !c.asked:
			if err := s.fetch(ctx); err != nil {
				return connector.Chunk{}, err
			}
		case s.coverage && s.at.Tail == provider.AtRows && (len(c.pieces) > 0 || c.refused != nil):
			return s.refusals(), nil
		case s.coverage:
			return s.end()
		default:
			s.advance()
		}
	}
}

// reading is the group of units at hand.
type reading struct {
	units []market.Unit
	stage int // which of the units
	calls []call
	last  market.Date // rows of later days are not final yet

	call  int // that is being asked
	page  int // asked last
	keys  keySet
	asked bool // everything was

	pages   []heldPage
	turn    int   // page at hand
	record  int   // of it, the next
	handed  int64 // records of this stage
	rows    int64 // which they make
	pieces  []*piece
	ghosts  []*piece
	refused *market.Quarantine // the unit as a whole
}

type heldPage struct {
	page *page // nil: not needed any more
	call *call
}

// begin plans the next group.
func (s *source) begin() error {
	units := s.works[s.group]
	planned, err := calls(units)
	if err != nil {
		return err
	}
	last := provider.FinalDay(s.cfg.Now().In(exchangeZone), publishAt)
	s.current = &reading{units: units, calls: planned, last: last, asked: len(planned) == 0}
	s.current.begin()
	return nil
}

// begin prepares for the next call.
func (c *reading) begin() {
	c.page = 0
	c.keys = keySet{clash: c.keys.clash}
	if c.call < len(c.calls) {
		c.keys.field = c.calls[c.call].key
	}
}

// left reports whether records wait to be handed over.
func (c *reading) left() bool {
	for c.turn < len(c.pages) {
		held := &c.pages[c.turn]
		if held.page != nil && c.record < held.page.records() {
			return true
		}
		if held.page != nil && c.stage == len(c.units)-1 {
			held.page.release()
			held.page = nil
		}
		c.turn++
		c.record = 0
	}
	return false
}

// fetch takes the next page. What the service refuses to answer fails a store's unit alone.
func (s *source) fetch(ctx context.Context) error {
	c := s.current
	asked := &c.calls[c.call]
	p, err := s.receive(ctx, asked)
	if s.refuses(err) {
		s.env.Log.Warn("unit is refused", "unit", c.units[0].String(), "error", err)
		e, _ := errors.AsType[*connector.Error](err)
		c.asked = true
		c.refused = &market.Quarantine{Rule: e.Code, Message: err.Error(), Place: asked.query.String()}
		if c.page == 0 {
			s.ahead.took()
		}
		s.settle(false)
		return nil
	}
	if err != nil {
		return err
	}
	if err := s.session.read(p, asked.query, asked.args, &c.keys); err != nil {
		s.unlook()
		return s.session.distrust(ctx, operation(asked.query, asked.args), err)
	}
	c.page++
	c.pages = append(c.pages, heldPage{p, asked})
	if !p.last && s.ahead != nil {
		s.ahead.cut.Store(true)
	}
	if c.page == 1 {
		s.ahead.took()
	}
	if p.last {
		c.call++
		c.begin()
		c.asked = c.call == len(c.calls)
		s.settle(true)
	}
	return nil
}

// receive returns the answer to the call at hand, of its next page.
func (s *source) receive(ctx context.Context, asked *call) (*page, error) {
	if s.env.Go != nil && s.current.page == 0 {
		return s.first(ctx)
	}
	return s.session.receive(ctx, asked.query, asked.args, s.current.page+1)
}

// refuses reports whether the service answers one question not, and may answer others.
func (s *source) refuses(err error) bool {
	e, ok := errors.AsType[*connector.Error](err)
	return ok && s.coverage && refusesArguments(e.Code)
}

// hand returns the next records as a chunk; ok is false when they were handed over before a restart.
func (s *source) hand() (chunk connector.Chunk, ok bool) {
	c := s.current
	held := c.pages[c.turn]
	variants := held.call.rows(c.stage)
	limits := s.env.Budget.Limits()
	from, size := c.record, 0
	most := min(held.page.records(), from+max(1, limits.Rows/variants))
	ghost := c.handed < s.skip
	if ghost {
		most = int(min(int64(held.page.records()), int64(from)+s.skip-c.handed))
	}
	to := from
	for to < most && (ghost || size < limits.Bytes) {
		size += len(held.page.record(to)) + 1
		to++
	}
	p := newPiece(held.page, from, to, held.call, c.stage, c.last, c.units[c.stage])
	c.record = to
	c.handed += int64(to - from)
	c.rows += int64((to - from) * variants)
	if s.coverage {
		c.pieces = append(c.pieces, p)
	}
	if ghost {
		if s.coverage {
			c.ghosts = append(c.ghosts, p)
		} else {
			p.release()
		}
		return connector.Chunk{}, false
	}
	s.at.Records = c.handed
	return connector.Chunk{
		Table: s.table(c.units[c.stage].Dataset), Payload: p, Position: s.at.Encode(), Bytes: size,
		Release: p.release,
	}, true
}

// table is the name of a chunk's table: a store needs it, others have one dataset.
func (s *source) table(name string) string {
	if s.coverage {
		return name
	}
	return ""
}

// refusals returns the chunk of the unit's bad records.
func (s *source) refusals() connector.Chunk {
	c := s.current
	q := &refusals{pieces: c.pieces, ghosts: c.ghosts}
	c.pieces, c.ghosts = nil, nil
	if c.refused != nil {
		whole := *c.refused
		u := c.units[c.stage]
		whole.Dataset, whole.Symbol, whole.Source = u.Dataset, u.Symbol, u.Source
		q.more = append(q.more, whole)
	}
	s.at.Tail = provider.AtRefusals
	return connector.Chunk{
		Table: market.QuarantineTable, Payload: q, Position: s.at.Encode(), Bytes: 1, Release: q.release,
	}
}

// end returns the chunk of the unit's end.
func (s *source) end() (connector.Chunk, error) {
	c := s.current
	u := provider.End{
		Rows: c.rows, Refused: c.refused != nil, Partial: c.keys.clash, Final: c.last,
	}.Of(c.units[c.stage])
	b := batch.NewBuilder(market.UnitSchema())
	market.AppendUnit(b, u)
	rows, err := b.Batch()
	if err != nil {
		return connector.Chunk{}, err
	}
	s.advance()
	return connector.Chunk{
		Table: market.UnitTable, Batch: rows, Position: s.at.Encode(), Bytes: 1,
	}, nil
}

// advance goes on to the next unit.
func (s *source) advance() {
	c := s.current
	s.at = provider.Position{Unit: s.at.Unit + 1}
	s.skip = 0
	c.stage++
	if c.stage < len(c.units) {
		c.turn, c.record, c.handed, c.rows = 0, 0, 0, 0
		c.pieces, c.ghosts = nil, nil
		return
	}
	s.current = nil
	s.group++
}

// NewDecode returns a function that makes rows of records.
func (s *source) NewDecode() connector.DecodeFunc {
	r := &recordReader{}
	return func(chunk connector.Chunk) (connector.Chunk, error) {
		var err error
		switch payload := chunk.Payload.(type) {
		case *piece:
			if err = payload.decode(r); err == nil {
				chunk.Batch = payload.batch
			}
			if !s.coverage {
				chunk.Rejected = payload.rejected()
			}
		case *refusals:
			chunk.Batch, err = payload.decode(r)
		default:
			err = fmt.Errorf("decode baostock: payload is %T", chunk.Payload)
		}
		chunk.Payload = nil
		return chunk, err
	}
}

// Ack does nothing: everything can be asked again.
func (s *source) Ack(context.Context, connector.Position) error { return nil }

// Close ends a waiting Read and lets go of the session.
func (s *source) Close() error {
	var err error
	s.closeOnce.Do(func() {
		s.cancel()
		if s.session == nil {
			return
		}
		s.unlook()
		err = s.sessions.close(s.session)
		if s.cfg.Report != nil {
			s.cfg.Report(s.session.news())
		}
	})
	return err
}
