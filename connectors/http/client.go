package http

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	nethttp "net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/httpkit"
)

// client makes requests one after the other; it belongs to one goroutine.
type client struct {
	cfg      ClientConfig
	maxBytes int64
	http     *nethttp.Client
	base     *url.URL
	secrets  httpkit.Secrets
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
	c.secrets.Keep(cfg.Auth.Bearer, cfg.Auth.Password, cfg.Auth.Key)
	if cfg.Auth.Username != "" {
		basic := cfg.Auth.Username + ":" + cfg.Auth.Password
		c.secrets.Keep(base64.StdEncoding.EncodeToString([]byte(basic)))
	}
	c.secrets.Keep(slices.Collect(maps.Values(cfg.Headers))...)
	if password, ok := base.User.Password(); ok {
		c.secrets.Keep(password)
	}
	transport := nethttp.DefaultTransport.(*nethttp.Transport).Clone()
	c.http = &nethttp.Client{Transport: transport, CheckRedirect: c.redirect}
	return c, nil
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
	if httpkit.SameOrigin(next.URL, c.base) {
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
	op := method + " " + httpkit.Place(req.URL)
	c.prepare(req, r)
	response, err := c.http.Do(req)
	if err != nil {
		return nil, httpkit.Failure(ctx, op, c.cfg.Timeout, err)
	}
	defer response.Body.Close()
	if response.StatusCode/100 != 2 {
		return nil, httpkit.StatusError(op, response, c.secrets.Excerpt(response.Body))
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, c.maxBytes+1))
	if err != nil {
		return nil, httpkit.Failure(ctx, op, c.cfg.Timeout,
			fmt.Errorf("body broke off after %d bytes: %w", len(text), err))
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
	return httpkit.Sleep(ctx, wait)
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
