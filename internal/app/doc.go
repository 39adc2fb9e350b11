// Package app is the composition root: the only package that names every connector, operator and
// service.
//
// Path of one document: Engine.Load (flow/spec) -> Build (document to plan.Workflow) -> plan.New ->
// run.Cluster.Start, with the catalog of the state folder behind it.
//
// The package has no logic of its own beyond putting parts together; only cli prints.
package app
