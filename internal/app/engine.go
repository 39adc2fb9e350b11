package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/catalog"
	"github.com/tapeline/tapeline/internal/flow/op"
	"github.com/tapeline/tapeline/internal/flow/plan"
	"github.com/tapeline/tapeline/internal/flow/run"
	"github.com/tapeline/tapeline/internal/flow/spec"
	"github.com/tapeline/tapeline/internal/obs"
	"github.com/tapeline/tapeline/internal/vfs"
)

// Engine runs workflows over one state folder.
type Engine struct {
	Parts   *Parts
	Catalog *catalog.Catalog
	Metrics *obs.Registry
	Now     func() time.Time // the clock of syncs; nil: that of the machine
	cluster *run.Cluster
	leases  *leases
	dir     string
	caches  caches
}

// OpenEngine opens the state folder, making it when missing.
func OpenEngine(parts *Parts, dir string, log *slog.Logger) (*Engine, error) {
	c, err := catalog.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("open state folder %s: %w", dir, err)
	}
	metrics := obs.NewRegistry()
	held := &leases{catalog: c, log: log}
	cluster := run.NewCluster(run.Config{
		Catalog: held, FS: vfs.OS{}, Dir: dir, Log: log,
		Lookup: parts.lookup, Metrics: metrics,
	})
	return &Engine{Parts: parts, Catalog: c, Metrics: metrics, cluster: cluster, leases: held, dir: dir}, nil
}

func (e *Engine) now() time.Time {
	if e.Now != nil {
		return e.Now()
	}
	return time.Now()
}

// Close closes the catalog; no workflow may run any more.
func (e *Engine) Close() error {
	e.leases.close()
	return e.Catalog.Close()
}

// RunOptions say how a document is run.
type RunOptions struct {
	run.Options
	Limit int64 // rows to read of each source; 0: all
}

// Start plans and runs a document in the background. Problems that keep it from running are
// returned instead.
func (e *Engine) Start(
	ctx context.Context, d *spec.Document, options RunOptions,
) (*run.Workflow, []spec.Problem, error) {
	if len(d.Blocked) > 0 {
		return nil, d.Blocked, nil
	}
	w, problems := e.Parts.Build(d)
	if spec.Failed(problems) {
		return nil, problems, nil
	}
	if options.Limit > 0 {
		if err := e.Parts.limitSources(w, options.Limit); err != nil {
			return nil, nil, err
		}
	}
	options.Document = string(d.Redacted())
	started, err := e.StartPlan(ctx, w, options.Options)
	return started, nil, err
}

// History returns runs, newest first, of one workflow or, with "", of all. One that is recorded as
// running though its process is gone is interrupted.
func (e *Engine) History(ctx context.Context, workflow string, limit int) ([]catalog.Run, error) {
	runs, err := e.Catalog.History(ctx, workflow, limit)
	if err != nil {
		return nil, err
	}
	for i := range runs {
		if runs[i].Status != catalog.Running {
			continue
		}
		held, err := e.Catalog.Held(ctx, runs[i].Workflow)
		if err != nil {
			return nil, err
		}
		if !held {
			runs[i].Status = catalog.Interrupted
		}
	}
	return runs, nil
}

// StartPlan runs a workflow that was built without a document.
func (e *Engine) StartPlan(
	ctx context.Context, w *plan.Workflow, options run.Options,
) (*run.Workflow, error) {
	p, err := plan.New(w)
	if err != nil {
		return nil, err
	}
	return e.cluster.Start(ctx, p, options)
}

// lookup makes a lookup connector for enrich.
func (p *Parts) lookup(typ string, config map[string]any) (connector.Lookup, error) {
	c, ok := p.Connectors.Get(typ)
	if !ok || c.Lookup == nil {
		able := slices.DeleteFunc(p.Connectors.Names(), func(name string) bool {
			c, _ := p.Connectors.Get(name)
			return c.Lookup == nil
		})
		return nil, &op.ConfigError{
			Path: "type", Err: fmt.Errorf("connector %q cannot answer lookups; %s can", typ, strings.Join(able, ", ")),
		}
	}
	filled := clone(c.Lookup.Config)
	var wrong []error
	for _, problem := range spec.DecodeMap(config, filled) {
		message := errors.New(problem.Message)
		if problem.Hint != "" {
			message = fmt.Errorf("%s; %s", problem.Message, problem.Hint)
		}
		wrong = append(wrong, &op.ConfigError{Path: strings.TrimSuffix("config."+problem.Path, "."), Err: message})
	}
	if wrong != nil {
		return nil, errors.Join(wrong...)
	}
	return c.Lookup.New(connector.Env{Log: slog.New(slog.DiscardHandler), FS: vfs.OS{}}, filled)
}
