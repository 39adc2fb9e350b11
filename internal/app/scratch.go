package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/tapeline/tapeline/internal/flow/plan"
	"github.com/tapeline/tapeline/internal/flow/run"
	"github.com/tapeline/tapeline/internal/lifecycle"
)

// scratch runs pieces of workflows in a state folder that is thrown away: for test, preview, diff.
type scratch struct {
	engine *Engine
	dir    string
	count  int
}

func (p *Parts) newScratch(log *slog.Logger) (*scratch, error) {
	dir, err := os.MkdirTemp("", "tapeline-")
	if err != nil {
		return nil, fmt.Errorf("make scratch folder: %w", err)
	}
	engine, err := OpenEngine(p, dir, log)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return &scratch{engine: engine, dir: dir}, nil
}

// run runs the nodes to their end, once, under a name of their own.
func (s *scratch) run(ctx context.Context, w *plan.Workflow) (run.Report, error) {
	s.count++
	w.Name = fmt.Sprintf("%s %d", w.Name, s.count)
	w.Execution.Restart = lifecycle.Strategy{Kind: lifecycle.None}
	w.Execution.CheckpointInterval = 0
	started, err := s.engine.StartPlan(ctx, w, run.Options{})
	if err != nil {
		return run.Report{}, err
	}
	return s.engine.Parts.await(started)
}

func (s *scratch) close() error { return errors.Join(s.engine.Close(), os.RemoveAll(s.dir)) }

// above returns the nodes that the named ones need, themselves included, in the order of nodes.
func above(nodes []*plan.Node, ids ...string) []*plan.Node {
	byID := map[string]*plan.Node{}
	for _, n := range nodes {
		byID[n.ID] = n
	}
	wanted := map[string]bool{}
	var want func(id string)
	want = func(id string) {
		n := byID[id]
		if n == nil || wanted[id] {
			return
		}
		wanted[id] = true
		for _, in := range n.Inputs {
			want(in.Node)
		}
	}
	for _, id := range ids {
		want(id)
	}
	return filtered(nodes, wanted)
}

func filtered(nodes []*plan.Node, wanted map[string]bool) []*plan.Node {
	var out []*plan.Node
	for _, n := range nodes {
		if wanted[n.ID] {
			out = append(out, n)
		}
	}
	return out
}

// rewire makes every reader of an output read another node instead.
func rewire(nodes []*plan.Node, from plan.Input, to string) {
	for _, n := range nodes {
		for i, in := range n.Inputs {
			if in == from {
				n.Inputs[i] = plan.Input{Node: to}
			}
		}
	}
}
