package sim

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

// loginCode returns the code that a login gets, or the error of the connection.
func loginCode(t *testing.T, s *Server, version string) (string, *naive, error) {
	t.Helper()
	c := dial(t, s)
	a, err := c.raw(makeRequest(version, "00", "login", "anonymous", "123456", "0"))
	if err != nil {
		return "", c, err
	}
	c.user = "anonymous"
	return a.body[0], c, nil
}

func TestSessionsPerAddress(t *testing.T) {
	m := makeMarket(t, 1, 3)
	for _, ban := range []bool{false, true} {
		closed := make(chan Stats, 10)
		s := serve(t, Config{
			Market: m, MaxSessions: 1, SessionsBan: ban, OnClose: func(stats Stats) { closed <- stats },
		})
		_, first, _ := loginCode(t, s, "00.9.10")
		want := map[bool]string{false: "10001005", true: "10001011"}[ban]
		if got, _, err := loginCode(t, s, "00.9.10"); got != want || err != nil {
			t.Errorf("second session: got %s, %v, want %s", got, err, want)
		}
		a := first.must(t, "33", "x", "anonymous", "1", "10000", "2020-01-01", "2020-01-02")
		if ban != (a.body[0] == "10001011") {
			t.Errorf("ban %t: the first session gets %q", ban, a.body)
		}
		if again := first.must(t, "00", "login", "anonymous", "123456", "0"); !ban && again.body[0] != "0" {
			t.Errorf("login twice on one connection: got %q", again.body)
		}
		first.conn.Close()
		if stats := <-closed; stats.Banned != map[bool]int64{false: 0, true: 1}[ban] {
			t.Errorf("ban %t: %d banned", ban, stats.Banned)
		}
		if ban {
			s.SetNow(m.Calendar().To().Time().Add(30 * time.Hour)) // another day
		}
		if got, _, err := loginCode(t, s, "00.9.10"); got != "0" || err != nil {
			t.Errorf("ban %t: after the first has gone: got %s, %v", ban, got, err)
		}
	}
}

func TestRequestsPerSecond(t *testing.T) {
	s := serve(t, Config{Market: makeMarket(t, 1, 3), RequestsPerSecond: 3})
	c := login(t, s)
	got := "0"
	for range 3 { // with the login four at once
		got = c.must(t, "33", "x", "anonymous", "1", "10000", "2020-01-01", "2020-01-02").body[0]
	}
	if got != "10001011" || s.Stats().Banned != 1 {
		t.Errorf("the fourth request gets %s, %d banned", got, s.Stats().Banned)
	}
}

func TestRequestsPerDay(t *testing.T) {
	m := makeMarket(t, 1, 3)
	s := serve(t, Config{Market: m, RequestsPerDay: 3})
	c := login(t, s)
	ask := func() string {
		return c.must(t, "33", "x", "anonymous", "1", "10000", "2020-01-01", "2020-01-02").body[0]
	}
	if got := []string{ask(), ask(), ask()}; strings.Join(got, " ") != "0 0 10001011" {
		t.Errorf("got %v", got)
	}
	s.SetNow(m.Calendar().To().Time().Add(30 * time.Hour))
	if got := ask(); got != "0" {
		t.Errorf("on another day: got %s", got)
	}
}

func TestMinVersion(t *testing.T) {
	m := makeMarket(t, 1, 3)
	s := serve(t, Config{Market: m, MinVersion: "00.9.10"})
	for version, want := range map[string]string{"00.8.90": "10001004", "00.9.10": "0", "00.9.30": "0"} {
		if got, _, err := loginCode(t, s, version); got != want || err != nil {
			t.Errorf("%s: got %s, %v, want %s", version, got, err, want)
		}
	}
	s = serve(t, Config{Market: m, MinVersion: "00.9.10", VersionReset: true})
	if _, _, err := loginCode(t, s, "00.8.90"); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("an old client: got %v, want a reset", err)
	}
}

func TestUsers(t *testing.T) {
	s := serve(t, Config{Market: makeMarket(t, 1, 3), Users: map[string]string{"desk": "secret"}})
	c := dial(t, s)
	if a := c.must(t, "00", "login", "anonymous", "123456", "0"); a.body[0] != "10001002" {
		t.Errorf("anonymous: got %q", a.body)
	}
	if a := c.must(t, "00", "login", "desk", "secret", "key"); a.body[0] != "0" || a.body[3] != "desk" {
		t.Errorf("desk: got %q", a.body)
	}
}

func TestIdleTimeout(t *testing.T) {
	s := serve(t, Config{Market: makeMarket(t, 1, 3), IdleTimeout: 20 * time.Millisecond})
	c := login(t, s)
	if _, err := c.read(); !errors.Is(err, io.EOF) {
		t.Errorf("an idle connection ends with %v, want EOF", err)
	}
}

// TestPace: delays and the limit of bytes are kept, as the client's clock sees them.
func TestPace(t *testing.T) {
	m := makeMarket(t, 1, 3)
	took := func(config Config, requests int) time.Duration {
		config.Market = m
		c := dial(t, serve(t, config))
		begun := time.Now()
		for range requests {
			c.must(t, "00", "login", "anonymous", "123456", "0")
		}
		return time.Since(begun)
	}
	if got := took(Config{RTT: 30 * time.Millisecond}, 3); got < 90*time.Millisecond {
		t.Errorf("three answers at 30 ms took %s", got)
	}
	if got := took(Config{RTT: 30 * time.Millisecond, Jitter: 10 * time.Millisecond}, 3); got < 60*time.Millisecond {
		t.Errorf("three answers at 30 +- 10 ms took %s", got)
	}
	// An answer to a login has about 90 bytes; the pause after the last is not seen.
	if got := took(Config{BytesPerSecond: 2000}, 4); got < 100*time.Millisecond {
		t.Errorf("360 bytes at 2000 a second took %s", got)
	}
}

func TestCloseEndsSessions(t *testing.T) {
	s, err := Start(t.Context(), "127.0.0.1:0", Config{Market: makeMarket(t, 1, 3), RTT: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	c := dial(t, s)
	if _, err := c.conn.Write([]byte(goldenLogin + "\n")); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := c.read(); err == nil {
		t.Error("an answer after the end")
	}
}

func TestStartRefuses(t *testing.T) {
	m := makeMarket(t, 1, 3)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, c := range []struct {
		address, want string
		config        Config
	}{
		{"127.0.0.1:0", "no market", Config{}},
		{"127.0.0.1:0", "RTT -1: want 0 or more", Config{Market: m, RTT: -1}},
		{"127.0.0.1:0", "minimum version", Config{Market: m, MinVersion: "0.9"}},
		{"127.0.0.1:0", "publish time", Config{Market: m, PublishAt: 25 * time.Hour}},
		{taken.Addr().String(), "in use", Config{Market: m}},
	} {
		if _, err := Start(context.Background(), c.address, c.config); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v", c, err)
		}
	}
}

// TestStats: tests rely on the counters, such as no request of k-data in a second run.
func TestStats(t *testing.T) {
	var asked []Request
	s := serve(t, Config{Market: makeMarket(t, 1, 3), OnRequest: func(r Request) { asked = append(asked, r) }})
	c := login(t, s)
	c.query(t, "33", "query_trade_dates", "2020-01-01", "2020-01-10")
	c.kdata(t, "sh.600000", "date", "2020-01-01", "2020-01-10", "d", "3")
	c.must(t, "57", "query_shibor_data", "anonymous", "1", "10000")
	c.must(t, "02", "logout", "anonymous", "20240102120000")
	got := s.Stats()
	if got.Connections != 1 || got.Logins != 1 || got.Requests != 5 || got.KData != 1 || got.ByType["33"] != 1 ||
		got.Errors["10004020"] != 1 || got.Rows != 17 || got.KDataRows != 7 || got.BytesIn < 200 || got.BytesOut < 400 {
		t.Errorf("got %+v", got)
	}
	if len(asked) != 5 || asked[0].Method != "login" || len(asked[0].Args) != 1 || asked[2].Type != "95" ||
		asked[2].Args[0] != "sh.600000" || asked[2].Page != "1" || asked[2].Number != 3 || asked[2].Version != "00.9.10" {
		t.Errorf("asked %+v", asked)
	}
}
