// Package json turns JSON records into batches of lazy columns and batches into JSON text.
//
// Path of one record in: Split (records of an array or of loose values; lines need none) ->
// Decoder.Decode -> scanner.record (strict grammar; positions of the wanted members, nothing
// copied) -> batch.Spans -> typed on touch: numbers and text by batch, nested cells by
// nested.column. Out: Encoder.Append -> one cellWriter a column.
//
// Invariants: nothing that is not JSON (RFC 8259, UTF-8, at most 512 levels) becomes a row: it is
// returned as rejected, with place and reason. Numbers keep their text until they are typed. Of
// duplicate members the last one counts. Members that the schema does not name are never lost in
// silence: see Extra.
//
// The package knows nothing of files, compression or the engine.
package json
