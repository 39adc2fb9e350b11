// Package export keeps folders of files that hold what a market store holds: a dataset by year, or the
// folder of a backtester, for readers that know nothing of the store.
//
// Path of one part: store.View -> changed (which parts have other rows than at the sequence that the
// folder's manifest names, by the store's increments) -> layout.rows (rows of one part, ordered,
// adjusted) -> a file connector's sink, which writes aside and renames -> manifest.json.
//
// Invariants: a part is replaced in one step, and only when rows of it changed; a file that the
// manifest does not list is never touched; the manifest says of each part which commit it shows, so an
// export goes on where one before was interrupted; what an incremental export leaves equals, row by
// row, what a full one writes.
//
// The package knows no connector by name and no engine: a part is one small file.
package export
