package httpkit

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/tapeline/tapeline/connector"
)

// Failure classifies an error of the transport; timeout is how long an answer was waited for. The text of url.Error holds the whole URL, so only
// its cause is kept.
func Failure(ctx context.Context, op string, timeout time.Duration, err error) error {
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
		out.Err = fmt.Errorf("no complete answer within %v: %w", timeout, err)
	}
	return out
}

// StatusError classifies a status that is no success.
func StatusError(op string, response *http.Response, excerpt string) *connector.Error {
	text := response.Status
	if len(excerpt) > 0 {
		text += fmt.Sprintf(": %q", excerpt)
	}
	out := &connector.Error{
		Op: op, Class: StatusClass(response.StatusCode), Err: errors.New(text),
		Code: "http_" + strconv.Itoa(response.StatusCode),
	}
	after, told := RetryAfter(response.Header, time.Now())
	switch response.StatusCode {
	case http.StatusTooManyRequests:
		out.After = after
	case http.StatusForbidden, http.StatusServiceUnavailable:
		if told {
			out.Class, out.After = connector.Throttled, after
		}
	}
	return out
}

// StatusClass is the class of a status without its headers.
func StatusClass(status int) connector.Class {
	switch status {
	case http.StatusTooManyRequests:
		return connector.Throttled
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired:
		return connector.Auth
	case http.StatusRequestTimeout, http.StatusTooEarly:
		return connector.Transient
	case http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
		return connector.Permanent
	}
	if status >= 500 {
		return connector.Transient
	}
	return connector.Permanent
}

// RetryAfter reads the header's seconds or date.
func RetryAfter(header http.Header, now time.Time) (time.Duration, bool) {
	const longest = 24 * time.Hour
	text := header.Get("Retry-After")
	if seconds, err := strconv.ParseUint(text, 10, 32); err == nil {
		return min(time.Duration(seconds)*time.Second, longest), true
	}
	if at, err := http.ParseTime(text); err == nil {
		return min(max(at.Sub(now), 0), longest), true
	}
	return 0, false
}

// Sleep waits, or returns why ctx ended before.
func Sleep(ctx context.Context, wait time.Duration) error {
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
