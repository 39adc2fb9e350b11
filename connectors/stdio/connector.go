package stdio

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/tapeline/tapeline/connector"
)

// SourceConfig is the configuration of a stdio source.
type SourceConfig struct {
	Format         string         `yaml:"format" enum:"ndjson,csv,lines" doc:"how standard input spells rows. Default ndjson"`
	Delimiter      string         `yaml:"delimiter" doc:"csv: text between cells. Default ,"`
	Header         bool           `yaml:"header" doc:"csv: whether the first record names the columns. Default true"`
	Column         string         `yaml:"column" doc:"lines: column of the line. Default line"`
	SampleRows     int            `yaml:"sample_rows" doc:"records that types are inferred from, as far as they are there at once, 1 to 100000. Default 1000"`
	MaxRecordBytes connector.Size `yaml:"max_record_bytes" doc:"longest record; a longer one fails the run. Default 64MB"`
}

// SinkConfig is the configuration of a stdio sink.
type SinkConfig struct {
	Format    string `yaml:"format" enum:"ndjson,csv,lines" doc:"how rows are spelled. Default ndjson"`
	Delimiter string `yaml:"delimiter" doc:"csv: text between cells. Default ,"`
	Header    bool   `yaml:"header" doc:"csv: whether the first record names the columns. Default true"`
	Template  string `yaml:"template" doc:"lines: text with {name} for the value of a column. Default the only column"`
	OmitNull  bool   `yaml:"omit_null" doc:"ndjson: leave members that are null out. Default false"`
}

const (
	defaultSampleRows     = 1000
	defaultMaxRecordBytes = 64 << 20
)

// Connector describes the stdio source and sink.
func Connector() connector.Connector {
	source := SourceConfig{
		Format: "ndjson", Delimiter: ",", Header: true, Column: "line",
		SampleRows: defaultSampleRows, MaxRecordBytes: defaultMaxRecordBytes,
	}
	sink := SinkConfig{Format: "ndjson", Delimiter: ",", Header: true}
	return connector.Connector{
		Name:     "stdio",
		Version:  "1.0.0",
		Contract: connector.ContractVersion,
		Summary:  "Standard input and standard output.",
		Doc:      doc,
		Schemes:  []string{"stdio"},
		FromURL:  fromURL,
		Source: connector.NewSource(source, connector.SourceCapabilities{Bounded: true},
			func(env connector.Env, cfg *SourceConfig) (connector.Source, error) {
				return newSource(env, cfg, os.Stdin)
			}),
		Sink: connector.NewSink(sink, connector.SinkCapabilities{Selection: true},
			func(_ connector.Env, cfg *SinkConfig) (connector.Sink, error) {
				return newSink(cfg, os.Stdout)
			}),
	}
}

const doc = `On a command line ` + "`-`" + ` stands for it, ` + "`stdio:csv`" + ` for another format:

    tapeline copy prices.csv - | head
    cat *.csv | tapeline copy stdio:csv out.parquet

Types are inferred from the records that are there when reading begins, at most ` + "`sample_rows`" + `. A
member of an NDJSON record that appears later becomes a new column. A chunk is handed over when it
is full, or when its first record has waited for the batch age, so a slow writer is followed live.

Standard input cannot be read twice: a run that was interrupted cannot be resumed. Standard output
shows rows as they come, before any checkpoint: at-least-once.
`

func formats() []string { return []string{"ndjson", "csv", "lines"} }

// fromURL reads "-", "stdio:" and "stdio:format".
func fromURL(url string) (map[string]any, error) {
	format := strings.TrimPrefix(strings.TrimPrefix(url, "stdio:"), "//")
	if format == "" || format == "-" {
		return map[string]any{}, nil
	}
	if !slices.Contains(formats(), format) {
		return nil, fmt.Errorf("%s: %q is none of %s", url, format, strings.Join(formats(), ", "))
	}
	return map[string]any{"format": format}, nil
}

func checkFormat(op, format string) error {
	if slices.Contains(formats(), format) {
		return nil
	}
	return &connector.Error{
		Op: op, Class: connector.Permanent, Path: "format",
		Err: fmt.Errorf("%q is none of %s", format, strings.Join(formats(), ", ")),
	}
}
