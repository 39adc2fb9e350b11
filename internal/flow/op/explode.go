package op

import (
	"fmt"
	"slices"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
)

// ExplodeConfig configures explode.
type ExplodeConfig struct {
	Columns  []string `yaml:"columns" required:"true" doc:"list or map columns; several are walked side by side"`
	Outer    bool     `yaml:"outer" doc:"keep rows whose lists are all empty or NULL, with NULL elements; otherwise they yield no row"`
	Position string   `yaml:"position" doc:"name of an int64 column for the element's place in its list, from 1; none: no such column"`
	Fields   bool     `yaml:"fields" doc:"make columns of the members of struct elements"`
	Prefix   string   `yaml:"prefix" doc:"put before the names of such columns"`
}

// Explode makes one row of each element of a list.
func Explode() Spec {
	return newSpec(Spec{
		Name:    "explode",
		Summary: "Makes one row of each element of a list.",
		Doc: "Each row is repeated for the elements of its list, and the list column is replaced by " +
			"the element. Several columns are walked side by side: the row is repeated as often as " +
			"the longest list has elements, and the shorter ones give NULL. A map yields the two " +
			"columns `key` and `value`; with `fields: true` struct elements yield one column per " +
			"member (both after `prefix`). Rows whose lists are empty or NULL vanish unless `outer` " +
			"is set. Each repeated row has its own copy of the other columns: leave out large ones " +
			"that are not needed before.\n\n" +
			"Dead letters of later nodes still name the line the repeated row came from. Upserts and " +
			"deletes are refused: the rows an element stood for before cannot be known.",
		RefusesOperations: true,
	}, ExplodeConfig{}, func(_ Env, config *ExplodeConfig) (Operator, error) {
		if len(config.Columns) == 0 {
			return nil, &ConfigError{"columns", fmt.Errorf("names no column")}
		}
		return &explode{config: *config}, nil
	})
}

type explode struct{ config ExplodeConfig }

// Bind lays out the columns.
func (e *explode) Bind(in *batch.Schema) (Bound, error) {
	at, err := positionsOf("columns", in, e.config.Columns)
	if err != nil {
		return nil, err
	}
	b := &boundExplode{lists: at, outer: e.config.Outer, name: e.config.Position}
	var fields []batch.Field
	for i, field := range in.Fields() {
		k := slices.Index(at, i)
		if k < 0 {
			b.plan = append(b.plan, explodedColumn{at: i, list: -1, member: -1})
			fields = append(fields, field)
			b.kept = append(b.kept, i)
			continue
		}
		more, err := e.elements(b, field, k)
		if err != nil {
			return nil, err
		}
		fields = append(fields, more...)
	}
	if b.name != "" {
		fields = append(fields, batch.Field{
			Name: b.name, Type: batch.Of(batch.Int64), Nullable: e.config.Outer,
		})
	}
	if err := distinct(fields, "set prefix, or rename or drop the other"); err != nil {
		return nil, err
	}
	b.schema = batch.NewSchema(fields...)
	return b, nil
}

// elements plans the columns that stand for list number k.
func (e *explode) elements(b *boundExplode, field batch.Field, k int) ([]batch.Field, error) {
	var fields []batch.Field
	switch {
	case field.Type.Kind == batch.Map:
		for i, f := range field.Type.Fields {
			b.plan = append(b.plan, explodedColumn{list: k, child: i, member: -1})
			fields = append(fields, batch.Field{Name: e.config.Prefix + f.Name, Type: f.Type, Nullable: true})
		}
	case field.Type.Kind != batch.List:
		hint := ""
		if field.Type.Text() {
			hint = "; read it first with parse or cast, as in list<string>"
		}
		return nil, &ConfigError{
			"columns",
			fmt.Errorf("column %s is %s, not a list%s", field.Name, field.Type, hint),
		}
	case e.config.Fields && field.Type.Fields[0].Type.Kind == batch.Struct:
		for i, f := range field.Type.Fields[0].Type.Fields {
			b.plan = append(b.plan, explodedColumn{list: k, member: i})
			fields = append(fields, batch.Field{Name: e.config.Prefix + f.Name, Type: f.Type, Nullable: true})
		}
	default:
		b.plan = append(b.plan, explodedColumn{list: k, member: -1})
		element := field.Type.Fields[0]
		fields = append(fields, batch.Field{Name: field.Name, Type: element.Type, Nullable: true})
	}
	return fields, nil
}

// explodedColumn says where an output column comes from.
type explodedColumn struct {
	at     int // input column, when list is -1
	list   int // which list
	child  int // 0, or 1 for a map's value
	member int // member of a struct element, or -1
}

type boundExplode struct {
	lists  []int
	kept   []int
	plan   []explodedColumn
	schema *batch.Schema
	outer  bool
	name   string
}

var _ Shaper = (*boundExplode)(nil)

// Schema returns the columns with elements for lists.
func (e *boundExplode) Schema() *batch.Schema { return e.schema }

// Apply gathers the repeated rows; elements that lie in order are shared.
func (e *boundExplode) Apply(b *batch.Batch, out *Output) error {
	if err := refuseOperations(b, "explode"); err != nil {
		return err
	}
	b = typedAll(b, e.lists, out)
	b = typedAll(b, e.kept, out)
	w := e.walk(b)
	if len(w.rows) == 0 && !out.Empty {
		return nil
	}
	columns := make([]*batch.Column, 0, e.schema.Len())
	for _, p := range e.plan {
		if p.list < 0 {
			columns = append(columns, b.Column(p.at).Gather(w.rows))
			continue
		}
		c := b.Column(e.lists[p.list]).Children()[p.child]
		if p.member >= 0 {
			c = masked(c.Children()[p.member], c.Validity())
		}
		columns = append(columns, w.gather(c, p.list))
	}
	if e.name != "" {
		columns = append(columns, batch.FixedColumn(batch.Of(batch.Int64), w.places, w.held))
	}
	out.Emit(batch.New(e.schema, columns, len(w.rows)).WithOrigin(b.Origin().Gather(w.rows)))
	return nil
}

// refuseOperations fails on upserts and deletes that lint could not foresee.
func refuseOperations(b *batch.Batch, name string) error {
	for i := range b.Len() {
		if operation := b.Operation(b.Row(i)); operation != batch.Insert {
			return &connector.Error{
				Op: name, Class: connector.Data,
				Err: fmt.Errorf("an %s at %s cannot pass", operation, b.Origin().At(b.Row(i))),
			}
		}
	}
	return nil
}

// walk is the shape of the exploded batch.
type walk struct {
	rows     []int32        // input row of each output row
	elements [][]int32      // per list: element of each output row, 0 where there is none
	filled   []batch.Bitmap // per list: output rows with an element; nil: all
	places   []int64
	held     batch.Bitmap // rows of places that count; nil: all
}

func (e *boundExplode) walk(b *batch.Batch) *walk {
	w := &walk{elements: make([][]int32, len(e.lists)), filled: make([]batch.Bitmap, len(e.lists))}
	total := 0
	for i := range b.Len() {
		total += e.height(b, b.Row(i))
	}
	w.rows = make([]int32, 0, total)
	if e.name != "" {
		w.places = make([]int64, 0, total)
	}
	for i := range b.Len() {
		row := b.Row(i)
		for range e.height(b, row) {
			w.rows = append(w.rows, int32(row))
		}
	}
	for k, at := range e.lists {
		w.elements[k] = make([]int32, 0, total)
		for i := range b.Len() {
			row := b.Row(i)
			w.list(k, b.Column(at), row, e.height(b, row), total)
		}
	}
	if e.name != "" {
		e.number(w, b, total)
	}
	return w
}

// height returns how many rows a row becomes.
func (e *boundExplode) height(b *batch.Batch, row int) int {
	height := 0
	for _, at := range e.lists {
		height = max(height, length(b.Column(at), row))
	}
	if height == 0 && e.outer {
		return 1
	}
	return height
}

func length(c *batch.Column, row int) int {
	if c.IsNull(row) {
		return 0
	}
	offsets := c.Offsets()
	return int(offsets[row+1] - offsets[row])
}

// list appends the elements of one row, and holes up to height.
func (w *walk) list(k int, c *batch.Column, row, height, total int) {
	n := length(c, row)
	start := c.Offsets()[row]
	for i := range n {
		w.elements[k] = append(w.elements[k], start+int32(i))
	}
	for range height - n {
		if w.filled[k] == nil {
			w.filled[k] = batch.NewBitmapSet(total)
		}
		w.filled[k].Clear(len(w.elements[k]))
		w.elements[k] = append(w.elements[k], 0)
	}
}

func (e *boundExplode) number(w *walk, b *batch.Batch, total int) {
	for i := range b.Len() {
		row := b.Row(i)
		empty := true
		for _, at := range e.lists {
			empty = empty && length(b.Column(at), row) == 0
		}
		for n := range e.height(b, row) {
			if empty {
				if w.held == nil {
					w.held = batch.NewBitmapSet(total)
				}
				w.held.Clear(len(w.places))
			}
			w.places = append(w.places, int64(n+1))
		}
	}
}

// gather returns a child column by the elements of list k.
func (w *walk) gather(c *batch.Column, k int) *batch.Column {
	rows := w.elements[k]
	switch {
	case c.Len() == 0:
		return batch.NullColumn(c.Type(), len(rows))
	case w.filled[k] == nil && len(rows) == c.Len() && rows[0] == 0 && ascends(rows):
		return c
	}
	return masked(c.Gather(rows), w.filled[k])
}

func ascends(rows []int32) bool {
	for i, row := range rows {
		if int(row) != i {
			return false
		}
	}
	return true
}
