package op

import "github.com/tapeline/tapeline/batch"

// Align returns an operator that brings rows to the target schema: columns by name, missing ones
// NULL, narrower types widened. Binding a schema that does not fit fails.
func Align(target *batch.Schema) Operator { return &union{target: target, declared: true} }
