// Package tushare reads Tushare: one question is a POST of a name, a token, parameters and fields,
// one answer a table, whose columns are found by name.
//
// Path of one unit: begin -> an inquiry of bar.go, factor.go or reference.go -> api.page (offset and
// limit) -> provider.Client.JSON -> classify (errors with status 200) -> table.cells ->
// provider.Rows.Add.
//
// The package knows nothing of planning or of a store.
package tushare
