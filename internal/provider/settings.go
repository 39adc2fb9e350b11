package provider

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/market"
)

// Settings is the configuration of a source over HTTP and of a Client. What is left at zero has the
// default that its documentation states.
type Settings struct {
	Endpoint string `yaml:"endpoint" resume:"ignore" doc:"URL of the service. Default the provider's own"`
	Token    string `yaml:"token" secret:"true" doc:"key of the account, where the provider wants one"`

	RequestsPerSecond float64        `yaml:"requests_per_second" resume:"ignore" doc:"most requests in any second; 0 is no limit. Default the provider's"`
	RequestsPerDay    int64          `yaml:"requests_per_day" resume:"ignore" doc:"most requests in a day of the provider; 0 is no limit. Default the provider's"`
	Timeout           time.Duration  `yaml:"timeout" resume:"ignore" doc:"longest wait for a whole answer. Default 20s"`
	Attempts          int            `yaml:"attempts" resume:"ignore" doc:"how often one question is asked before its failure counts. Default 6"`
	Backoff           time.Duration  `yaml:"backoff" resume:"ignore" doc:"longest wait before the second attempt; it doubles up to 30s, and is never shorter than the service asks for. Default 1s"`
	MaxBodyBytes      connector.Size `yaml:"max_body_bytes" resume:"ignore" doc:"longest answer. Default 64MiB"`

	Dataset   string   `yaml:"dataset" doc:"what to read. Default bar_1d"`
	Symbols   []string `yaml:"symbols" doc:"instruments, in the provider's spelling or ours; none where a dataset is asked for as a whole, or by dates" example:"[600000.XSHG]"`
	From      string   `yaml:"from" doc:"first date. Default 2015-01-01"`
	To        string   `yaml:"to" doc:"last date. Default today at the exchange"`
	Frequency string   `yaml:"frequency" doc:"bar_min: length of a bar. Default the shortest"`
	Coverage  bool     `yaml:"coverage" doc:"for a store: bad records go to table _quarantine and each unit ends with a row of table _unit; false rejects bad records to the dead letters. Default false"`

	// Units is the work itself, instead of Dataset, Symbols, From and To; it implies Coverage.
	Units []market.Unit `yaml:"-"`
	// Client is shared by sources that keep to one budget; nil: the source makes its own.
	Client *Client `yaml:"-"`
	// Budgets keeps what was spent; nil forgets it with the process.
	Budgets BudgetStore `yaml:"-"`
	// Transport makes the connections; nil is HTTP.
	Transport http.RoundTripper `yaml:"-"`
	// Now is the clock of publication times, budget days and bans; nil is time.Now.
	Now func() time.Time `yaml:"-"`
}

// DefaultFrom is the first date that a document asks for which names none.
const DefaultFrom = "2015-01-01"

// Defaults returns the settings that a document without any has.
func (v Vendor) Defaults() Settings {
	return Settings{
		Endpoint: v.Endpoint, RequestsPerSecond: v.Provider.Budget.RequestsPerSecond,
		RequestsPerDay: v.Provider.Budget.RequestsPerDay,
	}
}

// filled returns the settings with defaults in place of what is zero.
func (v Vendor) filled(s Settings) Settings {
	if s.Endpoint == "" {
		s.Endpoint = v.Endpoint
	}
	if s.Timeout == 0 {
		s.Timeout = 20 * time.Second
	}
	if s.Attempts == 0 {
		s.Attempts = 6
	}
	if s.Backoff == 0 {
		s.Backoff = time.Second
	}
	if s.MaxBodyBytes == 0 {
		s.MaxBodyBytes = 64 << 20
	}
	if s.Dataset == "" {
		s.Dataset = market.Bar1D
	}
	if s.From == "" {
		s.From = DefaultFrom
	}
	if s.Transport == nil {
		s.Transport = http.DefaultTransport.(*http.Transport).Clone()
	}
	if s.Now == nil {
		s.Now = time.Now
	}
	if s.Budgets == nil {
		s.Budgets = NewMemoryBudget()
	}
	return s
}

// validate returns all problems of filled settings at once.
func (v Vendor) validate(s Settings) error {
	var problems []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			problems = append(problems, fmt.Errorf(format, args...))
		}
	}
	at, err := url.Parse(s.Endpoint)
	check(err == nil && (at.Scheme == "http" || at.Scheme == "https") && at.Host != "",
		"endpoint: want a URL as %s", v.Endpoint)
	check(!v.NeedsToken || s.Token != "", "token: %s needs one; a sync takes it from %s", v.Provider.Name, v.TokenEnv)
	check(!strings.ContainsFunc(s.Token, func(ch rune) bool { return ch <= ' ' || ch > '~' }),
		"token: it contains a blank or a character that no token has")
	check(s.RequestsPerSecond >= 0 && s.RequestsPerDay >= 0,
		"requests_per_second, requests_per_day: must not be negative")
	check(s.Timeout > 0 && s.Attempts > 0 && s.Backoff > 0 && s.MaxBodyBytes > 0,
		"timeout, attempts, backoff, max_body_bytes: must be positive")
	return v.misconfigured(problems...)
}

func (v Vendor) misconfigured(problems ...error) error {
	if len(problems) == 0 {
		return nil
	}
	return &connector.Error{
		Op: "configure " + v.Provider.Name, Class: connector.Permanent, Err: errors.Join(problems...),
	}
}

func (s Settings) units(p market.Provider) ([]market.Unit, error) {
	if s.Units != nil {
		return slices.Clone(s.Units), nil
	}
	zone, err := zoneOf(p)
	if err != nil {
		return nil, err
	}
	return Work{
		Dataset: s.Dataset, Symbols: s.Symbols, From: s.From, To: s.To, Frequency: s.Frequency,
		Today: market.From(s.Now().In(zone)), Now: s.Now(),
	}.Units(p)
}

// Work is what a document asks a provider for.
type Work struct {
	Dataset   string
	Symbols   []string // canonical, or as the provider spells them
	From, To  string   // To "": Today
	Frequency string
	Today     market.Date
	Now       time.Time // of symbols with a clock of their own; zero: Today is that of all
}

// Units returns the work as units: one for each symbol, for each date, or for the whole.
func (w Work) Units(p market.Provider) ([]market.Unit, error) {
	offer, ok := p.Offer(w.Dataset)
	if !ok {
		var offered []string
		for _, o := range p.Offers {
			offered = append(offered, o.Dataset)
		}
		return nil, fmt.Errorf("dataset %q is not served; %s are", w.Dataset, strings.Join(offered, ", "))
	}
	from, err := market.ParseDate(w.From)
	if err != nil {
		return nil, fmt.Errorf("from: %w", err)
	}
	to := w.Today
	if w.To != "" {
		if to, err = market.ParseDate(w.To); err != nil {
			return nil, fmt.Errorf("to: %w", err)
		}
	}
	if from > to {
		return nil, fmt.Errorf("from: %s is after to, %s", from, to)
	}
	unit := market.Unit{
		Dataset: w.Dataset, Source: p.Name, From: from, To: to, State: market.StateOK,
	}
	if offer.Freqs != nil {
		if unit.Freq = w.Frequency; unit.Freq == "" {
			unit.Freq = offer.Freqs[0]
		}
		if !slices.Contains(offer.Freqs, unit.Freq) {
			return nil, fmt.Errorf("frequency %q: bars of %s are served as %s, days as %s; weeks and months are "+
				"not kept, make them of days", unit.Freq, strings.Join(offer.Freqs, ", "), w.Dataset, market.Bar1D)
		}
	}
	if len(w.Symbols) == 0 {
		return w.universe(p, offer, unit)
	}
	return w.named(p, offer, unit)
}

// universe returns the units of all instruments.
func (w Work) universe(p market.Provider, offer market.Offer, unit market.Unit) ([]market.Unit, error) {
	if offer.Shapes.Has(market.Whole) {
		return []market.Unit{unit}, nil
	}
	if !offer.Shapes.Has(market.ByDate) || offer.SymbolsPerRequest > 0 {
		return nil, fmt.Errorf("symbols: %s needs one or more", w.Dataset)
	}
	var list []market.Unit
	for day := unit.From; day <= unit.To; day++ {
		one := unit
		one.From, one.To = day, day
		list = append(list, one)
	}
	return list, nil
}

// named returns a unit for each symbol.
func (w Work) named(p market.Provider, offer market.Offer, unit market.Unit) ([]market.Unit, error) {
	if !offer.Shapes.Has(market.BySymbol) {
		return nil, fmt.Errorf("symbols: %s has none", w.Dataset)
	}
	list := make([]market.Unit, len(w.Symbols))
	for i, name := range w.Symbols {
		parsed, err := market.ParseSymbol(name)
		if err != nil {
			parsed, err = p.Scheme.Parse(name, market.Unknown)
		}
		if err != nil {
			return nil, fmt.Errorf("symbols: %w", err)
		}
		list[i] = unit
		list[i].Symbol = parsed.String()
		if calendar, err := market.CalendarOf(parsed.MIC); err == nil && w.To == "" && !w.Now.IsZero() {
			list[i].To = max(unit.From, market.From(w.Now.In(calendar.Zone())))
		}
	}
	return list, nil
}
