package json

import (
	"errors"
	"fmt"

	"github.com/tapeline/tapeline/batch"
	codec "github.com/tapeline/tapeline/codec/json"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/filesink"
)

// SourceConfig is the configuration of a json source.
type SourceConfig struct {
	filesink.SourceConfig

	Format     string                `yaml:"format" enum:"auto,ndjson,array,values" doc:"ndjson: a record per line; array: the elements of one array; values: records one after the other, also over several lines. auto looks at the beginning. Default auto"`
	Records    string                `yaml:"records" doc:"path of the array of records in a larger object; implies format array" example:"$.data.items"`
	Schema     filesink.SchemaConfig `yaml:"schema" doc:"declared columns; without them they are inferred from the first records"`
	SampleRows int                   `yaml:"sample_rows" doc:"records that inference looks at, 1 to 1000000, within the first 64 MB. Default 1000"`
	Extra      string                `yaml:"extra" enum:"evolve,ignore,error,capture" doc:"members that the schema does not have: evolve adds a column, ignore drops them, error rejects the record, capture collects them in column _extra. Default evolve, or ignore with a declared schema"`
}

// SinkConfig is the configuration of a json sink.
type SinkConfig struct {
	filesink.SinkConfig

	Format   string `yaml:"format" enum:"ndjson,array" doc:"ndjson: a record per line; array: one array, closed at the end of the run, single files only. Default ndjson"`
	OmitNull bool   `yaml:"omit_null" doc:"leave members that are null out. Default false"`
}

const defaultSampleRows = 1000

// suffix ends the names of part files; an array is a single file.
const suffix = ".ndjson"

// PartFiles tells the plan which files a folder gets.
func (c *SinkConfig) PartFiles() string { return c.SinkConfig.PartFiles(suffix) }

// Connector describes the json source and sink.
func Connector() connector.Connector {
	return connector.Connector{
		Name:     "json",
		Version:  "1.0.0",
		Contract: connector.ContractVersion,
		Summary:  "JSON files: NDJSON, arrays and nested records.",
		Doc:      doc,
		Suffixes: []string{".json", ".ndjson", ".jsonl"},
		Source: connector.NewSource(SourceConfig{SampleRows: defaultSampleRows},
			connector.SourceCapabilities{Bounded: true, Resumable: true}, newSource),
		Sink: connector.NewSink(SinkConfig{},
			connector.SinkCapabilities{
				Transactions: true, SchemaEvolution: true, Parallel: true, Selection: true, Staged: true,
			}, newSink),
	}
}

const doc = `Records are checked strictly (RFC 8259, UTF-8, at most 512 levels). One that is not JSON is
rejected alone, with file, line and column; when brackets or quotes are so damaged that records
cannot be told apart, reading fails.

**Types.** Without ` + "`schema.columns`" + ` the first ` + "`sample_rows`" + ` records decide: booleans, int64, float64,
string, decimal(38,0) for integers beyond int64, list and struct for nested values, json for what
has nothing in common or was always null. A record that is no object makes one column ` + "`value`" + `.
Values keep their text until an operation or a typed sink needs them, so from JSON to text numbers keep
all digits. A number with a point or an exponent is then a float64, of 15 to 17 digits: declare
a decimal where more count. A value that does not read as its type sends its row to the dead letters.

**Members** may be missing (null) and stand in any order. Of members of one name in a record the
last one counts; in nested structs such a record is an error. A member that the sample did not have
becomes a new column, a change of schema that the sink's ` + "`schema.on_change`" + ` rules; at most 4096 columns. Members that
an inferred or declared nested struct does not have are an error of their row, unless ` + "`extra: ignore`" + `.

**Arrays** are read piece by piece, never as a whole. ` + "`records: $.data.items`" + ` finds them in a larger
object; what stands around them is not read.

    sources:
      events: {type: json, config: {path: "in/*.ndjson.gz"}}
    destinations:
      out: {type: json, inputs: [events], config: {path: out/events.json, format: array}}

The sink writes one object per row: decimals and integers with all digits, times in ISO 8601,
binary in base64, NaN and infinities as null. The file appears when the run is complete; a folder
gets part files as checkpoints complete.
`

func (c *SourceConfig) validate() error {
	problems := c.Validate()
	if _, err := c.schema(); err != nil {
		problems = append(problems, err)
	}
	if c.SampleRows < 1 || c.SampleRows > 1_000_000 {
		problems = append(problems, fmt.Errorf("sample_rows: %d is not between 1 and 1000000", c.SampleRows))
	}
	if _, err := c.extra(); err != nil {
		problems = append(problems, fmt.Errorf("extra: %w", err))
	}
	switch c.Format {
	case "", "auto", "ndjson", "array", "values":
	default:
		problems = append(problems, fmt.Errorf("format: %q is none of auto, ndjson, array, values", c.Format))
	}
	if c.Records != "" && c.Format != "" && c.Format != "auto" && c.Format != "array" {
		problems = append(problems, fmt.Errorf("records: needs format array, not %s", c.Format))
	}
	return problem("configure json source", problems)
}

func (c *SinkConfig) validate() error {
	problems := c.Validate()
	switch {
	case c.Format == "" || c.Format == "ndjson":
	case c.Format != "array":
		problems = append(problems, fmt.Errorf("format: %q is none of ndjson, array", c.Format))
	case c.IfExists == "append":
		problems = append(problems, errors.New("if_exists: a closed array cannot be appended to; "+
			"use format ndjson"))
	}
	return problem("configure json sink", problems)
}

func problem(op string, problems []error) error {
	if len(problems) == 0 {
		return nil
	}
	return &connector.Error{Op: op, Class: connector.Permanent, Err: errors.Join(problems...)}
}

// schema returns the declared schema, nil when there is none.
func (c *SourceConfig) schema() (*batch.Schema, error) {
	if len(c.Schema.Columns) == 0 {
		return nil, nil
	}
	fields, problems := c.Schema.Fields()
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	return batch.NewSchema(fields...), nil
}

func (c *SourceConfig) extra() (codec.Extra, error) {
	switch {
	case c.Extra != "":
		return codec.ParseExtra(c.Extra)
	case len(c.Schema.Columns) > 0:
		return codec.Ignore, nil
	}
	return codec.Evolve, nil
}
