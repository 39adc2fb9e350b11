// Package cases holds what it takes to score a reader on a Pollock set: files polluted on purpose, the
// dialect of each, and what a reader should make of it.
//
// Path of one case: Load reads parameters and clean version -> a reader gives rows (Read is the csv
// connector's, through its public contract) -> Case.Score puts the stated header in front and counts.
//
// Case.Score is the only judge, of the connector's tests and of every reader in bench/pollock.
//
// It knows nothing of other readers.
package cases
