package app

import (
	"slices"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/flow/op"
	"github.com/tapeline/tapeline/internal/flow/run"
	"github.com/tapeline/tapeline/internal/flow/spec"
)

// Parts are the node types a binary has.
type Parts struct {
	Connectors *connector.Registry
	Operators  *op.Catalogue
	// Watch is told of each run that preview, diff, test and replay start; stop is called at its end.
	// nil watches none.
	Watch func(w *run.Workflow) (stop func())
}

// await returns when a run has ended.
func (p *Parts) await(w *run.Workflow) (run.Report, error) {
	if p.Watch != nil {
		defer p.Watch(w)()
	}
	return w.Wait()
}

// NewParts returns the built-in node types and the given further connectors.
func NewParts(extra ...connector.Connector) (*Parts, error) {
	registry, err := connector.NewRegistry(append(builtin(), extra...)...)
	if err != nil {
		return nil, err
	}
	operators, err := op.NewCatalogue(op.All()...)
	if err != nil {
		return nil, err
	}
	return &Parts{Connectors: registry, Operators: operators}, nil
}

var _ spec.Catalogue = (*Parts)(nil)

// Find returns the declaration of a node type for documents.
func (p *Parts) Find(kind spec.NodeKind, name string) (spec.Declaration, bool) {
	if kind == spec.Transformation {
		o, ok := p.Operators.Get(name)
		return spec.Declaration{Config: o.Config, Summary: o.Summary, Ports: o.Ports}, ok
	}
	c, ok := p.Connectors.Get(name)
	switch {
	case !ok:
	case kind == spec.Source && c.Source != nil:
		return spec.Declaration{Config: c.Source.Config, Summary: c.Summary}, true
	case kind == spec.Destination && c.Sink != nil:
		return spec.Declaration{Config: c.Sink.Config, Summary: c.Summary}, true
	}
	return spec.Declaration{}, false
}

// Names returns all node types of a kind, sorted.
func (p *Parts) Names(kind spec.NodeKind) []string {
	if kind == spec.Transformation {
		return p.Operators.Names()
	}
	return slices.DeleteFunc(p.Connectors.Names(), func(name string) bool {
		_, ok := p.Find(kind, name)
		return !ok
	})
}
