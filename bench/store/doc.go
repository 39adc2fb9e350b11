// Store measures the market store beside SQLite and DuckDB on the same rows, and its page layer beside
// parquet-go's own writer and reader.
//
// Path of one run: data.go makes bars -> each engine is filled (ours.go, sqlite.go, duckdb.go) -> main.go
// runs each job on all engines in turn, round after round -> medians, one table.
//
// Invariants: all engines hold the same rows and every answer's rows are counted; a round runs every
// engine once, so a disturbance meets all of them; CPU time stands beside wall time, because another
// program's load spoils the latter; an engine that cannot be had is listed with the reason.
package main
