// Package arrow reads and writes Arrow IPC: files (also known as Feather version 2) and streams.
//
// Path of one chunk in: container.Walk -> reader.Read (a record batch, validated, cut to the
// batch's limits, shared without a copy) -> batch. Out: sink.Write -> ipc writer -> pending bytes
// -> filesink.Stage; a file's parts are joined by mergeParts at the end of the run.
//
// Invariants: arrays of a file are validated before anything looks at them, so that a damaged file
// is an error. Rows count as taken once they are encoded in memory; a failed write of the bytes is
// repeated before any further row is taken.
//
// The package knows nothing of the engine; the format is arrow-go's, files internal/filesink's.
package arrow
