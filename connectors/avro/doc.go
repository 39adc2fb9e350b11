// Package avro reads and writes Avro object container files.
//
// Path of one chunk in: container.Walk -> reader.Read (block by block: decompress, then the decode
// functions compiled from the file's schema append to columns) -> batch. Out: encode in a worker
// (columns -> one compressed block) -> sink.Write -> filesink.Stage, which goes on in one part.
//
// Invariants: no row is held as a map or struct; a schema is compiled once per file. A length or
// count of a file is checked against what the file holds before memory is taken for it. The sync
// marker of a run's file follows from the run's id, so that a file goes on after a crash.
//
// The package knows nothing of the engine; files are internal/filesink's.
package avro
