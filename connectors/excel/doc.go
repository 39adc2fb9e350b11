// Package excel reads and writes sheets of xlsx workbooks.
//
// Path of one chunk in: container.Walk -> reader.Read (sheet.next: XML of one row -> cells -> values
// of the columns' types) -> batch. Out: sink.Write -> excelize's stream writer, one workbook per
// epoch -> filesink.Stage; at the end of the run mergeParts writes the cells of all parts into one.
//
// Invariants: a sheet is read as a stream; only shared strings and styles are held. A number keeps
// the digits it has in the file. What Excel cannot hold exactly is written as text.
//
// The package knows nothing of the engine. Reading is its own, since excelize does not tell a
// row's types while streaming; writing is excelize's, files are internal/filesink's.
package excel
