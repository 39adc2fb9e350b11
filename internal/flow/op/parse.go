package op

import (
	"errors"
	"fmt"
	"slices"

	"github.com/tapeline/tapeline/batch"
)

// ParseConfig configures parse.
type ParseConfig struct {
	Column     string        `yaml:"column" required:"true" doc:"text column to read"`
	Format     string        `yaml:"format" required:"true" enum:"json,csv,regex,timestamp" doc:"what its text is"`
	Type       string        `yaml:"type" doc:"json and timestamp: type of the whole value; default: json, and timestamp(us,UTC)"`
	Into       string        `yaml:"into" doc:"json without fields and timestamp: the new column; default: column itself"`
	Fields     []ParsedField `yaml:"fields" doc:"mapping of new columns to their types; json: also to a path, as in {path: a.b[0], type: int64}"`
	Prefix     string        `yaml:"prefix" doc:"put before the names of fields"`
	Pattern    string        `yaml:"pattern" doc:"regex: RE2 pattern; its named groups are the fields"`
	Layout     string        `yaml:"layout" doc:"timestamp: iso8601, epoch_s, epoch_ms, epoch_us, epoch_ns, or a pattern as %Y-%m-%d %H:%M:%S.%f %z"`
	Zone       string        `yaml:"zone" example:"Asia/Shanghai" doc:"timestamp: zone of texts without one; default: the type's zone"`
	Delimiter  string        `yaml:"delimiter" doc:"csv: one character between cells"`
	Quote      string        `yaml:"quote" doc:"csv: character around cells; empty: none"`
	Nulls      []string      `yaml:"nulls" doc:"csv and regex: unquoted texts that mean NULL"`
	DropSource bool          `yaml:"drop_source" doc:"leave the column itself out of the result"`
}

// ParsedField is one entry of parse's fields.
type ParsedField struct {
	Name string `yaml:",key"`
	Only string `yaml:",value"` // the type, where nothing else is said
	Type string `yaml:"type" doc:"type of the column, string unless said; may be written alone"`
	Path string `yaml:"path" doc:"json: members by . and elements by [n] or [-n]; default: the member of the column's name"`
}

// Parse reads structured text in a column.
func Parse() Spec {
	return newSpec(Spec{
		Name:    "parse",
		Summary: "Reads json, csv, regex groups or timestamps from a text column.",
		Doc: "New columns take the place behind `column`, or its own with `drop_source`; one whose " +
			"name exists replaces it. A text that does not read refuses its row, naming the field. " +
			"NULL gives NULL in all fields.\n\n" +
			"- `json`: with `fields`, members are taken out by path; a path that leads nowhere is " +
			"NULL. Without, the whole value becomes `type` in `into`. A number keeps all its digits; " +
			"a text is read as a number where the type says so. Of members named twice the first " +
			"counts.\n" +
			"- `csv`: the text is one record with one cell per field, in order; too many or too few " +
			"cells refuse the row.\n" +
			"- `regex`: named groups fill the fields of their names; a text that does not match " +
			"refuses the row; a group that took no part is NULL when `nulls` has the empty text.\n" +
			"- `timestamp`: epoch layouts take integer columns and fractions, too; what is finer than " +
			"the type's unit is cut. In patterns %Y %y %m %d %e %j %H %I %p %M %S %f %z %Z %b %B %a %A and %% are " +
			"known; other text stands for itself. A text without offset is wall time in `zone`; %Z " +
			"takes UTC, GMT and the names of `zone` itself.\n\n" +
			"Row operations pass unchanged.",
	}, ParseConfig{Delimiter: ",", Quote: `"`, Nulls: []string{""}}, newParse)
}

type parse struct {
	config ParseConfig
	fields []batch.Field // new columns
	reader textReader
}

// textReader reads the rows of a dense text column (timestamp: or integers) as one column per
// field. What does not read is null and named in bad, with the field's name where one is at fault.
type textReader interface {
	read(c *batch.Column, rows []int32) (columns []*batch.Column, bad []batch.RowError)
}

func newParse(_ Env, config *ParseConfig) (Operator, error) {
	p := &parse{config: *config}
	var bad faults
	for _, f := range config.Fields {
		typ := batch.Of(batch.String)
		if text := f.Only + f.Type; text != "" {
			var err error
			typ, err = batch.ParseType(text)
			bad.add("fields."+f.Name, err)
		}
		if f.Path != "" && config.Format != "json" {
			bad.add("fields."+f.Name, errors.New("only format json has paths"))
		}
		p.fields = append(p.fields, batch.Field{Name: config.Prefix + f.Name, Type: typ, Nullable: true})
	}
	if len(bad) > 0 {
		return p, bad.err()
	}
	switch config.Format {
	case "json":
		return p, p.json()
	case "csv":
		return p, p.csv()
	case "regex":
		return p, p.regex()
	case "timestamp":
		return p, p.timestamp()
	}
	return p, oneOf("format", config.Format, "json", "csv", "regex", "timestamp")
}

// whole declares the one column of formats without fields.
func (p *parse) whole(fallback string) error {
	text := p.config.Type
	if text == "" {
		text = fallback
	}
	typ, err := batch.ParseType(text)
	if err != nil {
		return &ConfigError{"type", err}
	}
	name := p.config.Into
	if name == "" {
		name = p.config.Column
	}
	p.fields = []batch.Field{{Name: name, Type: typ, Nullable: true}}
	return nil
}

// Bind places the new columns.
func (p *parse) Bind(in *batch.Schema) (Bound, error) {
	at, err := positionsOf("column", in, []string{p.config.Column})
	if err != nil {
		return nil, err
	}
	typ := in.Field(at[0]).Type
	if !typ.Text() && (p.config.Format != "timestamp" || !typ.Integer()) {
		return nil, &ConfigError{"column", fmt.Errorf("column %s is %s, not text", p.config.Column, typ)}
	}
	b := &boundParse{parse: p, source: at[0], json: typ.Kind == batch.JSON}
	var fields []batch.Field
	add := func(field batch.Field, from, parsed int) {
		fields = append(fields, field)
		b.from = append(b.from, parsedColumn{from, parsed})
	}
	for i, field := range in.Fields() {
		again := slices.IndexFunc(p.fields, func(f batch.Field) bool { return f.Name == field.Name })
		switch {
		case again >= 0:
			add(p.fields[again], -1, again)
		case i != at[0] || !p.config.DropSource:
			add(field, i, -1)
		}
		if i != at[0] {
			continue
		}
		for k, field := range p.fields {
			if in.Index(field.Name) < 0 {
				add(field, -1, k)
			}
		}
	}
	if err := distinct(fields, "set prefix"); err != nil {
		return nil, &ConfigError{"fields", err}
	}
	b.schema = batch.NewSchema(fields...)
	return b, nil
}

type boundParse struct {
	*parse
	source int
	json   bool
	from   []parsedColumn
	schema *batch.Schema
}

// parsedColumn says where an output column comes from: an input column, or a parsed field.
type parsedColumn struct{ input, parsed int }

var _ Shaper = (*boundParse)(nil)

// Schema returns the columns with the new ones.
func (p *boundParse) Schema() *batch.Schema { return p.schema }

// Apply reads the column and refuses the rows that do not read.
func (p *boundParse) Apply(b *batch.Batch, out *Output) error {
	b = typedAll(b, []int{p.source}, out)
	source := b.Column(p.source)
	if p.json && p.config.Format != "json" {
		source, _ = convert(source, batch.Of(batch.String), b.Selection())
	}
	rows := b.Selection()
	if valid := source.Validity(); valid != nil {
		rows = present(rows, valid, source.Len())
	}
	parsed, bad := p.reader.read(source, rows)
	if len(bad) > 0 {
		bad = firstPerRow(bad)
		for i := range bad {
			if bad[i].Column == "" {
				bad[i].Column = p.config.Column
			}
		}
		out.Reject(b, bad)
		b = b.Without(bad)
	}
	columns := make([]*batch.Column, len(p.from))
	for i, from := range p.from {
		if from.parsed < 0 {
			columns[i] = b.Column(from.input)
			continue
		}
		columns[i] = masked(parsed[from.parsed], source.Validity())
	}
	out.Emit(b.WithColumns(p.schema, columns))
	return nil
}

// firstPerRow leaves one error of each row: a row is refused once.
func firstPerRow(bad []batch.RowError) []batch.RowError {
	seen := make(map[int]bool, len(bad))
	kept := bad[:0]
	for _, e := range bad {
		if !seen[e.Row] {
			seen[e.Row] = true
			kept = append(kept, e)
		}
	}
	return kept
}

// cellSpans reads cells by the positions of a text column's bytes.
func cellSpans(c *batch.Column, cells int, syntax batch.Syntax) *batch.Spans {
	_, text := c.Text()
	return &batch.Spans{
		Data: text, Offsets: make([]uint32, 2*cells*c.Len()), Stride: 2 * cells, Step: 2, Syntax: syntax,
	}
}

// typedCells types every cell column; errors get the field's name.
func typedCells(
	spans *batch.Spans, fields []batch.Field, rows []int32, bad []batch.RowError,
) ([]*batch.Column, []batch.RowError) {
	columns := make([]*batch.Column, len(fields))
	if len(bad) > 0 {
		rows = without(rows, spans.Rows(), bad)
	}
	for i, field := range fields {
		column, errs := batch.LazyColumn(field.Type, spans, i).Typed(rows)
		for _, e := range errs {
			e.Column = field.Name
			bad = append(bad, e)
		}
		columns[i] = column
	}
	return columns, bad
}

// without returns rows (nil: all n) but those named by errs.
func without(rows []int32, n int, errs []batch.RowError) []int32 {
	drop := make(map[int]bool, len(errs))
	for _, e := range errs {
		drop[e.Row] = true
	}
	kept := []int32{}
	each(rows, n, func(row int) {
		if !drop[row] {
			kept = append(kept, int32(row))
		}
	})
	return kept
}

// each calls f with each of rows (nil: all n).
func each(rows []int32, n int, f func(row int)) {
	if rows == nil {
		for row := range n {
			f(row)
		}
		return
	}
	for _, row := range rows {
		f(int(row))
	}
}
