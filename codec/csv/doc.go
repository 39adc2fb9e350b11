// Package csv turns delimited text into batches of lazy columns and batches into delimited text.
//
// Path of one record in: Cutter.Cut finds where whole records end -> Parser.Parse (scan.go: one
// pass, eight bytes at a time; record.go: the careful reader for a record that is not perfect) ->
// batch.Spans. Out: Encoder.AppendRows (raw bytes where source and target spell alike).
//
// Invariants: Cut and Parse agree about records whatever the block, since a record is judged by
// its own bytes only. Spans of a Parser are well-formed in its dialect: from the first cell to the
// end of the last they are the record, so an Encoder of the same dialect may copy them; a record
// with stray quotes, or made to fit, is written anew for that. A record that is no row is named in
// Result.Rejected, never dropped silently.
//
// The package knows nothing of files, engines or configuration documents.
package csv
