package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/flow/plan"
	"github.com/tapeline/tapeline/internal/flow/spec"
)

// TestResult is the outcome of one test of a document.
type TestResult struct {
	Name        string           `json:"name"`
	Passed      bool             `json:"passed"`
	Error       string           `json:"error,omitempty"` // why it could not run
	Differences []TestDifference `json:"differences,omitempty"`
}

// TestDifference is what an output yielded other than expected. Rows are compared by the columns
// an expected row names, in any order.
type TestDifference struct {
	Node    string            `json:"node"`
	Missing []json.RawMessage `json:"missing,omitempty"` // expected rows that did not come
	Extra   []json.RawMessage `json:"extra,omitempty"`   // rows that came and were not expected
	Reason  string            `json:"reason,omitempty"`
}

// RunTests runs the document's tests without its sources and sinks: given rows stand for what
// nodes yield.
func (p *Parts) RunTests(
	ctx context.Context, d *spec.Document, log *slog.Logger,
) (results []TestResult, err error) {
	if _, err := p.build(d); err != nil {
		return nil, err
	}
	s, err := p.newScratch(log)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	for i := range d.Tests {
		result := TestResult{Name: d.Tests[i].Name}
		result.Differences, err = p.runTest(ctx, s, d, &d.Tests[i])
		if err != nil {
			result.Error = err.Error()
		}
		result.Passed = err == nil && len(result.Differences) == 0
		results = append(results, result)
	}
	return results, nil
}

func (p *Parts) runTest(
	ctx context.Context, s *scratch, d *spec.Document, test *spec.Test,
) ([]TestDifference, error) {
	w, err := p.build(d)
	if err != nil {
		return nil, err
	}
	w.Execution.Parallelism = 1
	dead := &capture{}
	w.DeadLetter = dead.node("dead_letter", plan.Input{})
	captures := map[string]*capture{"dead_letter": dead}
	var wanted []string
	// Destinations are never made: what they would get is captured.
	nodes := slices.DeleteFunc(slices.Clone(w.Nodes), func(n *plan.Node) bool {
		return n.Kind == plan.Destination
	})
	for _, e := range test.Expect {
		if e.Node == "dead_letter" {
			continue
		}
		_, inputs, err := outputsOf(d, w, e.Node)
		if err != nil {
			return nil, err
		}
		captures[e.Node] = &capture{}
		node := captures[e.Node].node("expect "+e.Node, plan.Input{})
		node.Inputs = slices.Clone(inputs)
		nodes, wanted = append(nodes, node), append(wanted, node.ID)
	}
	if len(wanted) == 0 { // a test of dead letters alone runs everything
		nodes, wanted = closed(nodes)
	}
	nodes, err = p.give(d, nodes, test.Given)
	if err != nil {
		return nil, err
	}
	w.Nodes = above(nodes, wanted...)
	for i, n := range w.Nodes {
		if n.Kind == plan.Source && n.Type != rowType { // none given: it yields none
			w.Nodes[i] = rowNode(n.ID, batch.New(batch.NewSchema(), nil, 0))
		}
	}
	if !complete(w) {
		return nil, errors.New("a node before the expected one is of a type this binary does not have")
	}
	if _, err := s.run(ctx, w); err != nil {
		return nil, err
	}
	var differences []TestDifference
	for _, e := range test.Expect {
		if found := compareRows(e, captures[e.Node].batches); found != nil {
			differences = append(differences, *found)
		}
	}
	if !expects(test, "dead_letter") {
		unasked := spec.NodeRows{Node: "dead_letter"}
		if found := compareRows(unasked, dead.batches); found != nil {
			differences = append(differences, *found)
		}
	}
	return differences, nil
}

func expects(test *spec.Test, node string) bool {
	return slices.ContainsFunc(test.Expect, func(e spec.NodeRows) bool { return e.Node == node })
}

// closed gives every node that nobody reads a sink, and returns the sinks' ids.
func closed(nodes []*plan.Node) (all []*plan.Node, sinks []string) {
	all = slices.Clone(nodes)
	for _, n := range nodes {
		if read(nodes, n.ID) {
			continue
		}
		sink := (&capture{}).node("end "+n.ID, plan.Input{Node: n.ID})
		if n.Ports != nil {
			sink.Inputs = nil
			for _, port := range n.Ports {
				sink.Inputs = append(sink.Inputs, plan.Input{Node: n.ID, Port: port})
			}
		}
		all, sinks = append(all, sink), append(sinks, sink.ID)
	}
	return all, sinks
}

// read reports whether any node reads the named one.
func read(nodes []*plan.Node, id string) bool {
	return slices.ContainsFunc(nodes, func(n *plan.Node) bool {
		return slices.ContainsFunc(n.Inputs, func(in plan.Input) bool { return in.Node == id })
	})
}

// give replaces outputs by given rows.
func (p *Parts) give(
	d *spec.Document, nodes []*plan.Node, given []spec.NodeRows,
) ([]*plan.Node, error) {
	for _, g := range given {
		id, port, _ := strings.Cut(g.Node, ".")
		n := d.Node(id)
		if n == nil || n.Kind == spec.Destination {
			return nil, fmt.Errorf("given %s: only sources and transformations yield rows", g.Node)
		}
		rows, err := lazyRows(givenText(g.Rows), p.givenSchema(n, g.Rows))
		if err != nil {
			return nil, fmt.Errorf("given %s: %w", g.Node, err)
		}
		source := rowNode("given "+g.Node, rows)
		nodes = append(nodes, source)
		rewire(nodes, plan.Input{Node: id, Port: port}, source.ID)
	}
	return nodes, nil
}

// givenText writes given rows as lines of JSON; numbers keep their digits.
func givenText(rows [][]spec.Cell) []byte {
	var text []byte
	for _, row := range rows {
		text = append(text, rowText(row)...)
		text = append(text, '\n')
	}
	return text
}

func rowText(row []spec.Cell) []byte {
	text := []byte{'{'}
	for i, cell := range row {
		if i > 0 {
			text = append(text, ',')
		}
		text = append(batch.AppendJSONString(text, cell.Column), ':')
		text = append(text, valueText(cell.Value)...)
	}
	return append(text, '}')
}

// valueText writes a value of the document as JSON.
func valueText(v *spec.Value) []byte {
	switch {
	case v == nil || v.Kind == spec.KindNull:
		return []byte("null")
	case (v.Kind == spec.KindInt || v.Kind == spec.KindFloat) && json.Valid([]byte(v.Text)):
		return []byte(v.Text)
	case v.Kind == spec.KindList:
		text := []byte{'['}
		for i, item := range v.Items {
			if i > 0 {
				text = append(text, ',')
			}
			text = append(text, valueText(item)...)
		}
		return append(text, ']')
	case v.Kind == spec.KindMap:
		text := []byte{'{'}
		for i, pair := range v.Pairs {
			if i > 0 {
				text = append(text, ',')
			}
			text = append(batch.AppendJSONString(text, pair.Key), ':')
			text = append(text, valueText(pair.Value)...)
		}
		return append(text, '}')
	}
	if text, err := json.Marshal(v.Any()); err == nil && v.Kind != spec.KindString {
		return text
	}
	return batch.AppendJSONString(nil, v.Text)
}

// givenSchema returns the types that the document declares for a node's rows, of the columns that
// are given, and of the generate source, whose types stand in its config.
func (p *Parts) givenSchema(n *spec.Node, rows [][]spec.Cell) *batch.Schema {
	declared := map[string]batch.Type{}
	if n.Schema != nil {
		for _, c := range n.Schema.Columns {
			if typ, err := batch.ParseType(c.Type); err == nil {
				declared[c.Name] = typ
			}
		}
	}
	if columns := n.At("schema.columns"); columns != nil {
		for _, pair := range columns.Pairs {
			if typ, err := batch.ParseType(pair.Value.Text); err == nil {
				declared[pair.Key] = typ
			}
		}
	}
	if n.Type == "generate" && n.Kind == spec.Source {
		p.discover(n, declared)
	}
	var fields []batch.Field
	seen := map[string]bool{}
	for _, row := range rows {
		for _, cell := range row {
			if typ, ok := declared[cell.Column]; ok && !seen[cell.Column] {
				fields = append(fields, batch.Field{Name: cell.Column, Type: typ, Nullable: true})
			}
			seen[cell.Column] = true
		}
	}
	if len(rows) == 0 { // without rows the declared columns are all there is
		for name, typ := range declared {
			fields = append(fields, batch.Field{Name: name, Type: typ, Nullable: true})
		}
	}
	return batch.NewSchema(fields...)
}

func (p *Parts) discover(n *spec.Node, declared map[string]batch.Type) {
	c, _ := p.Connectors.Get(n.Type)
	if n.Config == nil || c.Source == nil {
		return
	}
	source, err := c.Source.New(connector.Env{Node: n.ID}, clone(n.Config))
	if err != nil {
		return
	}
	if d, ok := source.(connector.Discoverer); ok {
		if schema, err := d.Discover(context.Background()); err == nil {
			for _, f := range schema.Fields() {
				declared[f.Name] = f.Type
			}
		}
	}
	_ = source.Close() // it was never opened
}
