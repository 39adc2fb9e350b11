// Package op holds the built-in operators: what a node does to batches.
//
// Path of one batch: run worker -> Bound.Apply(batch, Output) -> Output.Emit to the next operator
// of the chain, Output.Reject to the dead letters.
//
// An Operator is made once per task from its config and holds its state; Bind compiles it for one
// input schema. Parallel operators (no state) run on any worker in any order; ordered ones run
// after reassembly, one batch at a time in chunk order, and checkpoint their state.
//
// invariant: an operator never alters a batch; it emits new ones that share columns.
//
// The package knows nothing of tasks, edges, checkpoints or documents.
package op
