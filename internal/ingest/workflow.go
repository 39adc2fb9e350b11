package ingest

import (
	"context"
	"fmt"
	"hash/fnv"
	"log/slog"
	"sync"
	"time"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/flow/plan"
	"github.com/tapeline/tapeline/internal/lifecycle"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/store"
)

// Provider is a data provider with the connector that asks it.
type Provider struct {
	market.Provider

	// Source makes a source that fetches the units in their order and ends.
	Source       func(env connector.Env, units []market.Unit) (connector.Source, error)
	Capabilities connector.SourceCapabilities
	// ListedOn returns the instruments of an open day by another list than the dataset of instruments;
	// nil: the provider has none.
	ListedOn func(ctx context.Context, day market.Date) ([]market.Symbol, error)
	// ListedNow says that ListedOn returns what is listed now, whatever the day.
	ListedNow bool
	// Hold keeps what sources share, such as a login, from one source to the next until it is let go; nil:
	// there is nothing of that kind.
	Hold func(log *slog.Logger) (release func() error, err error)
	// Traffic returns what was asked so far, over all sources; nil: nobody counts.
	Traffic func() Traffic
	// Close frees what the sources share; nil: nothing.
	Close func() error
}

// hold keeps what sources share until release: one login serves all workflows.
func (s *Sync) hold() (release func() error, err error) {
	if s.Provider.Hold == nil {
		return func() error { return nil }, nil
	}
	if release, err = s.Provider.Hold(s.logger()); err != nil {
		return nil, fmt.Errorf("hold the session of %s: %w", s.Provider.Name, err)
	}
	return release, nil
}

// Traffic is what passed between a provider and us.
type Traffic struct {
	Requests      int64   `json:"requests"` // logins included
	Logins        int64   `json:"logins"`
	Reconnects    int64   `json:"reconnects"`
	LockTimeouts  int64   `json:"lock_timeouts"`
	BytesIn       int64   `json:"bytes_in"`
	MeanWaitMS    float64 `json:"mean_wait_ms"`    // for the session
	MeanRequestMS float64 `json:"mean_request_ms"` // until an answer was complete
	Utilisation   float64 `json:"session_utilisation"`
}

// workflowName is the identity of a store's syncs in the engine.
func workflowName(provider, dir string) string {
	sum := fnv.New32a()
	_, _ = sum.Write([]byte(dir)) // never fails
	return fmt.Sprintf("sync-%s-%08x", provider, sum.Sum32())
}

// workflow is the provider's source and the store's sink, as the engine runs them.
// rename is told the list of instruments before it is written; nil: nobody wants to know.
func (j *job) workflow(
	units []market.Unit, t *tally, rename func(context.Context, []market.Instrument) error,
) *plan.Workflow {
	sink := store.Connector().Sink
	capabilities := j.Provider.Capabilities
	capabilities.Bounded, capabilities.Incremental, capabilities.ParallelReads = true, false, false
	return &plan.Workflow{
		Name: workflowName(j.Provider.Name, j.Store.Dir()),
		Execution: plan.Execution{
			Parallelism:        j.Config.Sync.Workers(),
			CheckpointInterval: time.Duration(j.Config.Sync.CommitInterval) * time.Millisecond,
			MemoryBytes:        int64(j.Config.Sync.MemoryLimitGB * 1e9 / 4),
			Restart: lifecycle.Strategy{
				Kind: lifecycle.Exponential, Attempts: 5, Delay: time.Second, MaxDelay: time.Minute, Multiplier: 2,
			},
			CommitRead: true,
			MaxDead:    &plan.DeadLimit{}, // what is wrong is quarantined; a dead letter is a fault of ours
			Batching:   plan.Batching{Initial: 16384, Min: 256, Max: 65536, Linger: 50 * time.Millisecond},
		},
		Nodes: []*plan.Node{
			{
				ID: j.Provider.Name, Type: j.Provider.Name, Kind: plan.Source, SourceSpec: capabilities,
				NewSource: func(env connector.Env) (connector.Source, error) {
					source, err := j.source(env, units)
					if err != nil {
						return nil, err
					}
					return guard(source, t), nil
				},
			},
			{
				ID: "store", Type: "store", Kind: plan.Destination, SinkSpec: sink.Capabilities,
				Inputs: []plan.Input{{Node: j.Provider.Name}}, KeyedUpserts: true, OnError: plan.Fail,
				NewSink: func(env connector.Env) (connector.Sink, error) {
					made, err := sink.New(env, &store.SinkConfig{
						Path: j.Store.Dir(), Source: j.Provider.Name, Writer: j.writer, Unknown: j.Provider.Unknown(),
					})
					if err != nil {
						return nil, err
					}
					decider, ok := made.(connector.Decider)
					if !ok {
						return nil, fmt.Errorf("sink store does not decide checkpoints")
					}
					counting := &countingSink{
						Decider: decider, tally: t, monitor: j.monitor, governor: j.governor, touched: touched{cache: j.Cache},
					}
					if rename != nil {
						counting.listing = &listing{rename: rename}
					}
					return &batchWriter{Decider: counting, writing: j.writing}, nil
				},
			},
		},
	}
}

// source is the provider's, with positions between units where commits are to hold whole ones, and
// decoded by as many workers as the memory limit lets.
func (j *job) source(env connector.Env, units []market.Unit) (connector.Source, error) {
	made, err := j.Provider.Source(env, units)
	if err != nil {
		return nil, err
	}
	source := made
	if !j.Config.Performance.BatchWriter.AutoFlush {
		source = &wholeUnits{Source: made}
	}
	if decoder, ok := made.(connector.Decoder); ok {
		return struct {
			connector.Source
			connector.Decoder
		}{source, gatedDecoder{decoder, j.governor.gate}}, nil
	}
	return source, nil
}

// countingSink is the store's sink with an eye on the units that end in it.
type countingSink struct {
	connector.Decider

	tally    *tally
	listing  *listing // nil: no list of instruments is fetched
	monitor  *monitor
	governor *governor
	touched  touched
}

// Decide commits, and tells the cache whose rows changed.
func (c *countingSink) Decide(ctx context.Context, epoch connector.Epoch) error {
	err := c.Decider.Decide(ctx, epoch)
	// Where the outcome is not known, the rows may be there as well.
	c.touched.committed()
	return err
}

// Full reports that a checkpoint is due, whatever the time.
func (c *countingSink) Full() bool {
	bounded, ok := c.Decider.(connector.Bounded)
	return ok && bounded.Full()
}

// Write writes and counts the units.
func (c *countingSink) Write(ctx context.Context, chunk connector.Chunk) error {
	c.monitor.sample()
	c.governor.check()
	if c.listing != nil && chunk.Table == market.Listing {
		c.listing.hold(chunk)
		return nil
	}
	if c.listing != nil && chunk.Table == market.UnitTable {
		held, err := c.listing.take(ctx)
		for i := 0; err == nil && i < len(held); i++ {
			c.tally.note(held[i].Table, held[i].Batch)
			c.touched.rows(held[i].Table, held[i].Batch)
			err = c.Decider.Write(ctx, held[i])
		}
		if err != nil {
			return err
		}
	}
	if err := c.Decider.Write(ctx, chunk); err != nil {
		return err
	}
	if chunk.Batch == nil {
		return nil
	}
	c.tally.note(chunk.Table, chunk.Batch)
	if chunk.Table != market.UnitTable {
		c.touched.rows(chunk.Table, chunk.Batch)
		return nil
	}
	rows, _ := chunk.Batch.Dense() // what does not fit was refused by the sink
	for i := range rows.Len() {
		u, err := market.UnitAt(rows, i)
		if err != nil {
			return err
		}
		c.tally.end(u)
	}
	return nil
}

// tally says how far a sync has come. Safe for concurrent use.
type tally struct {
	units int
	begun time.Time

	mu    sync.Mutex
	open  map[string]int // symbol to the units still awaited
	ended map[unitID]market.Unit
	asked map[unitID]bool
	// stated is, by dataset and symbol, the days of which the provider said that they have no row.
	stated map[[2]string]market.Intervals

	listed map[string]bool // symbols in the list of instruments
	cuts   cuts
}

// expect says how many rows the units should bring.
func (t *tally) expect(units []Unit) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, u := range units {
		if u.Symbol != "" && bySession(u.Dataset) {
			t.cuts.expected[unitID{u.Dataset, u.Symbol, u.From}] = u
		}
	}
}

// cut returns how answers turned out to be cut, nil while they are whole.
func (t *tally) cut() *CapError {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.cuts.found
}

// unitID names a unit; a restart within a run ends some of them twice.
type unitID struct {
	dataset, symbol string
	from            market.Date
}

func newTally(units []market.Unit) *tally {
	t := &tally{
		asked: map[unitID]bool{}, stated: map[[2]string]market.Intervals{},
		open: map[string]int{}, ended: map[unitID]market.Unit{}, units: len(units), begun: time.Now(),
		listed: map[string]bool{}, cuts: cuts{expected: map[unitID]Unit{}, newest: map[string]market.Date{}},
	}
	for _, u := range units {
		t.open[u.Symbol]++
		t.asked[unitID{u.Dataset, u.Symbol, u.From}] = true
	}
	return t
}

func (t *tally) end(u market.Unit) {
	t.mu.Lock()
	defer t.mu.Unlock()
	id := unitID{u.Dataset, u.Symbol, u.From}
	before, again := t.ended[id]
	if !t.asked[id] || again && u.State == market.StateEmpty && before.State != market.StateEmpty {
		key := [2]string{u.Dataset, u.Symbol}
		t.stated[key] = t.stated[key].Add(u.Interval())
		return
	}
	if !again {
		t.open[u.Symbol]--
	}
	t.cuts.end(id, u)
	t.ended[id] = u
}

// statedOf returns the days of a symbol of which the provider said that they have no row.
func (t *tally) statedOf(dataset, symbol string) market.Intervals {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.stated[[2]string{dataset, symbol}]
}

// note looks at rows on their way into the store.
func (t *tally) note(table string, rows *batch.Batch) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if table != market.Listing {
		t.cuts.note(table, rows)
		return
	}
	symbols := rows.Column(rows.Schema().Index("symbol"))
	for i := range rows.Len() {
		t.listed[string(symbols.Bytes(rows.Row(i)))] = true
	}
}

// Progress is how far a sync has come.
type Progress struct {
	Symbols, SymbolsDone   int
	Requests, RequestsDone int
	Left                   time.Duration // at the pace so far; 0: not known yet
}

func (t *tally) progress() Progress {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := Progress{Symbols: len(t.open), Requests: t.units, RequestsDone: len(t.ended)}
	for _, left := range t.open {
		if left <= 0 {
			p.SymbolsDone++
		}
	}
	if done := len(t.ended); done > 0 {
		p.Left = time.Since(t.begun) / time.Duration(done) * time.Duration(max(0, t.units-done))
	}
	return p
}

// answer returns how a unit ended.
func (t *tally) answer(u market.Unit) (market.Unit, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	answer, ok := t.ended[unitID{u.Dataset, u.Symbol, u.From}]
	return answer, ok
}

// answered counts the units that ended, and those of them that the provider refused.
func (t *tally) answered() (units, refused int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, u := range t.ended {
		if u.State == market.StateFailed {
			refused++
		}
	}
	return len(t.ended), refused
}

// rows returns the rows of the units that ended.
func (t *tally) rows() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	rows := int64(0)
	for _, u := range t.ended {
		rows += u.Rows
	}
	return rows
}
