// Package plan turns a workflow's nodes into stages that the engine runs.
//
// Path of one workflow: New checks the graph -> fuse joins nodes into chains -> each chain becomes
// a Stage {input, parallel operators, ordered operators, output} -> run.Workflow executes it.
//
// Fusion: a node joins the chain of its only input when that input has no other reader; an ordered
// operator ends the parallel part of a stage and only ordered operators may follow it there.
// Stages are cut where chains branch or join and after ordered operators.
//
// invariant: every node belongs to exactly one stage.
//
// The package knows nothing of documents (flow/spec feeds it through app) nor of goroutines.
package plan
