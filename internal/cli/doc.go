// Package cli is the command line: commands, output and exit codes.
//
// Path of one command: Main -> newRoot (cobra) -> a command's run function -> app.Engine -> output
// as text, or as JSON with --json.
//
// invariant: results go to standard output, progress and problems to standard error.
//
// The package decides nothing about data; it only prints what app returns.
package cli
