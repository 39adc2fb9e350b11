// Package tencent asks Tencent for daily bars of Chinese instruments.
//
// Path of one unit: begin -> klines.ask (windows of days no longer than an answer holds) ->
// provider.Client.JSON -> cells -> provider.Rows.Add by a layout.
//
// Invariants: prices are asked for unadjusted, and a series of another name is refused.
// invariant: an answer that is full is never taken for the whole window
//
// The package knows neither the store nor the engine.
package tencent
