// Package expr is Tapeline's one expression language: filters, computed columns, routing, quality
// rules.
//
// Path of one expression: Parse (parse.go: limits, expr-lang's parser) -> Expression.Bind (bind.go:
// names and types against a schema, a tree of typed nodes) -> Program.NewEval -> Eval.Filter and
// Eval.Column (eval.go). The evaluator runs loops over columns under a selection: narrow.go for
// conditions, vector.go for values, kernel*.go for the loops themselves. What has no column form
// runs row by row in row.go over the same tree; with Options.Interpret everything does, which is
// also the oracle of the differential fuzz test.
//
// Invariants: both forms give the same values, NULLs and row errors. A row is evaluated only where
// its value is asked for: AND, OR, the conditional and coalesce narrow the selection first, so a
// cell that is not needed is never parsed and cannot fail. A row that failed is not evaluated
// further. A Program is immutable; an Eval belongs to one goroutine.
//
// The language itself is described in docs/expressions.md, of which the functions' part is
// generated from the registry. The package knows nothing of workflows or files, and of connectors only
// the predicates that a condition falls into (conjunct.go).
package expr
