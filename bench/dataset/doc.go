// Package dataset generates the benchmark's rows: the same bytes on every machine, and the sums
// that any correct filter of them must reach.
//
// Path of one row: Generator.Next draws two numbers of a seeded sequence -> Row -> AppendCSV or
// AppendNDJSON -> one line; Expected runs the same sequence and keeps sums only.
//
// invariant: row n depends on n and the seed alone, so a smaller data set is a prefix of a larger.
//
// It knows nothing of the tools measured, and imports nothing of the product: it is the oracle.
package dataset
