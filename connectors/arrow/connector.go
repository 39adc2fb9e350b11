package arrow

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/filesink"
)

// SourceConfig is the configuration of an arrow source.
type SourceConfig struct {
	Path    string   `yaml:"path" required:"true" doc:"file to read, or a glob (*, ?, [a-z]; ** for any depth) whose files are read in the order of their names" example:"data/*.arrow"`
	Format  string   `yaml:"format" enum:"auto,file,stream" doc:"auto looks at the first bytes. Default auto"`
	Columns []string `yaml:"columns" doc:"columns to deliver, in this order. Default all" example:"[id, price]"`
}

// SinkConfig is the configuration of an arrow sink.
type SinkConfig struct {
	Path         string         `yaml:"path" required:"true" doc:"file to write; a folder, written with a final / or existing, gets part files" example:"out/result.arrow"`
	Format       string         `yaml:"format" enum:"auto,file,stream" doc:"auto writes a stream where path ends in .arrows, else a file. Default auto"`
	IfExists     string         `yaml:"if_exists" resume:"ignore" enum:"replace,error" doc:"what happens to a file that exists when the run is complete. Default replace"`
	Compression  string         `yaml:"compression" enum:"none,lz4,zstd" doc:"codec of buffers. Default none"`
	MinPartBytes connector.Size `yaml:"min_part_bytes" resume:"ignore" doc:"folders: a part is published at the first checkpoint at which it has this size; files of smaller checkpoints are joined. Default 64MB"`
}

// Connector describes the arrow source and sink.
func Connector() connector.Connector {
	return connector.Connector{
		Name:     "arrow",
		Version:  "1.0.0",
		Contract: connector.ContractVersion,
		Summary:  "Reads and writes Arrow IPC files (Feather) and streams.",
		Doc:      doc,
		Suffixes: []string{".arrow", ".feather", ".ipc", ".arrows"},
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
columns and other types are a change of schema, which ` + "`schema.on_change`" + ` of the sink rules. Record batches are handed on without a copy and cut where they are larger than a
batch may be; lz4 and zstd buffers are recognised. Dictionary columns are delivered as their
values, large and view layouts as plain ones; unions, intervals and other types without a form of
their own pass through untouched to an arrow sink. Feather version 1 is refused.

A run is resumed at the row where it stopped; a file that vanished or changed is refused then.

Sink: a file's checkpoints close hidden parts beside the target, which are joined into one file at
the end of the run; a stream goes on in one part. The target is replaced in one step. A folder as
` + "`path`" + ` gets files ` + "`part-RUN-TASK-EPOCH.arrow`" + ` as soon as they hold ` + "`min_part_bytes`" + ` and at the end of the
run; a changed schema begins another one, where a single file refuses it. A run without rows writes a
file with the columns and no rows, and one without columns when those are not known.
`

func oneOf(problems []error, key, value string, allowed ...string) []error {
	if value != "" && !slices.Contains(allowed, value) {
		problems = append(problems, fmt.Errorf("%s: %q is none of %v", key, value, allowed))
	}
	return problems
}

func (c *SourceConfig) validate() error {
	var problems []error
	if c.Path == "" {
		problems = append(problems, errors.New("path: required"))
	}
	return invalid(oneOf(problems, "format", c.Format, "auto", "file", "stream"))
}

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
func (c *SinkConfig) PartFiles() string { return c.stage().PartFiles(c.suffix()) }

func (c *SinkConfig) validate() error {
	var problems []error
	if c.Path == "" {
		problems = append(problems, errors.New("path: required"))
	}
	problems = oneOf(problems, "format", c.Format, "auto", "file", "stream")
	problems = oneOf(problems, "if_exists", c.IfExists, "replace", "error")
	problems = oneOf(problems, "compression", c.Compression, "none", "lz4", "zstd")
	if c.MinPartBytes < 0 {
		problems = append(problems, fmt.Errorf("min_part_bytes: %d is below 0", c.MinPartBytes))
	}
	return invalid(problems)
}

// stream reports whether the sink writes a stream.
func (c *SinkConfig) stream() bool {
	if c.Format == "" || c.Format == "auto" {
		return strings.HasSuffix(strings.ToLower(c.Path), ".arrows")
	}
	return c.Format == "stream"
}

// suffix ends the names of part files.
func (c *SinkConfig) suffix() string {
	if c.stream() {
		return ".arrows"
	}
	return ".arrow"
}

// invalid reports all problems of a configuration at once.
func invalid(problems []error) error {
	if len(problems) == 0 {
		return nil
	}
	return &connector.Error{
		Op: "configure arrow", Class: connector.Permanent, Err: errors.Join(problems...),
	}
}
