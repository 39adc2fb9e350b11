// Sync measures what the modules around a sync bring: rows a second, logins, commits, queries of the
// catalog and memory with no module, with the session kept, with batches too, and with all; then every
// pair of batch_size and max_workers; and, with -loop, whether increments go on for long without growing.
//
// Path of one measurement: main.go starts `tapeline sim baostock` in a process of its own -> measure.go
// runs `tapeline sync --json` on it as a child -> the report and the child's memory become a row of a
// table. loop.go syncs in this process, so that goroutines and open files can be counted.
//
// Figures are printed, never judged, since they say as much about the machine; only a loop that grows fails.
package main
