// Package container is what readers of container files share: files that hold their own schema and
// units of rows (row groups of Parquet, record batches of Arrow, blocks of Avro, rows of a sheet).
//
// Path of one chunk: NewWalk -> Walk.Next (open the piece's file -> the format's Reader.Read, under
// Guard) -> a chunk whose Position names file, unit and row -> Walk.Resume in a later run.
//
// Invariants: a position belongs to one state of one file; a file that changed since is refused.
// invariant: a panic of a format library becomes a data error that names the file.
//
// The package knows no file format and no connector's configuration.
package container
