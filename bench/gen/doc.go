// Command gen writes the benchmark's rows as CSV, NDJSON or both and prints size and sha256 of
// each file, so that two machines can tell that they measure the same bytes.
//
// The rows come from bench/dataset; this package knows only flags and files.
package main
