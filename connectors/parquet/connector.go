package parquet

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/filesink"
)

// SourceConfig is the configuration of a parquet source.
type SourceConfig struct {
	Path         string         `yaml:"path" required:"true" doc:"file to read, or a glob (*, ?, [a-z]; ** for any depth) whose files are read in the order of their names" example:"data/*.parquet"`
	Columns      []string       `yaml:"columns" doc:"columns to read, in this order; others are not even loaded. Default all" example:"[id, price]"`
	MaxPageBytes connector.Size `yaml:"max_page_bytes" doc:"largest page, uncompressed, that is read: as much memory is taken for it, whatever the size of the file. At most 512MB. Default 256MB"`
}

// defaultMaxPageBytes is what one page may take unless the configuration says otherwise.
const defaultMaxPageBytes = 256 << 20

func (c *SourceConfig) maxPageBytes() int64 {
	return cmp.Or(int64(c.MaxPageBytes), defaultMaxPageBytes)
}

func (c *SourceConfig) validate() error {
	var problems []error
	if c.Path == "" {
		problems = append(problems, errors.New("path: required"))
	}
	if c.MaxPageBytes < 0 || c.MaxPageBytes > maxTextBytes {
		problems = append(problems, fmt.Errorf("max_page_bytes: %d is not between 1 and %d", c.MaxPageBytes, maxTextBytes))
	}
	return invalid(problems)
}

// SinkConfig is the configuration of a parquet sink.
type SinkConfig struct {
	Path         string         `yaml:"path" required:"true" doc:"file to write; a folder, written with a final / or existing, gets part files" example:"out/result.parquet"`
	IfExists     string         `yaml:"if_exists" resume:"ignore" enum:"replace,error" doc:"what happens to a file that exists when the run is complete. Default replace"`
	Compression  string         `yaml:"compression" enum:"zstd,snappy,gzip,none" doc:"codec of pages. Default zstd"`
	MinPartBytes connector.Size `yaml:"min_part_bytes" resume:"ignore" doc:"folders: checkpoints are joined to a part of at least this size before it is published. Default 64MB"`
	RowGroupRows int            `yaml:"row_group_rows" doc:"rows of a row group, 1 to 16777216; a checkpoint ends one earlier. Default 131072"`
	Dictionary   string         `yaml:"dictionary" enum:"auto,always,never" doc:"whether values are kept once per row group and referred to by number; auto does so for text columns with repeated values. Default auto"`
}

const (
	defaultRowGroupRows = 128 << 10
	maxRowGroupRows     = 16 << 20
)

// suffix ends the names of part files.
const suffix = ".parquet"

// Connector describes the parquet source and sink.
func Connector() connector.Connector {
	return connector.Connector{
		Name:     "parquet",
		Version:  "1.0.0",
		Contract: connector.ContractVersion,
		Summary:  "Reads and writes Parquet files of arbitrary schemas.",
		Doc:      doc,
		Suffixes: []string{".parquet", ".parq"},
		Source: connector.NewSource(SourceConfig{}, connector.SourceCapabilities{
			Bounded: true, Resumable: true, ParallelReads: true,
		}, newSource),
		Sink: connector.NewSink(
			SinkConfig{RowGroupRows: defaultRowGroupRows},
			connector.SinkCapabilities{Transactions: true, Staged: true, SchemaEvolution: true, Parallel: true},
			newSink),
	}
}

const doc = `Source: ` + "`path`" + ` names a file or a glob; matching files are read in the order of their names. A
later file may order the first one's columns otherwise and lack some, which are NULL then; further
columns and other types are a change of schema, which ` + "`schema.on_change`" + ` of the sink rules.
` + "`columns`" + ` reads only what is named.

All encodings and the codecs none, snappy, gzip, brotli, zstd and lz4_raw are read. Lists, structs
and maps keep their form, also those of old writers. INT96 timestamps are nanoseconds without zone;
times of milliseconds become microseconds; float16 becomes float32; UUIDs and decimals of more than
38 digits become text. Byte arrays without a logical type are binary. Encrypted files are refused.

A run is resumed at the row where it stopped; a file that vanished or changed is refused then. With
` + "`parallelism`" + ` above 1 row groups are read beside each other, in no fixed order.

Sink: each checkpoint closes a hidden part beside the target. At the end of the run the parts'
row groups are copied, not encoded again, into one file, which replaces the target in one step. In a
folder as ` + "`path`" + ` the parts of several checkpoints become a file ` + "`part-RUN-TASK-EPOCH.parquet`" + ` as soon as
they hold ` + "`min_part_bytes`" + ` and at the end of the run; a changed schema begins another file, where a single
file refuses it. A run without rows writes a file with the columns and no rows; it fails when its
columns are not known, as when the source is empty text. Timestamps in seconds are stored as
milliseconds. Types that Parquet lacks, as unions, are refused.
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
	oneOf("compression", c.Compression, "zstd", "snappy", "gzip", "none")
	oneOf("dictionary", c.Dictionary, "auto", "always", "never")
	if c.MinPartBytes < 0 {
		problems = append(problems, fmt.Errorf("min_part_bytes: %d is below 0", c.MinPartBytes))
	}
	if c.RowGroupRows < 1 || c.RowGroupRows > maxRowGroupRows {
		problems = append(problems, fmt.Errorf("row_group_rows: %d is not between 1 and %d",
			c.RowGroupRows, maxRowGroupRows))
	}
	return invalid(problems)
}

// invalid reports all problems of a configuration at once.
func invalid(problems []error) error {
	if len(problems) == 0 {
		return nil
	}
	return &connector.Error{
		Op: "configure parquet", Class: connector.Permanent, Err: errors.Join(problems...),
	}
}
