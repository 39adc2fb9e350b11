// Package sqlkit is what the SQL connectors share: names, types, DDL, keyed writes, epochs.
//
// Path of one sink batch: Dialect.CreateTable makes a missing table -> Assignable checks each
// column against an existing one -> Convert brings values to the column's type -> the connector
// writes -> Epochs.Advance records the epoch in the same transaction.
//
// Invariants: every identifier in generated SQL is quoted. An epoch is committed by a
// compare-and-set on the epoch before under the task's fence, so that a process that lost its
// lease cannot commit.
//
// The package opens no connection and knows no driver.
package sqlkit
