// Package run executes plans: Cluster (all workflows of a process), Workflow (life cycle, attempts,
// checkpoints) and Task (one stage of a plan), three flat layers with a typed mailbox each.
//
// Path of one chunk: reader.read (Source.Read, readAgain) -> task.intake (numbers it) -> worker.process
// (decode, operators, encode) -> task.sequence (back in order) -> writer.write (retry, Sink.Write)
// or edge.send -> lease.drop (memory and credits return to the reader).
// Path of one checkpoint: workflow.checkpoint -> barrier through mailboxes and edges ->
// writer.prepare -> workflow.commit (manifest prepared, decided, committed) -> Sink.Commit ->
// Source.Ack.
//
// Invariants: chunks of a task leave it in the order they entered; the data path sends nothing
// through Workflow or Cluster; a source is acked only after the manifest of its epoch is committed;
// every goroutine belongs to one attempt, which waits for it.
//
// The package knows nothing of YAML, of any concrete connector or operator, and uses no unsafe.
package run
