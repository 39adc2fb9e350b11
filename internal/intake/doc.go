// Package intake brings files of vendors into a market store: rows of any column names, units and
// spellings of symbols become rows of a dataset, and what cannot is quarantined.
//
// Path of one row: a file connector's source -> mapping (names, units, types; exactly) -> market.Check ->
// keep (a day that another source covers stays that source's) -> the store's sink. Behind the rows come
// the refused ones and, at the end, one unit for each run of days that rows prove.
//
// Invariants: every record of a file is stored, quarantined with its place and reason, or counted as
// kept; coverage names days with rows only, unless the user vouches for a range; the same import again
// writes nothing.
//
// The package knows connectors as sources it is given, and no engine but the plan it hands over.
package intake
