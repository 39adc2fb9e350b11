package sqlite

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/sqlkit"
)

// Connection is the file every node of this connector opens.
type Connection struct {
	Path string `yaml:"path" required:"true" doc:"database file; a sink creates it" example:"shop.db"`
}

type sourceConfig struct {
	Connection          `yaml:",inline"`
	sqlkit.SourceConfig `yaml:",inline"`
}

type sinkConfig struct {
	Connection        `yaml:",inline"`
	sqlkit.SinkConfig `yaml:",inline"`
}

type lookupConfig struct {
	Connection          `yaml:",inline"`
	sqlkit.LookupConfig `yaml:",inline"`
}

// Connector returns the SQLite connector.
func Connector() connector.Connector {
	const preferredRows = 10000
	files := &writers{byFile: map[string]int{}}
	return connector.Connector{
		Name: "sqlite", Version: "1.0.0", Contract: connector.ContractVersion,
		Summary:  "Reads and writes tables of SQLite files, exactly once.",
		Doc:      page,
		Suffixes: []string{".db", ".sqlite", ".sqlite3"},
		Schemes:  []string{"sqlite"},
		FromURL:  fromURL,
		Source: connector.NewSource(sourceConfig{}, connector.SourceCapabilities{
			Bounded: true, Resumable: true, Incremental: true,
		}, func(env connector.Env, c *sourceConfig) (connector.Source, error) {
			return sqlkit.NewSource(env, c.SourceConfig, backend(c.Path, false))
		}),
		Sink: connector.NewSink(
			sinkConfig{SinkConfig: sqlkit.SinkConfig{Create: true}},
			connector.SinkCapabilities{
				Transactions: true, Decides: true, Upsert: true, SchemaEvolution: true,
				Selection: true, PreferredRows: preferredRows, Staged: true,
			}, func(env connector.Env, c *sinkConfig) (connector.Sink, error) {
				b := backend(c.Path, true)
				b.Contended = func() bool { return files.several(c.Path) }
				b.Open = func() { files.add(c.Path, 1) }
				b.Close = func() { files.add(c.Path, -1) }
				return sqlkit.NewSink(env, c.SinkConfig, b)
			}),
		Lookup: connector.NewLookup(lookupConfig{},
			func(env connector.Env, c *lookupConfig) (connector.Lookup, error) {
				return sqlkit.NewLookup(env, c.LookupConfig, backend(c.Path, false))
			}),
	}
}

// fromURL reads file.db?table=t, sqlite:file.db?table=t and sqlite:///dir/file.db?table=t.
func fromURL(text string) (map[string]any, error) {
	path, rawQuery, _ := strings.Cut(text, "?")
	if rest, ok := strings.CutPrefix(path, "sqlite:"); ok {
		path = strings.TrimPrefix(rest, "//")
	}
	if path == "" {
		return nil, fmt.Errorf("%s: no file", text)
	}
	query, err := url.ParseQuery(rawQuery)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", text, err)
	}
	config := map[string]any{"path": path}
	for key := range query {
		switch key {
		case "key", "columns":
			config[key] = strings.Split(query.Get(key), ",")
		case "table", "query", "where", "mode":
			config[key] = query.Get(key)
		default:
			return nil, fmt.Errorf("%s: unknown parameter %s; known are table, query, where, mode, "+
				"key and columns", text, key)
		}
	}
	return config, nil
}

const page = `**Source.** One SELECT is one consistent snapshot. A table is read in the order of its rowid (of
its primary key when it is WITHOUT ROWID), so reading continues exactly behind any position. With
` + "`incremental.column`" + ` rows come ordered by that column, then by rowid. ` + sqlkit.IncrementalDoc + `

Views and queries are resumed by skipping the rows already read: give a query an ORDER BY that is total.

Declared types decide: INT is int64, REAL float64, DECIMAL(p,s) and NUMERIC(p,s) decimal, BOOLEAN,
DATE, TIME, DATETIME, TIMESTAMP, JSON, BLOB, text else. A value that does not read as its column's
type refuses its row.

**Sink.** One transaction per epoch, committed together with the epoch's number in the table
` + "`tapeline_epochs`" + `: exactly once. A missing file or table is created. Decimals of more than 15
digits are kept as text, since SQLite's numbers are 64-bit floats. With ` + "`key`" + ` rows of equal key
are replaced and deletes honoured. SQLite has one writer: rows of several sinks on one file are
tried out and then wait in temporary tables until the commit; writing many tables by one sink with
` + "`table: \"{table}\"`" + ` is faster.`
