package app

import (
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/connectors/csv"
	"github.com/tapeline/tapeline/connectors/discard"
	"github.com/tapeline/tapeline/connectors/generate"
	"github.com/tapeline/tapeline/connectors/json"
	"github.com/tapeline/tapeline/connectors/lines"
	"github.com/tapeline/tapeline/connectors/parquet"
	"github.com/tapeline/tapeline/connectors/postgres"
	"github.com/tapeline/tapeline/connectors/sqlite"
	"github.com/tapeline/tapeline/connectors/stdio"
)

// builtin returns the connectors of every binary.
func builtin() []connector.Connector {
	return []connector.Connector{
		csv.Connector(), discard.Connector(), generate.Connector(), json.Connector(),
		lines.Connector(), parquet.Connector(), postgres.Connector(), sqlite.Connector(),
		stdio.Connector(),
	}
}
