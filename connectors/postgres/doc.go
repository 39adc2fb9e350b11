// Package postgres reads and writes PostgreSQL by binary COPY.
//
// Path of one chunk out of the server: source.Read takes whole CopyData frames off the socket ->
// an engine worker runs decoder.decode, from frames straight to columns. Into the server: a worker
// runs encoder.encode, from columns to CopyData frames -> sink.Write sends them inside the epoch's
// transaction -> Prepare -> Decide compares and sets tapeline_epochs and commits.
//
// Invariants: one transaction holds an epoch's rows and its number. A source reads one snapshot
// per Open; its positions name the last row by physical place (ctid) or by ordered values.
//
// The package knows nothing of the engine.
package postgres
