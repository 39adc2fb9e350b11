package parquet

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/apache/arrow-go/v18/parquet/schema"

	"github.com/tapeline/tapeline/batch"
)

// node is one field of a file's schema and how its column is assembled from levels and values.
type node struct {
	field     batch.Field
	level     file.LevelInfo
	children  []*node
	leaf      leaf  // nil with children
	column    int   // of the leaf in the file
	sizeBytes int64 // of its open chunk, uncompressed
}

// newNode returns the tree of a field.
func newNode(f *pqarrow.SchemaField, s *schema.Schema) (*node, error) {
	n := &node{level: f.LevelInfo, column: -1}
	n.field = batch.Field{Name: f.Field.Name, Nullable: f.Field.Nullable}
	if len(f.Children) == 0 {
		if f.ColIndex < 0 {
			return nil, fmt.Errorf("field %s is a group without members", f.Field.Name)
		}
		n.column = f.ColIndex
		descr := s.Column(f.ColIndex)
		n.field.Type = leafType(descr, f.Field)
		var err error
		n.leaf, err = newLeaf(descr, n.field.Type)
		return n, err
	}
	for i := range f.Children {
		child, err := newNode(&f.Children[i], s)
		if err != nil {
			return nil, err
		}
		n.children = append(n.children, child)
	}
	n.field.Type = nestedType(f.Field.Type, n)
	return n, nil
}

// leafType returns what a primitive column is delivered as.
func leafType(descr *schema.Column, f *arrow.Field) batch.Type {
	switch descr.LogicalType().(type) {
	case schema.JSONLogicalType:
		return batch.Of(batch.JSON)
	case schema.EnumLogicalType, schema.UUIDLogicalType:
		return batch.Of(batch.String)
	}
	field := *f
	if extension, ok := field.Type.(arrow.ExtensionType); ok {
		field.Type = extension.StorageType()
	}
	typ := batch.SchemaFromArrow(arrow.NewSchema([]arrow.Field{field}, nil)).Field(0).Type
	if typ.Kind != batch.Foreign {
		return typ
	}
	switch field.Type.ID() {
	case arrow.FLOAT16:
		return batch.Of(batch.Float32)
	case arrow.DECIMAL, arrow.DECIMAL256: // beyond 38 digits
		return batch.Of(batch.String)
	}
	return batch.Of(batch.Binary)
}

// nestedType derives the type from the children, whose types may differ from Arrow's.
func nestedType(t arrow.DataType, n *node) batch.Type {
	switch t.ID() {
	case arrow.MAP:
		if entries := n.children[0]; len(entries.children) == 2 {
			// One map type for all readers: keys are never null.
			typ := batch.MapOf(entries.children[0].field.Type, entries.children[1].field.Type)
			typ.Fields[1].Nullable = entries.children[1].field.Nullable
			return typ
		}
		return batch.Type{Kind: batch.List, Fields: []batch.Field{n.children[0].field}}
	case arrow.LIST, arrow.LARGE_LIST, arrow.FIXED_SIZE_LIST:
		return batch.Type{Kind: batch.List, Fields: []batch.Field{n.children[0].field}}
	}
	typ := batch.Type{Kind: batch.Struct}
	for _, child := range n.children {
		typ.Fields = append(typ.Fields, child.field)
	}
	return typ
}

// leaves calls visit for each leaf below n.
func (n *node) leaves(visit func(n *node) error) error {
	if n.leaf != nil {
		return visit(n)
	}
	for _, child := range n.children {
		if err := child.leaves(visit); err != nil {
			return err
		}
	}
	return nil
}

// levels returns the levels of any leaf below n: all tell the same about n itself.
func (n *node) levels() (defs, reps []int16) {
	for n.leaf == nil {
		n = n.children[0]
	}
	return n.leaf.levels()
}

// build assembles the column of the current rows.
func (n *node) build(rows int) (*batch.Column, error) {
	switch {
	case n.leaf != nil:
		return n.buildLeaf(rows)
	case n.field.Type.Kind == batch.Struct:
		return n.buildStruct(rows)
	}
	return n.buildList()
}

func (n *node) buildLeaf(rows int) (*batch.Column, error) {
	defs, reps := n.leaf.levels()
	count := n.leaf.count()
	if defs == nil || reps == nil && len(defs) == count {
		if count != rows {
			return nil, fmt.Errorf("column %s: %d values for %d rows", n.field.Name, count, rows)
		}
		return n.leaf.column(n.field.Type, count, nil)
	}
	valid, slots, set := n.validity(defs, reps)
	if set != count {
		return nil, fmt.Errorf("column %s: %d values for %d levels", n.field.Name, count, set)
	}
	if set == slots {
		valid = nil
	}
	return n.leaf.column(n.field.Type, slots, valid)
}

// validity returns which of the node's slots are not null, from a leaf's levels: a level below an
// empty or null list is no slot, and one that continues a list inside the slot neither.
func (n *node) validity(defs, reps []int16) (valid batch.Bitmap, slots, set int) {
	valid = batch.NewBitmap(len(defs))
	for i, def := range defs {
		if def < n.level.RepeatedAncestorDefLevel || reps != nil && reps[i] > n.level.RepLevel {
			continue
		}
		if def >= n.level.DefLevel {
			valid.Set(slots)
			set++
		}
		slots++
	}
	return valid[:(slots+7)/8], slots, set
}

func (n *node) buildStruct(rows int) (*batch.Column, error) {
	defs, reps := n.levels()
	slots := rows
	var valid batch.Bitmap
	if defs != nil {
		var set int
		valid, slots, set = n.validity(defs, reps)
		if set == slots {
			valid = nil
		}
	}
	members := make([]*batch.Column, len(n.children))
	for i, child := range n.children {
		member, err := child.build(slots)
		if err != nil {
			return nil, err
		}
		if member.Len() != slots {
			return nil, fmt.Errorf("struct %s: member %s has %d values, want %d",
				n.field.Name, child.field.Name, member.Len(), slots)
		}
		members[i] = member
	}
	return batch.StructColumn(n.field.Type, slots, members, valid), nil
}

// buildList reads offsets and validity of a list or map from a leaf's levels.
func (n *node) buildList() (*batch.Column, error) {
	defs, reps := n.levels()
	if defs == nil || reps == nil {
		return nil, fmt.Errorf("list %s has no levels", n.field.Name)
	}
	offsets := make([]int32, 1, len(defs)+1)
	valid := batch.NewBitmap(len(defs))
	nulls := false
	end := int32(0)
	for i, def := range defs {
		switch {
		case def < n.level.RepeatedAncestorDefLevel || reps[i] > n.level.RepLevel:
			continue
		case reps[i] == n.level.RepLevel:
			if len(offsets) == 1 {
				return nil, fmt.Errorf("list %s continues before it begins", n.field.Name)
			}
			end++
			offsets[len(offsets)-1] = end
			continue
		}
		if def >= n.level.DefLevel {
			end++
		}
		if def >= n.level.DefLevel-1 {
			valid.Set(len(offsets) - 1)
		} else {
			nulls = true
		}
		offsets = append(offsets, end)
	}
	if !nulls {
		valid = nil
	}
	elements, err := n.buildElements(int(end))
	if err != nil {
		return nil, err
	}
	for _, element := range elements {
		if element.Len() != int(end) {
			return nil, fmt.Errorf("list %s has %d elements, want %d", n.field.Name, element.Len(), end)
		}
	}
	return batch.ListColumn(n.field.Type, offsets, elements, valid), nil
}

func (n *node) buildElements(count int) ([]*batch.Column, error) {
	elements := n.children[:1]
	if n.field.Type.Kind == batch.Map {
		elements = n.children[0].children
	}
	columns := make([]*batch.Column, len(elements))
	for i, element := range elements {
		column, err := element.build(count)
		if err != nil {
			return nil, err
		}
		columns[i] = column
	}
	return columns, nil
}
