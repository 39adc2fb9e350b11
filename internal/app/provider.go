package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/connectors/baostock"
	"github.com/tapeline/tapeline/connectors/binance"
	"github.com/tapeline/tapeline/connectors/eastmoney"
	"github.com/tapeline/tapeline/connectors/tencent"
	"github.com/tapeline/tapeline/connectors/tushare"
	"github.com/tapeline/tapeline/connectors/yahoo"
	"github.com/tapeline/tapeline/internal/fault"
	"github.com/tapeline/tapeline/internal/ingest"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/provider"
	"github.com/tapeline/tapeline/internal/store"
)

// providers returns those a sync may ask.
func providers() ingest.Registry {
	return ingest.Registry{
		{Provider: baostock.Provider(), Make: makeBaoStock},
		makerOf(binance.Vendor()),
		makerOf(eastmoney.Vendor()),
		makerOf(tencent.Vendor()),
		makerOf(tushare.Vendor()),
		makerOf(yahoo.Vendor()),
	}
}

// Provider returns the description of a data provider.
func Provider(name string) (market.Provider, error) {
	m, err := providers().Find(name)
	return m.Provider, err
}

// makeProvider makes a provider as settings want it. budgets keeps what is spent; nil forgets it. now is the
// clock, nil that of the machine.
func makeProvider(c ingest.Config, budgets *store.Store, now func() time.Time) (ingest.Provider, error) {
	m, err := providers().Find(c.Sync.Provider)
	if err != nil {
		return ingest.Provider{}, err
	}
	around := ingest.Around{Now: now}
	if budgets != nil {
		around.Budgets = budget{budgets}
	}
	return m.Make(c, around)
}

// makerOf makes a provider over HTTP.
func makerOf(v provider.Vendor) ingest.Maker {
	return ingest.Maker{Provider: v.Provider, Make: func(c ingest.Config, around ingest.Around) (ingest.Provider, error) {
		settings := v.Defaults()
		if endpoint := c.Sync.Endpoint; endpoint != "" {
			settings.Endpoint = endpoint
			if !strings.Contains(endpoint, "://") {
				settings.Endpoint = "http://" + endpoint
			}
		}
		settings.Budgets, settings.Now = around.Budgets, around.Now
		if v.TokenEnv != "" {
			settings.Token = os.Getenv(v.TokenEnv)
		}
		if local(settings.Endpoint) {
			settings.RequestsPerSecond, settings.RequestsPerDay = 0, 0
			if settings.Token == "" {
				settings.Token = "simulated-token" // any is good there
			}
		}
		limit(c, &settings.RequestsPerSecond, &settings.RequestsPerDay)
		client, err := v.NewClient(settings, nil)
		if err != nil {
			return ingest.Provider{}, err
		}
		description := v.Provider
		description.Budget.RequestsPerSecond = settings.RequestsPerSecond
		description.Budget.RequestsPerDay = settings.RequestsPerDay
		settings.Client = client
		made := ingest.Provider{
			Provider: description, Capabilities: provider.Capabilities(), Close: client.Close,
			Traffic: func() ingest.Traffic { return webTraffic(client.Statistics()) },
			Source: func(env connector.Env, units []market.Unit) (connector.Source, error) {
				work := settings
				work.Units = units
				return v.Source(env, work)
			},
		}
		if made.ListedNow = v.ListedNow; v.ListedOn != nil {
			made.ListedOn = func(ctx context.Context, day market.Date) ([]market.Symbol, error) {
				return v.ListedOn(ctx, client, day)
			}
		}
		return made, nil
	}}
}

// webTraffic is what a client over HTTP did.
func webTraffic(s provider.Statistics) ingest.Traffic {
	mean := func(d time.Duration, n int64) float64 {
		return float64(d.Microseconds()) / 1000 / float64(max(n, 1))
	}
	return ingest.Traffic{
		Requests: s.Requests, BytesIn: s.BytesReceived, MeanWaitMS: mean(s.Waited, s.Waits),
		MeanRequestMS: mean(s.InFlight, s.Requests), Utilisation: s.Utilisation(),
	}
}

// limit takes up the limits that the settings of a sync state.
func limit(c ingest.Config, perSecond *float64, perDay *int64) {
	if rate := c.Sync.RequestsPerSecond; rate != nil {
		*perSecond = *rate
	}
	if most := c.Sync.RequestsPerDay; most != nil {
		*perDay = *most
	}
}

func makeBaoStock(c ingest.Config, around ingest.Around) (ingest.Provider, error) {
	if c.Sync.Endpoint != "" {
		if _, _, err := net.SplitHostPort(c.Sync.Endpoint); err != nil {
			return ingest.Provider{}, fmt.Errorf("endpoint %q is not host:port: %w", c.Sync.Endpoint, err)
		}
	}
	settings := baostockSettings(c)
	description := baostock.Provider()
	description.Budget.RequestsPerSecond = settings.RequestsPerSecond
	description.Budget.RequestsPerDay = settings.RequestsPerDay
	settings.Budgets, settings.Now = around.Budgets, around.Now
	spent := &traffic{}
	settings.Report = spent.add
	described, client := baostock.ConnectorAndClients()
	asks := described.Source
	return ingest.Provider{
		Provider: description, Capabilities: asks.Capabilities, Traffic: spent.total,
		Source: func(env connector.Env, units []market.Unit) (connector.Source, error) {
			config := settings
			config.Units = units
			return asks.New(env, &config)
		},
		Hold: func(log *slog.Logger) (func() error, error) {
			held, err := client(settings, log)
			if err != nil {
				return nil, err
			}
			return held.Close, nil
		},
		ListedOn: func(ctx context.Context, day market.Date) ([]market.Symbol, error) {
			asker, err := client(settings, nil)
			if err != nil {
				return nil, err
			}
			listed, err := listedOn(ctx, asker, day)
			return listed, errors.Join(err, asker.Close())
		},
	}, nil
}

// listedOn asks for the instruments of a day, as often as a source is restarted that fails.
func listedOn(ctx context.Context, asker *baostock.Client, day market.Date) (symbols []market.Symbol, err error) {
	const attempts = 6
	for range attempts {
		var list []baostock.DayListing
		if list, err = asker.AllStock(ctx, day); err == nil {
			for _, one := range list {
				symbols = append(symbols, one.Symbol)
			}
			return symbols, nil
		}
		if !fault.ClassOf(err).Retryable() || ctx.Err() != nil {
			return nil, err
		}
	}
	return nil, err
}

// baostockSettings are the settings of the session manager, in the connector's words.
func baostockSettings(c ingest.Config) baostock.Config {
	settings := baostock.Defaults()
	manager := c.Performance.ConnectionManager
	seconds := func(n int) time.Duration { return time.Duration(n) * time.Second }
	settings.Address = c.Sync.Endpoint
	settings.SessionTimeout = seconds(manager.SessionTimeout)
	settings.HeartbeatInterval, settings.Heartbeat = seconds(manager.HeartbeatInterval), manager.Heartbeat
	settings.LockTimeout = seconds(manager.LockTimeout)
	settings.EnableKeepalive = manager.Enable && manager.EnableKeepalive
	if local(c.Sync.Endpoint) {
		settings.RequestsPerSecond, settings.RequestsPerDay = 0, 0
	}
	limit(c, &settings.RequestsPerSecond, &settings.RequestsPerDay)
	return settings
}

// local reports whether an endpoint is on this machine: a simulator, which nobody has to spare.
func local(endpoint string) bool {
	host, _, err := net.SplitHostPort(endpoint)
	if at, parsed := url.Parse(endpoint); parsed == nil && at.Host != "" {
		host, err = at.Hostname(), nil
	}
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

// budget keeps the requests spent in the store.
type budget struct{ store *store.Store }

var _ provider.BudgetStore = budget{}

// Take spends requests of a day.
func (b budget) Take(ctx context.Context, provider string, day market.Date, n, limit int64) (used int64, ok bool, err error) {
	return b.store.Take(ctx, provider, day.String(), n, limit)
}

// Ban closes the provider until a time.
func (b budget) Ban(ctx context.Context, provider string, until time.Time) error {
	return b.store.Ban(ctx, provider, until)
}

// Banned returns until when the provider is closed.
func (b budget) Banned(ctx context.Context, provider string) (time.Time, error) {
	_, until, err := b.store.Budget(ctx, provider, "")
	return until, err
}

// traffic adds up the statistics of sources that were closed.
type traffic struct {
	mu  sync.Mutex
	sum baostock.Statistics
}

func (t *traffic) add(s baostock.Statistics) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sum.Requests += s.Requests
	t.sum.Logins += s.Logins
	t.sum.Reconnects += s.Reconnects
	t.sum.BytesReceived += s.BytesReceived
	t.sum.Locks += s.Locks
	t.sum.LockTimeouts += s.LockTimeouts
	t.sum.LockWait += s.LockWait
	t.sum.InFlight += s.InFlight
	t.sum.Paced += s.Paced
	t.sum.Open += s.Open
}

func (t *traffic) total() ingest.Traffic {
	t.mu.Lock()
	defer t.mu.Unlock()
	milliseconds := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return ingest.Traffic{
		Requests: t.sum.Requests, Logins: t.sum.Logins, Reconnects: t.sum.Reconnects,
		LockTimeouts: t.sum.LockTimeouts, BytesIn: t.sum.BytesReceived,
		MeanWaitMS: milliseconds(t.sum.MeanLockWait()), MeanRequestMS: milliseconds(t.sum.MeanRequest()),
		Utilisation: t.sum.Utilisation(),
	}
}
