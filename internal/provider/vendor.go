package provider

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/market"
)

// Vendor is all that a provider over HTTP has of its own. A package of connectors/ returns one from
// a function Vendor, and everything else follows: Connector for documents, and a sync's provider.
//
//	var layout = provider.Layout{Dataset: market.Bar1D, Fields: []provider.Field{
//		{Name: "ts_code", Column: "symbol", Form: provider.Name},
//		{Name: "trade_date", Column: "date", Form: provider.DateForm},
//		{Name: "vol", Column: "volume", Form: provider.Count, Times: 100}, // lots
//		...
//	}, Constants: []provider.Constant{{Column: "trade_status", Text: "true"}}}
//
//	func begin(c *provider.Client, units []market.Unit) (int, provider.Inquiry, error) {
//		u := units[0]
//		return 1, provider.InquiryFunc(func(ctx context.Context, rows []*provider.Rows) error {
//			document, err := c.JSON(ctx, provider.Request{Place: u.String(), Path: "/daily", Query: ...})
//			if err != nil {
//				return err
//			}
//			rows[0].At("daily " + u.From.String())
//			var cells [][]byte
//			for record := range document.Member("data").Elements() {
//				cells = record.Cells(cells[:0])
//				if err := rows[0].Add(&layout, cells, record); err != nil {
//					return err
//				}
//			}
//			return nil
//		}), nil
//	}
type Vendor struct {
	Provider market.Provider // offers, shapes, units, budget; Name is also the connector's
	Version  string          // of the connector
	Summary  string          // one sentence
	Doc      string          // Markdown for its page
	Endpoint string          // the service's own URL
	// NeedsToken refuses settings without a token.
	NeedsToken bool
	// TokenEnv is the environment variable a sync takes the token from: TUSHARE_TOKEN; "" none.
	TokenEnv string

	// Begin returns an inquiry of the first unit, and of those after it that the same answers hold
	// (n in all, at least 1). An error says that the first cannot be asked at all.
	Begin func(c *Client, units []market.Unit) (n int, inquiry Inquiry, err error)
	// Classify finds errors in an answer, whatever its status: texts with status 200, bans (a
	// *BanError), limits (class Throttled). nil for an answer that is sound, or that its status
	// judges. It may be nil.
	Classify func(a *Answer) error
	// ListedOn returns the instruments of an open day by another list than dataset instrument; nil:
	// there is none.
	ListedOn func(ctx context.Context, c *Client, day market.Date) ([]market.Symbol, error)
	// ListedNow says that ListedOn returns what is listed now, whatever the day.
	ListedNow bool
	// Check asks for something small; nil: it is looked whether the endpoint is there.
	Check func(ctx context.Context, c *Client) error
}

// Connector describes the vendor's source.
func (v Vendor) Connector() connector.Connector {
	return connector.Connector{
		Name: v.Provider.Name, Version: v.Version, Contract: connector.ContractVersion,
		Summary: v.Summary, Doc: v.Doc + settingsDoc,
		Source: connector.NewSource(v.Defaults(), Capabilities(),
			func(env connector.Env, settings *Settings) (connector.Source, error) {
				return v.Source(env, *settings)
			}),
	}
}

// Capabilities are those of a vendor's sources.
func Capabilities() connector.SourceCapabilities {
	return connector.SourceCapabilities{Bounded: true, Resumable: true}
}

// Source makes a source.
func (v Vendor) Source(env connector.Env, settings Settings) (connector.Source, error) {
	return v.newSource(env, settings)
}

// Reachable looks whether the endpoint takes connections.
func (c *Client) Reachable(ctx context.Context) error {
	host := c.base.Host
	if c.base.Port() == "" {
		host = net.JoinHostPort(c.base.Hostname(), c.base.Scheme)
	}
	ctx, cancel := context.WithTimeout(ctx, c.settings.Timeout)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", host)
	if err != nil {
		return &connector.Error{Op: "connect to " + host, Class: connector.Transient, Err: err}
	}
	return conn.Close()
}

// zone is the exchange's clock.
func (v *Vendor) zone() *time.Location {
	zone, err := zoneOf(v.Provider)
	if err != nil {
		return time.UTC
	}
	return zone
}

func zoneOf(p market.Provider) (*time.Location, error) {
	for _, o := range p.Offers {
		if len(o.Markets) == 0 {
			continue
		}
		calendar, err := market.CalendarOf(o.Markets[0])
		if err != nil {
			return nil, err
		}
		return calendar.Zone(), nil
	}
	return nil, fmt.Errorf("provider %s states no market", p.Name)
}

// finalDay is the last day whose rows of a unit are final now, on the clock of its exchange.
func (v *Vendor) finalDay(u market.Unit, now time.Time) market.Date {
	zone := v.zone()
	if symbol, err := market.ParseSymbol(u.Symbol); err == nil {
		if calendar, err := market.CalendarOf(symbol.MIC); err == nil {
			zone = calendar.Zone()
		}
	}
	offer, _ := v.Provider.Offer(u.Dataset)
	return FinalDay(now.In(zone), offer.PublishAt)
}

// FinalDay returns the last day whose rows are published, now on the exchange's clock.
func FinalDay(now time.Time, publishAt time.Duration) market.Date {
	today := market.From(now)
	if now.Before(today.At(now.Location(), publishAt)) {
		today--
	}
	return today
}

const settingsDoc = `

**Requests.** One question is on its way at a time, at most ` + "`requests_per_second`" + ` and
` + "`requests_per_day`" + `. Broken connections, answers that are cut, late or no JSON, statuses 408, 429 and 5xx and
the service's own texts about limits are asked again in place, not before it says, up to ` + "`attempts`" + `
times; then execution.restart_strategy decides. Where the service bans, nothing is asked before it is over.
Spent requests and bans are kept by a store's sync, and only for the life of the process elsewhere.

**Bad records.** A record that is no row is rejected with its text and the rule it breaks; numbers are read
digit by digit and never rounded unless said above. ` + "`final`" + ` is false for bars of a day that the provider has
not published yet.
`
