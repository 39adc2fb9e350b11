package http

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	nethttp "net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tapeline/tapeline/connector"
)

// client makes requests one after the other; it belongs to one goroutine.
type client struct {
	cfg      ClientConfig
	maxBytes int64
	http     *nethttp.Client
	base     *url.URL
	secrets  []string  // never printed, also when a server repeats them
	free     time.Time // rate limit: when the next request may go
	idle     func(since time.Time)
}

// request is what differs between the requests of a client.
type request struct {
	url     string
	body    []byte
	headers map[string]string
}

// answer is a response of status 2xx.
type answer struct {
	status int
	header nethttp.Header
	body   []byte
	url    *url.URL // after redirects
}

const maxRedirects = 10

func newClient(cfg ClientConfig) (*client, error) {
	base, err := url.Parse(cfg.URL)
	if err != nil {
		return nil, errors.New("url: not a URL")
	}
	c := &client{
		cfg: cfg, base: base, maxBytes: int64(cfg.MaxBodyBytes), idle: func(time.Time) {},
	}
	if c.maxBytes == 0 {
		c.maxBytes = defaultPageBytes
	}
	c.keep(cfg.Auth.Bearer, cfg.Auth.Password, cfg.Auth.Key)
	if cfg.Auth.Username != "" {
		basic := cfg.Auth.Username + ":" + cfg.Auth.Password
		c.keep(base64.StdEncoding.EncodeToString([]byte(basic)))
	}
	c.keep(slices.Collect(maps.Values(cfg.Headers))...)
	if password, ok := base.User.Password(); ok {
		c.keep(password)
	}
	transport := nethttp.DefaultTransport.(*nethttp.Transport).Clone()
	c.http = &nethttp.Client{Transport: transport, CheckRedirect: c.redirect}
	return c, nil
}

// keep notes secrets; what is shorter stands in any text.
func (c *client) keep(values ...string) {
	const shortest = 4
	for _, value := range values {
		if len(value) >= shortest {
			c.secrets = append(c.secrets, value)
		}
	}
}

// excerpt is the beginning of an answer for people, without secrets that the server repeats.
func (c *client) excerpt(body io.Reader) string {
	const shown, read = 300, 4 << 10                  // a secret is found though it ends beyond what is shown
	data, _ := io.ReadAll(io.LimitReader(body, read)) // what there is will do
	text := string(data)
	for _, secret := range c.secrets {
		text = strings.ReplaceAll(text, secret, "***")
	}
	return text[:min(len(text), shown)]
}

func (c *client) close() { c.http.CloseIdleConnections() }

// redirect keeps credentials at home and refuses what would change the request.
func (c *client) redirect(next *nethttp.Request, via []*nethttp.Request) error {
	// Its query may hold secrets.
	next.Header.Del("Referer")
	refuse := func(why string) error {
		return &connector.Error{Class: connector.Permanent, Err: errors.New(why)}
	}
	switch {
	case len(via) > maxRedirects:
		return refuse(fmt.Sprintf("more than %d redirects", maxRedirects))
	case via[0].URL.Scheme == "https" && next.URL.Scheme != "https":
		return refuse("redirect from https to " + next.URL.Scheme)
	case next.Method != via[0].Method:
		return refuse("redirect would turn " + via[0].Method + " into " + next.Method + ": use the new url")
	}
	if sameOrigin(next.URL, c.base) {
		return nil
	}
	for name := range c.cfg.Headers {
		next.Header.Del(name)
	}
	next.Header.Del("Authorization")
	if c.cfg.Auth.Header != "" {
		next.Header.Del(c.cfg.Auth.Header)
	}
	return nil
}

func sameOrigin(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && strings.EqualFold(a.Hostname(), b.Hostname()) && port(a) == port(b)
}

func port(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "https":
		return "443"
	}
	return "80"
}

// place names a URL in messages: without user and query, which may hold secrets.
func place(u *url.URL) string { return u.Scheme + "://" + u.Host + u.Path }

// do makes one request and reads its body. The error is classified; a status other than 2xx is one.
func (c *client) do(ctx context.Context, method string, r request) (*answer, error) {
	if err := c.pace(ctx); err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	var body io.Reader
	if len(r.body) > 0 {
		body = bytes.NewReader(r.body)
	}
	req, err := nethttp.NewRequestWithContext(limited, method, r.url, body)
	if err != nil {
		return nil, &connector.Error{
			Op: method, Class: connector.Permanent, Err: errors.New("the request's URL is not one"),
		}
	}
	op := method + " " + place(req.URL)
	c.prepare(req, r)
	response, err := c.http.Do(req)
	if err != nil {
		return nil, c.failure(ctx, op, err)
	}
	defer response.Body.Close()
	if response.StatusCode/100 != 2 {
		return nil, statusError(op, response, c.excerpt(response.Body))
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, c.maxBytes+1))
	if err != nil {
		return nil, c.failure(ctx, op, fmt.Errorf("body broke off after %d bytes: %w", len(text), err))
	}
	if int64(len(text)) > c.maxBytes {
		return nil, &connector.Error{
			Op: op, Class: connector.Permanent, Code: "http_body_too_long",
			Err:  fmt.Errorf("the body is longer than %d bytes", c.maxBytes),
			Hint: "ask for smaller pages or raise max_body_bytes",
		}
	}
	return &answer{response.StatusCode, response.Header, text, response.Request.URL}, nil
}

func (c *client) prepare(req *nethttp.Request, r request) {
	req.Header.Set("User-Agent", "tapeline")
	for name, value := range r.headers {
		req.Header.Set(name, value)
		if strings.EqualFold(name, "Host") {
			req.Host = value
		}
	}
	switch auth := c.cfg.Auth; {
	case auth.Bearer != "":
		req.Header.Set("Authorization", "Bearer "+auth.Bearer)
	case auth.Username != "":
		req.SetBasicAuth(auth.Username, auth.Password)
	case auth.Header != "":
		req.Header.Set(auth.Header, auth.Key)
	}
}

// pace waits until the rate limit allows a request.
func (c *client) pace(ctx context.Context) error {
	if c.cfg.RateLimit <= 0 {
		return ctx.Err()
	}
	now := time.Now()
	if c.free.Before(now) {
		c.free = now
	}
	wait := c.free.Sub(now)
	c.free = c.free.Add(c.interval())
	defer c.idle(now)
	return sleep(ctx, wait)
}

// resume keeps the rate limit where another client may have made a request just now.
func (c *client) resume() {
	if c.cfg.RateLimit > 0 {
		c.free = time.Now().Add(c.interval())
	}
}

func (c *client) interval() time.Duration {
	return time.Duration(float64(time.Second) / c.cfg.RateLimit)
}

func sleep(ctx context.Context, wait time.Duration) error {
	if wait <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// failure classifies an error of the transport. The text of url.Error holds the whole URL, so only
// its cause is kept.
func (c *client) failure(ctx context.Context, op string, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	}
	out := &connector.Error{Op: op, Class: connector.Transient, Err: err}
	var refused *connector.Error
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(err, &refused):
		out.Class, out.Err = refused.Class, refused.Err
	case errors.As(err, &certificate):
		out.Class = connector.Permanent
	case errors.Is(err, context.DeadlineExceeded):
		out.Err = fmt.Errorf("no complete answer within %v: %w", c.cfg.Timeout, err)
	}
	return out
}

// statusError classifies a status that is no success.
func statusError(op string, response *nethttp.Response, excerpt string) *connector.Error {
	text := response.Status
	if len(excerpt) > 0 {
		text += fmt.Sprintf(": %q", excerpt)
	}
	out := &connector.Error{
		Op: op, Class: statusClass(response.StatusCode), Err: errors.New(text),
		Code: "http_" + strconv.Itoa(response.StatusCode),
	}
	after, told := retryAfter(response.Header, time.Now())
	switch response.StatusCode {
	case nethttp.StatusTooManyRequests:
		out.After = after
	case nethttp.StatusForbidden, nethttp.StatusServiceUnavailable:
		if told {
			out.Class, out.After = connector.Throttled, after
		}
	}
	return out
}

// statusClass is the class of a status without its headers.
func statusClass(status int) connector.Class {
	switch status {
	case nethttp.StatusTooManyRequests:
		return connector.Throttled
	case nethttp.StatusUnauthorized, nethttp.StatusForbidden, nethttp.StatusProxyAuthRequired:
		return connector.Auth
	case nethttp.StatusRequestTimeout, nethttp.StatusTooEarly:
		return connector.Transient
	case nethttp.StatusNotImplemented, nethttp.StatusHTTPVersionNotSupported:
		return connector.Permanent
	}
	if status >= 500 {
		return connector.Transient
	}
	return connector.Permanent
}

// retryAfter reads the header's seconds or date.
func retryAfter(header nethttp.Header, now time.Time) (time.Duration, bool) {
	const longest = 24 * time.Hour
	text := header.Get("Retry-After")
	if seconds, err := strconv.ParseUint(text, 10, 32); err == nil {
		return min(time.Duration(seconds)*time.Second, longest), true
	}
	if at, err := nethttp.ParseTime(text); err == nil {
		return min(max(at.Sub(now), 0), longest), true
	}
	return 0, false
}
