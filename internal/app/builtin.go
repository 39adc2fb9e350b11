package app

import (
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/connectors/arrow"
	"github.com/tapeline/tapeline/connectors/avro"
	"github.com/tapeline/tapeline/connectors/baostock"
	"github.com/tapeline/tapeline/connectors/binance"
	"github.com/tapeline/tapeline/connectors/csv"
	"github.com/tapeline/tapeline/connectors/discard"
	"github.com/tapeline/tapeline/connectors/eastmoney"
	"github.com/tapeline/tapeline/connectors/excel"
	"github.com/tapeline/tapeline/connectors/generate"
	"github.com/tapeline/tapeline/connectors/http"
	"github.com/tapeline/tapeline/connectors/json"
	"github.com/tapeline/tapeline/connectors/lines"
	"github.com/tapeline/tapeline/connectors/mysql"
	"github.com/tapeline/tapeline/connectors/parquet"
	"github.com/tapeline/tapeline/connectors/postgres"
	"github.com/tapeline/tapeline/connectors/sqlite"
	"github.com/tapeline/tapeline/connectors/stdio"
	"github.com/tapeline/tapeline/connectors/tdx"
	"github.com/tapeline/tapeline/connectors/tencent"
	"github.com/tapeline/tapeline/connectors/tushare"
	"github.com/tapeline/tapeline/connectors/yahoo"
	"github.com/tapeline/tapeline/internal/store"
)

// builtin returns the connectors of every binary.
func builtin() []connector.Connector {
	return []connector.Connector{
		arrow.Connector(), avro.Connector(), baostock.Connector(), binance.Vendor().Connector(), csv.Connector(),
		discard.Connector(), eastmoney.Vendor().Connector(), excel.Connector(), generate.Connector(),
		http.Connector(), json.Connector(), lines.Connector(), mysql.Connector(), parquet.Connector(),
		postgres.Connector(), sqlite.Connector(), stdio.Connector(), store.Connector(), tdx.Connector(),
		tencent.Vendor().Connector(), tushare.Vendor().Connector(), yahoo.Vendor().Connector(),
	}
}
