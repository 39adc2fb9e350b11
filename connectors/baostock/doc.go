// Package baostock asks BaoStock for Chinese market data over its own TCP protocol.
//
// Path of one unit: source.Read -> plan.calls (unit -> queries) -> Client.ask -> session.exchange
// (budget, lock, one connection) -> readFrame (lengths, CRC, zlib) -> newPage (splits records, finds
// duplicates) -> pieces of a page; a worker's piece.decode -> recordReader fills typed columns by
// field name. Bad records go to table _quarantine, and one row of table _unit ends the unit.
//
// Invariants: one request at a time on one connection, which any failure closes.
// invariant: no request is sent before the budget has it
// Rows and quarantined rows of a unit are together what its records make, counted before decoding.
// Columns are found by the names in an answer's FIELDS, never by position. A price that does not
// fit its scale is quarantined, never rounded. Errors are classified, and repeated by the engine;
// here only a connection that was idle is replaced.
//
// The package knows neither the store nor the engine.
package baostock
