// Pollock scores the csv connector beside DuckDB's read_csv on the polluted files of the Pollock
// benchmark, each with its dialect given, by one judge, in one run.
//
// Path of one case: cases.Load -> the reader of each engine (main.go, duckdb.go) -> Case.Score ->
// report.go sums, prints one table and writes every score as JSON.
//
// Invariants: all engines get the same dialect and the same judge; NULL counts as the empty text for
// all; a reading that failed scores 0. The exit code is 1 unless ours is above DuckDB's, plain and
// weighted.
package main
