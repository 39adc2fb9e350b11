// Run measures Tapeline beside other tools on the same jobs and prints one table per workload.
//
// Path of one measurement: workloads (workload.go) x tools (tool.go, postgres.go) -> measure.go
// starts the tool as a child and reads its rusage -> check.go sums its output -> report.go takes
// medians and ratios -> baseline.go compares them with the committed ones.
//
// Invariants: rounds interleave the tools, so a disturbance meets all of them; a tool that does
// not run is listed with the reason; an output that is not the expected one is an error, whatever
// its speed; nothing of Tapeline is linked, it is a child like every other tool.
//
// It must not know how any tool works: command lines, environments and files only.
package main
