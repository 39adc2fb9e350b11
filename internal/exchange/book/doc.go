// Package book matches orders: prices first, then time.
//
// Path of a command: Set.Apply -> enter -> match (trades against the other side's best prices) -> rest
// (behind the orders of its price); cancel, replace and reduce find the order by its id. What happened is
// appended to the caller's events.
//
// Invariants: no I/O, no clock, no randomness, no goroutine; the same commands give the same events.
// Nothing is allocated but when the set grows: orders lie in one array and name each other by number.
//
// It must not know of accounts' money, of logs, or of who sent what.
package book
