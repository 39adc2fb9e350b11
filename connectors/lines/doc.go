// Package lines reads and writes plain text files line by line.
//
// Path of one chunk in: source.Read (filesink.Blocks cuts at line ends) -> a worker's
// codec/lines.Format.Decode -> lazy batch and rejected lines. Out: a worker's
// codec/lines.Encoder -> sink.Write -> filesink.Stage, which publishes the file.
//
// Invariants: a position is one of filesink's. A line that does not fit is rejected, never dropped.
//
// The package knows nothing of the engine.
package lines
