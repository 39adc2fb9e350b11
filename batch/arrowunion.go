package batch

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// joinUnions joins arrays of one union type, which array.Concatenate does not.
func joinUnions(typ arrow.UnionType, parts []arrow.Array) arrow.Array {
	var codes []arrow.UnionTypeCode
	for _, part := range parts {
		u := part.(array.Union)
		for i := range u.Len() {
			codes = append(codes, u.TypeCode(i))
		}
	}
	codeBytes := memory.NewBufferBytes(arrow.Int8Traits.CastToBytes(codes))
	if sparse, ok := typ.(*arrow.SparseUnionType); ok {
		children := make([]arrow.Array, typ.NumFields())
		for k := range children {
			fields := make([]arrow.Array, len(parts))
			for i, part := range parts {
				fields[i] = part.(array.Union).Field(k)
			}
			children[k] = joinArrays(fields)
		}
		return array.NewSparseUnion(sparse, len(codes), children, codeBytes, 0)
	}
	children, offsets := joinDense(typ, parts)
	return array.NewDenseUnion(typ.(*arrow.DenseUnionType), len(codes), children, codeBytes,
		memory.NewBufferBytes(arrow.Int32Traits.CastToBytes(offsets)), 0)
}

// joinDense gathers of each child the values that the parts use, in order, and where they stand.
func joinDense(typ arrow.UnionType, parts []arrow.Array) (children []arrow.Array, offsets []int32) {
	next := make([]int32, typ.NumFields())
	fields := make([][]arrow.Array, typ.NumFields())
	for _, part := range parts {
		u := part.(*array.DenseUnion)
		used := make([][]int32, typ.NumFields())
		for k := range used {
			used[k] = []int32{}
		}
		for i := range u.Len() {
			k := u.ChildID(i)
			used[k] = append(used[k], u.ValueOffset(i))
			offsets = append(offsets, next[k])
			next[k]++
		}
		for k := range used {
			fields[k] = append(fields[k], gatherForeign(u.Field(k), used[k]))
		}
	}
	for _, field := range fields {
		children = append(children, joinArrays(field))
	}
	return children, offsets
}

// joinable reports whether joinArrays knows the type: of unions those whose members it knows, else
// what array.Concatenate does, which has no unions inside other types.
func joinable(t arrow.DataType) bool {
	union, ok := t.(arrow.UnionType)
	if !ok {
		return plainlyJoinable(t)
	}
	for _, f := range union.Fields() {
		if !joinable(f.Type) {
			return false
		}
	}
	return true
}

func plainlyJoinable(t arrow.DataType) bool {
	switch t := t.(type) {
	case arrow.UnionType:
		return false
	case arrow.ExtensionType:
		return plainlyJoinable(t.StorageType())
	case *arrow.DictionaryType:
		return plainlyJoinable(t.ValueType)
	case arrow.NestedType:
		for _, f := range t.Fields() {
			if !plainlyJoinable(f.Type) {
				return false
			}
		}
	}
	return true
}
