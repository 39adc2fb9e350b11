// Package catalog is the engine's control database: workflows, runs, checkpoints and leases, in
// one SQLite file of the state folder.
//
// Path of one checkpoint: Catalog.Acquire (the lease of a workflow) -> Lease.Begin (a run) ->
// Lease.Prepare (the manifest exists) -> the decider commits -> Lease.Commit (the manifest counts)
// -> trim (older ones go). After a crash Catalog.Latest returns what counts and what was prepared.
//
// Invariants: every write is synced when it returns (write-ahead log, synchronous=FULL); it goes
// through a Lease and is refused with ErrFenced once another process took the lease over; fencing
// tokens of a workflow only grow; a committed checkpoint never becomes prepared or dropped again;
// the newest committed checkpoint of a workflow is never removed but by Discard.
// Savepoints have names and stay.
//
// The package does not look into manifests, reports, documents and fingerprints.
package catalog
