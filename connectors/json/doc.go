// Package json reads and writes files of JSON records: NDJSON, arrays, and values one after the
// other.
//
// Path of one chunk in: source.Read (filesink.Blocks cuts whole records) -> a worker's
// codec/json.Decoder -> lazy batch and rejected records. Out: a worker's codec/json.Encoder ->
// sink.Write -> filesink.Stage, which publishes the file at the run's end.
//
// Invariants: a position is one of filesink's. A record that is not JSON is rejected with its
// line; when records cannot be told apart any more, reading fails instead of leaving out the rest.
//
// The package knows nothing of the engine.
package json
