package op

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/flow/expr"
)

// Spec describes one operator type for documents, lint, docs and the plan.
type Spec struct {
	Name    string
	Summary string
	Doc     string // Markdown: behaviour, treatment of row operations, examples
	Config  any    // pointer to a struct of defaults, tagged as connector.Fields describes
	New     func(env Env, config any) (Operator, error)
	// Ports names the outputs of a configured node; nil means the one output "".
	Ports func(config any) []string
	// Ordered operators see chunks in order, one at a time; their state is checkpointed.
	Ordered bool
	// OrderedFor says the same of a configured node; nil means Ordered.
	OrderedFor func(config any) bool
	// Continues says that the state of a finished run is a start for the next one where all sources
	// before the node go on too.
	Continues bool
	// Narrows says that the operator is Predicative: the source before it may leave rows out.
	Narrows bool
	// RefusesOperations says that upserts and deletes cannot pass (lint reports it).
	RefusesOperations bool
}

// Env is what an operator may use of the engine.
type Env struct {
	Node string
	// Interpret asks for the row interpreter instead of vector loops (vectorized: false).
	Interpret bool
	// Lookup makes the configured Lookup connector of an enrich node.
	Lookup func(typ string, config map[string]any) (connector.Lookup, error)
	// Context ends with the task; operators that wait (rate_limit, enrich) stop then.
	Context context.Context //nolint:containedctx // an operator is made per task attempt
}

// Operator is a configured node that is not yet compiled for a schema.
type Operator interface {
	// Bind compiles the operator for an input schema. It is called again when the schema changes.
	Bind(in *batch.Schema) (Bound, error)
}

// Bound is an operator compiled for one schema, with scratch of its own: one worker uses it.
type Bound interface {
	// Apply handles one batch of the bound schema. A returned error fails the task; bad rows go to
	// out.Reject.
	Apply(b *batch.Batch, out *Output) error
}

// Shaper is a Bound that gives rows other columns than it takes; all others pass them as they are.
type Shaper interface{ Schema() *batch.Schema }

// Expressive is a Bound with expressions, in the order of its config.
type Expressive interface{ Expressions() []Expression }

// Predicative is an operator that drops rows by conditions a source may apply too. It returns none
// where it must see all rows, or does not fit the schema.
type Predicative interface {
	Conjuncts(in *batch.Schema) []expr.Conjunct
}

// Predicates returns the conjuncts that a source may apply.
func Predicates(conjuncts []expr.Conjunct) []connector.Predicate {
	var out []connector.Predicate
	for _, c := range conjuncts {
		if c.Predicate != nil {
			out = append(out, *c.Predicate)
		}
	}
	return out
}

// Expression is one expression of an operator, compiled for the rows it gets.
type Expression struct {
	Path    string // below config
	Source  string // as the document writes it
	Program *expr.Program
}

// Stateful is an ordered operator whose state survives a restart.
type Stateful interface {
	Operator
	// Snapshot returns what changed since the last Snapshot, or, when base is set, all of the
	// state. The bytes belong to the caller.
	Snapshot(base bool) ([]byte, error)
	// Restore replaces the state by a base and the increments after it, oldest first.
	Restore(base []byte, increments [][]byte) error
	// StateBytes estimates the memory of the state.
	StateBytes() int
}

// Closer is an operator that holds something to free when the task ends.
type Closer interface{ Close() error }

// Output collects what Apply produces for one batch. A worker reuses it.
type Output struct {
	Parts    []Part
	Rejected []Rejected
	Done     bool // set by limit: no later row will pass
	// Empty keeps parts without rows: whoever applies an operator to no rows asks for the columns
	// of its outputs.
	Empty bool
}

// Part is a batch for one output port (index into the node's ports).
type Part struct {
	Port  int
	Batch *batch.Batch
}

// Rejected is one row an operator could not use, on its way to the dead letters.
type Rejected struct {
	Batch *batch.Batch // the operator's input, valid as long as the chunk
	Asked bool         // the document asks for it: no reason to call the run partial
	batch.RowError
}

// Emit hands a batch on at port 0; one without rows is dropped, unless Empty is set.
func (o *Output) Emit(b *batch.Batch) { o.EmitTo(0, b) }

// EmitTo hands a batch on at the given port; one without rows is dropped, unless Empty is set.
func (o *Output) EmitTo(port int, b *batch.Batch) {
	if b.Len() > 0 || o.Empty {
		o.Parts = append(o.Parts, Part{Port: port, Batch: b})
	}
}

// Reject names rows of b that could not be used; errs are by physical row.
func (o *Output) Reject(b *batch.Batch, errs []batch.RowError) {
	for _, e := range errs {
		o.Rejected = append(o.Rejected, Rejected{Batch: b, RowError: e})
	}
}

// RejectAsked is Reject for rows that a rule of the document sends to the dead letters.
func (o *Output) RejectAsked(b *batch.Batch, errs []batch.RowError) {
	for _, e := range errs {
		o.Rejected = append(o.Rejected, Rejected{Batch: b, Asked: true, RowError: e})
	}
}

// Reset empties the output for the next batch.
func (o *Output) Reset() {
	clear(o.Parts)
	clear(o.Rejected)
	o.Parts, o.Rejected, o.Done = o.Parts[:0], o.Rejected[:0], false
}

// ConfigError is a fault in one value of an operator's config, returned by Spec.New and Bind so
// that lint can point at it. New joins several with errors.Join.
type ConfigError struct {
	Path string // below config: condition, columns.total, rules[2].min
	Err  error
}

// Error returns "path: reason".
func (e *ConfigError) Error() string { return e.Path + ": " + e.Err.Error() }

// Unwrap returns the reason.
func (e *ConfigError) Unwrap() error { return e.Err }

// faults gathers what is wrong with a config, so that lint shows all of it at once.
type faults []error

// add notes an error at a path; nil is none.
func (f *faults) add(path string, err error) {
	if err != nil {
		*f = append(*f, &ConfigError{path, err})
	}
}

// join notes an error that knows its path.
func (f *faults) join(err error) {
	if err != nil {
		*f = append(*f, err)
	}
}

// err returns the only fault as it is, several joined.
func (f *faults) err() error {
	if len(*f) == 1 {
		return (*f)[0]
	}
	return errors.Join(*f...)
}

// Catalogue is the set of operators a binary has. It is a value.
type Catalogue struct{ byName map[string]Spec }

// NewCatalogue returns the catalogue of the given operators; a duplicate is an error.
func NewCatalogue(specs ...Spec) (*Catalogue, error) {
	c := &Catalogue{byName: make(map[string]Spec, len(specs))}
	for _, s := range specs {
		if _, ok := c.byName[s.Name]; ok {
			return nil, fmt.Errorf("operator %s: registered twice", s.Name)
		}
		c.byName[s.Name] = s
	}
	return c, nil
}

// Get returns the operator of that name.
func (c *Catalogue) Get(name string) (Spec, bool) {
	s, ok := c.byName[name]
	return s, ok
}

// Names returns all operator names, sorted.
func (c *Catalogue) Names() []string {
	names := make([]string, 0, len(c.byName))
	for name := range c.byName {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// newSpec builds a Spec from a typed constructor; defaults is copied per node.
func newSpec[T any](s Spec, defaults T, construct func(Env, *T) (Operator, error)) Spec {
	s.Config = &defaults
	s.New = func(env Env, config any) (Operator, error) { return construct(env, config.(*T)) }
	return s
}
