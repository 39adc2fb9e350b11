// Package drift is what the product knows of columns that change: which type holds another's values,
// which columns two kinds of rows have together, and what rows of a later file look like.
//
// Path of one change: a file source takes Follow for the rows of a file -> the engine's gate asks
// Fits and Loosens for the columns its sink holds -> Merge makes those it shall hold.
//
// Invariants: columns are matched by name. No value is lost or becomes another one: integers beside
// floats that cannot hold them have nothing in common.
//
// The package knows neither files nor the engine.
package drift
