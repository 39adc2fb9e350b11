package op

import "github.com/tapeline/tapeline/batch"

// Align returns an operator that brings rows to the target schema: columns by name, missing ones
// NULL, narrower types widened. Binding a schema that does not fit fails.
func Align(target *batch.Schema) Operator { return &union{target: target, declared: true} }

// Fits reports whether rows of a schema can be aligned to the target without loss.
func Fits(schema, target *batch.Schema) bool {
	for _, f := range schema.Fields() {
		at := target.Index(f.Name)
		if at < 0 || !widens(f.Type, target.Field(at).Type) {
			return false
		}
	}
	return true
}

// Merge returns the schema both can be aligned to: the columns of a, widened where b needs it,
// then the new ones of b. ok is false when a column's types have no common one.
func Merge(a, b *batch.Schema) (merged *batch.Schema, ok bool) {
	fields := append([]batch.Field(nil), a.Fields()...)
	for _, f := range b.Fields() {
		f.Nullable = true
		at := a.Index(f.Name)
		switch {
		case at < 0:
			fields = append(fields, f)
		case widens(f.Type, fields[at].Type):
		case widens(fields[at].Type, f.Type):
			fields[at].Type = f.Type
		default:
			return nil, false
		}
	}
	return batch.NewSchema(fields...), true
}
