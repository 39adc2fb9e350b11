// Package examples carries the workflows of this folder into the binary, for `tapeline demo`.
//
// Path of one document: demo.yaml -> Demo -> internal/cli writes it to a folder and runs it.
//
// Every document here lints: a test of internal/app holds them against the real node types.
//
// The package knows nothing of what is in the documents.
package examples
