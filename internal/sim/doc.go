// Package sim plays data providers on this machine: a market, and servers that speak the vendors'
// protocols to the byte, with limits and faults on demand.
//
// Path of one market: Synthetic (from a seed) or LoadCSV (a folder of real bars) -> Market ->
// WriteOracle, the truth that a test compares with.
// Path of one request: session.serve -> parseRequest -> session.answer -> a query's rows ->
// script.next -> appendFrame -> session.send.
//
// Invariants: the same market, settings and requests give the same bytes; an adjusted price is the
// raw price times the factor, exactly; nothing after the virtual now is ever shown.
//
// The package shares no code with the clients in connectors, so that each tests the other. It knows
// nothing of the store or the engine.
package sim
