// Package repair finds and undoes the usual faults of a vendor's price history: prices in another
// unit, splits applied to some rows only, dividends of the wrong size, on the wrong day or twice, and
// adjusted prices that leave a dividend out.
//
// Path of a file: Read (CSV -> Table) -> Series.Repair (levels, cells, gains, dividends, adjustment)
// -> Table.Apply -> Table.Write. A cell that is right keeps its text.
//
// Numbers are integers of 10^-10. Whether something is wrong is decided by statistics of the series;
// what it becomes is exact arithmetic on the numbers of the file itself: times or over 100, times or
// over a split that the file states, or close before less dividend. No value is made up, so rows that
// are missing or zero stay so. Every changed cell is a Change: row, column, old, new, rule.
//
// Invariants: a series without a fault is not changed, and a repaired one is not changed again. The
// newest rows are taken for right. The package does no I/O of its own and knows no file by name.
package repair
