package sim

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tapeline/tapeline/internal/lifecycle"
)

// WebConfig says how a simulated HTTP service behaves. The zero value answers at once and without faults.
type WebConfig struct {
	// Now is the virtual time on the exchange's clock, read as it is, whatever its zone. It stands still
	// until SetNow. Default: one second before the midnight that ends the market's last day.
	Now time.Time

	RTT     time.Duration // before each answer. Default 0
	Jitter  time.Duration // RTT varies evenly by up to this much, both ways. Default 0
	PageCap int           // most rows per answer. Default: the vendor's

	// Limit is what an address may ask in each Window before the vendor refuses it, in the vendor's
	// unit: requests, or weight. Default 0: no limit.
	Limit  int
	Window time.Duration // Default one minute

	Faults []Rule // see ParseWebFaults
	Seed   uint64 // of faults by chance and of jitter

	// OnRequest is called for every request of a known kind before it is answered; nil: not at all.
	OnRequest func(WebRequest)
}

// WebRequest is a request as the service understood it.
type WebRequest struct {
	Number int64  `json:"number"` // from 1
	Kind   string `json:"kind"`
	Path   string `json:"path"`
	Query  string `json:"query,omitempty"`
	Remote string `json:"remote"`
}

// WebStats counts what a service was asked and what it answered.
type WebStats struct {
	Requests int64            `json:"requests"`
	ByKind   map[string]int64 `json:"requests_by_kind"`
	ByStatus map[string]int64 `json:"answers_by_status"`
	Faults   map[string]int64 `json:"faults"`
	Rows     int64            `json:"rows"`
	BytesOut int64            `json:"bytes_out"`
	Refused  int64            `json:"refused"` // requests over the limit
}

// vendor is what differs between the services.
type vendor interface {
	// name is the vendor's, as in `tapeline sim NAME`.
	name() string
	// kinds are the kinds of requests a fault script may name.
	kinds() []string
	// kind returns the kind of a request, "" when there is nothing at its path.
	kind(r *http.Request) string
	// pageCap is the most rows of an answer, 0 for no cap.
	pageCap() int
	// lastDay is the last day of the market.
	lastDay() Date
	// cost is what a request counts against the limit.
	cost(r *http.Request) int
	// answer answers a request.
	answer(a *webAsk) webAnswer
	// refuse answers a request over the limit, which passed so often in this window. A status of 0
	// closes the connection.
	refuse(times int, left time.Duration) webAnswer
}

// webAsk is one request to answer.
type webAsk struct {
	request *http.Request
	now     time.Time // virtual
	today   Date
	pageCap int
	used    int               // against the limit, in this window
	rows    *records          // to be filled with rows of the vendor's text
	alter   func()            // does to the rows what the faults say; called once they are complete
	has     func(action) bool // whether a fault of the vendor's own strikes
}

// Trading at the Chinese exchanges, from and to.
const (
	opensAt  = 9*time.Hour + 30*time.Minute
	closesAt = 15 * time.Hour
)

// live returns a bar as a vendor shows it now: of a day that is still traded a part, and nothing, as of
// a suspended day, before it opens.
func (a *webAsk) live(b Bar) Bar {
	clock := a.now.Sub(a.today.Time())
	if b.Date != a.today || clock >= closesAt || !b.Trading {
		return b
	}
	if clock < opensAt {
		b.Trading = false
		return b
	}
	b.Close = b.Open
	b.High, b.Low = b.Open, b.Open
	b.Volume, b.Amount, b.Turn = b.Volume/2, b.Amount/2, b.Turn/2
	return b
}

// query returns a parameter of the URL.
func (a *webAsk) query(name string) string { return a.request.URL.Query().Get(name) }

// webAnswer is what a vendor says.
type webAnswer struct {
	status int
	kind   string // of content; default application/json
	header map[string]string
	body   []byte
}

func jsonAnswer(body []byte) webAnswer { return webAnswer{status: http.StatusOK, body: body} }

// Web is a vendor's HTTP service on this machine.
type Web struct {
	config   WebConfig
	vendor   vendor
	listener net.Listener
	server   *http.Server
	group    *lifecycle.Group

	requests atomic.Int64
	pageCap  atomic.Int64
	script   atomic.Pointer[script]

	mu        sync.Mutex
	now       time.Time
	addresses map[string]*window
	stats     WebStats
}

// window is what an address asked in the running window.
type window struct {
	ends    time.Time
	used    int
	refused int
}

// startWeb listens on listen (port 0: any free one) and serves until ctx ends or Close.
func startWeb(ctx context.Context, listen string, v vendor, config WebConfig) (*Web, error) {
	if err := config.complete(v); err != nil {
		return nil, err
	}
	var network net.ListenConfig
	listener, err := network.Listen(ctx, "tcp", listen)
	if err != nil {
		return nil, fmt.Errorf("simulate %s: %w", v.name(), err)
	}
	w := &Web{
		config: config, vendor: v, listener: listener, group: lifecycle.NewGroup(ctx), now: config.Now,
		addresses: map[string]*window{},
		stats:     WebStats{ByKind: map[string]int64{}, ByStatus: map[string]int64{}, Faults: map[string]int64{}},
	}
	w.SetFaults(config.Faults)
	w.server = &http.Server{Handler: http.HandlerFunc(w.serve), ReadHeaderTimeout: time.Minute}
	w.group.Go("serve", func(ctx context.Context) error {
		defer context.AfterFunc(ctx, func() { _ = w.server.Close() })()
		if err := w.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve on %s: %w", w.Address(), err)
		}
		return context.Cause(ctx)
	})
	return w, nil
}

// complete fills the defaults and refuses what makes no sense, all at once.
func (c *WebConfig) complete(v vendor) error {
	all := negative(
		setting{"RTT", int64(c.RTT)},
		setting{"jitter", int64(c.Jitter)},
		setting{"page cap", int64(c.PageCap)},
		setting{"limit", int64(c.Limit)},
		setting{"window", int64(c.Window)},
	)
	if len(all) > 0 {
		return fmt.Errorf("simulate %s: %w", v.name(), errors.Join(all...))
	}
	if c.Now.IsZero() {
		c.Now = endOf(v.lastDay())
	}
	if c.PageCap == 0 {
		c.PageCap = v.pageCap()
	}
	if c.Window == 0 {
		c.Window = time.Minute
	}
	return nil
}

// Address returns where the service listens, as host:port.
func (w *Web) Address() string { return w.listener.Addr().String() }

// Stats returns the counters so far.
func (w *Web) Stats() WebStats {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := w.stats
	out.ByKind, out.ByStatus, out.Faults = maps.Clone(out.ByKind), maps.Clone(out.ByStatus), maps.Clone(out.Faults)
	return out
}

// SetNow moves the virtual time.
func (w *Web) SetNow(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = now
}

// SetFaults replaces the fault rules; their counting begins anew, and a page cap that one of the
// earlier rules changed is the vendor's again.
func (w *Web) SetFaults(rules []Rule) {
	w.pageCap.Store(int64(w.config.PageCap))
	w.script.Store(newScript(rules, w.config.Seed))
}

// Close ends all connections and returns when all is stopped.
func (w *Web) Close() error {
	w.group.Stop(errClosed)
	return w.group.Wait()
}

// Done is closed when the service stops: by Close, with ctx, or because it cannot go on.
func (w *Web) Done() <-chan struct{} { return w.group.Context().Done() }

// serve answers one request.
func (w *Web) serve(out http.ResponseWriter, r *http.Request) {
	kind := w.vendor.kind(r)
	if kind == "" {
		http.NotFound(out, r)
		return
	}
	number := w.requests.Add(1)
	remote, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		remote = r.RemoteAddr
	}
	w.count(func(s *WebStats) { s.Requests++; s.ByKind[kind]++ })
	if w.config.OnRequest != nil {
		w.config.OnRequest(WebRequest{number, kind, r.URL.Path, r.URL.RawQuery, remote})
	}
	if wait(w.group.Context(), w.delay(number)) != nil {
		return
	}
	used, refused := w.admit(remote, w.vendor.cost(r))
	if refused != nil {
		w.count(func(s *WebStats) { s.Refused++ })
		w.send(out, *refused, nil)
		return
	}
	rules := w.script.Load().next(kind)
	for _, rule := range rules {
		if rule.action == faultPageCap {
			w.struck(rule)
			w.pageCap.Store(int64(rule.size))
		}
	}
	w.mu.Lock()
	now := w.now
	w.mu.Unlock()
	ask := &webAsk{
		request: r, now: now, today: dayOf(now), pageCap: int(w.pageCap.Load()), used: used, rows: &records{},
	}
	ask.alter = func() { w.alter(ask.rows, rules) }
	ask.has = func(wanted action) bool {
		i := slices.IndexFunc(rules, func(r Rule) bool { return r.action == wanted })
		if i >= 0 {
			w.struck(rules[i])
		}
		return i >= 0
	}
	w.send(out, w.vendor.answer(ask), rules)
}

// delay is how long the answer of a request takes.
func (w *Web) delay(number int64) time.Duration {
	delay := w.config.RTT
	if w.config.Jitter > 0 {
		draw := mix(w.config.Seed^0x6a6974746572, uint64(number))
		delay += time.Duration(between(draw, -int64(w.config.Jitter), int64(w.config.Jitter)))
	}
	return delay
}

// admit counts a request against the limit of its address.
func (w *Web) admit(remote string, cost int) (used int, refused *webAnswer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	a := w.addresses[remote]
	if now := time.Now(); a == nil || !now.Before(a.ends) {
		a = &window{ends: now.Add(w.config.Window)}
		w.addresses[remote] = a
	}
	a.used += cost
	if w.config.Limit == 0 || a.used <= w.config.Limit {
		return a.used, nil
	}
	a.refused++
	answer := w.vendor.refuse(a.refused, time.Until(a.ends))
	return a.used, &answer
}

// alter does to complete rows what the rules say.
func (w *Web) alter(rows *records, rules []Rule) {
	for _, rule := range rules {
		if rule.action.needsRows() && rows.count() > 1 {
			w.struck(rule)
			rows.alter(rule.action)
		}
	}
	w.count(func(s *WebStats) { s.Rows += int64(rows.count()) })
}

// garbage is what a proxy or a wall of captchas says instead of the service.
const garbage = "<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head><body>Please try again.</body></html>"

// send writes an answer, with the faults that hit one.
func (w *Web) send(out http.ResponseWriter, a webAnswer, rules []Rule) {
	cut := false
	for _, rule := range rules {
		switch rule.action {
		case faultDrop:
			a.status = 0
		case faultStatus:
			a = webAnswer{status: rule.size, kind: "text/plain", body: []byte(http.StatusText(rule.size))}
		case faultGarbage:
			a = webAnswer{status: http.StatusOK, kind: "text/html", body: []byte(garbage)}
		case faultTruncate:
			a.body = a.body[:len(a.body)/2]
		case faultReset:
			cut = true
		case faultStall:
		default:
			continue
		}
		w.struck(rule)
	}
	w.count(func(s *WebStats) { s.ByStatus[strconv.Itoa(a.status)]++ })
	if a.status == 0 {
		w.hangUp(out)
		return
	}
	if a.kind == "" {
		a.kind = "application/json; charset=utf-8"
	}
	out.Header().Set("Content-Type", a.kind)
	out.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
	for name, value := range a.header {
		out.Header().Set(name, value)
	}
	out.WriteHeader(a.status)
	if cut {
		w.write(out, a.body[:len(a.body)/2])
		w.hangUp(out)
		return
	}
	for _, rule := range rules {
		if rule.action == faultStall {
			half := len(a.body) / 2
			w.write(out, a.body[:half])
			a.body = a.body[half:]
			if wait(w.group.Context(), rule.span) != nil {
				return
			}
		}
	}
	w.write(out, a.body)
}

func (w *Web) write(out http.ResponseWriter, data []byte) {
	n, _ := out.Write(data) // who hung up knows
	_ = http.NewResponseController(out).Flush()
	w.count(func(s *WebStats) { s.BytesOut += int64(n) })
}

// hangUp makes the client see a reset instead of an orderly end.
func (w *Web) hangUp(out http.ResponseWriter) {
	conn, _, err := http.NewResponseController(out).Hijack()
	if err != nil {
		return
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

func (w *Web) struck(r Rule) { w.count(func(s *WebStats) { s.Faults[string(r.action)]++ }) }

// count changes the counters.
func (w *Web) count(change func(*WebStats)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change(&w.stats)
}
