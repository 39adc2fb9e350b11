package mysql

import (
	engine "github.com/go-sql-driver/mysql"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/sqlkit"
)

// Connection is what every node of this connector needs to reach the server.
type Connection struct {
	ConnectionString string `yaml:"connection_string" required:"true" secret:"true" doc:"mysql:// URL or user:password@tcp(host:port)/database" example:"mysql://user@host/database"`
	Schema           string `yaml:"schema" doc:"database of unqualified tables; default: the connection's"`
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

// Connector returns the MySQL connector.
func Connector() connector.Connector {
	const preferredRows = 10000
	return connector.Connector{
		Name: "mysql", Version: "1.0.0", Contract: connector.ContractVersion,
		Summary: "Reads and writes MySQL and MariaDB tables, exactly once.",
		Doc:     page,
		Schemes: []string{"mysql", "mariadb"},
		FromURL: fromURL,
		Source: connector.NewSource(sourceConfig{}, connector.SourceCapabilities{
			Bounded: true, Resumable: true, Incremental: true,
		}, func(env connector.Env, c *sourceConfig) (connector.Source, error) {
			return sqlkit.NewSource(env, c.SourceConfig, backend(c.Connection))
		}),
		Sink: connector.NewSink(
			sinkConfig{SinkConfig: sqlkit.SinkConfig{Create: true}},
			connector.SinkCapabilities{
				Transactions: true, Decides: true, Upsert: true, SchemaEvolution: true, Parallel: true,
				Selection: true, PreferredRows: preferredRows, Staged: true,
			}, func(env connector.Env, c *sinkConfig) (connector.Sink, error) {
				return sqlkit.NewSink(env, c.SinkConfig, backend(c.Connection))
			}),
		Lookup: connector.NewLookup(lookupConfig{},
			func(env connector.Env, c *lookupConfig) (connector.Lookup, error) {
				return sqlkit.NewLookup(env, c.LookupConfig, backend(c.Connection))
			}),
	}
}

// fromURL splits mysql://user@host/db?table=t, or the driver's own form before ?table=, into
// connection_string and config keys.
func fromURL(text string) (map[string]any, error) {
	return sqlkit.SplitAddress(text, func(text string) bool {
		_, err := engine.ParseDSN(text)
		return err == nil
	})
}

const page = `**Source.** One SELECT is one consistent snapshot (InnoDB). A table is read in the order of its
primary key, or of another unique key without NULL, so reading continues exactly behind any
position. Tables without one, views and queries are resumed by skipping the rows already read: give
a query an ORDER BY that is total. With ` + "`incremental.column`" + ` rows come ordered by that column,
then by key. ` + sqlkit.IncrementalDoc + `

Types: TINYINT(1) is bool, DECIMAL up to 38 digits exact (wider ones text), DATETIME a wall time,
TIMESTAMP an instant, BIT an integer, geometry its text. Zero dates and times beyond a day refuse
their row.

**Sink.** One transaction per epoch, committed together with the epoch's number in the table
` + "`tapeline_epochs`" + `: exactly once, given a transactional engine such as InnoDB. A missing table is
created; instants go into DATETIME(6) columns in UTC. A column such as DATETIME, which keeps whole
seconds, refuses the rows that it would round. With ` + "`key`" + ` rows of equal key are replaced
(by any unique key of the table) and deletes honoured.`
