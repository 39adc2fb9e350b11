// Package order is the vocabulary of the exchange: what a venue is told (Command) and what it answers
// (Event), in fixed records without pointers.
//
// Path of one order: an edge fills a Command -> the shard gives it sequence and time, and logs it -> book
// applies it and appends Events -> feeds, drop copy and sessions read these.
//
// Units: prices are ticks of the symbol, quantities are its lots, times are Unix nanoseconds. Decimal
// numbers exist at the edges only.
//
// The package knows no book, no log and no clock.
package order
