// Package discard is a sink that takes rows and drops them: the far end of measurements and of
// tests that need a slow or stalled sink.
//
// Path of one chunk: sink.Write -> wait for rate and stall -> latency histogram -> dropped.
//
// Invariants: lazy columns stay untyped, and so unchecked, except latency_field.
//
// The package knows nothing of the engine or of other connectors.
package discard
