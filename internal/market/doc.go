// Package market is the vocabulary of the field: symbols and the schemes that write them, dates,
// intervals, calendars with their sessions, instruments, the datasets of the store, fixed-point
// prices, adjustment from factor events, quality rules, and what a provider offers.
//
// Path of one row: a provider's code -> Scheme.Parse -> a batch of Dataset.Schema -> Check (rules of
// one row, before it is written) -> the store -> Verify (rules across rows) -> Factors.Forward or
// Backward when somebody asks for adjusted prices.
//
// Invariants: everything is immutable after it was made and safe for concurrent use. A symbol is
// code and market; digits alone name nothing. A calendar is stated, never derived from bars, and a
// date outside its coverage is an error, not a closed day. Prices are integers of a scale; nothing
// here passes through a float. NULL is not 0.
//
// The package does no I/O and knows no connector, no store and no clock.
package market
