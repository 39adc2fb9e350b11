package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/fault"
	"github.com/tapeline/tapeline/internal/flow/op"
	"github.com/tapeline/tapeline/internal/flow/plan"
	"github.com/tapeline/tapeline/internal/flow/run"
	"github.com/tapeline/tapeline/internal/flow/spec"
)

// Preview is the first rows behind a node.
type Preview struct {
	Node        string            `json:"node"`
	Columns     []PreviewColumn   `json:"columns"`
	Rows        []json.RawMessage `json:"rows"`         // objects
	DeadLetters int64             `json:"dead_letters"` // rows refused on the way
	FirstDead   []run.DeadExample `json:"first_dead_letters,omitempty"`
	Cells       [][]string        `json:"-"` // canonical text; NULL is "NULL"
}

// PreviewColumn is a column of a preview.
type PreviewColumn struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

// Preview runs the nodes before NODE or NODE.PORT until n rows came out of it. Sinks are not
// written, and sources are not told that rows were taken.
func (p *Parts) Preview(
	ctx context.Context, d *spec.Document, output string, n int, log *slog.Logger,
) (_ *Preview, err error) {
	s, err := p.newScratch(log)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	batches, report, err := p.first(ctx, s, d, output, n)
	if err != nil {
		return nil, err
	}
	out := &Preview{
		Node: output, DeadLetters: report.DeadLetters, FirstDead: report.FirstDead, Columns: []PreviewColumn{}, Rows: []json.RawMessage{},
	}
	for _, b := range batches {
		if len(out.Columns) == 0 {
			out.Columns = columnsOf(b.Schema())
		}
		for i, object := range rowObjects(b) {
			out.Rows = append(out.Rows, object)
			out.Cells = append(out.Cells, texts(b, i))
		}
	}
	return out, nil
}

// first returns the first n rows of an output, and what happened on the way.
func (p *Parts) first(
	ctx context.Context, s *scratch, d *spec.Document, output string, n int,
) ([]*batch.Batch, *run.Report, error) {
	w, err := p.build(d)
	if err != nil {
		return nil, nil, err
	}
	from, inputs, err := outputsOf(d, w, output)
	if err != nil {
		return nil, nil, err
	}
	limit, err := p.limitNode("preview limit", int64(n))
	if err != nil {
		return nil, nil, err
	}
	limit.Inputs = inputs
	kept := &capture{}
	w.Nodes = append(w.Nodes, limit, kept.node("preview", plan.Input{Node: limit.ID}))
	w.Nodes = above(w.Nodes, "preview")
	for _, node := range w.Nodes {
		if node.Kind == plan.Source {
			node.Parallelism, node.NewSource = 1, untold(node.NewSource)
		}
	}
	if len(d.Blocked) > 0 && !complete(w) {
		return nil, nil, errors.New(d.Blocked[0].Message)
	}
	report, err := s.run(ctx, w)
	if err != nil {
		return nil, nil, fmt.Errorf("preview of %s: %w", from, err)
	}
	return kept.batches, &report, nil
}

// complete reports whether all inputs are there.
func complete(w *plan.Workflow) bool {
	byID := map[string]bool{}
	for _, n := range w.Nodes {
		byID[n.ID] = true
	}
	for _, n := range w.Nodes {
		for _, in := range n.Inputs {
			if !byID[in.Node] {
				return false
			}
		}
	}
	return true
}

// outputsOf finds what NODE or NODE.PORT names: an output, or what a destination reads.
func outputsOf(
	d *spec.Document, w *plan.Workflow, output string,
) (id string, inputs []plan.Input, err error) {
	id, port, _ := strings.Cut(output, ".")
	for _, n := range w.Nodes {
		switch {
		case n.ID != id:
		case n.Kind == plan.Destination:
			return id, n.Inputs, nil
		case n.Ports == nil && port == "":
			return id, []plan.Input{{Node: id}}, nil
		default:
			for _, p := range n.Ports {
				if port == "" || p == port {
					inputs = append(inputs, plan.Input{Node: id, Port: p})
				}
			}
			if inputs == nil {
				return id, nil, fmt.Errorf("%s has no port %q; its ports are %q", id, port, n.Ports)
			}
			return id, inputs, nil
		}
	}
	var ids []string
	for _, n := range d.Nodes() {
		ids = append(ids, n.ID)
	}
	if near := fault.Nearest(id, ids); near != "" {
		return "", nil, fmt.Errorf("no node %q; did you mean %q?", id, near)
	}
	return "", nil, fmt.Errorf("no node %q; there are %s", id, strings.Join(ids, ", "))
}

// limitNode returns a node that passes so many rows and then ends the sources before it.
func (p *Parts) limitNode(id string, rows int64) (*plan.Node, error) {
	limit, ok := p.Operators.Get("limit")
	if !ok {
		return nil, fmt.Errorf("operator limit is missing in this binary")
	}
	config := clone(limit.Config)
	if problems := spec.DecodeMap(map[string]any{"rows": rows}, config); len(problems) > 0 {
		return nil, fmt.Errorf("limit: %s", firstError(problems))
	}
	return &plan.Node{
		ID: id, Type: "limit", Kind: plan.Transformation, Ordered: limit.Ordered, OnError: plan.Fail,
		Fingerprint: strconv.FormatInt(rows, 10),
		NewOperator: func(env op.Env) (op.Operator, error) { return limit.New(env, clone(config)) },
	}, nil
}

// untold makes sources whose Ack does nothing.
func untold(
	make func(connector.Env) (connector.Source, error),
) func(connector.Env) (connector.Source, error) {
	return func(env connector.Env) (connector.Source, error) {
		source, err := make(env)
		if err != nil {
			return nil, err
		}
		quiet := silent{source}
		if d, ok := source.(connector.Decoder); ok {
			return struct {
				silent
				connector.Decoder
			}{quiet, d}, nil
		}
		return quiet, nil
	}
}

// silent hides Ack from a source.
type silent struct{ connector.Source }

var _ connector.Filterer = silent{}

// Filter passes the offer on to a source that filters by itself.
func (s silent) Filter(
	ctx context.Context, offer func(*batch.Schema) []connector.Predicate,
) ([]string, error) {
	if filterer, ok := s.Source.(connector.Filterer); ok {
		return filterer.Filter(ctx, offer)
	}
	return nil, nil // offered only where the connector's capabilities say that it filters
}

// Ack does nothing.
func (silent) Ack(context.Context, connector.Position) error { return nil }

// texts returns a dense row as canonical text, NULL as "NULL".
func texts(b *batch.Batch, row int) []string {
	out := make([]string, len(b.Columns()))
	for i, c := range b.Columns() {
		if c.IsNull(row) {
			out[i] = "NULL"
			continue
		}
		out[i] = string(batch.AppendText(nil, c, row))
	}
	return out
}
