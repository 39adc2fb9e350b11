// Package csv reads and writes delimited text files.
//
// Path of one chunk in: source.Read (a block of whole records, unparsed) -> decode in a worker
// (codec/csv cells -> batch of lazy columns) -> Chunk.Release gives block and cells back.
// Out: encode in a worker (bytes) -> sink.Write appends them -> filesink.Stage publishes.
//
// Invariants: Read never parses more than the beginning of a file, so one file keeps all workers
// busy. A position is the end of a block. Every record of a file becomes a row or a Rejected.
//
// The package knows nothing of the engine; files are internal/filesink's, text is codec/csv's.
package csv
