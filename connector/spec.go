package connector

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tapeline/tapeline/internal/vfs"
)

// Connector describes one external system: what documents, lint, docs and the engine need.
type Connector struct {
	Name     string // node type in documents: lower-case letters, digits and _
	Version  string // of the connector, semantic
	Contract int    // ContractVersion it was written for
	Summary  string // one sentence
	Doc      string // Markdown for its page: behaviour, limits, examples
	// Suffixes are file name endings it reads and writes (".csv"); compression suffixes are
	// stripped before the comparison.
	Suffixes []string
	Schemes  []string // URL schemes it answers ("postgres", "postgresql")
	// FromURL turns a URL or path given to `tapeline copy` into a config; nil means {path: URL}.
	FromURL func(url string) (map[string]any, error)
	// CopySource are settings that `tapeline copy` gives a source, such as to guess a dialect.
	CopySource map[string]any

	Source *SourceSpec // nil: cannot be read
	Sink   *SinkSpec   // nil: cannot be written
	Lookup *LookupSpec // nil: cannot answer lookups
}

// SourceSpec describes and makes sources.
type SourceSpec struct {
	// Config is a pointer to a struct holding the defaults; New gets a filled copy. Its fields
	// carry the tags described at Fields.
	Config       any
	New          func(env Env, config any) (Source, error)
	Capabilities SourceCapabilities
}

// SourceCapabilities are promises that conntest checks.
type SourceCapabilities struct {
	Bounded       bool // reaches io.EOF by itself under the default config
	Resumable     bool // Open continues exactly after any returned position
	ParallelReads bool // implements Partitioner
	Incremental   bool // a finished run's position is a start for the next (only new rows)
	Operations    bool // may deliver upserts and deletes
	Filters       bool // implements Filterer
}

// SinkSpec describes and makes sinks.
type SinkSpec struct {
	// Config is as in SourceSpec. A config with a method SingleWriter() bool may veto Parallel. One
	// with TargetFile() string names the file that it replaces as a whole, "" none, and one with
	// PartFiles() string those it puts into a folder, as a pattern with one *: no two sinks of a
	// workflow may replace a file, and no source whose config has Glob() string may find one.
	Config       any
	New          func(env Env, config any) (Sink, error)
	Capabilities SinkCapabilities
}

// SinkCapabilities are promises that conntest checks.
type SinkCapabilities struct {
	Transactions    bool // implements Transactional
	Decides         bool // implements Decider
	Upsert          bool // with a key configured, repeated writes do no harm
	SchemaEvolution bool // implements SchemaEvolver
	Parallel        bool // several tasks may write beside each other
	Selection       bool // Write takes batches with a selection and lazy columns as they are
	PreferredRows   int  // rows of a good Write; 0: as they come. Small chunks are merged up to it
	MaxRows         int  // rows of the largest Write; 0: no limit
	Staged          bool // rows become visible only when the epoch (or the run) is committed
}

// LookupSpec describes and makes lookups.
type LookupSpec struct {
	Config any
	New    func(env Env, config any) (Lookup, error)
}

// FS is the file system that Env hands out.
type FS = vfs.FS

// File is an open file of an FS.
type File = vfs.File

// Env is all that a connector may use of the engine.
type Env struct {
	Log      *slog.Logger
	Workflow string
	Run      string // unique id of the run; "" outside of one
	Node     string
	Dir      string  // state folder of the workflow; the node may keep files under Dir/Node
	FS       FS      // file system for staged and durable files
	Budget   *Budget // sources only
	// Idle takes how long a Read waited for rows that did not exist yet; sources call Idled.
	Idle func(waited time.Duration)
	// Go runs f beside the caller's goroutine under the engine's supervision; f must end soon
	// after ctx does, and its error fails the task.
	Go func(name string, f func(ctx context.Context) error)
}

// Idled says that the source waited since then for rows that did not exist yet: by a rate, a poll
// interval or the silence of the other side. It counts as neither work nor back-pressure.
func (e Env) Idled(since time.Time) {
	if e.Idle != nil {
		e.Idle(time.Since(since))
	}
}

// Budget is what one batch of a source may be. The engine updates it; a source asks before each
// batch. Safe for concurrent use.
type Budget struct{ limits atomic.Pointer[Limits] }

// NewBudget returns a budget with the given limits.
func NewBudget(limits Limits) *Budget {
	b := &Budget{}
	b.Set(limits)
	return b
}

// Set replaces the limits; rows and bytes below 1 become 1.
func (b *Budget) Set(limits Limits) {
	limits.Rows, limits.Bytes = max(limits.Rows, 1), max(limits.Bytes, 1)
	b.limits.Store(&limits)
}

// Limits returns the limits in force; a nil budget allows 16384 rows and 1 MiB.
func (b *Budget) Limits() Limits {
	if b == nil {
		return Limits{Rows: 16384, Bytes: 1 << 20}
	}
	return *b.limits.Load()
}

// NewSource builds a SourceSpec from a typed constructor; defaults is copied per node.
func NewSource[T any](
	defaults T, capabilities SourceCapabilities, make func(Env, *T) (Source, error),
) *SourceSpec {
	return &SourceSpec{
		Config: &defaults, Capabilities: capabilities,
		New: func(env Env, config any) (Source, error) { return make(env, config.(*T)) },
	}
}

// NewSink builds a SinkSpec from a typed constructor; defaults is copied per node.
func NewSink[T any](
	defaults T, capabilities SinkCapabilities, make func(Env, *T) (Sink, error),
) *SinkSpec {
	return &SinkSpec{
		Config: &defaults, Capabilities: capabilities,
		New: func(env Env, config any) (Sink, error) { return make(env, config.(*T)) },
	}
}

// NewLookup builds a LookupSpec from a typed constructor; defaults is copied per node.
func NewLookup[T any](defaults T, make func(Env, *T) (Lookup, error)) *LookupSpec {
	return &LookupSpec{
		Config: &defaults,
		New:    func(env Env, config any) (Lookup, error) { return make(env, config.(*T)) },
	}
}

// Registry is the set of connectors a binary has. It is a value: tests and tenants make their own.
type Registry struct{ byName map[string]Connector }

// NewRegistry returns a registry of the connectors. A duplicate or invalid name, a connector of
// another contract version and one that can do nothing are errors naming it.
func NewRegistry(connectors ...Connector) (*Registry, error) {
	r := &Registry{byName: make(map[string]Connector, len(connectors))}
	for _, c := range connectors {
		if err := r.add(c); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func (r *Registry) add(c Connector) error {
	valid := func(ch rune) bool {
		return ch >= 'a' && ch <= 'z' || ch >= '0' && ch <= '9' || ch == '_'
	}
	if c.Name == "" || strings.ContainsFunc(c.Name, func(ch rune) bool { return !valid(ch) }) {
		return fmt.Errorf("connector name %q: use lower-case letters, digits and _", c.Name)
	}
	if _, ok := r.byName[c.Name]; ok {
		return fmt.Errorf("connector %s: registered twice", c.Name)
	}
	if c.Contract != ContractVersion {
		return fmt.Errorf("connector %s %s: written for contract %d, this binary has %d",
			c.Name, c.Version, c.Contract, ContractVersion)
	}
	if c.Source == nil && c.Sink == nil && c.Lookup == nil {
		return fmt.Errorf("connector %s: neither source, sink nor lookup", c.Name)
	}
	r.byName[c.Name] = c
	return nil
}

// Get returns the connector of that name.
func (r *Registry) Get(name string) (Connector, bool) {
	c, ok := r.byName[name]
	return c, ok
}

// Names returns all names, sorted.
func (r *Registry) Names() []string {
	names := make([]string, 0, len(r.byName))
	for name := range r.byName {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
