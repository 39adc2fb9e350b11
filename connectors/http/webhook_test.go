package http

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	nethttp "net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tapeline/tapeline/connector"
)

// hook is a listening receiver and its address.
func hook(t *testing.T, limits connector.Limits, at connector.Position, change func(*SourceConfig)) (*receiver, string) {
	t.Helper()
	cfg := sourceConfig(func(c *SourceConfig) {
		c.Listen, c.Path = "127.0.0.1:0", "/in"
		change(c)
	})
	s := open(t, cfg, env(limits, "r"), at).(*receiver)
	return s, "http://" + s.listen.Addr().String() + "/in"
}

// reply is an answer to a sender.
type reply struct {
	status int
	text   string
	err    error
}

// sender posts without keep-alive, so that nothing is left behind.
func send(url, body string, headers ...string) reply {
	req, err := nethttp.NewRequest(nethttp.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return reply{err: err}
	}
	req.Close = true
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	response, err := nethttp.DefaultClient.Do(req)
	if err != nil {
		return reply{err: err}
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return reply{response.StatusCode, string(text) + response.Header.Get("Retry-After"), err}
}

// post sends in the background.
func post(url, body string) <-chan reply {
	done := make(chan reply, 1)
	go func() { done <- send(url, body) }()
	return done
}

// mustWait fails when the request was answered, or is not among the n that wait for their commit.
func mustWait(t *testing.T, s *receiver, answered <-chan reply, n int) {
	t.Helper()
	s.mu.Lock()
	waiting, replies := s.waiting, len(s.replies)
	for _, d := range s.replies {
		if len(d.done) > 0 {
			t.Errorf("request %d has its answer", d.number)
		}
	}
	s.mu.Unlock()
	if waiting < n || replies != n {
		t.Errorf("%d requests are open and %d wait for their commit, want %d", waiting, replies, n)
	}
	select {
	case r := <-answered:
		t.Errorf("answered before the commit: %+v", r)
	default:
	}
}

// invariant: a webhook is answered with 200 only after its rows are committed
func TestReplyWaitsForTheCommit(t *testing.T) {
	s, url := hook(t, usual(), nil, func(*SourceConfig) {})
	first := post(url, `[{"id":1},{"id":2}]`)
	got := read(t, s, 1)
	if diff := cmp.Diff([]string{`{"id":1}`, `{"id":2}`}, got.rows); diff != "" {
		t.Fatal(diff)
	}
	second := post(url, `{"id":3}`)
	later := read(t, s, 1)
	mustWait(t, s, first, 2)
	if err := s.Ack(t.Context(), got.at); err != nil {
		t.Fatal(err)
	}
	if r := <-first; r.status != 200 {
		t.Errorf("committed request: %+v", r)
	}
	mustWait(t, s, second, 1)
	if err := s.Ack(t.Context(), later.at); err != nil {
		t.Fatal(err)
	}
	if r := <-second; r.status != 200 {
		t.Errorf("second request: %+v", r)
	}
	resumed, _ := hook(t, usual(), later.at, func(*SourceConfig) {})
	if resumed.read != 2 {
		t.Errorf("resumed after %d requests, want 2", resumed.read)
	}
}

// A request cut into several chunks is committed with the last of them, and so are those merged
// with it.
func TestLargeRequestsAreCutAndSmallOnesMerged(t *testing.T) {
	s, url := hook(t, connector.Limits{Rows: 4, Bytes: 1 << 20}, nil, func(c *SourceConfig) { c.Format = "ndjson" })
	large := post(url, strings.Join(ids(0, 10), "\n"))
	var at []connector.Position
	var rows []string
	for range 3 {
		got := read(t, s, 1)
		rows, at = append(rows, got.rows...), append(at, got.at)
	}
	if diff := cmp.Diff(ids(0, 10), rows); diff != "" {
		t.Fatal(diff)
	}
	for _, p := range at[:2] {
		if err := s.Ack(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		mustWait(t, s, large, 1)
	}
	if err := s.Ack(t.Context(), at[2]); err != nil {
		t.Fatal(err)
	}
	if r := <-large; r.status != 200 {
		t.Errorf("large request: %+v", r)
	}
	var waiting []<-chan reply
	for i := range 3 {
		waiting = append(waiting, post(url, ids(i, i+1)[0]))
	}
	waitQueued(s, 3)
	got := read(t, s, 1)
	if len(got.rows) != 3 {
		t.Errorf("3 waiting requests make a chunk of %q", got.rows)
	}
	if err := s.Ack(t.Context(), got.at); err != nil {
		t.Fatal(err)
	}
	for _, w := range waiting {
		if r := <-w; r.status != 200 {
			t.Errorf("merged request: %+v", r)
		}
	}
}

// waitQueued returns once so many requests wait to be read.
func waitQueued(s *receiver, n int) {
	for {
		s.mu.Lock()
		have := len(s.queue)
		s.mu.Unlock()
		if have >= n {
			return
		}
		<-s.arrive
		s.signal()
	}
}

func TestWhatIsNotTakenIsRefused(t *testing.T) {
	s, url := hook(t, usual(), nil, func(c *SourceConfig) {
		c.Token, c.MaxBodyBytes, c.Records = "secret", 100, "$.events"
	})
	auth := []string{"Authorization", "Bearer secret"}
	for name, c := range map[string]struct {
		got  reply
		want int
	}{
		"no token":    {send(url, `{}`), 401},
		"wrong token": {send(url, `{}`, "Authorization", "Bearer guess"), 401},
		"path":        {send(url+"/other", `{}`, auth...), 404},
		"not json":    {send(url, `{"events": [}`, auth...), 400},
		"two values":  {send(url, `{"events":[]} {}`, auth...), 400},
		"no records":  {send(url, `{"event": []}`, auth...), 400},
		"long":        {send(url, `{"events":"`+strings.Repeat("x", 100)+`"}`, auth...), 413},
		"compressed":  {send(url, `{}`, append(auth, "Content-Encoding", "gzip")...), 415},
	} {
		if c.got.status != c.want {
			t.Errorf("%s: %+v, want %d", name, c.got, c.want)
		}
	}
	if len(s.queue) > 0 || s.bytes != 0 || s.waiting != 0 {
		t.Errorf("%d requests are queued, %d bytes and %d places taken", len(s.queue), s.bytes, s.waiting)
	}
	response, err := nethttp.Get(url)
	if err != nil || response.StatusCode != 405 || response.Header.Get("Allow") == "" {
		t.Errorf("GET: %v %v", response, err)
	}
	response.Body.Close()
	nethttp.DefaultClient.CloseIdleConnections()
}

func TestFullQueueAsksToWait(t *testing.T) {
	s, url := hook(t, usual(), nil, func(c *SourceConfig) { c.Queue = 2 })
	a, b := post(url, `{"id":1}`), post(url, `{"id":2}`)
	waitQueued(s, 2)
	if r := send(url, `{"id":3}`); r.status != 429 || !strings.HasSuffix(r.text, "1") {
		t.Errorf("third request: %+v, want 429 with Retry-After", r)
	}
	got := read(t, s, 1)
	if len(got.rows) != 2 {
		t.Errorf("rows %q", got.rows)
	}
	if r := send(url, `{"id":3}`); r.status != 429 {
		t.Errorf("request beside two that wait for their commit: %+v", r)
	}
	if err := s.Ack(t.Context(), got.at); err != nil {
		t.Fatal(err)
	}
	if x, y := <-a, <-b; x.status != 200 || y.status != 200 {
		t.Errorf("committed: %+v %+v", x, y)
	}
}

func TestCloseAsksSendersToComeAgain(t *testing.T) {
	s, url := hook(t, usual(), nil, func(*SourceConfig) {})
	taken := post(url, `{"id":1}`)
	if got := read(t, s, 1); len(got.rows) != 1 {
		t.Fatalf("rows %q", got.rows)
	}
	queued := post(url, `{"id":2}`)
	waitQueued(s, 1)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	for name, w := range map[string]<-chan reply{"read": taken, "queued": queued} {
		if r := <-w; r.status != 503 {
			t.Errorf("%s request: %+v, want 503", name, r)
		}
	}
	if _, err := s.Read(t.Context()); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("read after close: %v", err)
	}
}

func TestAcceptedRepliesAtOnce(t *testing.T) {
	s, url := hook(t, usual(), nil, func(c *SourceConfig) { c.Reply, c.Format = "accepted", "csv" })
	for _, body := range []string{"a,b\n1,x\n", "b,a\ny,2\n", "c\n3\n"} {
		if r := send(url, body); r.status != 202 {
			t.Fatalf("%q: %+v", body, r)
		}
	}
	got := read(t, s, 3)
	if diff := cmp.Diff([]string{`{"a":1,"b":"x"}`, `{"a":2,"b":"y"}`}, got.rows); diff != "" {
		t.Error(diff)
	}
	if len(got.rejected) != 1 || !strings.Contains(got.rejected[0], "c\n3") {
		t.Errorf("a table of other columns: rejected %q", got.rejected)
	}
}

func TestTablesOfOtherColumnsAreAnswered(t *testing.T) {
	s, url := hook(t, usual(), nil, func(c *SourceConfig) { c.Format = "csv" })
	first := post(url, "a\n1\n")
	got := read(t, s, 1)
	wrong := post(url, "b\n1\n")
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { _, err := s.Read(ctx); ended <- err }()
	if r := <-wrong; r.status != 422 {
		t.Errorf("other columns: %+v", r)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("read ended by %v", err)
	}
	if err := s.Ack(t.Context(), got.at); err != nil {
		t.Fatal(err)
	}
	if r := <-first; r.status != 200 {
		t.Errorf("first table: %+v", r)
	}
}

func TestBrokenSendersLeaveNothing(t *testing.T) {
	s, url := hook(t, usual(), nil, func(*SourceConfig) {})
	conn, err := net.Dial("tcp", s.listen.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "POST /in HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n[{")
	conn.Close()
	done := post(url, `{"id":1}`)
	got := read(t, s, 1)
	if len(got.rows) != 1 {
		t.Errorf("rows %q", got.rows)
	}
	if err := s.Ack(t.Context(), got.at); err != nil {
		t.Fatal(err)
	}
	if r := <-done; r.status != 200 {
		t.Errorf("whole request: %+v", r)
	}
}

func TestPortInUseIsAnError(t *testing.T) {
	s, _ := hook(t, usual(), nil, func(*SourceConfig) {})
	cfg := sourceConfig(func(c *SourceConfig) { c.Listen = s.listen.Addr().String() })
	second, err := Connector().Source.New(env(usual(), "r"), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Open(t.Context(), connector.Partition{}, nil); err == nil {
		t.Error("two servers listen at one address")
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
}

// The records of a body are the same as encoding/json finds.
func FuzzUnpack(f *testing.F) {
	for _, body := range []string{`[1,{"a":[2]}]`, `{"x":1}`, `null`, `[]`, `[`, `[[1],[2]]`, `{"a":[1]}`, `1E999`} {
		f.Add(body, "")
		f.Add(body, "$.a")
	}
	f.Fuzz(func(t *testing.T, body, path string) {
		values, n, err := unpack([]byte(body), path)
		if err != nil {
			return
		}
		if !json.Valid([]byte(body)) {
			t.Fatalf("%q is not JSON and was taken", body)
		}
		decoder := json.NewDecoder(strings.NewReader(string(values)))
		found := 0
		for {
			var v json.RawMessage // numbers may be larger than any Go has
			if err := decoder.Decode(&v); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%q unpacks to %q: %v", body, values, err)
			}
			found++
		}
		if found != n {
			t.Errorf("%q: %d values, counted %d", body, found, n)
		}
	})
}
