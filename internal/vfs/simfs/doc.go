// Package simfs is a file system in memory that can crash, for tests of durable packages.
//
// Path of one byte: file.Write -> node.data (what readers see) and node.pending -> file.Sync ->
// node.synced (what survives). CrashClone returns what a machine might find after losing power at
// this instant: all that is synced, and of the rest an arbitrary part, torn at sectors.
//
// Invariants: a file's bytes survive only by Sync, its name only by SyncDir of its folder; what is
// not synced survives or not in any combination, without regard to order; a rename within one
// folder is one step, one between folders is two; after a failed Sync a later one does not save
// the earlier writes.
//
// Usual test: run the work once, read Operations; then for each n below it run the work anew with
// StopAt(n), take CrashClone, recover and check. Inject makes single operations fail instead.
//
// Only test files import this package.
package simfs
