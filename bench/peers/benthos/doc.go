// Benthos is the unchanged Benthos engine (Redpanda Connect's core) with the io and pure
// components, which hold all that the benchmark's configurations use.
//
// Path of one run: the command line of Benthos itself, given one of the YAML files beside this.
//
// It knows nothing of the benchmark: paths and row counts come through BENCH_* variables.
package main
