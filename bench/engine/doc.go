// Engine measures what concerns the engine alone: latency under a steady load, and adaptive batches
// against fixed ones.
//
// Path of one measurement: main.go -> latency.go or batching.go writes a workflow document -> child.go
// runs the binary on it as its child -> the run's report and log become a row of a Markdown table.
//
// Nothing of Tapeline is linked; figures are printed, never judged, since they say as much about the
// machine.
package main
