package ingest

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/flow/plan"
	"github.com/tapeline/tapeline/internal/flow/run"
	"github.com/tapeline/tapeline/internal/lifecycle"
	"github.com/tapeline/tapeline/internal/market"
)

// Sample is what a verify asks of a provider again, to compare it with what is stored.
type Sample struct {
	Provider Provider
	// Symbols is how many symbols are asked for, by chance; 0: all.
	Symbols int
	// Days is how many days of a symbol are asked for, by chance; 0: all.
	Days int
	Seed uint64 // of chance
	// Start runs a workflow of the engine afresh.
	Start func(ctx context.Context, w *plan.Workflow) (*run.Workflow, error)
}

// SampleCount is how much was compared.
type SampleCount struct {
	Provider string `json:"provider,omitempty"`
	Requests int    `json:"requests"`
	Rows     int64  `json:"rows"`
	Cells    int64  `json:"cells"`
}

// sample asks the provider and compares cell by cell.
func (c *check) sample(ctx context.Context) error {
	if c.Sample == nil {
		return nil
	}
	units, err := c.sampled()
	if err != nil {
		return err
	}
	c.out.Sampled.Provider = c.Sample.Provider.Name
	if len(units) == 0 {
		c.note("nothing was asked of %s again: the store holds nothing of it that was asked for", c.Sample.Provider.Name)
		return nil
	}
	answers := &answers{check: c, all: len(units), compared: map[unitID]bool{}}
	w, err := c.Sample.Start(ctx, c.Sample.workflow(c.Store.Dir(), units, answers))
	if err != nil {
		return err
	}
	_, err = w.Wait()
	return err
}

// sampled chooses what is asked for among what is covered.
func (c *check) sampled() ([]market.Unit, error) {
	s := c.Sample
	held := map[string]map[string]market.Intervals{} // by symbol and dataset
	for _, offer := range s.Provider.Offers {
		if c.damaged[offer.Dataset] || !bySession(offer.Dataset) && offer.Dataset != market.AdjFactor ||
			!offer.Shapes.Has(market.BySymbol) {
			continue
		}
		covered, err := c.view.CoverageIn(offer.Dataset, freqOf(offer.Dataset), s.Provider.Name, market.StateOK)
		if err != nil {
			return nil, err
		}
		for symbol, days := range covered {
			if c.Span != (market.Interval{}) {
				days = days.Intersect(c.Span)
			}
			if symbol == "" || len(days) == 0 || !c.concerns(symbol, days.Span()) {
				continue
			}
			if held[symbol] == nil {
				held[symbol] = map[string]market.Intervals{}
			}
			held[symbol][offer.Dataset] = days
		}
	}
	symbols := slices.Sorted(maps.Keys(held))
	chance := rand.New(rand.NewPCG(s.Seed, 0))
	if s.Symbols > 0 && s.Symbols < len(symbols) {
		chance.Shuffle(len(symbols), func(i, j int) { symbols[i], symbols[j] = symbols[j], symbols[i] })
		symbols = symbols[:s.Symbols]
		slices.Sort(symbols)
	}
	var units []market.Unit
	for _, symbol := range symbols {
		from := chance.Float64()
		for _, dataset := range slices.Sorted(maps.Keys(held[symbol])) {
			days := held[symbol][dataset].Span()
			if bySession(dataset) && s.Days > 0 && days.Days() > s.Days {
				days.From += market.Date(from * float64(days.Days()-s.Days+1))
				days.To = days.From + market.Date(s.Days) - 1
			}
			units = append(units, market.Unit{
				Dataset: dataset, Symbol: symbol, Freq: freqOf(dataset), Source: s.Provider.Name, From: days.From, To: days.To,
			})
		}
	}
	return units, nil
}

// freqOf is the frequency under which coverage of a dataset is kept.
func freqOf(dataset string) string {
	if bySession(dataset) {
		return Defaults().Sync.Freq
	}
	return ""
}

// workflow is the provider's source and the comparison, as the engine runs them.
func (s *Sample) workflow(dir string, units []market.Unit, into *answers) *plan.Workflow {
	capabilities := s.Provider.Capabilities
	capabilities.Bounded, capabilities.Incremental, capabilities.ParallelReads = true, false, false
	return &plan.Workflow{
		Name: "verify-" + workflowName(s.Provider.Name, dir),
		Execution: plan.Execution{
			Parallelism: 1,
			Restart: lifecycle.Strategy{
				Kind: lifecycle.Exponential, Attempts: 5, Delay: time.Second, MaxDelay: time.Minute, Multiplier: 2,
			},
			MaxDead:  &plan.DeadLimit{},
			Batching: plan.Batching{Initial: 16384, Min: 256, Max: 65536, Linger: 50 * time.Millisecond},
		},
		Nodes: []*plan.Node{
			{
				ID: s.Provider.Name, Type: s.Provider.Name, Kind: plan.Source, SourceSpec: capabilities,
				NewSource: func(env connector.Env) (connector.Source, error) { return s.Provider.Source(env, units) },
			},
			{
				ID: "compare", Type: "compare", Kind: plan.Destination, Inputs: []plan.Input{{Node: s.Provider.Name}},
				KeyedUpserts: true, OnError: plan.Fail, // what is compared twice counts once
				NewSink: func(connector.Env) (connector.Sink, error) { return into, nil },
			},
		},
	}
}

// answers compares what a provider says with what is stored, unit by unit. It is a sink of the engine,
// opened anew after a restart.
type answers struct {
	check *check
	all   int

	mu       sync.Mutex
	rows     map[string][]*batch.Batch // of the open unit, by dataset
	refused  map[refusal]string        // rows that came and are none, with the reason
	compared map[unitID]bool
}

// refusal names a row that was quarantined.
type refusal struct {
	dataset, symbol string
	day             market.Date
}

var _ connector.Sink = (*answers)(nil)

// Open begins a unit.
func (a *answers) Open(context.Context, connector.Task) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.rows, a.refused = map[string][]*batch.Batch{}, map[refusal]string{}
	return nil
}

// Close has nothing to free.
func (a *answers) Close() error { return nil }

// Write keeps rows until their unit ends, and compares them then.
func (a *answers) Write(_ context.Context, chunk connector.Chunk) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if chunk.Batch == nil {
		return nil
	}
	rows, bad := chunk.Batch.Dense()
	switch chunk.Table {
	case market.UnitTable:
	case market.QuarantineTable:
		for i := range rows.Len() {
			q, err := market.QuarantineAt(rows, rows.Row(i))
			if err != nil {
				return err
			}
			a.refused[refusal{q.Dataset, q.Symbol, q.Date}] = q.Rule + ": " + q.Message
		}
		return nil
	default:
		if len(bad) > 0 {
			a.check.note("%d rows of an answer for %s do not read: %s", len(bad), chunk.Table, bad[0].Reason)
		}
		a.rows[chunk.Table] = append(a.rows[chunk.Table], rows.Keep())
		return nil
	}
	for i := range rows.Len() {
		u, err := market.UnitAt(rows, rows.Row(i))
		if err != nil {
			return err
		}
		id := unitID{u.Dataset, u.Symbol, u.From}
		if !a.compared[id] {
			if err := a.compare(u); err != nil {
				return err
			}
		}
		a.compared[id] = true
		delete(a.rows, u.Dataset)
	}
	return nil
}

// compare holds one answer against the store.
func (a *answers) compare(u market.Unit) error {
	c := a.check
	c.out.Sampled.Requests++
	c.progress("sample", int64(c.out.Sampled.Requests), int64(a.all))
	if !u.State.Covers() {
		c.note("%s %s was asked of %s again, and the answer was %s", u.Dataset, u.Symbol, u.Source, u.State)
		return nil
	}
	stored, err := c.view.Point(u.Dataset, u.Symbol, u.From, u.To, nil)
	if err != nil {
		return fmt.Errorf("read %s of the store: %w", u.Dataset, err)
	}
	d, _ := market.DatasetByName(u.Dataset)
	have := map[market.Date]place{}
	index(have, stored, d.Time)
	said := map[market.Date]place{}
	for _, b := range a.rows[u.Dataset] {
		index(said, b, d.Time)
	}
	for _, day := range slices.Sorted(maps.Keys(said)) {
		own, ok := have[day]
		if !ok {
			c.add(Finding{
				Dataset: u.Dataset, Symbol: u.Symbol, dates: market.Interval{From: day, To: day}, Rule: RuleMissing,
				Message: u.Source + " has a row of this day, the store has none", Remedy: "tapeline repair asks for it",
			})
			continue
		}
		c.compareRow(u, day, own, said[day])
	}
	for _, day := range slices.Sorted(maps.Keys(have)) {
		if _, ok := said[day]; ok {
			continue
		}
		message := "stored, and " + u.Source + " has no row of this day any more"
		if why, ok := a.refused[refusal{u.Dataset, u.Symbol, day}]; ok {
			message = "stored, and what " + u.Source + " says of this day now is refused: " + why
		}
		c.add(Finding{
			Dataset: u.Dataset, Symbol: u.Symbol, dates: market.Interval{From: day, To: day}, Rule: RuleVanished,
			Message: message, Remedy: "the row stays; ask the provider which of its answers is right",
		})
	}
	return nil
}

// place is a row of a batch.
type place struct {
	batch *batch.Batch
	row   int
}

func index(into map[market.Date]place, b *batch.Batch, date string) {
	dates := b.Column(b.Schema().Index(date))
	for i := range b.Len() {
		row := b.Row(i)
		into[market.Date(dates.Int(row))] = place{b, row}
	}
}

// text returns a cell as text; nil is NULL.
func (p place) text(name string) ([]byte, bool) {
	i := p.batch.Schema().Index(name)
	if i < 0 {
		return nil, false
	}
	if p.batch.Column(i).IsNull(p.row) {
		return nil, true
	}
	return batch.AppendText([]byte{}, p.batch.Column(i), p.row), true
}

// compareRow compares the cells of one row.
func (c *check) compareRow(u market.Unit, day market.Date, own, said place) {
	if final, ok := own.text("final"); ok && string(final) != "true" {
		return // it is fetched again by the next sync
	}
	c.out.Sampled.Rows++
	d, _ := market.DatasetByName(u.Dataset)
	offer, _ := c.Sample.Provider.Offer(u.Dataset)
	for _, name := range d.Schema.Names() {
		if slices.Contains(offer.Unknown, name) {
			continue // another provider may
		}
		// A forward factor is true until the next event only, and never read.
		if slices.Contains(d.Key, name) || name == "final" || name == "fore_factor" {
			continue
		}
		stored, _ := own.text(name)
		now, ok := said.text(name)
		if !ok {
			continue
		}
		c.out.Sampled.Cells++
		if bytes.Equal(stored, now) && (stored == nil) == (now == nil) {
			continue
		}
		c.add(Finding{
			Dataset: u.Dataset, Symbol: u.Symbol, dates: market.Interval{From: day, To: day}, Rule: RuleRestated,
			Column: name, Stored: orNull(stored), Provider: orNull(now),
			Message: fmt.Sprintf("%s is %s, and %s says %s now", name, orNull(stored), u.Source, orNull(now)),
			Remedy:  "tapeline repair fetches all days of the symbol again and logs what changes",
		})
	}
}

func orNull(text []byte) string {
	if text == nil {
		return "NULL"
	}
	return string(text)
}
