// Package segment is one immutable, key-sorted Parquet segment as bytes.
//
// Path of a row in: Block -> Writer.Write (checks order, cuts row groups) -> encodeGroup (columns,
// pages of PageRows rows) -> Writer.Close (page index, footer). Out: Open (footer) -> Reader.Find or
// Reader.Select (page index, key columns) -> Reader.Read (only the pages of the rows and columns
// asked for) -> Block -> Block.Batch. docs/format/segment.md has the bytes.
//
// Invariants: rows are sorted by the schema's key columns; every page of every column but a row
// group's last holds exactly PageRows rows, or the whole row group where its rows are all the same;
// the footer's and the index's checksums are checked
// when they are read, a page's before it is decoded: damaged bytes are an error, never other rows.
//
// The format is Parquet's; its containers (pages, index, footer) are laid out here, on parquet-go's
// encodings and metadata, because nullable columns must be as fast as required ones. The package
// knows nothing of the store: neither files, catalog, nor what a row means.
package segment
