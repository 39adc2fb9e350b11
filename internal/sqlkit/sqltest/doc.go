// Package sqltest is the behaviour that all SQL connectors share, as tests each of them runs on its
// database.
//
// Path of one case: Run -> a Database of its own -> the connector's source or sink, driven as the
// engine does -> rows compared by SQL.
//
// Invariants: statements are in the SQL that all dialects have; what differs is asked of Database.
// A connector's own tests hold only what it alone does.
//
// Only test files import this package.
package sqltest
