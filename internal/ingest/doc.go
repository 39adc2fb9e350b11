// Package ingest keeps a market store complete: it compares what should be there with what is, asks
// a provider for the difference, and proves afterwards that nothing is missing.
//
// Path of one gap: calendar and listing life less coverage -> Scope.Plan (pure, no I/O) -> units in
// work units -> a workflow of the engine (the provider's source -> the store's sink, which commits
// rows and coverage together) -> prove (expected sessions against stored rows) -> Report.
//
// Invariants: planning depends on its arguments alone. Nothing remembers how far a sync came but the
// store: each run plans anew from coverage, so an interrupted one goes on at the first missing
// interval. A run whose data is short says so, by its report and its exit code.
//
// The package knows providers through market.Provider and a source node, and no connector by name.
// It starts no goroutine, repeats no request and draws nothing: the engine and the command do.
package ingest
