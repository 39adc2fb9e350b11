package postgres

import (
	"strings"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/sqlkit"
)

// preferredRows is a COPY long enough that its round trip does not count.
const preferredRows = 10000

// Connector returns the PostgreSQL connector.
func Connector() connector.Connector {
	numeric := "decimal(38,10)"
	return connector.Connector{
		Name: "postgres", Version: "1.0.0", Contract: connector.ContractVersion,
		Summary: "Reads and writes PostgreSQL tables by binary COPY, exactly once.",
		Doc:     page,
		Schemes: []string{"postgres", "postgresql"},
		FromURL: fromURL,
		Source: connector.NewSource(
			sourceConfig{Numeric: numeric, NonFinite: "reject", Pushdown: true},
			connector.SourceCapabilities{
				Bounded: true, Resumable: true, ParallelReads: true, Incremental: true, Filters: true,
			}, newSource),
		Sink: connector.NewSink(
			sinkConfig{SinkConfig: sqlkit.SinkConfig{Create: true}},
			connector.SinkCapabilities{
				Transactions: true, Decides: true, Upsert: true, SchemaEvolution: true,
				Parallel: true, Selection: true, PreferredRows: preferredRows, Staged: true,
			}, newSink),
		Lookup: connector.NewLookup(lookupConfig{Numeric: numeric}, newLookup),
	}
}

// fromURL splits postgres://user@host/db?table=schema.t, or key=value text before ?table=, into
// connection_string and config keys.
func fromURL(text string) (map[string]any, error) {
	balanced := func(text string) bool {
		quotes := strings.Count(strings.ReplaceAll(text, `\'`, ""), "'")
		return strings.Contains(text, "=") && quotes%2 == 0
	}
	return sqlkit.SplitAddress(text, balanced, "numeric")
}

const page = `Rows leave and enter the server by binary ` + "`COPY`" + `, from and to columns.

**Source.** One read-only snapshot per run (per partition when read in parallel). A table is read
in physical order and a position is the last row's ctid: after a crash or a lost connection reading
continues behind that row, in a new snapshot. Rows updated in between may have moved: they can be read
twice or missed; rows that nobody touched come exactly once. With ` + "`incremental.column`" + ` rows come
ordered by that column, then by the primary key (without one: by ctid, for views by count). ` +
	sqlkit.IncrementalDoc + `

A ` + "`query`" + ` is resumed by running it again and skipping the rows already read: give it an
ORDER BY that is total.

A ` + "`filter`" + ` directly behind a table's source is applied by the server as far as it compares columns
with literals: ` + "`tapeline explain`" + ` shows what is pushed down. It is applied here too, so that the
result never depends on the server; the rows read are then those that arrived. Columns of types bool,
smallint to bigint, real, double precision, numeric(p,s), date, timestamp, timestamptz, text, varchar
and char take part; domains, enums, uuid, arrays and json do not. A value without a form here (NaN,
infinity) refuses its row where the filter looks at it, as in raw text of files; in other columns of
rows that the filter drops it is not looked at. A query, a view and ` + "`incremental`" + ` reading get no
condition, as their positions must see every row. ` + "`pushdown: false`" + ` reads all rows.

Types: ` + "`numeric(p,s)`" + ` up to 38 digits is exact; other numerics become what ` + "`numeric`" + `
says; uuid, enum, interval, network, range and geometric types become text; json and jsonb stay
JSON; one-dimensional arrays become lists. NaN and infinity of numeric, date and timestamp refuse
their row, or become NULL by ` + "`non_finite: null`" + `.

**Sink.** One transaction per epoch, committed together with the epoch's number in the table
` + "`tapeline_epochs`" + `: exactly once. A missing table is created. With ` + "`key`" + ` rows of equal key
are replaced and deletes honoured; an existing table needs a unique index on exactly the key.
` + "`mode: replace`" + ` empties the table in the first transaction of a run. Sub-microsecond digits of
timestamps are cut, since the server keeps microseconds. A column such as timestamp(0) refuses the rows
that it would round.`
