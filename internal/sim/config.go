package sim

import (
	"errors"
	"fmt"
	"time"
)

// Config says how a Server behaves. The zero value answers at once and without faults.
type Config struct {
	Market Market // required

	// Now is the virtual time in China, its clock read as it is, whatever its zone. It stands still
	// until SetNow. Default: one second before the midnight that ends the market's last day.
	Now time.Time
	// PublishAt is the time of day from which the bars of today are shown. Default 18h.
	PublishAt time.Duration

	RTT    time.Duration // before each answer. Default 0
	Jitter time.Duration // RTT varies evenly by up to this much, both ways. Default 0
	// BytesPerSecond of the answers of one connection. Default 0: no limit.
	BytesPerSecond int
	// IdleTimeout after which a silent connection is closed. Default 0: never.
	IdleTimeout time.Duration
	PageCap     int // most rows per answer. Default 10000

	Users map[string]string // passwords by name. Default anonymous: 123456

	MaxSessions       int    // logged in at a time per address. Default 0: no limit
	SessionsBan       bool   // one session too many gets the address blacklisted, not refused
	RequestsPerSecond int    // of one address; more gets it blacklisted. Default 0: no limit
	RequestsPerDay    int    // of one address in a virtual day; likewise. Default 0: no limit
	MinVersion        string // of clients, as 00.9.10. Default "": any
	VersionReset      bool   // older clients see a reset instead of error 10001004

	Faults []Rule // see ParseFaults
	Seed   uint64 // of faults by chance, of jitter, and of what a Market does not know (fundamentals)

	// OnRequest is called for every well-formed request before it is answered; nil: not at all.
	OnRequest func(Request)
	// OnClose is called when a connection has ended, with the counters then; nil: not at all.
	OnClose func(Stats)
}

// Request is a request as the server understood it.
type Request struct {
	Number  int64    `json:"number"` // from 1, over all connections
	Type    string   `json:"type"`   // two digits
	Method  string   `json:"method"` // login, query_trade_dates, ...
	Args    []string `json:"args"`   // of a query: without user and paging
	Page    string   `json:"page,omitempty"`
	Version string   `json:"version"` // of the client
	Remote  string   `json:"remote"`
}

// maxPage is the most rows that the vendor puts into one answer.
const maxPage = 10_000

// complete fills the defaults and refuses what makes no sense, all at once.
func (c *Config) complete() error {
	all := negative(
		setting{"RTT", int64(c.RTT)},
		setting{"jitter", int64(c.Jitter)},
		setting{"bytes per second", int64(c.BytesPerSecond)},
		setting{"idle timeout", int64(c.IdleTimeout)},
		setting{"page cap", int64(c.PageCap)},
		setting{"sessions", int64(c.MaxSessions)},
		setting{"requests per second", int64(c.RequestsPerSecond)},
		setting{"requests per day", int64(c.RequestsPerDay)},
	)
	if c.PublishAt < 0 || c.PublishAt >= 24*time.Hour {
		all = append(all, fmt.Errorf("publish time %s: want a time of day", c.PublishAt))
	}
	if c.MinVersion != "" && len(c.MinVersion) != versionSize {
		all = append(all, fmt.Errorf("minimum version %q: want one as 00.9.10", c.MinVersion))
	}
	if c.Market == nil {
		all = append(all, errors.New("no market"))
	}
	if len(all) > 0 {
		return fmt.Errorf("simulate baostock: %w", errors.Join(all...))
	}
	if c.Now.IsZero() {
		c.Now = endOf(c.Market.Calendar().To())
	}
	if c.PublishAt == 0 {
		c.PublishAt = 18 * time.Hour
	}
	if c.PageCap == 0 {
		c.PageCap = maxPage
	}
	if c.Users == nil {
		c.Users = map[string]string{"anonymous": "123456"}
	}
	return nil
}

// setting is a number of a configuration.
type setting struct {
	name  string
	value int64
}

// negative returns an error for each setting below 0.
func negative(settings ...setting) (all []error) {
	for _, n := range settings {
		if n.value < 0 {
			all = append(all, fmt.Errorf("%s %d: want 0 or more", n.name, n.value))
		}
	}
	return all
}

// endOf is the last second of a day.
func endOf(day Date) time.Time { return day.Time().Add(24*time.Hour - time.Second) }
