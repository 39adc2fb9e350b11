// Package tdx reads the daily bars that TDX terminals keep: one .day file an instrument, 32 bytes a day,
// in folders as sh/lday/sh600000.day or in the zip of a whole market.
//
// Path of one record: files (folder, glob or zip -> names, sorted) -> day.decode (32 bytes -> price,
// exact) -> chunks of one file -> Position (file and record).
//
// Invariants: a chunk holds rows of one file; the symbol is that of the file's name; a record that is no
// day goes to the rejected ones with file, number and field, and never shifts those behind it.
//
// The package knows no dataset and no store.
package tdx
