// Package eastmoney asks EastMoney for Chinese bars and the list of what is traded.
//
// Path of one unit: begin -> klines.ask or list.Next (builds the request) -> provider.Client.JSON ->
// cells of a text or an object -> provider.Rows.Add by a layout.
//
// Invariants: prices are asked for unadjusted. What the service calls the change is counted from the
// close before, on an ex-right day too, so that no preclose follows from it: the column is NULL.
// invariant: a list that is shorter than it announces fails, and never shrinks the universe
//
// The package knows neither the store nor the engine.
package eastmoney
