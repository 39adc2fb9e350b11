// Package batch is the columnar batch every part of Tapeline hands around.
//
// Columns use Arrow's memory layout (values, validity bitmap, offsets), so a dense batch becomes
// Arrow and comes from it without copying. Two things Arrow lacks make it fast: a selection
// vector (a filter keeps row numbers and copies nothing) and lazy columns (the source's raw text
// spans, typed only where an operation needs them).
//
// Path of one batch: a codec builds Spans and LazyColumn -> New -> an operator types a column
// (Batch.Typed), narrows rows (Batch.Select), adds columns (Batch.With) -> a sink takes
// Batch.Dense or formats the text spans directly.
//
// Invariants: a batch and its columns are never altered after New; every change is a new value
// sharing the rest. A batch is valid until the call that received it returns; who keeps rows
// calls Keep. A typed column made under a selection holds values only for the selected rows.
//
// The package knows nothing of connectors, files or the engine.
package batch
