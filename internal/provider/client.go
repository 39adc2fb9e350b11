package provider

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/httpkit"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/retry"
)

// Request is one question.
type Request struct {
	Place  string // what is asked for, in messages: "daily 20240102"
	Path   string // behind the endpoint, "/api/qt/stock/kline/get", or a whole URL of another host
	Query  url.Values
	Header http.Header
	Body   []byte // POST; nil: GET
}

// Answer is what a provider sent, whatever its status.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// BanError is returned by Vendor.Classify where the provider wants to be left alone: nothing is
// asked any more before the time has passed, also by other processes on the same BudgetStore.
type BanError struct {
	For time.Duration // 0: until the provider's next day
	Err error
}

// Error returns the cause.
func (b *BanError) Error() string { return b.Err.Error() }

// Unwrap returns the cause.
func (b *BanError) Unwrap() error { return b.Err }

// Client asks one provider, one question at a time, however many sources share it. What may pass,
// such as a limit of requests a minute or a broken connection, is asked again in place.
type Client struct {
	vendor   Vendor
	settings Settings
	log      *slog.Logger
	base     *url.URL
	http     *http.Client
	secrets  httpkit.Secrets

	lock   chan struct{} // holds a token while nobody asks
	budget Budget        // the token's holder's

	mu    sync.Mutex
	stats Statistics
}

// Statistics is what a client has done since it was made.
type Statistics struct {
	Requests      int64         // sent, repeated ones included
	Repeats       int64         // of these, again for what had failed
	BytesReceived int64         // of bodies
	Waits         int64         // how often the client was asked for
	Waited        time.Duration // for others to end their question
	InFlight      time.Duration // all requests together
	Paced         time.Duration // waits for the budget together, of Open
	Open          time.Duration // from the first request to the end of the last
	opened        time.Time
}

// Utilisation returns the share of the time that was usable in which a request was under way, 0 to 1.
func (s Statistics) Utilisation() float64 { return Utilisation(s.InFlight, s.Open-s.Paced) }

// Utilisation returns the share of usable time in which something was under way, 0 to 1.
func Utilisation(inFlight, usable time.Duration) float64 {
	if usable <= 0 {
		return 0
	}
	return min(1, float64(inFlight)/float64(usable))
}

// NewClient returns a client; log may be nil.
func (v Vendor) NewClient(settings Settings, log *slog.Logger) (*Client, error) {
	settings = v.filled(settings)
	if err := v.validate(settings); err != nil {
		return nil, err
	}
	base, err := url.Parse(settings.Endpoint)
	if err != nil {
		return nil, v.misconfigured(errors.New("endpoint: not a URL"))
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	c := &Client{
		vendor: v, settings: settings, log: log, base: base, lock: make(chan struct{}, 1),
		http: &http.Client{Transport: settings.Transport},
	}
	c.http.CheckRedirect = c.redirect
	c.secrets.Keep(settings.Token)
	c.budget.Configure(Limits{
		Name: v.Provider.Name, PerSecond: settings.RequestsPerSecond, PerDay: settings.RequestsPerDay,
		Zone: v.zone(), Store: settings.Budgets, Now: settings.Now,
	})
	c.lock <- struct{}{}
	return c, nil
}

// Settings returns the settings with the defaults in place of what was left out.
func (c *Client) Settings() Settings { return c.settings }

// redirect lets a question move only within its server: elsewhere its token is nobody's business.
func (c *Client) redirect(next *http.Request, via []*http.Request) error {
	const most = 5
	if len(via) > most || !httpkit.SameOrigin(next.URL, via[0].URL) || next.Method != via[0].Method {
		return &connector.Error{
			Class: connector.Permanent, Err: fmt.Errorf("it redirects to %s", httpkit.Place(next.URL)),
			Hint: "set endpoint to where the service is now",
		}
	}
	next.Header.Del("Referer")
	return nil
}

// Do asks, again where that may help: broken connections, answers that are too late, statuses 408,
// 429 and 5xx (not before Retry-After), and what Vendor.Classify says may pass. Each attempt is one
// request of the budget.
func (c *Client) Do(ctx context.Context, r Request) (*Answer, error) {
	return c.do(ctx, r, func(*Answer) error { return nil })
}

// JSON asks as Do does and returns the answer as a document. One that is no JSON is asked for again.
func (c *Client) JSON(ctx context.Context, r Request) (document Value, err error) {
	_, err = c.do(ctx, r, func(a *Answer) (err error) {
		document, err = Document(a.Body)
		return err
	})
	return document, err
}

func (c *Client) do(ctx context.Context, r Request, read func(*Answer) error) (*Answer, error) {
	var answer *Answer
	policy := retry.Policy{
		Initial: c.settings.Backoff, Max: 30 * time.Second, MaxAttempts: c.settings.Attempts,
		OnRetry: func(a retry.Attempt) {
			c.count(func(s *Statistics) { s.Repeats++ })
			c.log.Info("ask again", "what", r.Place, "wait", a.Wait, "error", a.Err)
		},
	}
	err := policy.Do(ctx, func(ctx context.Context) (err error) {
		if answer, err = c.once(ctx, r); err == nil {
			err = read(answer)
		}
		return c.hide(err)
	})
	if err != nil {
		return nil, fmt.Errorf("ask %s for %s: %w", c.vendor.Provider.Name, r.Place, err)
	}
	return answer, nil
}

// hide takes secrets that the provider repeated out of an error.
func (c *Client) hide(err error) error {
	e, ok := errors.AsType[*connector.Error](err)
	if !ok || e.Err == nil {
		return err
	}
	if text := e.Err.Error(); c.secrets.Hide(text) != text {
		e.Err = errors.New(c.secrets.Hide(text))
	}
	return err
}

// once is one attempt.
func (c *Client) once(ctx context.Context, r Request) (*Answer, error) {
	asked := time.Now()
	select {
	case <-c.lock:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	defer func() { c.lock <- struct{}{} }()
	c.count(func(s *Statistics) {
		s.Waits++
		s.Waited += time.Since(asked)
	})
	paced, err := c.budget.Take(ctx)
	c.count(func(s *Statistics) {
		if !s.opened.IsZero() { // waits before count for no time of the client
			s.Paced += paced
		}
	})
	if err != nil {
		return nil, err
	}
	begun := time.Now()
	answer, err := c.send(ctx, r)
	c.budget.Over()
	c.count(func(s *Statistics) {
		s.Requests++
		if s.opened.IsZero() {
			s.opened = begun
		}
		now := time.Now()
		s.InFlight += now.Sub(begun)
		s.Open = now.Sub(s.opened)
		if answer != nil {
			s.BytesReceived += int64(len(answer.Body))
		}
	})
	if err == nil {
		err = c.classify(r, answer)
	}
	if ban, ok := errors.AsType[*BanError](err); ok {
		return nil, c.ban(ctx, ban)
	}
	return answer, err
}

// send makes the request and reads its body, whatever the status.
func (c *Client) send(ctx context.Context, r Request) (*Answer, error) {
	limited, cancel := context.WithTimeout(ctx, c.settings.Timeout)
	defer cancel()
	method, body := http.MethodGet, io.Reader(nil)
	if r.Body != nil {
		method, body = http.MethodPost, bytes.NewReader(r.Body)
	}
	target := r.Path
	if !strings.Contains(target, "://") {
		target = strings.TrimSuffix(c.base.String(), "/") + target
	}
	if len(r.Query) > 0 {
		target += "?" + r.Query.Encode()
	}
	request, err := http.NewRequestWithContext(limited, method, target, body)
	if err != nil {
		return nil, &connector.Error{Op: method, Class: connector.Permanent, Err: errors.New("the request's URL is not one")}
	}
	maps.Copy(request.Header, r.Header)
	if request.Header.Get("User-Agent") == "" {
		request.Header.Set("User-Agent", "tapeline")
	}
	op := method + " " + httpkit.Place(request.URL)
	response, err := c.http.Do(request)
	if err != nil {
		return nil, httpkit.Failure(ctx, op, c.settings.Timeout, err)
	}
	defer response.Body.Close()
	most := int64(c.settings.MaxBodyBytes)
	text, err := io.ReadAll(io.LimitReader(response.Body, most+1))
	switch {
	case err != nil:
		return nil, httpkit.Failure(ctx, op, c.settings.Timeout,
			fmt.Errorf("body broke off after %d bytes: %w", len(text), err))
	case int64(len(text)) > most:
		return nil, &connector.Error{
			Op: op, Class: connector.Permanent, Code: "http_body_too_long",
			Err: fmt.Errorf("the body is longer than %d bytes", most), Hint: "raise max_body_bytes",
		}
	}
	return &Answer{Status: response.StatusCode, Header: response.Header, Body: text}, nil
}

// classify judges an answer: first the vendor, who knows what its texts mean, then by its status.
func (c *Client) classify(r Request, a *Answer) error {
	if c.vendor.Classify != nil {
		if err := c.vendor.Classify(a); err != nil {
			return err
		}
	}
	const teapot = 418 // Binance: the ban for those who went on after 429
	switch {
	case a.Status/100 == 2:
		return nil
	case a.Status == teapot:
		wait, _ := httpkit.RetryAfter(a.Header, time.Now())
		return &BanError{For: wait, Err: errors.New("status 418: this address is banned")}
	}
	response := &http.Response{
		Status:     fmt.Sprintf("%d %s", a.Status, http.StatusText(a.Status)),
		StatusCode: a.Status, Header: a.Header,
	}
	return httpkit.StatusError(r.Place, response, c.secrets.Excerpt(bytes.NewReader(a.Body)))
}

// ban closes the budget.
func (c *Client) ban(ctx context.Context, ban *BanError) error {
	ctx = context.WithoutCancel(ctx)
	ban.Err = errors.New(c.secrets.Hide(ban.Err.Error()))
	c.log.Warn("banned", "provider", c.vendor.Provider.Name, "error", ban.Err)
	if ban.For == 0 {
		return errors.Join(c.budget.BanToday(ctx), ban.Err)
	}
	return errors.Join(c.budget.Ban(ctx, c.settings.Now().Add(ban.For)), ban.Err)
}

// Close gives the budget back what was not sent; the client may be used again.
func (c *Client) Close() error {
	<-c.lock
	defer func() { c.lock <- struct{}{} }()
	c.http.CloseIdleConnections()
	return c.budget.GiveBack(context.Background())
}

// Statistics returns what was done so far.
func (c *Client) Statistics() Statistics {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stats
}

func (c *Client) count(change func(*Statistics)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(&c.stats)
}

// Today returns the date at the provider.
func (c *Client) Today() market.Date { return market.From(c.settings.Now().In(c.vendor.zone())) }
