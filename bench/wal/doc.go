//go:build linux

// Wal measures the write-ahead log beside the ones that Go programs use, and beside other ways of writing
// its frames. Linux only.
//
// Path of one turn: main.go asks a child, a process for each engine, to commit batches for so long ->
// child.go in this program for ours (ours.go, choice.go), bench/peers/wal for the others -> the time of
// every commit, CPU time and bytes written -> report.go takes medians and ratios.
//
// Invariants: a round runs every engine once, each time another one first; a first round is not counted;
// every commit is durable when it returns; the disk alone is measured in every round too (probe).
package main
