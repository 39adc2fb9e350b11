package intake

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/flow/op"
	"github.com/tapeline/tapeline/internal/market"
)

// Input is one path to import, with a source that reads it.
type Input struct {
	Path   string
	Source func(env connector.Env) (connector.Source, error)
}

// source reads the inputs one after the other and delivers rows of the dataset, what was refused, and at
// the end the units of what the rows prove.
type source struct {
	job *Job
	env connector.Env

	left    []Input
	inner   connector.Source
	decode  connector.DecodeFunc
	compute op.Operator

	bound   *batch.Schema // that binding was made for
	binding *binding
	applied op.Bound
	symbols *symbols

	calendars map[market.MIC]*market.Calendar // nil: the market has none
	keys      map[[2]uint64]bool              // sums of keys of a dataset without days
	seeds     [2]maphash.Seed                 // of keys

	queue  []connector.Chunk // to be delivered before the next read
	proved map[string]*proof
	sent   int64 // rows and refused rows
	end    bool
}

// proof is what the rows of a symbol prove.
type proof struct {
	seen, refused daySet
	stored        daySet
}

func (j *Job) newSource(env connector.Env) (connector.Source, error) {
	s := &source{
		job: j, env: env, left: j.Inputs, symbols: newSymbols(&j.Mapping), proved: map[string]*proof{},
		calendars: map[market.MIC]*market.Calendar{}, keys: map[[2]uint64]bool{},
		seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()},
	}
	if len(j.Mapping.Compute) > 0 {
		var err error
		s.compute, err = op.Compute().New(op.Env{Node: "import"}, &op.ComputeConfig{Columns: j.Mapping.Compute})
		if err != nil {
			return nil, fmt.Errorf("mapping: compute: %w", err)
		}
	}
	return s, nil
}

// Open begins. An import is not resumed: what it stored is not written again.
func (s *source) Open(_ context.Context, _ connector.Partition, position connector.Position) error {
	if position != nil {
		return &connector.Error{
			Op: "import", Class: connector.Permanent, Err: errors.New("an import starts over"), Hint: "run it again",
		}
	}
	return nil
}

// Read returns the next rows of the dataset, refused rows, or units.
func (s *source) Read(ctx context.Context) (connector.Chunk, error) {
	for {
		if err := context.Cause(ctx); err != nil {
			return connector.Chunk{}, err
		}
		switch {
		case len(s.queue) > 0:
			chunk := s.queue[0]
			s.queue = s.queue[1:]
			chunk.Position = connector.Position{1}
			return chunk, nil
		case s.end:
			return connector.Chunk{Position: connector.Position{2}}, io.EOF
		case s.inner == nil && len(s.left) == 0:
			if err := s.units(); err != nil {
				return connector.Chunk{}, err
			}
			s.end = true
			continue
		case s.inner == nil:
			if err := s.next(ctx); err != nil {
				return connector.Chunk{}, err
			}
		}
		chunk, err := s.inner.Read(ctx)
		switch {
		case errors.Is(err, io.EOF):
			if err := s.inner.Close(); err != nil {
				return connector.Chunk{}, err
			}
			s.inner, s.left = nil, s.left[1:]
			s.job.files.Add(1)
			continue
		case err != nil:
			return connector.Chunk{}, err
		}
		if err := s.take(chunk); err != nil {
			return connector.Chunk{}, err
		}
	}
}

// next opens the next input.
func (s *source) next(ctx context.Context) error {
	inner, err := s.left[0].Source(s.env)
	if err != nil {
		return err
	}
	s.inner, s.decode, s.bound = inner, nil, nil
	if d, ok := inner.(connector.Decoder); ok {
		s.decode = d.NewDecode()
	}
	return inner.Open(ctx, connector.Partition{}, nil)
}

// take queues what a chunk of an input becomes.
func (s *source) take(chunk connector.Chunk) error {
	if s.decode != nil {
		var err error
		if chunk, err = s.decode(chunk); err != nil {
			return err
		}
	}
	held := s.newHeld()
	for _, r := range chunk.Rejected {
		s.job.read.Add(1)
		held.add(market.Quarantine{Rule: "unreadable", Raw: r.Record, Place: r.Place.String(), Message: r.Reason})
	}
	if chunk.Batch != nil && chunk.Batch.Len() > 0 {
		s.job.read.Add(int64(chunk.Batch.Len()))
		rows, err := s.rows(chunk.Batch, held)
		if err != nil {
			return err
		}
		if rows.Len() > 0 {
			s.sent += int64(rows.Len())
			s.queue = append(s.queue, connector.Chunk{
				Table: s.job.Dataset.Name, Batch: rows, Bytes: chunk.Bytes, Release: chunk.Release,
			})
			chunk.Release = nil
		}
	}
	if chunk.Release != nil {
		chunk.Release()
	}
	refused, err := held.chunk()
	if err == nil && refused != nil {
		s.sent += int64(refused.Len())
		s.queue = append(s.queue, connector.Chunk{Table: market.QuarantineTable, Batch: refused})
	}
	return err
}

// bind binds the mapping to the columns of a file.
func (s *source) bind(b *batch.Batch) error {
	if s.bound == b.Schema() {
		return nil
	}
	in := b.Schema()
	if s.compute != nil {
		var err error
		if s.applied, err = s.compute.Bind(in); err != nil {
			return fmt.Errorf("mapping: compute: %w", err)
		}
		if shaper, ok := s.applied.(op.Shaper); ok {
			in = shaper.Schema()
		}
	}
	binding, err := s.job.Mapping.bind(s.job.Dataset, in, s.file(b))
	if err != nil {
		return &connector.Error{Op: "import", Class: connector.Permanent, Err: err}
	}
	s.bound, s.binding = b.Schema(), binding
	s.job.ignore(binding.ignored)
	return nil
}

func (s *source) file(b *batch.Batch) string {
	if name := b.Origin().At(0).Name; name != "" {
		return name
	}
	return s.left[0].Path
}

// rows makes rows of the dataset, and refuses those that are none.
func (s *source) rows(in *batch.Batch, held *held) (*batch.Batch, error) {
	if err := s.bind(in); err != nil {
		return nil, err
	}
	original := in
	var bad []batch.RowError
	if s.applied != nil {
		out := op.Output{}
		if err := s.applied.Apply(in, &out); err != nil {
			return nil, err
		}
		for _, r := range out.Rejected {
			bad = append(bad, r.RowError)
		}
		if len(out.Parts) == 0 {
			held.rows(original, nil, "type", bad)
			return original.Select([]int32{}), nil
		}
		in = out.Parts[0].Batch
	}
	typed, more, err := s.typed(in)
	if err != nil {
		return nil, err
	}
	bad = batch.OncePerRow(append(bad, more...))
	held.rows(original, typed, "type", bad)
	good := typed.Without(bad)
	var broken []batch.RowError
	for _, e := range market.Check(s.job.Dataset.Name, good) {
		if len(broken) > 0 && broken[len(broken)-1].Row == e.Row {
			continue
		}
		broken = append(broken, batch.RowError{Row: e.Row, Reason: e.Message})
		held.rows(original, typed, e.Rule, broken[len(broken)-1:])
	}
	return s.keep(original, good.Without(broken), held), nil
}

// typed reads the columns of the dataset; rows that do not read are returned by their first fault.
func (s *source) typed(in *batch.Batch) (*batch.Batch, []batch.RowError, error) {
	d := s.job.Dataset
	var bad []batch.RowError
	columns := make([]*batch.Column, d.Schema.Len())
	for i, f := range d.Schema.Fields() {
		at := s.binding.at[i]
		switch {
		case at >= 0 && f.Name == "symbol":
			c, more := s.symbolColumn(in.Column(at))
			columns[i], bad = c, append(bad, named(more, f.Name, in.Schema().Field(at).Name)...)
		case at >= 0:
			c, more := s.job.reading(f).column(in.Column(at))
			columns[i], bad = c, append(bad, named(more, f.Name, in.Schema().Field(at).Name)...)
		case f.Name == "symbol":
			name, err := s.symbols.ofFile(s.file(in))
			if err != nil {
				return nil, nil, &connector.Error{Op: "import", Class: connector.Permanent, Err: err}
			}
			columns[i] = constant(name, in.Rows())
		case f.Nullable:
			columns[i] = batch.NullColumn(f.Type, in.Rows())
		}
	}
	for i, f := range d.Schema.Fields() {
		if columns[i] == nil { // trade_status and final, after all others
			columns[i] = flag(f.Name, d, columns, in.Rows())
		}
	}
	out := batch.New(d.Schema, columns, in.Rows()).WithOrigin(in.Origin())
	if in.Selection() != nil {
		out = out.Select(in.Selection())
		bad = slices.DeleteFunc(bad, func(e batch.RowError) bool {
			_, selected := slices.BinarySearch(in.Selection(), int32(e.Row))
			return !selected
		})
	}
	return out, bad, nil
}

func named(errs []batch.RowError, column, from string) []batch.RowError {
	for i := range errs {
		errs[i].Column = column
		if column != from {
			errs[i].Column = column + " (" + from + ")"
		}
	}
	return errs
}

func (s *source) symbolColumn(c *batch.Column) (*batch.Column, []batch.RowError) {
	var bad []batch.RowError
	if c.Lazy() {
		c, bad = c.As(batch.Of(batch.String)).Typed(nil)
	}
	if s.canonical(c) {
		return c, nil
	}
	a := batch.NewAppender(batch.Of(batch.String))
	var scratch []byte
	for row := range c.Len() {
		if c.IsNull(row) {
			a.Text("")
			bad = append(bad, batch.RowError{Row: row, Reason: "it is empty"})
			continue
		}
		scratch = batch.AppendText(scratch[:0], c, row)
		text, err := s.symbols.read(scratch)
		if err != nil {
			bad = append(bad, batch.RowError{Row: row, Reason: err.Error()})
		}
		a.Text(text)
	}
	return a.Column(), bad
}

// canonical reports whether all texts of a column are symbols as the store writes them; runs are looked at
// once.
func (s *source) canonical(c *batch.Column) bool {
	if c.Type().Kind != batch.String || c.Validity() != nil {
		return false
	}
	var last []byte
	for row := range c.Len() {
		text := c.Bytes(row)
		if row > 0 && string(text) == string(last) {
			continue
		}
		if read, err := s.symbols.read(text); err != nil || read != string(text) {
			return false
		}
		last = text
	}
	return true
}

// constant is a column of one text.
func constant(text string, rows int) *batch.Column {
	offsets := make([]int32, rows+1)
	for i := range offsets {
		offsets[i] = int32(i * len(text))
	}
	return batch.TextColumn(batch.Of(batch.String), offsets, []byte(strings.Repeat(text, rows)), nil)
}

// flag makes a truth value that no file has: rows are final, and a day without volume whose prices
// stand still was not traded.
func flag(name string, d market.Dataset, columns []*batch.Column, rows int) *batch.Column {
	on := batch.NewBitmapSet(rows)
	volume := d.Schema.Index("volume")
	if name != "trade_status" || volume < 0 {
		return batch.BoolColumn(on, rows, nil)
	}
	text := func(column string, row int) string {
		return string(batch.AppendText(nil, columns[d.Schema.Index(column)], row))
	}
	for row, v := range batch.Values[int64](columns[volume]) {
		if v != 0 || columns[volume].IsNull(row) {
			continue
		}
		last := text("close", row)
		if text("open", row) == last && text("high", row) == last && text("low", row) == last {
			on.Clear(row)
		}
	}
	return batch.BoolColumn(on, rows, nil)
}

// units queues what the rows prove.
func (s *source) units() error {
	s.job.symbols.Store(int64(len(s.proved)))
	if s.job.Dataset.Schema.Index("symbol") < 0 || !s.job.daily() && s.job.Covers == nil {
		return nil
	}
	b := batch.NewBuilder(market.UnitSchema())
	open := map[market.MIC]sessions{}
	rows := s.sent
	const most = 16 << 10
	for _, name := range slices.Sorted(maps.Keys(s.proved)) {
		mic := market.MIC(name[strings.LastIndexByte(name, '.')+1:])
		if _, known := open[mic]; !known {
			open[mic] = sessionsOf(mic)
		}
		for _, v := range s.job.covered(name, s.proved[name], open[mic]) {
			market.AppendUnit(b, market.Unit{
				Dataset: s.job.Dataset.Name, Symbol: name, Freq: s.job.freq(), Source: s.job.Source,
				From: v.From, To: v.To, Rows: rows, State: market.StateOK,
			})
			rows = 0 // all came before the first unit
			if b.Len() < most {
				continue
			}
			if err := s.queueUnits(b); err != nil {
				return err
			}
			b = batch.NewBuilder(market.UnitSchema())
		}
	}
	return s.queueUnits(b)
}

func (s *source) queueUnits(b *batch.Builder) error {
	if b.Len() == 0 {
		return nil
	}
	made, err := b.Batch()
	s.queue = append(s.queue, connector.Chunk{Table: market.UnitTable, Batch: made})
	return err
}

// Ack has nothing to do: files stay.
func (s *source) Ack(context.Context, connector.Position) error { return nil }

// Close closes the input that is open.
func (s *source) Close() error {
	if s.inner == nil {
		return nil
	}
	inner := s.inner
	s.inner = nil
	return inner.Close()
}

// held are refused rows on their way to quarantine.
type held struct {
	source *source
	list   []market.Quarantine
}

func (s *source) newHeld() *held { return &held{source: s} }

func (h *held) add(q market.Quarantine) {
	q.Dataset, q.Source = h.source.job.Dataset.Name, h.source.job.Source
	h.list = append(h.list, q)
	h.source.job.refuse(q)
}

// rows adds rows of a file as they were read; typed tells symbol and date where they read.
func (h *held) rows(original, typed *batch.Batch, rule string, errs []batch.RowError) {
	for _, e := range errs {
		q := market.Quarantine{
			Rule: rule, Place: original.Origin().At(e.Row).String(), Message: e.Reason,
			Raw: string(batch.AppendRow(nil, original, e.Row)),
		}
		if e.Column != "" {
			q.Message = "column " + e.Column + ": " + e.Reason
		}
		if typed != nil {
			h.key(&q, typed, e.Row)
		}
		h.add(q)
	}
}

// key fills in what is known of a refused row, so that its day does not become coverage.
func (h *held) key(q *market.Quarantine, typed *batch.Batch, row int) {
	if at := typed.Schema().Index("symbol"); at >= 0 {
		q.Symbol = string(typed.Column(at).Bytes(row))
	}
	if at := typed.Schema().Index(h.source.job.Dataset.Time); at >= 0 && typed.Column(at).Type().Kind == batch.Date &&
		!typed.Column(at).IsNull(row) {
		q.Date = market.Date(typed.Column(at).Int(row))
	}
	if q.Symbol != "" && q.Date != 0 && q.Rule != market.RuleDuplicate {
		p := h.source.proved[q.Symbol]
		if p == nil {
			p = &proof{}
			h.source.proved[q.Symbol] = p
		}
		p.refused.add(q.Date)
	}
}

func (h *held) chunk() (*batch.Batch, error) {
	if len(h.list) == 0 {
		return nil, nil
	}
	b := batch.NewBuilder(market.QuarantineSchema())
	for _, q := range h.list {
		market.AppendQuarantine(b, q)
	}
	return b.Batch()
}

// counter is a number that progress reads meanwhile.
type counter = atomic.Int64
