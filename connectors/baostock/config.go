package baostock

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/provider"
)

// Config is the configuration of a BaoStock source and of a Client. Durations and limits left at zero
// have the defaults that their documentation states.
type Config struct {
	Address  string `yaml:"address" resume:"ignore" doc:"host and port of the service. Default public-api.baostock.com:10030"`
	User     string `yaml:"user" doc:"Default anonymous"`
	Password string `yaml:"password" secret:"true" doc:"Default 123456"`
	APIKey   string `yaml:"api_key" secret:"true" doc:"key sent at login. Default none"`
	Version  string `yaml:"version" resume:"ignore" doc:"client version told to the service, 7 characters; a service that resets the connection at login or answers 10001004 wants a newer one. Default 00.9.10"`

	SessionTimeout    time.Duration `yaml:"session_timeout" resume:"ignore" doc:"a session that was idle for longer is replaced before the next request. Default 600s"`
	HeartbeatInterval time.Duration `yaml:"heartbeat_interval" resume:"ignore" doc:"with heartbeat: an idle session is asked for one trade date this often. Default 60s"`
	Heartbeat         bool          `yaml:"heartbeat" resume:"ignore" doc:"keep an idle session alive by requests, which count against the budget. Default false"`
	LockTimeout       time.Duration `yaml:"lock_timeout" resume:"ignore" doc:"wait for the session after which a warning names who holds it; the wait goes on. Default 10s"`
	EnableKeepalive   bool          `yaml:"enable_keepalive" resume:"ignore" doc:"keep the session between requests; false logs in and out for each. Default true"`
	RequestsPerSecond float64       `yaml:"requests_per_second" resume:"ignore" doc:"most requests in any second, logins included; 0 is no limit. Default 4"`
	RequestsPerDay    int64         `yaml:"requests_per_day" resume:"ignore" doc:"most requests in a day of the exchange; 0 is no limit. Default 40000"`

	Dataset   string   `yaml:"dataset" enum:"bar_1d,bar_min,valuation_1d,adj_factor,corp_action,fundamental,constituent,status_event,calendar,instrument" doc:"what to read. Default bar_1d"`
	Symbols   []string `yaml:"symbols" doc:"instruments as 600000.XSHG or sh.600000; none for calendar, status_event and, meaning all, instrument; indices for constituent, by default all three" example:"[sh.600000, sz.000001]"`
	From      string   `yaml:"from" doc:"first date. Default 2015-01-01"`
	To        string   `yaml:"to" doc:"last date. Default today at the exchange"`
	Frequency string   `yaml:"frequency" enum:"5m,15m,30m,60m" doc:"bar_min: length of a bar. Default 5m"`
	Coverage  bool     `yaml:"coverage" doc:"for a store: bad records go to table _quarantine and each symbol ends with a row of table _unit; false rejects bad records to the dead letters. Default false"`

	// Units is the work itself, instead of Dataset, Symbols, From and To; it implies Coverage. A
	// bar_1d unit followed by a valuation_1d unit of the same symbol and dates is asked once.
	Units []market.Unit `yaml:"-"`
	// Budgets keeps what was spent; nil forgets it with the process.
	Budgets provider.BudgetStore `yaml:"-"`
	// Dial opens connections; nil is TCP.
	Dial func(ctx context.Context, address string) (net.Conn, error) `yaml:"-"`
	// Now is the clock of publication times, budget days and bans; nil is time.Now.
	Now func() time.Time `yaml:"-"`
	// Report gets, when a source closes, what its session did since the last report; nil drops it.
	Report func(Statistics) `yaml:"-"`
}

const (
	defaultAddress   = "public-api.baostock.com:10030"
	defaultUser      = "anonymous"
	defaultPassword  = "123456"
	defaultVersion   = "00.9.10"
	defaultPerSecond = 4
	defaultPerDay    = 40_000
	defaultFrom      = "2015-01-01"
)

// Defaults returns the configuration that a document without settings has.
func Defaults() Config {
	return Config{
		EnableKeepalive: true, RequestsPerSecond: defaultPerSecond, RequestsPerDay: defaultPerDay,
	}
}

// filled returns the configuration with defaults in place of what is zero.
func (c Config) filled() Config {
	text := func(value *string, fallback string) {
		if *value == "" {
			*value = fallback
		}
	}
	wait := func(value *time.Duration, fallback time.Duration) {
		if *value == 0 {
			*value = fallback
		}
	}
	text(&c.Address, defaultAddress)
	text(&c.User, defaultUser)
	text(&c.Password, defaultPassword)
	text(&c.Version, defaultVersion)
	text(&c.Dataset, market.Bar1D)
	text(&c.Frequency, "5m")
	text(&c.From, defaultFrom)
	wait(&c.SessionTimeout, 10*time.Minute)
	wait(&c.HeartbeatInterval, time.Minute)
	wait(&c.LockTimeout, 10*time.Second)
	if c.Dial == nil {
		c.Dial = func(ctx context.Context, address string) (net.Conn, error) {
			return (&net.Dialer{Timeout: dialWait}).DialContext(ctx, "tcp4", address)
		}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Budgets == nil {
		c.Budgets = provider.NewMemoryBudget()
	}
	return c
}

// validate returns all problems of a filled configuration at once.
func (c Config) validate() error {
	var problems []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			problems = append(problems, fmt.Errorf(format, args...))
		}
	}
	_, _, err := net.SplitHostPort(c.Address)
	check(err == nil, "address: %q is not host:port, as in %s", c.Address, defaultAddress)
	check(len(c.Version) == versionLength, "version: %q has not %d characters, as %s does",
		c.Version, versionLength, defaultVersion)
	for key, value := range map[string]string{
		"user": c.User, "password": c.Password, "api_key": c.APIKey, "version": c.Version,
	} {
		check(plain(value), "%s: it contains a control character", key)
	}
	check(c.SessionTimeout > 0 && c.HeartbeatInterval > 0 && c.LockTimeout > 0,
		"session_timeout, heartbeat_interval, lock_timeout: must be positive")
	check(c.RequestsPerSecond >= 0 && c.RequestsPerDay >= 0,
		"requests_per_second, requests_per_day: must not be negative")
	if len(problems) == 0 {
		return nil
	}
	return &connector.Error{
		Op: "configure baostock", Class: connector.Permanent, Err: errors.Join(problems...),
	}
}

// plain reports whether text can stand in a field of a request.
func plain(text string) bool {
	for _, ch := range text {
		if ch < ' ' || ch == 0x7f {
			return false
		}
	}
	return true
}
