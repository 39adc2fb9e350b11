// Package store is the market store: immutable Parquet segments, and a catalog that names them.
//
// Path of one row: Writer.Commit -> resolve (symbols to ids) -> diff against what is stored (equal
// rows go, changed ones become restatements) -> segment.Encode -> file or blob -> ONE catalog
// transaction (segments, coverage, quarantine, journal, sequence, epoch). Back: Store.View -> plan
// (segments of the partitions touched) -> merge (newest sequence wins) -> *batch.Batch.
//
// Invariants: a segment is never altered; only the catalog says which count; the ordered commits
// are the journal; a compaction is no commit and changes no row; only the holder of the writer lock
// writes segments and coverage, sweeps and collects; any process may write cursors and leases.
//
// The package knows no provider, no plan of a sync and no engine; connector `store` is its face
// towards workflows.
package store
