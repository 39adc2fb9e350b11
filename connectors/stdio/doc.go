// Package stdio reads rows from standard input and writes them to standard output.
//
// Path of one chunk in: source.Read (waits for input, cuts whole records off a recycled buffer) ->
// a worker's codec of the format -> batch. Out: a worker's codec -> sink.Write -> standard output.
//
// Invariants: a position counts consumed bytes, but input that was read is gone: a source cannot
// be opened at a position. What was written is visible at once and cannot be taken back.
//
// The package knows nothing of the engine.
package stdio
