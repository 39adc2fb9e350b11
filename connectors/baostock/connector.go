package baostock

import (
	"log/slog"

	"github.com/tapeline/tapeline/connector"
)

// Connector describes the baostock source. Its sources share one session per service and user.
func Connector() connector.Connector {
	described, _ := ConnectorAndClients()
	return described
}

// ConnectorAndClients returns also a function that makes clients, which share the sessions of the
// connector's sources: all keep to one budget.
func ConnectorAndClients() (connector.Connector, func(Config, *slog.Logger) (*Client, error)) {
	shared := newSessions()
	described := connector.Connector{
		Name:     Name,
		Version:  "1.0.0",
		Contract: connector.ContractVersion,
		Summary:  "Chinese market data of BaoStock: bars, factors, dividends, fundamentals, listings.",
		Doc:      doc,
		Source: connector.NewSource(Defaults(),
			connector.SourceCapabilities{Bounded: true, Resumable: true},
			func(env connector.Env, cfg *Config) (connector.Source, error) {
				return newSource(env, cfg, shared)
			}),
	}
	return described, func(cfg Config, log *slog.Logger) (*Client, error) {
		cfg = cfg.filled()
		if err := cfg.validate(); err != nil {
			return nil, err
		}
		one := shared.open(cfg, log)
		return &Client{one, func() error {
			err := shared.close(one)
			if cfg.Report != nil {
				cfg.Report(one.news())
			}
			return err
		}}, nil
	}
}

const doc = `Reads one dataset of the service, for symbols between two dates:

    sources:
      bars:
        type: baostock
        config:
          dataset: bar_1d
          symbols: [sh.600000, sz.000001]
          from: 2024-01-01
          to: 2024-06-28

| dataset | asked with | rows |
|---|---|---|
| bar_1d | query_history_k_data_plus, d, unadjusted | a bar per day; prices and amount with 4 decimals, turn in percent with 6, volume NULL where the service has none |
| bar_min | the same with 5, 15, 30 or 60 minutes, as frequency says | a bar per period with the time of its start; the service names its end |
| valuation_1d | the same | four ratios per day |
| adj_factor | query_adjust_factor | a row per ex-date |
| corp_action | query_dividend_data, by ex-date | a row per dividend; raw holds the record as received |
| fundamental | the six quarterly queries, for quarters that end between the dates | a row per item; ratios in value, money and shares in amount |
| constituent | query_hs300_stocks, query_sz50_stocks, query_zz500_stocks at the last date | a row per stock and index |
| status_event | suspended, ST, *ST and terminated stocks of each date | a row per stock and kind |
| calendar | query_trade_dates | a row per day for Shanghai and for Shenzhen |
| instrument | query_stock_basic | a row per instrument |

Weeks and months are not offered: make them of days.

A record that is no row is rejected with its text and the rule it breaks: a value that is not what
its column holds, a price with more decimals than 4 that are not zero (it is never rounded), another
code or a date that was not asked for, adjusted prices, two records for one day. ` + "`final`" + ` is false for bars
of a day whose evening, 18:00 at the exchange, has not come.

**Budget.** The service blacklists addresses that ask too much. There is one connection, with one
request at a time, at most ` + "`requests_per_second`" + ` and ` + "`requests_per_day`" + `; logins count. A blacklisted
address asks nothing before the service's next day, and the run fails with code
` + "`baostock_blacklisted`" + ` and says until when. Spent requests and bans are kept by a store's sync, and
only for the life of the process in other workflows.

**Session.** A connection that the service dropped while it was idle is made anew, as is a login it
forgot; other failures end the connection and are repeated by the engine. A connection that is reset
at login mostly means that ` + "`version`" + ` has expired.
`
