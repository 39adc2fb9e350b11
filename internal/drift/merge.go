package drift

import "github.com/tapeline/tapeline/batch"

// Fits reports whether rows of a schema can be brought to the target without loss: all their
// columns are there, of the same or a wider type.
func Fits(schema, target *batch.Schema) bool {
	for _, f := range schema.Fields() {
		at := target.Index(f.Name)
		if at < 0 || !Widens(f.Type, target.Field(at).Type) {
			return false
		}
	}
	return true
}

// Loosens reports whether rows of a schema may have a NULL where the target has none.
func Loosens(schema, target *batch.Schema) bool {
	for _, f := range target.Fields() {
		at := schema.Index(f.Name)
		if !f.Nullable && (at < 0 || schema.Field(at).Nullable) {
			return true
		}
	}
	return false
}

// Merge returns the schema that rows of both can be brought to: the columns of a, widened where b
// needs it, then the new ones of b. ok is false when a column's types have no common one.
func Merge(a, b *batch.Schema) (merged *batch.Schema, ok bool) {
	fields := append([]batch.Field(nil), a.Fields()...)
	for i := range fields {
		at := b.Index(fields[i].Name)
		if at < 0 {
			fields[i].Nullable = true
			continue
		}
		f := b.Field(at)
		fields[i].Nullable = fields[i].Nullable || f.Nullable
		switch {
		case Widens(f.Type, fields[i].Type):
		case Widens(fields[i].Type, f.Type):
			fields[i].Type = f.Type
		default:
			return nil, false
		}
	}
	for _, f := range b.Fields() {
		if a.Index(f.Name) < 0 {
			f.Nullable = true
			fields = append(fields, f)
		}
	}
	return batch.NewSchema(fields...), true
}
