// Package lines turns lines of text into batches of lazy columns and batches into lines of text.
//
// Path of one line in: Decoder.Decode -> whole, split after a prefix of fixed width, or matched by
// a pattern -> positions in batch.Spans, nothing copied. Out: Encoder.Append -> the texts of the
// template, one line a row.
//
// Invariants: a line that does not fit prefix or pattern is returned as rejected. A line feed ends
// a line, a carriage return before it belongs to the line end. A row never becomes two lines: text
// with a line feed is refused.
//
// The package knows nothing of files, compression or the engine.
package lines
