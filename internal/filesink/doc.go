// Package filesink is what file connectors share: finding, opening and cutting input files into
// blocks of whole records, and staging output files that appear complete or not at all.
//
// Path of one block: SourceConfig.Expand -> NewBlocks -> Blocks.Next (open -> decompress ->
// transcode -> fill a recycled buffer -> Cut at a record's end) -> the codec -> Block.Release.
// Path of one written byte: Stage.Write -> hidden part beside the target -> Stage.Prepare (token)
// -> Stage.Commit renames it and syncs the folder; after a crash Stage.Recover truncates to the
// token's length, or copies that much when another owner (fence) wrote it.
//
// Invariants: a position is a byte offset in the decompressed, transcoded stream of one file, and
// names the file. Short input is an error, never a short result. A target is replaced by one
// rename of a complete, synced file and is untouched before. Commit may be repeated. A stage writes
// only to hidden files of its own fence.
//
// The package knows no file format.
package filesink
