// Package yahoo asks Yahoo for daily bars, dividends and splits of shares.
//
// Path of one group of units of a symbol: begin -> asked.ask (one chart that ends now, since the splits
// behind a bar are needed to read it) -> read (columns to days in order, events) -> addBars, addFactors,
// addActions -> provider.Rows.Add by a layout.
//
// Invariants: a day is that of the exchange's clock, by its calendar, not by the offset of today.
// invariant: prices and volumes are stored as they were traded, whatever was split since
// invariant: a factor counts from the first day of the history, whatever dates are asked for
//
// The package knows neither the store nor the engine.
package yahoo
