// Package sqlite reads and writes SQLite database files.
//
// Path of one chunk: sqlkit.Source runs one ordered SELECT and fills batches from the driver's
// rows; sqlkit.Sink converts columns to the table's types -> insert binds many rows a statement
// inside the epoch's transaction -> Decide sets tapeline_epochs and commits.
//
// Invariants: a sink has one connection, since SQLite has one writer. Files are put into WAL mode
// so that readers and the writer do not wait for each other.
//
// The package knows nothing of the engine.
package sqlite
