package op

import (
	"fmt"
	"slices"

	"github.com/tapeline/tapeline/batch"
)

// CastConfig configures cast.
type CastConfig struct {
	Columns []TypedColumn `yaml:"columns" required:"true" doc:"mapping of columns to the types they get: int64, decimal(12,4), timestamp(ms,UTC), list<string>, ..."`
	Mode    string        `yaml:"mode" enum:"error,null" doc:"what becomes of a value that does not fit: error refuses the row, null makes the value NULL"`
}

// TypedColumn is one entry of a mapping of columns to types.
type TypedColumn struct {
	Name string `yaml:",key"`
	Type string `yaml:",value"`
}

// Cast gives columns other types.
func Cast() Spec {
	return newSpec(Spec{
		Name:    "cast",
		Summary: "Gives columns other types.",
		Doc: "Each column named in `columns` is converted in its place; all others pass. NULL stays " +
			"NULL.\n\n" +
			"- Text is read as a source reads its cells. Floats and decimals become integers by " +
			"dropping the fraction; numbers become decimals of a smaller scale by rounding half away " +
			"from zero. A number outside the target's range does not fit.\n" +
			"- Integers become moments, and moments integers, as a count of the type's unit since " +
			"1970-01-01 (dates: days).\n" +
			"- A timestamp without zone becomes one with a zone as wall time of that zone, and one " +
			"with a zone becomes one without as the wall time of its own. A finer unit is cut.\n" +
			"- Text and `json` become lists, structs and maps as JSON; text becomes `json` only when " +
			"it is JSON. Anything becomes `string`, and nearly anything `json`.\n\n" +
			"With `mode: error` a value that does not fit refuses its row (see `on_error`); with " +
			"`mode: null` it becomes NULL. Row operations pass unchanged.",
	}, CastConfig{Mode: "error"}, newCast)
}

type cast struct {
	names  []string
	types  []batch.Type
	toNull bool
}

func newCast(_ Env, config *CastConfig) (Operator, error) {
	c := &cast{toNull: config.Mode == "null"}
	var bad faults
	bad.join(oneOf("mode", config.Mode, "error", "null"))
	for _, column := range config.Columns {
		typ, err := batch.ParseType(column.Type)
		bad.add("columns."+column.Name, err)
		c.names = append(c.names, column.Name)
		c.types = append(c.types, typ)
	}
	return c, bad.err()
}

// oneOf checks a value that a document may have written freely.
func oneOf(path, value string, allowed ...string) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	return &ConfigError{path, fmt.Errorf("%q is none of %q", value, allowed)}
}

// Bind finds the columns and checks that the conversions exist.
func (c *cast) Bind(in *batch.Schema) (Bound, error) {
	at, err := positionsOf("columns", in, c.names)
	if err != nil {
		return nil, err
	}
	fields := slices.Clone(in.Fields())
	for i, k := range at {
		if !convertible(fields[k].Type, c.types[i]) {
			return nil, &ConfigError{
				"columns." + c.names[i],
				fmt.Errorf("%s cannot become %s", fields[k].Type, c.types[i]),
			}
		}
		from := fields[k].Type
		fields[k].Type = c.types[i]
		// JSON's null becomes NULL.
		null := from.Kind == batch.JSON || from.Text() && c.types[i].Nested()
		fields[k].Nullable = fields[k].Nullable || c.toNull || null
	}
	schema := batch.NewSchema(fields...).WithMetadata(in.Metadata())
	return &boundCast{at: at, schema: schema, toNull: c.toNull}, nil
}

// positionsOf is positions with the config key at fault.
func positionsOf(path string, in *batch.Schema, names []string) ([]int, error) {
	at, _, err := positions(in, names)
	if err != nil {
		return nil, &ConfigError{path, err}
	}
	return at, nil
}

type boundCast struct {
	at     []int
	schema *batch.Schema
	toNull bool
}

var _ Shaper = (*boundCast)(nil)

// Schema returns the columns with their new types.
func (c *boundCast) Schema() *batch.Schema { return c.schema }

// Apply converts column by column; rows that fail one are refused and not seen by the next.
func (c *boundCast) Apply(b *batch.Batch, out *Output) error {
	columns := slices.Clone(b.Columns())
	for _, at := range c.at {
		field := c.schema.Field(at)
		column, bad := convert(columns[at], field.Type, b.Selection())
		columns[at] = column
		if len(bad) == 0 || c.toNull {
			continue
		}
		for i := range bad {
			bad[i].Column = field.Name
		}
		out.Reject(b, bad)
		b = b.Without(bad)
	}
	out.Emit(b.WithColumns(c.schema, columns))
	return nil
}
