package op

import (
	"testing"

	"github.com/tapeline/tapeline/batch"
)

// What a bound operator says of its columns is what its rows have.
func TestSchemaIsThatOfTheRows(t *testing.T) {
	id := batch.Field{Name: "id", Type: batch.Of(batch.Int64)}
	text := batch.Field{Name: "text", Type: batch.Of(batch.String)}
	list := batch.Field{Name: "list", Type: batch.ListOf(batch.Of(batch.Int64))}
	nested := batch.Field{Name: "in", Type: batch.StructOf(batch.Field{Name: "x", Type: batch.Of(batch.Int64)})}
	in := batch.NewSchema(id, text, list, nested)
	build := batch.NewBuilder(in)
	build.Column(0).Int(1)
	build.Column(1).Text(`{"a": 1}`)
	build.Column(2).Element(0).Int(7)
	build.Column(2).List()
	build.Column(3).Element(0).Int(2)
	build.Column(3).Struct()
	rows, err := build.Batch()
	if err != nil {
		t.Fatal(err)
	}
	for name, operator := range map[string]Operator{
		"filter":  made(t, Filter(), Env{}, func(c *FilterConfig) { c.Condition = "id > 0" }),
		"select":  made(t, Select(), Env{}, func(c *SelectConfig) { c.Columns = []string{"text", "id"} }),
		"drop":    made(t, Drop(), Env{}, func(c *DropConfig) { c.Columns = []string{"text"} }),
		"rename":  made(t, Rename(), Env{}, func(c *RenameConfig) { c.Columns = []RenamedColumn{{"id", "key"}} }),
		"compute": made(t, Compute(), Env{}, func(c *ComputeConfig) { c.Columns = []ComputedColumn{{"id", "'a'"}, {"n", "1.5"}} }),
		"cast":    made(t, Cast(), Env{}, func(c *CastConfig) { c.Columns = []TypedColumn{{"id", "string"}} }),
		"flatten": made(t, Flatten(), Env{}, func(*FlattenConfig) {}),
		"explode": made(t, Explode(), Env{}, func(c *ExplodeConfig) { c.Columns = []string{"list"} }),
		"limit":   made(t, Limit(), Env{}, func(c *LimitConfig) { c.Rows = 5 }),
		"union":   made(t, Union(), Env{}, func(c *UnionConfig) { c.Columns = []TypedColumn{{"id", "int64"}}; c.Extra = "drop" }),
		"dedupe":  made(t, Dedupe(), Env{}, func(c *DedupeConfig) { c.Key = []string{"id"} }),
		"parse": made(t, Parse(), Env{}, func(c *ParseConfig) {
			c.Column, c.Format, c.Fields = "text", "json", []ParsedField{{Name: "a", Type: "int64"}}
		}),
	} {
		t.Run(name, func(t *testing.T) {
			bound, err := operator.Bind(in)
			if err != nil {
				t.Fatal(err)
			}
			want := in
			if shaper, ok := bound.(Shaper); ok {
				want = shaper.Schema()
			}
			var out Output
			if err := bound.Apply(rows, &out); err != nil {
				t.Fatal(err)
			}
			if len(out.Parts) != 1 {
				t.Fatalf("%d batches, want 1: %+v", len(out.Parts), out.Rejected)
			}
			if got := out.Parts[0].Batch.Schema(); !got.Equal(want) {
				t.Errorf("rows of (%s), said were (%s)", got, want)
			}
		})
	}
}
