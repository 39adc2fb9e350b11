// Package fault is the vocabulary of failures: classes that decide what is done about an error.
//
// Path of one failure: a connector returns New(class, op, err) -> retry.Policy.Do asks ClassOf and
// repeats or gives up -> the engine asks ClassOf again: Data goes to the dead letters, the rest to
// the restart strategy -> the command line prints Code, Path and Hint.
//
// Invariants: connectors classify, only the engine retries; a cancelled context is never an
// error's class; texts are never matched.
//
// The package knows neither connectors nor the engine.
package fault
