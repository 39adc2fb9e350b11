// Package parquet reads and writes Parquet files of arbitrary schemas.
//
// Path of one chunk in: container.Walk -> reader.Read (rows of one row group: leaf.load reads
// levels and values of each column, node.build assembles columns from them) -> batch. Out:
// sink.Write -> rowGroup (columns of one row group in memory) -> encoder -> filesink.Stage; at the
// end of the run mergeParts copies the row groups of all parts into one file.
//
// Invariants: a chunk never spans row groups. Level and value counts of a file are checked against
// each other before a column is built, so that a damaged file is an error. Parts are joined byte by
// byte: what was synced with a checkpoint is not encoded again.
//
// The package knows nothing of the engine; pages are arrow-go's, footers parquet-go's, files
// internal/filesink's.
package parquet
