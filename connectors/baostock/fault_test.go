package baostock

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/fault"
	"github.com/tapeline/tapeline/internal/market"
)

// dayBars asks for bars of January 2000.
func dayBars(ctx context.Context, c *Client) (*Table, error) {
	return c.KData(ctx, KDataRequest{
		Symbol: pufa, From: market.DateOf(2000, 1, 1), To: market.DateOf(2000, 1, 31),
	})
}

// TestBrokenAnswers: each is a transient error that ends the connection, and the next request works.
func TestBrokenAnswers(t *testing.T) {
	fields, rows := bars(3)(fakeRequest{parts: []string{"", "", "", "", "sh.600000", "date,code", "2000", "2001"}})
	ok := func(r fakeRequest) string {
		return join("0", "success", r.method(), "me", "1", "10000", records(rows), "sh.600000",
			strings.Join(fields, ","), r.arg(2), r.arg(3), r.arg(4), r.arg(5))
	}
	wrongSum := func(body string) []byte {
		return bytes.Replace(plainFrame(96-85, body), []byte("<![CDATA"), []byte("1<![CDATA"), 1)
	}
	for name, answer := range map[string]func(r fakeRequest) []byte{
		"checksum":         func(r fakeRequest) []byte { return wrongSum(ok(r)) },
		"cut zlib":         func(r fakeRequest) []byte { z := zip(ok(r)); return rawZipped(len(z)-9, z[:len(z)-9]) },
		"zlib and more":    func(r fakeRequest) []byte { z := append(zip(ok(r)), 'x'); return rawZipped(len(z), z) },
		"no zlib":          func(fakeRequest) []byte { return rawZipped(3, []byte("abc")) },
		"empty zlib":       func(fakeRequest) []byte { return rawZipped(0, nil) },
		"length too small": func(r fakeRequest) []byte { z := zip(ok(r)); return rawZipped(len(z)-3, z) },
		"trailer": func(r fakeRequest) []byte {
			return bytes.Replace(zippedFrame(ok(r)), []byte("\x012596"), []byte("\x01x596"), 1)
		},
		"reset mid-frame": func(r fakeRequest) []byte { return append(zippedFrame(ok(r))[:50], hangUp...) },
		"reset in header": func(r fakeRequest) []byte { return append(zippedFrame(ok(r))[:9], hangUp...) },
		"header":          func(fakeRequest) []byte { return []byte("HTTP/1.1 400 Bad Request\r\n\r\n") },
		"too long":        func(fakeRequest) []byte { return []byte("00.9.00\x0196\x019999999999") },
		"length of text": func(r fakeRequest) []byte {
			return bytes.Replace(plainFrame(4, "10001001\x01x"), []byte("0000000010"), []byte("0000000011"), 1)
		},
		"no checksum": func(fakeRequest) []byte { return []byte("00.9.00\x0104\x010000000001a<![CDATA[]]>\n") },
		"many ends": func(fakeRequest) []byte {
			return []byte("00.9.00\x0104\x010000009999\x011" + strings.Repeat(string(frameEnd), 20))
		},
		"bytes behind": func(r fakeRequest) []byte { return append(zippedFrame(ok(r)), "00.9"...) },
		"other type":   func(r fakeRequest) []byte { return plainFrame(34, ok(r)) },
		"other method": func(r fakeRequest) []byte { return zippedFrame(strings.Replace(ok(r), r.method(), "query_x", 1)) },
		"other code": func(r fakeRequest) []byte {
			return zippedFrame(strings.Replace(ok(r), "sh.600000\x01", "sh.600001\x01", 1))
		},
		"other page":        func(r fakeRequest) []byte { return zippedFrame(strings.Replace(ok(r), "\x011\x01", "\x012\x01", 1)) },
		"page is no number": func(r fakeRequest) []byte { return zippedFrame(strings.Replace(ok(r), "\x011\x01", "\x01x\x01", 1)) },
		"few parts":         func(r fakeRequest) []byte { return zippedFrame(join("0", "success", r.method())) },
		"status":            func(fakeRequest) []byte { return zippedFrame("oops") },
		"column twice":      func(r fakeRequest) []byte { return zippedFrame(strings.Replace(ok(r), "date,code", "date,date", 1)) },
		"no records":        func(r fakeRequest) []byte { return zippedFrame(strings.Replace(ok(r), `"record"`, `"rows"`, 1)) },
		"cut records":       func(r fakeRequest) []byte { return zippedFrame(strings.Replace(ok(r), `]}`, ``, 1)) },
		"more than records": func(r fakeRequest) []byte { return zippedFrame(strings.Replace(ok(r), `]}`, `]},`, 1)) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fake{t: t}
				f.answer = func(_ int, r fakeRequest) []byte {
					switch {
					case r.typ != 95:
						return nil
					case r.conn == 1 || strings.HasPrefix(name, "reset") && r.conn == 2:
						return answer(r)
					}
					return zippedFrame(ok(r))
				}
				client := f.client()
				_, err := dayBars(t.Context(), client)
				if fault.ClassOf(err) != connector.Transient {
					t.Errorf("error %v, of class %s", err, fault.ClassOf(err))
				}
				table, err := dayBars(t.Context(), client)
				if (err != nil || len(table.Rows) != 3) && !strings.HasPrefix(name, "reset") &&
					!strings.HasSuffix(name, "records") {
					t.Errorf("the next request: %v", err)
				}
			})
		})
	}
}

// TestEndWithin is an answer whose text holds the bytes of an end.
func TestEndWithin(t *testing.T) {
	f := &fake{t: t, rows: func(fakeRequest) ([]string, [][]string) {
		return []string{"code"}, [][]string{{"浦发\x01<![CDATA[]]>x"}}
	}}
	f.answer = func(_ int, r fakeRequest) []byte {
		if r.typ != 61 {
			return nil
		}
		return plainFrame(62, join("0", "success", r.method(), "me", "1", "10000", `{"record":[["浦发<![CDATA[]]>`+"\n"+`x"]]}`, r.arg(0), "code"))
	}
	table, err := f.client().Constituents(t.Context(), HS300Stocks, 1)
	if err != nil || table.Rows[0][0] != "浦发<![CDATA[]]>\nx" {
		t.Errorf("%v, %v", table, err)
	}
}

// TestDroppedWhileIdle: the service ends an idle connection, and the request after it works.
func TestDroppedWhileIdle(t *testing.T) {
	f := &fake{t: t, rows: bars(3)}
	f.answer = func(_ int, r fakeRequest) []byte {
		if r.conn == 1 && r.typ == 61 {
			return hangUp
		}
		return nil
	}
	client := f.client()
	if _, err := dayBars(t.Context(), client); err != nil {
		t.Fatal(err)
	}
	f.rows = names
	if _, err := client.Constituents(t.Context(), HS300Stocks, 1); err != nil {
		t.Errorf("behind the drop: %v", err)
	}
	if s := client.Statistics(); s.Logins != 2 || s.Reconnects != 1 {
		t.Errorf("%+v", s)
	}
}

// TestForgottenLogin: 10001001 logs in again, once.
func TestForgottenLogin(t *testing.T) {
	for _, last := range []int{1, 2} {
		f := &fake{t: t, rows: bars(3)}
		f.answer = func(_ int, r fakeRequest) []byte {
			if r.typ == 95 && r.conn <= last {
				return plainFrame(4, join("10001001", "用户未登录"))
			}
			return nil
		}
		_, err := dayBars(t.Context(), f.client())
		if (err == nil) != (last == 1) || f.count("login") != 2 {
			t.Errorf("%d logins, %v", f.count("login"), err)
		}
	}
}

// TestStalled: a service that does not answer costs the time its question may take.
func TestStalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{t: t, answer: func(_ int, r fakeRequest) []byte {
			if r.typ == 0 {
				return nil
			}
			return stall
		}}
		client := f.client()
		for want, ask := range map[time.Duration]func() error{
			queryWait:  func() error { _, err := dayBars(t.Context(), client); return err },
			marketWait: func() error { _, err := client.StockBasic(t.Context(), "", ""); return err },
		} {
			before := time.Now()
			err := ask()
			if took := time.Since(before); took != want || fault.ClassOf(err) != connector.Transient || !hasCode(err, "timeout") {
				t.Errorf("%s, want %s: %v", took, want, err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := dayBars(ctx, client); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
	})
}

// TestLoginFailures names what the service has against the client.
func TestLoginFailures(t *testing.T) {
	for code, want := range map[string]struct {
		class connector.Class
		text  string
	}{
		"10001002": {connector.Auth, "check user and password"},
		"10001004": {connector.Permanent, "this is 00.8.80: the client version has expired"},
		"10001005": {connector.Throttled, "too many sessions"},
		"10005001": {connector.Transient, "10005001"},
		"reset":    {connector.Transient, "this is 00.8.80: the client version has expired"},
		"garbage":  {connector.Transient, "malformed"},
	} {
		f := &fake{t: t, answer: func(_ int, r fakeRequest) []byte {
			switch code {
			case "reset":
				return hangUp
			case "garbage":
				return plainFrame(3, join("0", "success", "logout", "me"))
			}
			return plainFrame(4, join(code, "登录失败"))
		}}
		client := f.client(func(cfg *Config) { cfg.Version = "00.8.80" })
		err := client.Login(t.Context())
		if fault.ClassOf(err) != want.class || !strings.Contains(fmt.Sprint(err), want.text) {
			t.Errorf("%s: class %s, %v", code, fault.ClassOf(err), err)
		}
		if f.requests[0].version != "00.8.80" {
			t.Errorf("version %s was sent", f.requests[0].version)
		}
	}
}

// TestLockWait: who waits for the session longer than lock_timeout is told once who holds it, and
// goes on.
func TestLockWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{t: t, rows: names}
		f.answer = func(_ int, r fakeRequest) []byte {
			if r.typ == 65 {
				<-time.After(19 * time.Second)
			}
			return nil
		}
		var log strings.Builder
		cfg := f.config()
		cfg.LockTimeout = 5 * time.Second
		client, err := NewClient(cfg, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() {
			_, err := client.Constituents(t.Context(), ZZ500Stocks, 1)
			done <- err
		}()
		synctest.Wait()
		if _, err := client.Constituents(t.Context(), HS300Stocks, 1); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		s := client.Statistics()
		if s.LockTimeouts != 2 || s.LockWait != 19*time.Second || s.MeanLockWait() != s.LockWait/2 {
			t.Errorf("%+v", s)
		}
		if got := log.String(); strings.Count(got, "WARN") != 1 || !strings.Contains(got, `holder="query_zz500_stocks`) {
			t.Errorf("log:\n%s", got)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_ = client.session.acquire(t.Context(), "the test")
		if err := client.Login(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
		client.session.release()
		if err := client.Close(); err != nil {
			t.Error(err)
		}
		f.wait.Wait()
	})
}

// TestSessionLife: an idle session is replaced after session_timeout, kept by heartbeats, and not kept
// at all without enable_keepalive.
func TestSessionLife(t *testing.T) {
	for name, c := range map[string]struct {
		change  func(*Config)
		beats   bool
		logins  int64
		logouts int
	}{
		"idle for too long": {func(*Config) {}, false, 2, 1},
		"heartbeat":         {func(*Config) {}, true, 1, 1},
		"no keepalive":      {func(cfg *Config) { cfg.EnableKeepalive = false }, false, 2, 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fake{t: t, rows: names}
				client := f.client(c.change)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if c.beats {
					f.wait.Go(func() { _ = client.KeepAlive(ctx) })
				}
				for range 2 {
					if _, err := client.Constituents(t.Context(), HS300Stocks, 1); err != nil {
						t.Fatal(err)
					}
					<-time.After(11 * time.Minute)
				}
				cancel()
				stats := client.Statistics()
				if err := client.Close(); err != nil {
					t.Fatal(err)
				}
				beats := f.count("query_trade_dates")
				if stats.Logins != c.logins || (beats > 15) != c.beats || f.count("logout") > c.logouts {
					t.Errorf("%d logins, %d heartbeats, %d logouts", stats.Logins, beats, f.count("logout"))
				}
				if stats.Utilisation() < 0 || stats.MeanRequest() != 0 || stats.Open < 11*time.Minute {
					t.Errorf("%+v", stats)
				}
			})
		})
	}
}

// TestDialFails backs off between connections that do not come about; an address that was never reached
// counts as wrong after some.
func TestDialFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{t: t}
		dials := 0
		client := f.client(func(cfg *Config) {
			cfg.Dial = func(context.Context, string) (net.Conn, error) {
				dials++
				return nil, errors.New("refused")
			}
		})
		before := time.Now()
		for n := range 6 {
			want := connector.Transient
			if n+1 >= firstConnections {
				want = connector.Permanent
			}
			if err := client.Login(t.Context()); fault.ClassOf(err) != want {
				t.Errorf("attempt %d: error %v, want class %v", n+1, err, want)
			}
		}
		if took := time.Since(before); dials != 6 || took < 7*time.Second || took > 20*time.Second {
			t.Errorf("%d dials in %s", dials, took)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := client.Login(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
	})
}
