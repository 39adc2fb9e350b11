package lines

import (
	"errors"
	"fmt"
	"regexp"

	"github.com/tapeline/tapeline/batch"
	codecjson "github.com/tapeline/tapeline/codec/json"
	codec "github.com/tapeline/tapeline/codec/lines"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/filesink"
)

// SourceConfig is the configuration of a lines source.
type SourceConfig struct {
	filesink.SourceConfig

	Column       string         `yaml:"column" doc:"column that holds the line, or what follows the prefix. Default line"`
	Type         string         `yaml:"type" enum:"string,json" doc:"type of that column; json rejects lines that are none. Default string"`
	Prefix       *PrefixConfig  `yaml:"prefix" doc:"field of fixed width at the beginning of each line"`
	Pattern      string         `yaml:"pattern" doc:"regular expression (RE2) whose named groups are the columns; lines that do not match are rejected" example:"^(?P<ip>\\S+) .* (?P<status>\\d+)$"`
	Types        []ColumnConfig `yaml:"types" doc:"pattern: types of its groups. Default string"`
	FileColumn   string         `yaml:"file_column" doc:"name of a column for the file's path. Default none"`
	NumberColumn string         `yaml:"number_column" doc:"name of a column for the line number, from 1. Default none"`
}

// PrefixConfig describes a field of fixed width.
type PrefixConfig struct {
	Width     int     `yaml:"width" required:"true" doc:"bytes, 1 to 65536"`
	Name      string  `yaml:"name" required:"true" doc:"its column"`
	Type      string  `yaml:"type" doc:"its type. Default string"`
	Separator *string `yaml:"separator" doc:"text between it and the rest. Default one blank"`
}

// ColumnConfig is the type of one column.
type ColumnConfig struct {
	Name string `yaml:",key"`
	Type string `yaml:",value"`
}

// SinkConfig is the configuration of a lines sink.
type SinkConfig struct {
	filesink.SinkConfig

	Template string `yaml:"template" doc:"line of a row: text with {name} for the value of a column and {{ for a brace; nulls are empty. Default the only column" example:"{at} {message}"`
}

// suffix ends the names of part files.
const suffix = ".txt"

// PartFiles tells the plan which files a folder gets.
func (c *SinkConfig) PartFiles() string { return c.SinkConfig.PartFiles(suffix) }

// Connector describes the lines source and sink.
func Connector() connector.Connector {
	return connector.Connector{
		Name:     "lines",
		Version:  "1.0.0",
		Contract: connector.ContractVersion,
		Summary:  "Plain text files, a row per line.",
		Doc:      doc,
		Suffixes: []string{".txt", ".log"},
		Source: connector.NewSource(SourceConfig{},
			connector.SourceCapabilities{Bounded: true, Resumable: true}, newSource),
		Sink: connector.NewSink(SinkConfig{},
			connector.SinkCapabilities{
				Transactions: true, SchemaEvolution: true, Parallel: true, Selection: true, Staged: true,
			}, newSink),
	}
}

const doc = `Each line is a row with the column ` + "`line`" + `. A carriage return at its end is no part of it.

A capture of lines such as ` + "`1723075199999999999 {\"e\":\"trade\"}`" + ` is split by

    config:
      path: capture.gz
      prefix: {width: 19, name: received, type: int64}
      column: message
      type: json

and an access log by ` + "`pattern`" + ` with named groups:

    config:
      path: access.log
      pattern: '^(?P<client>\S+) .* "(?P<request>[^"]*)" (?P<status>\d{3}) '
      types: {status: int64}

A group that took no part in the match is null, as is an empty one. Lines that do not fit are
rejected with their number.

The sink writes one line per row; a value with a line feed is refused. The file appears when the
run is complete; a folder gets part files as checkpoints complete.
`

// format builds the codec's form of the configuration.
func (c *SourceConfig) format() (*codec.Format, error) {
	problems := c.Validate()
	name := func(text, fallback string) string {
		if text == "" {
			return fallback
		}
		return text
	}
	field := func(key, column, typ string) batch.Field {
		parsed, err := batch.ParseType(name(typ, "string"))
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", key, err))
		}
		return batch.Field{Name: column, Type: parsed, Nullable: true}
	}
	options := codec.Options{
		Text: field("type", name(c.Column, "line"), c.Type), File: c.FileColumn,
		Number: c.NumberColumn, ValidJSON: codecjson.Valid, Types: map[string]batch.Type{},
	}
	if p := c.Prefix; p != nil {
		options.Prefix = codec.Prefix{
			Width: p.Width, Field: field("prefix.type", p.Name, p.Type), Separator: " ",
		}
		if p.Separator != nil {
			options.Prefix.Separator = *p.Separator
		}
		if p.Width < 1 || p.Width > 1<<16 {
			problems = append(problems, fmt.Errorf("prefix.width: %d is not between 1 and 65536", p.Width))
		}
	}
	if c.Pattern != "" {
		var err error
		if options.Pattern, err = regexp.Compile(c.Pattern); err != nil {
			problems = append(problems, fmt.Errorf("pattern: %w", err))
		}
	}
	for _, t := range c.Types {
		options.Types[t.Name] = field("types."+t.Name, t.Name, t.Type).Type
	}
	if len(problems) == 0 {
		format, err := codec.NewFormat(options)
		if err == nil {
			return format, nil
		}
		problems = append(problems, err)
	}
	return nil, &connector.Error{
		Op: "configure lines source", Class: connector.Permanent, Err: errors.Join(problems...),
	}
}
