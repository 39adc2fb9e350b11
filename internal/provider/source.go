package provider

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/market"
)

// Inquiry asks for one unit, or for several that the same answers hold, page by page. Everything it
// receives it adds to the Rows of the unit, which are in the order of the units.
type Inquiry interface {
	// Next asks for the next page and adds its records. It returns io.EOF when nothing is left to
	// ask, with the last page or after it; a *RefusalError where the provider refuses this question
	// and others may go on; another error ends the source, and the engine starts it again.
	Next(ctx context.Context, rows []*Rows) error
}

// InquiryFunc is an Inquiry of one page.
type InquiryFunc func(ctx context.Context, rows []*Rows) error

// Next asks for the page, and is at the end.
func (f InquiryFunc) Next(ctx context.Context, rows []*Rows) error {
	if err := f(ctx, rows); err != nil {
		return err
	}
	return io.EOF
}

// RefusalError says that the provider refuses one question, such as an unknown symbol: in a sync its
// units fail, and the others go on.
type RefusalError struct {
	Rule string // "tushare_no_permission"
	Err  error
}

// Error returns the cause.
func (e *RefusalError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *RefusalError) Unwrap() error { return e.Err }

// source reads units: each from its pages, with its bad records and a row of table _unit behind its
// rows when it feeds a store.
type source struct {
	env      connector.Env
	vendor   *Vendor
	client   *Client
	own      bool // the client is nobody else's
	coverage bool
	schema   *batch.Schema

	units   []market.Unit
	group   int // first unit of what is being read
	at      Position
	skip    int64 // rows of the unit that were handed over before a restart
	current *reading

	closing   context.Context //nolint:containedctx // ends with Close, which knows no Read
	cancel    context.CancelFunc
	closeOnce sync.Once
}

var (
	_ connector.Source     = (*source)(nil)
	_ connector.Discoverer = (*source)(nil)
	_ connector.Checker    = (*source)(nil)
)

// reading is the group of units at hand.
type reading struct {
	inquiry Inquiry
	rows    []*Rows
	stage   int  // which of the units
	asked   bool // everything was

	batch  *batch.Batch // of the stage, being handed over
	handed int          // rows of batch
	before int64        // rows of the stage before batch
}

func (v *Vendor) newSource(env connector.Env, settings Settings) (connector.Source, error) {
	s := &source{env: env, vendor: v, client: settings.Client}
	var err error
	if s.client == nil {
		s.own = true
		if s.client, err = v.NewClient(settings, env.Log); err != nil {
			return nil, err
		}
	}
	settings = v.filled(settings)
	s.coverage = settings.Coverage || settings.Units != nil
	if s.units, err = settings.units(v.Provider); err != nil {
		return nil, v.misconfigured(err)
	}
	for i := range s.units {
		s.units[i].Source, s.units[i].Rows, s.units[i].State = v.Provider.Name, 0, market.StateOK
		if err := s.units[i].Validate(); err != nil {
			return nil, v.misconfigured(err)
		}
	}
	s.schema = datasetOf(settings.Dataset).Schema
	if len(s.units) > 0 {
		s.schema = datasetOf(s.units[0].Dataset).Schema
	}
	s.closing, s.cancel = context.WithCancel(context.Background())
	return s, nil
}

// Discover returns the columns of the first rows.
func (s *source) Discover(context.Context) (*batch.Schema, error) { return s.schema, nil }

// Check asks what the vendor says is cheap.
func (s *source) Check(ctx context.Context) error {
	if s.vendor.Check == nil {
		return s.client.Reachable(ctx)
	}
	return s.vendor.Check(ctx, s.client)
}

// Open continues at a position. The unit of the position is asked for anew: its bad records, and
// whether it is whole, follow from all of its records.
func (s *source) Open(_ context.Context, _ connector.Partition, at connector.Position) error {
	if at == nil {
		return nil
	}
	p, err := ParsePosition(at, len(s.units))
	if err != nil {
		return &connector.Error{Op: "open " + s.vendor.Provider.Name, Class: connector.Permanent, Err: err}
	}
	s.at, s.skip, s.group = p, p.Records, p.Unit
	return nil
}

// Read returns the next rows, the bad records of a unit, or the unit's end.
func (s *source) Read(ctx context.Context) (connector.Chunk, error) {
	return ReadOpen(ctx, s.closing, s.read)
}

// ReadOpen reads with a context that ends with closing too: what was not there before is io.ErrClosedPipe.
func ReadOpen(
	ctx, closing context.Context, read func(context.Context) (connector.Chunk, error),
) (connector.Chunk, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(closing, cancel)()
	chunk, err := read(ctx)
	if closing.Err() == nil {
		return chunk, err
	}
	// An answer may have come just before: nobody takes it any more.
	if chunk.Release != nil {
		chunk.Release()
	}
	return connector.Chunk{}, io.ErrClosedPipe
}

func (s *source) read(ctx context.Context) (connector.Chunk, error) {
	for {
		if err := ctx.Err(); err != nil {
			return connector.Chunk{}, err
		}
		if s.current == nil && s.group == len(s.units) {
			return connector.Chunk{Position: s.at.Encode()}, io.EOF
		}
		if s.current == nil {
			if err := s.begin(); err != nil {
				return connector.Chunk{}, err
			}
		}
		c := s.current
		chunk, ok, err := s.hand()
		switch {
		case err != nil || ok:
			return chunk, err
		case !c.asked:
			if err := s.ask(ctx); err != nil {
				return connector.Chunk{}, err
			}
		case s.coverage && s.at.Tail == AtRows && len(c.rows[c.stage].bad) > 0:
			return s.refusals()
		case s.coverage:
			return s.end()
		default:
			if rejected := c.rows[c.stage].rejected(); len(rejected) > 0 {
				return s.rejects(rejected)
			}
			s.advance()
		}
	}
}

// begin starts to ask for the next units.
func (s *source) begin() error {
	n, inquiry, err := s.vendor.Begin(s.client, s.units[s.group:])
	if err != nil {
		return &connector.Error{
			Op: "plan " + s.units[s.group].String(), Class: connector.Permanent, Err: err,
		}
	}
	c := &reading{inquiry: inquiry}
	for _, u := range s.units[s.group : s.group+n] {
		c.rows = append(c.rows, &Rows{
			Unit: u, vendor: s.vendor, last: s.vendor.finalDay(u, s.client.settings.Now()),
		})
	}
	s.current = c
	return nil
}

// ask asks for the next page.
func (s *source) ask(ctx context.Context) error {
	c := s.current
	err := c.inquiry.Next(ctx, c.rows)
	if errors.Is(err, io.EOF) {
		c.asked = true
		return nil
	}
	refusal, ok := errors.AsType[*RefusalError](err)
	if !ok || !s.coverage {
		return err
	}
	s.env.Log.Warn("unit is refused", "unit", c.rows[c.stage].Unit.String(), "error", err)
	c.asked = true
	for _, rows := range c.rows {
		u := rows.Unit
		rows.refused = &market.Quarantine{
			Dataset: u.Dataset, Symbol: u.Symbol, Source: u.Source, Rule: refusal.Rule,
			Message: err.Error(), Place: rows.place,
		}
		rows.bad = append(rows.bad, badRecord{*rows.refused, rows.records})
	}
	return nil
}

// hand returns the next rows that wait; ok is false when there are none.
func (s *source) hand() (chunk connector.Chunk, ok bool, err error) {
	c := s.current
	rows := c.rows[c.stage]
	if c.batch == nil {
		c.before = rows.good
		if c.batch, err = rows.take(); err != nil || c.batch == nil {
			return chunk, false, err
		}
		// What was handed over before a restart is passed over.
		c.handed = int(min(max(s.skip-c.before, 0), int64(c.batch.Len())))
	}
	from, to := c.handed, min(c.batch.Len(), c.handed+s.env.Budget.Limits().Rows)
	part := c.batch.Slice(from, to)
	if c.handed = to; to == c.batch.Len() {
		c.batch = nil
	}
	if from == to {
		return chunk, false, nil
	}
	s.at.Records = c.before + int64(to)
	chunk = connector.Chunk{
		Table: s.table(rows.Unit.Dataset), Batch: part, Position: s.at.Encode(), Bytes: 64 * (to - from),
	}
	if !s.coverage {
		chunk.Rejected = rows.rejected()
	}
	return chunk, true, nil
}

// table is the name of a chunk's table: a store needs it, others have one dataset.
func (s *source) table(name string) string {
	if s.coverage {
		return name
	}
	return ""
}

// rejected returns the bad records as the dead letters want them.
func (r *Rows) rejected() []connector.Rejected {
	var list []connector.Rejected
	for i := range r.bad {
		bad := &r.bad[i]
		list = append(list, connector.Rejected{
			Place:  batch.Place{Name: r.place, Record: bad.record},
			Reason: bad.Rule + ": " + bad.Message, Record: bad.Raw,
		})
	}
	r.bad = nil
	return list
}

// rejects returns the bad records behind the last row.
func (s *source) rejects(list []connector.Rejected) (connector.Chunk, error) {
	none, err := batch.NewBuilder(s.schema).Batch()
	return connector.Chunk{Batch: none, Rejected: list, Position: s.at.Encode(), Bytes: 1}, err
}

// refusals returns the chunk of the unit's bad records.
func (s *source) refusals() (connector.Chunk, error) {
	rows := s.current.rows[s.current.stage]
	b := batch.NewBuilder(market.QuarantineSchema())
	for i := range rows.bad {
		market.AppendQuarantine(b, rows.bad[i].Quarantine)
	}
	rows.bad = nil
	s.at.Tail = AtRefusals
	bad, err := b.Batch()
	return connector.Chunk{
		Table: market.QuarantineTable, Batch: bad, Position: s.at.Encode(), Bytes: 1,
	}, err
}

// end returns the chunk of the unit's end.
func (s *source) end() (connector.Chunk, error) {
	rows := s.current.rows[s.current.stage]
	u := End{
		Rows: rows.records, Refused: rows.refused != nil, Partial: rows.partial, Final: rows.last,
		Stated: len(rows.empty) > 0,
	}.Of(rows.Unit)
	b := batch.NewBuilder(market.UnitSchema())
	market.AppendUnit(b, u)
	for _, none := range rows.empty {
		if none.To <= rows.last {
			market.AppendUnit(b, none)
		}
	}
	units, err := b.Batch()
	if err != nil {
		return connector.Chunk{}, fmt.Errorf("end %s: %w", u, err)
	}
	s.advance()
	return connector.Chunk{
		Table: market.UnitTable, Batch: units, Position: s.at.Encode(), Bytes: 1,
	}, nil
}

// advance goes on to the next unit.
func (s *source) advance() {
	c := s.current
	s.at = Position{Unit: s.at.Unit + 1}
	s.skip, s.group = 0, s.group+1
	c.batch, c.handed, c.before = nil, 0, 0
	if c.stage++; c.stage == len(c.rows) {
		s.current = nil
	}
}

// Ack does nothing: everything can be asked again.
func (s *source) Ack(context.Context, connector.Position) error { return nil }

// Close ends a waiting Read and gives back what was not spent.
func (s *source) Close() (err error) {
	s.closeOnce.Do(func() {
		s.cancel()
		if s.own {
			err = s.client.Close()
		}
	})
	return err
}
