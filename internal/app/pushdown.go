package app

import (
	"context"
	"log/slog"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/flow/expr"
	"github.com/tapeline/tapeline/internal/flow/op"
	"github.com/tapeline/tapeline/internal/flow/plan"
	"github.com/tapeline/tapeline/internal/vfs"
)

// explainPushdown asks the source of a stage which parts of its filter's condition it applies.
func (p *Parts) explainPushdown(
	ctx context.Context, planned *plan.Plan, s *plan.Stage, node *ExplainedNode,
) {
	if why := planned.Unoffered[node.ID]; why != "" {
		for _, e := range node.Expressions {
			node.Unpushed = append(node.Unpushed, UnpushedCondition{e.Source, why})
		}
	}
	if s.Filter == nil || s.Filter.ID != node.ID {
		return
	}
	conjuncts, refused, err := offered(ctx, s)
	if err != nil {
		for _, e := range node.Expressions {
			node.Unpushed = append(node.Unpushed, UnpushedCondition{e.Source, "unknown until run: " + err.Error()})
		}
		return
	}
	for _, c := range conjuncts {
		why := c.Why
		if c.Predicate != nil {
			if len(refused) == 0 {
				why = "the source applies none"
			} else if why, refused = refused[0], refused[1:]; why == "" {
				node.Pushed = append(node.Pushed, c.Predicate.String())
				continue
			}
		}
		node.Unpushed = append(node.Unpushed, UnpushedCondition{c.Source, why})
	}
}

// offered makes the source and the filter behind it as a run does, and returns the source's answer.
func offered(
	ctx context.Context, s *plan.Stage,
) (conjuncts []expr.Conjunct, refused []string, err error) {
	operator, err := s.Filter.NewOperator(op.Env{
		Node: s.Filter.ID, Interpret: s.Filter.Interpret, Context: ctx,
	})
	if err != nil {
		return nil, nil, err
	}
	source, err := s.Source.NewSource(connector.Env{
		Log: slog.New(slog.DiscardHandler), FS: vfs.OS{}, Node: s.Source.ID,
	})
	if err != nil {
		return nil, nil, err
	}
	defer source.Close()
	filterer, ok := source.(connector.Filterer)
	predicative, narrows := operator.(op.Predicative)
	if !ok || !narrows {
		return nil, nil, nil
	}
	refused, err = filterer.Filter(ctx, func(schema *batch.Schema) []connector.Predicate {
		conjuncts = predicative.Conjuncts(schema)
		return op.Predicates(conjuncts)
	})
	return conjuncts, refused, err
}
