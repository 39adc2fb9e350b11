// Duckdb runs one of the benchmark's jobs as one DuckDB statement: COPY (SELECT ...) TO a file.
//
// Path of one run: flags -> statement -> one connection with the given thread count -> COPY.
// With -serve it runs statements of standard input on a database instead (serve.go), for bench/store and
// bench/pollock.
//
// It knows nothing of the other tools. It needs cgo: DuckDB is linked as a native library.
package main
