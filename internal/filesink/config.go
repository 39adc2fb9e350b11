package filesink

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tapeline/tapeline/connector"
)

// SourceConfig is the part of a file source's configuration that all formats share; embed it.
type SourceConfig struct {
	Path           string         `yaml:"path" required:"true" doc:"file to read, or a glob (*, ?, [a-z]; ** for any depth) whose files are read in the order of their names" example:"data/*.csv"`
	Compression    string         `yaml:"compression" enum:"auto,none,gzip,zstd" doc:"auto looks at the first bytes. Default auto"`
	Encoding       string         `yaml:"encoding" doc:"character encoding such as utf-8, utf-16, gbk, gb18030, big5, shift_jis, latin1; a byte order mark wins over it. Default utf-8"`
	MaxRecordBytes connector.Size `yaml:"max_record_bytes" doc:"longest record; a longer one fails the run. Default 64MB"`
}

// DefaultMaxRecordBytes bounds a record unless the configuration says otherwise.
const DefaultMaxRecordBytes = 64 << 20

// Validate returns all problems of the shared keys.
func (c *SourceConfig) Validate() []error {
	var problems []error
	if c.Path == "" {
		problems = append(problems, fmt.Errorf("path: required"))
	}
	if !slices.Contains(sourceCompressions(), c.Compression) {
		problems = append(problems, fmt.Errorf("compression: %q is none of auto, none, gzip, zstd",
			c.Compression))
	}
	if _, err := findEncoding(c.Encoding); err != nil {
		problems = append(problems, fmt.Errorf("encoding: %w", err))
	}
	if c.MaxRecordBytes < 0 || c.MaxRecordBytes > 1<<31 {
		problems = append(problems, fmt.Errorf("max_record_bytes: %d is not between 1 and 2GiB",
			c.MaxRecordBytes))
	}
	return problems
}

func (c *SourceConfig) maxRecordBytes() int {
	if c.MaxRecordBytes == 0 {
		return DefaultMaxRecordBytes
	}
	return int(c.MaxRecordBytes)
}

func sourceCompressions() []string { return []string{"", "auto", "none", "gzip", "zstd"} }

// SinkConfig is the part of a file sink's configuration that all formats share; embed it.
type SinkConfig struct {
	Path         string         `yaml:"path" required:"true" doc:"file to write; a folder, written with a final / or existing, gets part files" example:"out/result.csv"`
	Compression  string         `yaml:"compression" enum:"auto,none,gzip,zstd" doc:"auto follows the ending of path: .gz, .zst. Default auto"`
	IfExists     string         `yaml:"if_exists" resume:"ignore" enum:"replace,append,error" doc:"what happens to a file that exists when the run is complete. Default replace"`
	MinPartBytes connector.Size `yaml:"min_part_bytes" resume:"ignore" doc:"folders: a part is published at the first checkpoint at which it has this size. Default 64MB"`
}

// folder reports whether the path names a folder.
func (c *SinkConfig) folder(stat func(string) (fs.FileInfo, error)) bool {
	if strings.HasSuffix(c.Path, "/") || strings.HasSuffix(c.Path, string(filepath.Separator)) {
		return true
	}
	info, err := stat(c.Path)
	return err == nil && info.IsDir()
}

// SingleWriter tells the plan that one file has one writer, whatever parallelism is asked for.
func (c *SinkConfig) SingleWriter() bool { return !c.folder(os.Stat) }

// TargetFile tells the plan which file is replaced at the end of the run, "" for a folder, where
// every sink has names of its own.
func (c *SinkConfig) TargetFile() string {
	if c.folder(os.Stat) {
		return ""
	}
	return c.Path
}

// DefaultMinPartBytes is the size from which a part of a folder is published.
const DefaultMinPartBytes = 64 << 20

// Validate returns all problems of the shared keys.
func (c *SinkConfig) Validate() []error {
	var problems []error
	if c.Path == "" {
		problems = append(problems, fmt.Errorf("path: required"))
	}
	if !slices.Contains(sourceCompressions(), c.Compression) {
		problems = append(problems, fmt.Errorf("compression: %q is none of auto, none, gzip, zstd",
			c.Compression))
	}
	if !slices.Contains([]string{"", "replace", "append", "error"}, c.IfExists) {
		problems = append(problems, fmt.Errorf("if_exists: %q is none of replace, append, error",
			c.IfExists))
	}
	if c.MinPartBytes < 0 {
		problems = append(problems, fmt.Errorf("min_part_bytes: %d is below 0", c.MinPartBytes))
	}
	return problems
}

func (c *SinkConfig) minPartBytes() int64 {
	if c.MinPartBytes == 0 {
		return DefaultMinPartBytes
	}
	return int64(c.MinPartBytes)
}

// compression resolves auto by the path's ending.
func (c *SinkConfig) compression() string {
	if c.Compression != "" && c.Compression != "auto" {
		return c.Compression
	}
	switch strings.ToLower(filepath.Ext(c.Path)) {
	case ".gz", ".gzip":
		return "gzip"
	case ".zst", ".zstd":
		return "zstd"
	}
	return "none"
}
