package avro

import (
	"errors"
	"fmt"
	"slices"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/filesink"
)

// SourceConfig is the configuration of an avro source.
type SourceConfig struct {
	Path    string   `yaml:"path" required:"true" doc:"file to read, or a glob (*, ?, [a-z]; ** for any depth) whose files are read in the order of their names" example:"data/*.avro"`
	Columns []string `yaml:"columns" doc:"columns to deliver, in this order. Default all" example:"[id, price]"`
}

// SinkConfig is the configuration of an avro sink.
type SinkConfig struct {
	Path         string         `yaml:"path" required:"true" doc:"file to write; a folder, written with a final / or existing, gets part files" example:"out/result.avro"`
	IfExists     string         `yaml:"if_exists" resume:"ignore" enum:"replace,error" doc:"what happens to a file that exists when the run is complete. Default replace"`
	Compression  string         `yaml:"compression" enum:"snappy,deflate,zstd,none" doc:"codec of blocks. Default snappy"`
	MinPartBytes connector.Size `yaml:"min_part_bytes" resume:"ignore" doc:"folders: a part is published at the first checkpoint at which it has this size. Default 64MB"`
}

// suffix ends the names of part files.
const suffix = ".avro"

// Connector describes the avro source and sink.
func Connector() connector.Connector {
	return connector.Connector{
		Name:     "avro",
		Version:  "1.0.0",
		Contract: connector.ContractVersion,
		Summary:  "Reads and writes Avro object container files.",
		Doc:      doc,
		Suffixes: []string{".avro"},
		Source: connector.NewSource(SourceConfig{}, connector.SourceCapabilities{
			Bounded: true, Resumable: true,
		}, newSource),
		Sink: connector.NewSink(SinkConfig{}, connector.SinkCapabilities{
			Transactions: true, Staged: true, Selection: true, SchemaEvolution: true, Parallel: true,
		}, newSink),
	}
}

const doc = `Source: ` + "`path`" + ` names a file or a glob; matching files are read in the order of their names. A
later file may order the first one's columns otherwise and lack some, which are NULL then; further
columns and other types are a change of schema, which ` + "`schema.on_change`" + ` of the sink rules. A file whose schema is no record has the one column ` + "`value`" + `.

A union of null and one type is that type, nullable. Records, arrays and maps keep their form, enums
are text. Unions of several types and records that contain themselves are JSON text. Logical types:
decimal (text beyond 38 digits), date, time-millis and time-micros (both microseconds), timestamp
and local-timestamp in millis, micros and nanos (with zone UTC and without zone), uuid (text);
duration stays binary. Codecs: null, deflate, snappy, zstandard, bzip2.

A run is resumed at the row where it stopped; a file that vanished or changed is refused then.

Sink: the schema follows from the columns; a name that Avro does not allow is replaced and kept in
the field's attribute ` + "`tapeline.column`" + `. Small integers become int, uint32 long, uint64 decimal(20,0),
JSON string, durations long in their unit, times of nanoseconds are refused, maps with keys that are
no text become arrays of key and value. Rows are staged in a hidden file beside the target and
appear at the end of the run, when the target is replaced in one step. A folder as ` + "`path`" + ` gets
part files ` + "`part-RUN-TASK-EPOCH.avro`" + `, published at the first checkpoint at which they hold
` + "`min_part_bytes`" + `; a changed schema begins another one, where a single file refuses it. A run without rows writes a file with the columns and no rows, and one without columns
when those are not known.
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
	oneOf := func(key, value string, allowed ...string) {
		if value != "" && !slices.Contains(allowed, value) {
			problems = append(problems, fmt.Errorf("%s: %q is none of %v", key, value, allowed))
		}
	}
	if c.Path == "" {
		problems = append(problems, errors.New("path: required"))
	}
	oneOf("if_exists", c.IfExists, "replace", "error")
	oneOf("compression", c.Compression, "snappy", "deflate", "zstd", "none")
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
		Op: "configure avro", Class: connector.Permanent, Err: errors.Join(problems...),
	}
}
