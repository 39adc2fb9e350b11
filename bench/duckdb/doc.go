// Package duckdb asks a DuckDB process: the peer of bench/peers/duckdb, started with -serve.
//
// Path of one question: Child.Ask writes a statement as one line -> the child runs it and reads its
// answer whole -> one line back with rows, first value and CPU time. Rows themselves come back by a
// file that the statement writes (COPY ... TO).
//
// It knows nothing of what is asked: bench/store and bench/pollock do.
package duckdb
