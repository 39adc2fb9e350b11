package http

import (
	"errors"
	"fmt"
	"io"
	nethttp "net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/httpkit"
)

// failing answers by its path: /drop, /slow, or a status and its Retry-After.
func failing(slow <-chan struct{}, requests *atomic.Int64) nethttp.HandlerFunc {
	return func(w nethttp.ResponseWriter, r *nethttp.Request) {
		requests.Add(1)
		switch r.URL.Path {
		case "/drop":
			w.Header().Set("Content-Length", "1000")
			io.WriteString(w, `[{"id":1}`)
			w.(nethttp.Flusher).Flush()
			panic(nethttp.ErrAbortHandler)
		case "/chunked":
			io.WriteString(w, `[{"id":1}`)
			w.(nethttp.Flusher).Flush()
			panic(nethttp.ErrAbortHandler)
		case "/slow", "/trickle":
			if r.URL.Path == "/trickle" {
				io.WriteString(w, `[`)
				w.(nethttp.Flusher).Flush()
			}
			select {
			case <-slow:
			case <-r.Context().Done():
			}
		case "/long":
			io.WriteString(w, `["`+strings.Repeat("x", 2000)+`"]`)
		case "/html":
			io.WriteString(w, "<html>")
		case "/object":
			io.WriteString(w, `{"items": 5}`)
		default:
			status, after, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
			if after != "" {
				w.Header().Set("Retry-After", after)
			}
			code, _ := strconv.Atoi(status)
			w.WriteHeader(code)
			io.WriteString(w, "why it is so")
		}
	}
}

// invariant: only the engine retries; a connector classifies its errors and returns
func TestFailuresAreClassifiedAndNotRepeated(t *testing.T) {
	slow := make(chan struct{})
	defer close(slow)
	var requests atomic.Int64
	base := serve(t, failing(slow, &requests))
	closed := httptest.NewServer(nil)
	closed.Close()
	for path, want := range map[string]struct {
		class connector.Class
		after time.Duration
		text  string
	}{
		"/429/7": {connector.Throttled, 7 * time.Second, "why it is so"}, "/429": {connector.Throttled, 0, "429"},
		"/503/2": {connector.Throttled, 2 * time.Second, "503"}, "/503": {connector.Transient, 0, "503"},
		"/403/9": {connector.Throttled, 9 * time.Second, "403"}, "/403": {connector.Auth, 0, "403"},
		"/401": {connector.Auth, 0, "401"}, "/500": {connector.Transient, 0, "500"},
		"/501": {connector.Permanent, 0, "501"}, "/408": {connector.Transient, 0, "408"},
		"/404": {connector.Permanent, 0, "404"}, "/400": {connector.Permanent, 0, "400"},
		"/304":     {connector.Permanent, 0, "304"},
		"/drop":    {connector.Transient, 0, "broke off after 9 bytes"},
		"/chunked": {connector.Transient, 0, "broke off"},
		"/slow":    {connector.Transient, 0, "no complete answer within 300ms"},
		"/trickle": {connector.Transient, 0, "no complete answer within 300ms"},
		"/long":    {connector.Permanent, 0, "longer than 1000 bytes"},
		"/html":    {connector.Unknown, 0, ""}, "/object": {connector.Data, 0, "array of records"},
		"closed": {connector.Transient, 0, "refused"},
	} {
		cfg := sourceConfig(func(c *SourceConfig) {
			c.URL = base + path + "?key=SECRET"
			if path == "closed" {
				c.URL = closed.URL + "?key=SECRET"
			}
			if path == "/object" {
				c.Records = "items"
			}
			c.Timeout, c.MaxBodyBytes = 300*time.Millisecond, 1000
			c.Auth.Bearer = "SECRET"
		})
		requests.Store(0)
		got := read(t, open(t, cfg, env(usual(), "r"), nil), all)
		if path == "/html" {
			// What is not JSON is a rejected record, or an error when records cannot be told apart.
			if got.err == nil && len(got.rejected) != 1 {
				t.Errorf("html: %+v", got)
			}
			continue
		}
		var e *connector.Error
		if !errors.As(got.err, &e) || e.Class != want.class || e.After != want.after ||
			!strings.Contains(got.err.Error(), want.text) {
			t.Errorf("%s: %v (%+v), want %s after %v with %q", path, got.err, e, want.class, want.after, want.text)
			continue
		}
		if strings.Contains(got.err.Error(), "SECRET") {
			t.Errorf("%s: the error tells a secret: %v", path, got.err)
		}
		if n := requests.Load(); n > 1 {
			t.Errorf("%s: %d requests", path, n)
		}
	}
}

func TestRetryAfterReadsDates(t *testing.T) {
	now := time.Date(2024, 5, 1, 10, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"120": 2 * time.Minute, now.Add(time.Minute).Format(nethttp.TimeFormat): time.Minute,
		now.Add(-time.Minute).Format(nethttp.TimeFormat): 0, "99999999": 24 * time.Hour,
	} {
		if got, ok := httpkit.RetryAfter(nethttp.Header{"Retry-After": {text}}, now); got != want || !ok {
			t.Errorf("%s: %v %t, want %v", text, got, ok, want)
		}
	}
	if _, ok := httpkit.RetryAfter(nethttp.Header{"Retry-After": {"soon"}}, now); ok {
		t.Error("soon was read")
	}
}

func TestCredentialsStayAtHome(t *testing.T) {
	var seen atomic.Value
	other := serve(t, func(w nethttp.ResponseWriter, r *nethttp.Request) {
		seen.Store(fmt.Sprint(r.Header))
		io.WriteString(w, `[{"id":1}]`)
	})
	other = strings.Replace(other, "127.0.0.1", "localhost", 1)
	base := serve(t, func(w nethttp.ResponseWriter, r *nethttp.Request) {
		switch r.URL.Path {
		case "/away":
			nethttp.Redirect(w, r, other, nethttp.StatusFound)
		case "/near":
			nethttp.Redirect(w, r, "/end", nethttp.StatusTemporaryRedirect)
		case "/loop":
			nethttp.Redirect(w, r, "/loop", nethttp.StatusFound)
		case "/link":
			w.Header().Set("Link", "<"+other+`>; rel="next"`)
			io.WriteString(w, `[{"id":1}]`)
		default:
			seen.Store(fmt.Sprint(r.Header))
			io.WriteString(w, `[{"id":1}]`)
		}
	})
	get := func(path, method string, p PaginationConfig) outcome {
		seen.Store("")
		cfg := sourceConfig(func(c *SourceConfig) {
			c.URL, c.Method, c.Pagination = base+path+"?q=SECRET", method, p
			c.Headers = map[string]string{"X-Tenant": "SECRET"}
			c.Auth = AuthConfig{Header: "X-API-Key", Key: "SECRET"}
			if method == "POST" {
				c.Body = "{}"
			}
		})
		return read(t, open(t, cfg, env(usual(), "r"), nil), all)
	}
	if got := get("/away", "", PaginationConfig{}); got.err != nil || strings.Contains(seen.Load().(string), "SECRET") {
		t.Errorf("another origin got %v (%v)", seen.Load(), got.err)
	}
	if got := get("/near", "POST", PaginationConfig{}); got.err != nil ||
		strings.Count(seen.Load().(string), "SECRET") != 2 {
		t.Errorf("the same origin got %v (%v)", seen.Load(), got.err)
	}
	for name, err := range map[string]error{
		"more than 10 redirects": get("/loop", "", PaginationConfig{}).err,
		"turn POST into GET":     get("/away", "POST", PaginationConfig{}).err,
		"beyond":                 get("/link", "", PaginationConfig{Type: "link"}).err,
	} {
		var e *connector.Error
		if !errors.As(err, &e) || e.Class != connector.Permanent || !strings.Contains(err.Error(), name) ||
			strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAuthHeaders(t *testing.T) {
	for want, auth := range map[string]AuthConfig{
		"Bearer abc": {Bearer: "abc"},
		"Basic dTpw": {Username: "u", Password: "p"},
		"key=k":      {Header: "X-Key", Key: "k"},
	} {
		got := ""
		base := serve(t, func(w nethttp.ResponseWriter, r *nethttp.Request) {
			if got = r.Header.Get("Authorization"); got == "" {
				got = "key=" + r.Header.Get("X-Key")
			}
			io.WriteString(w, "[]")
		})
		cfg := sourceConfig(func(c *SourceConfig) { c.URL, c.Auth = base, auth })
		if out := read(t, open(t, cfg, env(usual(), "r"), nil), all); out.err != nil || got != want {
			t.Errorf("got %q (%v), want %q", got, out.err, want)
		}
	}
}

// TestServersThatRepeatSecrets: an answer that quotes the request is shown without its secrets.
func TestServersThatRepeatSecrets(t *testing.T) {
	base := serve(t, func(w nethttp.ResponseWriter, r *nethttp.Request) {
		w.WriteHeader(nethttp.StatusUnauthorized)
		fmt.Fprintf(w, "not you: %s, %s, %s, %s", r.Header.Get("Authorization"), r.Header.Get("X-Key"),
			r.Header.Get("X-Own"), r.URL.RawQuery)
	})
	for name, auth := range map[string]AuthConfig{
		"bearer": {Bearer: "SECRET1"}, "basic": {Username: "u", Password: "SECRET2"},
		"key": {Header: "X-Key", Key: "SECRET3"},
	} {
		cfg := sourceConfig(func(c *SourceConfig) {
			c.URL, c.Auth = base, auth
			c.Headers, c.Query = map[string]string{"X-Own": "SECRET4"}, map[string]string{"q": "SECRET5"}
		})
		err := read(t, open(t, cfg, env(usual(), "r"), nil), all).err
		if err == nil || !strings.Contains(err.Error(), "not you: ") {
			t.Fatalf("%s: %v", name, err)
		}
		if strings.Contains(err.Error(), "SECRET") || strings.Contains(err.Error(), "dTpTRUNSRVQy") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
