package intake

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/flow/plan"
	"github.com/tapeline/tapeline/internal/lifecycle"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/store"
)

// Job is one import.
type Job struct {
	Store   *store.Store
	Writer  *store.Writer // of Store, to write with
	Dataset market.Dataset
	Source  string // recorded as the origin of the rows
	Inputs  []Input
	Mapping Mapping
	// Covers, when set, is what the user vouches for: of each symbol every session in it has its row.
	Covers *market.Interval
	// Replace lets rows replace those of days that another source covers.
	Replace bool

	others map[string]market.Intervals // days that other sources cover, by symbol
	before store.Seq

	read, kept, files, symbols counter

	mu      sync.Mutex
	refused int64
	rules   map[string]int64
	first   []market.Quarantine
	ignored map[string]bool
	blind   bool // a refused row does not say which day it was of
}

// Report says what an import did.
type Report struct {
	Store       string           `json:"store"`
	Dataset     string           `json:"dataset"`
	Source      string           `json:"source"`
	Files       int64            `json:"inputs"`
	Symbols     int64            `json:"symbols"`
	Rows        int64            `json:"rows_read"`
	New         int64            `json:"new"`
	Changed     int64            `json:"changed"`
	Equal       int64            `json:"equal"` // stored already, not written
	Kept        int64            `json:"kept"`  // of days that another source covers, not written
	Quarantined int64            `json:"quarantined"`
	Rules       map[string]int64 `json:"quarantined_by_rule,omitempty"`
	First       []Refused        `json:"first_quarantined,omitempty"`
	Ignored     []string         `json:"ignored_columns,omitempty"`
	Distrusted  bool             `json:"covers_ignored,omitempty"` // refused rows without a day: see Vouched
	Before      store.Seq        `json:"sequence_before"`
	Sequence    store.Seq        `json:"sequence_after"`
	Seconds     float64          `json:"seconds"`
	PerSecond   float64          `json:"rows_per_second"`
}

// Refused is a row that was quarantined.
type Refused struct {
	Place  string `json:"place"`
	Rule   string `json:"rule"`
	Reason string `json:"reason"`
}

// CheckFirst binds the mapping to the first input, so that what is wrong with it is told before anything
// is read.
func (j *Job) CheckFirst(ctx context.Context, env connector.Env) (err error) {
	source, err := j.Inputs[0].Source(env)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	if c, ok := source.(connector.Checker); ok {
		if err := c.Check(ctx); err != nil {
			return err
		}
	}
	d, ok := source.(connector.Discoverer)
	if !ok || len(j.Mapping.Compute) > 0 {
		return nil
	}
	schema, err := d.Discover(ctx)
	if err != nil || schema == nil {
		return err
	}
	b, err := j.Mapping.bind(j.Dataset, schema, j.Inputs[0].Path)
	if at := j.Dataset.Schema.Index("symbol"); err == nil && at >= 0 && b.at[at] < 0 {
		_, err = newSymbols(&j.Mapping).ofFile(j.Inputs[0].Path)
	}
	return err
}

// Prepare looks at what the store holds: the days of other sources.
func (j *Job) Prepare(ctx context.Context) (err error) {
	j.rules, j.ignored, j.others = map[string]int64{}, map[string]bool{}, map[string]market.Intervals{}
	view, err := j.Store.View(ctx, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, view.Close()) }()
	j.before = view.Seq()
	for _, known := range view.Knowers(j.Dataset.Name) {
		if known.Source == j.Source {
			continue
		}
		covered, err := view.Coverage(j.Dataset.Name, known.Freq, known.Source)
		if err != nil {
			return err
		}
		for symbol, days := range covered {
			j.others[symbol] = j.others[symbol].Add(days...)
		}
	}
	if whole := j.others[""]; whole != nil { // a source that covers the universe covers each symbol
		for _, symbol := range view.Symbols() {
			j.others[symbol] = j.others[symbol].Add(whole...)
		}
	}
	return nil
}

// daily reports whether the dataset has one row a symbol and day.
func (j *Job) daily() bool { return market.Daily(j.Dataset.Name) }

func (j *Job) freq() string {
	if j.daily() {
		return "1d"
	}
	return ""
}

// reading is how a column of the dataset is read.
func (j *Job) reading(f batch.Field) reading {
	r := reading{field: f, unit: 1, round: j.Mapping.Round}
	switch {
	case f.Name == "volume" && j.Mapping.VolumeUnit > 0:
		r.unit = j.Mapping.VolumeUnit
	case f.Name == "amount" && j.Mapping.AmountUnit > 0:
		r.unit = j.Mapping.AmountUnit
	case f.Name == "turn" && j.Mapping.Turn == "fraction":
		r.unit = 100
	}
	return r
}

// covered is what the rows of a symbol prove: days with rows, or the range that was vouched for.
func (j *Job) covered(symbol string, p *proof, open sessions) market.Intervals {
	days := open.runs(p.stored.dates())
	if j.Vouched() {
		days = days.Add(*j.Covers)
	}
	if !j.Replace {
		days = days.Subtract(j.others[symbol]...)
	}
	if refused := p.refused.dates(); len(refused) > 0 {
		stored := p.stored
		days = subtract(days, slices.DeleteFunc(refused, func(d market.Date) bool {
			return !stored.add(d) // its key came with a good row too
		}))
	}
	return days
}

// Vouched reports whether the range that the user vouches for counts: not when a row was refused whose day
// is not known, as it may lie in it.
func (j *Job) Vouched() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.Covers != nil && !j.blind
}

func (j *Job) refuse(q market.Quarantine) {
	const shown = 5
	j.mu.Lock()
	defer j.mu.Unlock()
	j.refused++
	j.rules[q.Rule]++
	j.blind = j.blind || q.Symbol == "" || q.Date == 0
	if len(j.first) < shown {
		j.first = append(j.first, q)
	}
}

func (j *Job) ignore(columns []string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, name := range columns {
		j.ignored[name] = true
	}
}

// Workflow is the inputs and the store's sink, as the engine runs them.
func (j *Job) Workflow() *plan.Workflow {
	sum := fnv.New32a()
	fmt.Fprintf(sum, "%s %s %s", j.Store.Dir(), j.Dataset.Name, j.Source)
	sink := store.Connector().Sink
	const interval = 2 * time.Second
	return &plan.Workflow{
		Name: fmt.Sprintf("import-%08x", sum.Sum32()),
		Execution: plan.Execution{
			CheckpointInterval: interval, Restart: lifecycle.Strategy{Kind: lifecycle.None},
			MaxDead:  &plan.DeadLimit{}, // what is wrong is quarantined; a dead letter is a fault of ours
			Batching: plan.Batching{Initial: 16 << 10, Min: 1 << 10, Max: 16 << 10, MaxBytes: 4 << 20},
		},
		Nodes: []*plan.Node{
			{
				ID: "files", Type: "import", Kind: plan.Source,
				SourceSpec: connector.SourceCapabilities{Bounded: true, Resumable: true},
				NewSource:  j.newSource,
			},
			{
				ID: "store", Type: "store", Kind: plan.Destination, SinkSpec: sink.Capabilities,
				Inputs: []plan.Input{{Node: "files"}}, KeyedUpserts: true, OnError: plan.Fail,
				NewSink: func(env connector.Env) (connector.Sink, error) {
					return sink.New(env, &store.SinkConfig{Path: j.Store.Dir(), Source: j.Source, Writer: j.Writer})
				},
			},
		},
	}
}

// Progress says how far the import is.
func (j *Job) Progress() (rows int64, inputs int) { return j.read.Load(), int(j.files.Load()) }

// Report says what came of the run.
func (j *Job) Report(ctx context.Context, run string, took time.Duration) (*Report, error) {
	r := &Report{
		Store: j.Store.Dir(), Dataset: j.Dataset.Name, Source: j.Source, Files: j.files.Load(),
		Symbols: j.symbols.Load(), Rows: j.read.Load(), Kept: j.kept.Load(), Before: j.before,
		Seconds: took.Seconds(),
	}
	r.Distrusted = j.Covers != nil && !j.Vouched()
	j.mu.Lock()
	r.Quarantined, r.Rules, r.Ignored = j.refused, j.rules, slices.Sorted(maps.Keys(j.ignored))
	for _, q := range j.first {
		r.First = append(r.First, Refused{Place: q.Place, Rule: q.Rule, Reason: q.Message})
	}
	j.mu.Unlock()
	entries, err := j.Store.Journal(ctx, j.before, 0)
	r.Sequence = j.before
	for _, e := range entries {
		r.Sequence = max(r.Sequence, e.Seq)
		for _, c := range e.Changed {
			if e.Run == run && c.Dataset == j.Dataset.Name {
				r.New, r.Changed = r.New+c.New, r.Changed+c.Changed
			}
		}
	}
	r.Equal = r.Rows - r.Quarantined - r.Kept - r.New - r.Changed
	if r.Seconds > 0 {
		r.PerSecond = float64(r.Rows) / r.Seconds
	}
	return r, err
}
