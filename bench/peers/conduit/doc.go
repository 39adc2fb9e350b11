// Conduit is the unchanged Conduit server, ended by a watcher: its file source follows the file
// for ever, so the job is over when the output holds as many lines as the runner expects.
//
// Path of one run: watch polls BENCH_OUTPUT -> BENCH_EXPECT lines -> SIGINT to this process ->
// Conduit drains and stops, while its own command line runs the YAML pipeline beside this.
//
// It knows nothing of the other tools. The poll costs 50 reads a second of appended bytes.
package main
