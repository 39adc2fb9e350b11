// Package mysql reads and writes MySQL and MariaDB.
//
// Path of one chunk: sqlkit.Source runs one ordered SELECT and fills batches from the driver's
// rows; sqlkit.Sink converts columns to the table's types -> insert writes INSERT statements of
// many rows as text inside the epoch's transaction -> Decide sets tapeline_epochs and commits.
//
// Invariants: sessions run in UTC and in strict mode, so that the server refuses what it would
// otherwise change. DDL, which commits, has a connection of its own.
//
// The package knows nothing of the engine.
package mysql
