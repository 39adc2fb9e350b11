// Package binance asks Binance for spot k-lines and pairs, and reads its files of whole months.
//
// Path of one unit: begin -> spans.Next (a page of k-lines by provider.Client.JSON, or a file: check sum,
// archive, lines) -> cells -> provider.Rows.Add by a layout.
//
// Invariants: times are milliseconds, in files since 2025 microseconds, and name the start of a bar.
// invariant: a file is read only when its SHA-256 is the one published beside it
// A page that is full does not say that it is the last. Weight that is spent is waited out before the
// service refuses.
//
// The package knows neither the store nor the engine.
package binance
