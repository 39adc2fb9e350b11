// Package generate is a source of seeded, typed rows: for tests, demonstrations and measurements.
//
// Path of one chunk: source.Read (rows that are due -> chunk with a window as Payload) ->
// source.NewDecode in a worker -> field.fill per column -> batch; Chunk.Release gives the column
// memory back to the pool.
//
// Invariants: the value of a field in row i depends on seed, field name and i alone, so the
// position is a row number and a resumed run repeats nothing and misses nothing. Kind emitted is
// the exception: it is the time at which the row was due.
//
// The package knows nothing of the engine or of other connectors.
package generate
