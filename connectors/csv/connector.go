package csv

import (
	"errors"
	"fmt"
	"strings"

	codec "github.com/tapeline/tapeline/codec/csv"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/filesink"
)

// SourceConfig is the configuration of a csv source.
type SourceConfig struct {
	filesink.SourceConfig

	Delimiter  string                `yaml:"delimiter" doc:"text between cells, one character or more; \\t and tab are a tab. Default ,"`
	Header     *bool                 `yaml:"header" doc:"whether the first record names the columns. Default true"`
	Quote      string                `yaml:"quote" doc:"character that encloses cells; none for none. Default \""`
	Escape     string                `yaml:"escape" doc:"character before a quote within quotes; default the quote itself, doubled"`
	Comment    string                `yaml:"comment" doc:"first character of lines to skip. Default none"`
	SkipRows   int                   `yaml:"skip_rows" doc:"lines before the header or first record. Default 0"`
	NullValues []string              `yaml:"null_values" doc:"unquoted texts that mean NULL. Default the empty text"`
	Trim       bool                  `yaml:"trim" doc:"whether blanks around unquoted text are dropped. Default false"`
	RecordEnd  string                `yaml:"record_end" enum:"auto,lf,cr" doc:"lf takes \\n and \\r\\n, cr a lone \\r; auto takes cr where there is no \\n. Default auto"`
	Ragged     string                `yaml:"ragged" enum:"reject,pad,truncate,fit,fail" doc:"records with too few or too many cells: to the dead letters, filled with NULL, cut, both, or the run fails. Default reject"`
	Dialect    string                `yaml:"dialect" enum:"given,auto" doc:"auto guesses delimiter, quote, header and skip_rows where they are not set. Default given"`
	Schema     filesink.SchemaConfig `yaml:"schema" doc:"declared columns; without a header they name the first columns"`
	SampleRows int                   `yaml:"sample_rows" doc:"records that undeclared types are inferred from, 1 to 100000. Default 1000"`
	Decimal    bool                  `yaml:"decimal" doc:"infer decimal instead of float64 for numbers with a fraction. Default false"`
}

// SinkConfig is the configuration of a csv sink.
type SinkConfig struct {
	filesink.SinkConfig

	Delimiter string `yaml:"delimiter" doc:"text between cells, one character or more; \\t and tab are a tab. Default ,"`
	Header    bool   `yaml:"header" doc:"whether the first record names the columns. Default true"`
	Quote     string `yaml:"quote" doc:"character that encloses cells where needed; none for none, and texts that need one are refused by row. Default \""`
	Escape    string `yaml:"escape" doc:"character before a quote within quotes; default the quote itself, doubled"`
	NullValue string `yaml:"null_value" doc:"text of NULL; empty text is written quoted. Default the empty text"`
}

// suffix ends the names of part files.
const suffix = ".csv"

// PartFiles tells the plan which files a folder gets.
func (c *SinkConfig) PartFiles() string { return c.SinkConfig.PartFiles(suffix) }

// Connector describes the csv source and sink.
func Connector() connector.Connector {
	return connector.Connector{
		Name:       "csv",
		Version:    "1.0.0",
		Contract:   connector.ContractVersion,
		Summary:    "Reads and writes delimited text files of any dialect and encoding.",
		Doc:        doc,
		Suffixes:   []string{".csv", ".tsv"},
		FromURL:    fromURL,
		CopySource: map[string]any{"dialect": "auto"},
		Source: connector.NewSource(SourceConfig{}, connector.SourceCapabilities{
			Bounded: true, Resumable: true,
		}, newSource),
		Sink: connector.NewSink(SinkConfig{Header: true}, connector.SinkCapabilities{
			Transactions: true, Parallel: true, Selection: true, Staged: true, SchemaEvolution: true,
		}, newSink),
	}
}

func fromURL(url string) (map[string]any, error) {
	config := map[string]any{"path": strings.TrimPrefix(url, "file://")}
	name := strings.ToLower(url)
	for _, suffix := range []string{".gz", ".zst"} {
		name = strings.TrimSuffix(name, suffix)
	}
	if strings.HasSuffix(name, ".tsv") {
		config["delimiter"] = "tab"
	}
	return config, nil
}

const doc = `Source: ` + "`path`" + ` names a file or a glob; matching files are read in the order of their names
and each has a header of its own. A later file may order the first one's columns otherwise and lack
some, which are NULL then; further columns are a change of schema, which ` + "`schema.on_change`" + ` of the
sink rules. Types that are not declared stay those of the first file, unless the later file's holds
all of their values, as timestamps do dates. Text is kept as it is
until an operation needs its value, so exact decimals stay exact and columns that nobody uses cost
nothing. Types that are not declared are inferred from the first records: int64, float64, bool,
date, timestamp, else string; numbers with leading zeros are strings.

A record with stray quotes is read the way that gives the right number of cells; an empty line is
skipped (in a file of one column it is a NULL). Records that are no rows go to the dead letters with
file and line. Input in another encoding is read as UTF-8; gzip and zstd are recognised.

A run is resumed at the byte where it stopped; a file that vanished, got shorter or begins
differently is refused then. A compressed or transcoded file is read up to that byte again.

Sink: rows are staged in a hidden file beside the target and appear at the end of the run, when the
target is replaced in one step. A folder as ` + "`path`" + ` gets part files ` + "`part-RUN-TASK-EPOCH.csv`" + `,
several at once with ` + "`parallelism`" + `, published at the first checkpoint at which they hold ` + "`min_part_bytes`" + `; other
columns begin another one, where a single file refuses them. NULL is written as
` + "`null_value`" + `, empty text as "", so that both read back.
`

// dialectOf builds a codec dialect of configured texts, with the problems that has.
func dialectOf(delimiter, quote, escape, comment string) (codec.Dialect, []error) {
	d := codec.NewDialect()
	var problems []error
	single := func(name, text string, target *byte) {
		switch {
		case text == "none":
			*target = 0
		case len(text) == 1:
			*target = text[0]
		case text != "":
			problems = append(problems, fmt.Errorf("%s: %q is not one ASCII character", name, text))
		}
	}
	if delimiter != "" {
		d.Delimiter = unescape(delimiter)
	}
	single("quote", quote, &d.Quote)
	d.Escape = d.Quote
	single("escape", escape, &d.Escape)
	single("comment", comment, &d.Comment)
	return d, append(problems, d.Validate()...)
}

// unescape reads the ways in which people write a tab.
func unescape(text string) string {
	switch text {
	case "tab", `\t`:
		return "\t"
	case "space":
		return " "
	}
	return text
}

// invalid reports all problems of a configuration at once.
func invalid(problems []error) error {
	if len(problems) == 0 {
		return nil
	}
	return &connector.Error{
		Op: "configure csv", Class: connector.Permanent, Err: errors.Join(problems...),
	}
}
