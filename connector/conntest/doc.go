// Package conntest is the conformance suite that every connector runs, those written outside this
// repository too.
//
// Path of one source: Source -> one subtest per promise -> New, Open -> Read -> DecodeFunc ->
// Release, as the engine's reader and workers do. Path of one sink: Sink -> New, Open, Recover ->
// EncodeFunc or dense batches -> Write -> Prepare, Sync, Decide, Commit, as its writers do, with a
// crash (Close and a new instance) between any two steps.
//
// Invariants: a promise is checked when the Spec's capabilities or the case state it; the log
// names those that were not checked. No check depends on timing but for "returns soon" (seconds).
// The goroutines of each check are counted. Each check is shown to catch a connector that breaks
// its promise by the package's own tests.
//
// The package knows the contract and batches; no engine, no concrete system.
package conntest
