package excel

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/filesink"
)

// SourceConfig is the configuration of an excel source.
type SourceConfig struct {
	Path       string       `yaml:"path" required:"true" doc:"xlsx file to read, or a glob (*, ?, [a-z]; ** for any depth) whose files are read in the order of their names" example:"data/*.xlsx"`
	Sheet      string       `yaml:"sheet" doc:"name of the sheet, or its number from 1. Default the first"`
	Header     *bool        `yaml:"header" doc:"whether the first row that is not empty names the columns; else they are named by letter. Default true"`
	SkipRows   int          `yaml:"skip_rows" doc:"rows before the header or first record, within range. Default 0"`
	Range      string       `yaml:"range" doc:"part of the sheet to read. Default all of it" example:"B2:F100"`
	Schema     SchemaConfig `yaml:"schema" doc:"declared columns"`
	SampleRows int          `yaml:"sample_rows" doc:"rows that undeclared types are inferred from, 1 to 100000. Default 1000"`
}

// SchemaConfig declares columns of an excel source.
type SchemaConfig struct {
	Columns any `yaml:"columns" doc:"name to type; without a header the names of the first columns, in order" example:"{id: int64, price: \"decimal(12,2)\"}"`
}

// SinkConfig is the configuration of an excel sink.
type SinkConfig struct {
	Path         string         `yaml:"path" required:"true" doc:"xlsx file to write; a folder, written with a final / or existing, gets part files" example:"out/result.xlsx"`
	IfExists     string         `yaml:"if_exists" resume:"ignore" enum:"replace,error" doc:"what happens to a file that exists when the run is complete. Default replace"`
	MinPartBytes connector.Size `yaml:"min_part_bytes" resume:"ignore" doc:"folders: checkpoints are joined to a part of at least this size before it is published. Default 64MB"`
	Sheet        string         `yaml:"sheet" doc:"name of the sheet, at most 31 characters. Default Sheet1"`
	Header       bool           `yaml:"header" doc:"whether the first row names the columns. Default true"`
}

const (
	defaultSampleRows = 1000
	defaultSheet      = "Sheet1"
	maxSheetName      = 24 // Excel's 31 less what further sheets append
)

// suffix ends the names of part files.
const suffix = ".xlsx"

// Connector describes the excel source and sink.
func Connector() connector.Connector {
	return connector.Connector{
		Name:     "excel",
		Version:  "1.0.0",
		Contract: connector.ContractVersion,
		Summary:  "Reads and writes sheets of Excel workbooks (xlsx).",
		Doc:      doc,
		Suffixes: []string{".xlsx", ".xlsm"},
		Source: connector.NewSource(SourceConfig{SampleRows: defaultSampleRows}, connector.SourceCapabilities{
			Bounded: true, Resumable: true,
		}, newSource),
		Sink: connector.NewSink(SinkConfig{Sheet: defaultSheet, Header: true}, connector.SinkCapabilities{
			Transactions: true, Staged: true, SchemaEvolution: true, Parallel: true,
		}, newSink),
	}
}

const doc = `Source: one sheet of each file that ` + "`path`" + ` names is read as a stream, in the order of the names;
rows without a value are skipped. A number that is shown as a date or time is one. Formulas give the
value that was stored with them. Types that are not declared are inferred from the first rows:
int64, float64, bool, date, time, timestamp(ms), else string. A later file may order the first one's
columns otherwise and lack some, which are NULL then; further columns are a change of schema, which
` + "`schema.on_change`" + ` of the sink rules. A cell that does not read as its
column's type, one in error (#N/A) and one beyond the header send their row to the dead letters with
file and row.

A run is resumed after the row where it stopped, up to which the sheet is read again. Workbooks of
before 2007 and ones with a password are refused.

Sink: numbers of up to 15 digits, dates and times become cells of their kind; what Excel cannot hold
exactly (longer numbers, instants before 1900 or finer than a millisecond) is text, as are nested
values (JSON) and binary (base64). A text of more than 32767 characters is refused by row. Each
checkpoint closes a hidden workbook beside the target; at the end of the run they are joined into
one, which replaces the target in one step. After 1,048,576 rows a further sheet, "Sheet1 (2)",
begins. A folder as ` + "`path`" + ` gets workbooks ` + "`part-RUN-TASK-EPOCH.xlsx`" + ` as soon as they hold
` + "`min_part_bytes`" + ` and at the end of the run; other columns begin another one, where a single
workbook refuses them. A run without rows writes the header alone, and an empty sheet
when the columns are not known.
`

// Glob tells the plan which files are read.
func (c *SourceConfig) Glob() string { return filesink.Glob(c.Path) }

// stage is the part that all file sinks share; the format compresses by itself.
func (c *SinkConfig) stage() *filesink.SinkConfig {
	return &filesink.SinkConfig{
		Path: c.Path, IfExists: c.IfExists, Compression: "none", MinPartBytes: c.MinPartBytes,
	}
}

// SingleWriter tells the plan that one file has one writer.
func (c *SinkConfig) SingleWriter() bool { return c.stage().SingleWriter() }

// TargetFile tells the plan which file is replaced.
func (c *SinkConfig) TargetFile() string { return c.stage().TargetFile() }

// PartFiles tells the plan which files a folder gets.
func (c *SinkConfig) PartFiles() string { return c.stage().PartFiles(suffix) }

func (c *SinkConfig) validate() error {
	var problems []error
	if c.Path == "" {
		problems = append(problems, errors.New("path: required"))
	}
	if !slices.Contains([]string{"", "replace", "error"}, c.IfExists) {
		problems = append(problems, fmt.Errorf("if_exists: %q is none of replace, error", c.IfExists))
	}
	if c.Sheet == "" || utf8.RuneCountInString(c.Sheet) > maxSheetName || strings.ContainsAny(c.Sheet, `:\/?*[]'`) {
		problems = append(problems, fmt.Errorf("sheet: %q is not 1 to %d characters without : \\ / ? * [ ] '",
			c.Sheet, maxSheetName))
	}
	if c.MinPartBytes < 0 {
		problems = append(problems, fmt.Errorf("min_part_bytes: %d is below 0", c.MinPartBytes))
	}
	return invalid(problems)
}

// invalid reports all problems of a configuration at once.
func invalid(problems []error) error {
	if len(problems) == 0 {
		return nil
	}
	return &connector.Error{
		Op: "configure excel", Class: connector.Permanent, Err: errors.Join(problems...),
	}
}
