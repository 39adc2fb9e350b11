// Package connector is the contract between the engine and the systems it reads and writes.
//
// Path of one chunk: Source.Read -> (Decoder) -> operators -> (Encoder) -> Sink.Write -> at a
// barrier Transactional.Prepare -> the engine's manifest -> Commit -> Source.Ack.
//
// Invariants: a Source and a Sink are used by one goroutine at a time, except that Ack and Close
// may come while Read blocks. Batch only: there is no single-record twin. Source and Sink never
// gain a method; abilities are small optional interfaces, and a Spec states what conntest checks.
// invariant: only the engine retries; a connector classifies its errors and returns.
//
// The package knows nothing of workflows, plans or any concrete system.
package connector
