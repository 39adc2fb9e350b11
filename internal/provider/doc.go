// Package provider is what the connectors of market data share. A connector over HTTP is a Vendor:
// a description, and a function that makes an Inquiry of units of work; everything else is here.
//
// Path of one request: Source.Read -> Inquiry.Next (the vendor's: builds a Request) -> Client.Do
// (budget, deadline, size limit, Vendor.Classify, repeats what may pass) -> Document or Text (the
// answer as lazy JSON, or out of GBK) -> Rows.Add (one record by a Layout: forms, units, checks) ->
// chunks: rows, then _quarantine, then _unit.
//
// Invariants: no request is sent before the budget has it. Numbers are read from their text, never
// through binary floating point, and are not rounded unless a Field says so. A record becomes a row
// or a quarantined record, never nothing. A unit that is not known to be whole ends partial.
//
// The package knows no provider, and nothing of planning or of a store.
package provider
