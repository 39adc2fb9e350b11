// Wal commits batches of records through one of the Go write-ahead logs that others use, for bench/wal.
//
// Path of one turn: a line of standard input says for how long -> the engine forgets what earlier turns
// wrote, by its own means -> commits, one after the other, each durable when it returns -> a line of JSON
// with the time of every commit and what the process used.
//
// It knows nothing of Tapeline: a module of its own, so that these dependencies stay out of the other.
package main
