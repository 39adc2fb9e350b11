package sim

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tapeline/tapeline/internal/lifecycle"
)

// Server is a BaoStock server on this machine.
type Server struct {
	config   Config
	listener net.Listener
	group    *lifecycle.Group
	queries  map[string]query
	dates    dateText

	requests atomic.Int64
	pageCap  atomic.Int64
	script   atomic.Pointer[script]

	mu        sync.Mutex
	now       time.Time
	addresses map[string]*address
	stats     Stats
}

// address is one client's machine.
type address struct {
	sessions int // logged in
	banned   bool
	recent   []time.Time // of the last requests, a ring
	at       int
	today    int // requests of the virtual day
}

var (
	errClosed = errors.New("the server was closed")
	errReset  = errors.New("the connection ends here")
)

// Start listens on listen (port 0: any free one) and serves until ctx ends or Close.
func Start(ctx context.Context, listen string, config Config) (*Server, error) {
	if err := config.complete(); err != nil {
		return nil, err
	}
	var network net.ListenConfig
	listener, err := network.Listen(ctx, "tcp", listen)
	if err != nil {
		return nil, fmt.Errorf("simulate baostock: %w", err)
	}
	s := &Server{
		config: config, listener: listener, group: lifecycle.NewGroup(ctx), queries: queries(),
		dates: newDateText(config.Market.Calendar()), now: config.Now, addresses: map[string]*address{},
	}
	s.stats = Stats{ByType: map[string]int64{}, Errors: map[string]int64{}, Faults: map[string]int64{}}
	s.pageCap.Store(int64(config.PageCap))
	s.SetFaults(config.Faults)
	s.group.Go("accept", s.accept)
	return s, nil
}

// Address returns where the server listens, as host:port.
func (s *Server) Address() string { return s.listener.Addr().String() }

// Stats returns the counters so far.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.stats
	out.ByType, out.Errors, out.Faults = maps.Clone(out.ByType), maps.Clone(out.Errors), maps.Clone(out.Faults)
	return out
}

// SetNow moves the virtual time. On another day the quotas are full again and no address is banned.
func (s *Server) SetNow(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if dayOf(now) != dayOf(s.now) {
		for _, a := range s.addresses {
			a.banned, a.today = false, 0
		}
	}
	s.now = now
}

// SetFaults replaces the fault rules; their counting begins anew, and a page cap that one of the
// earlier rules lowered is lifted.
func (s *Server) SetFaults(rules []Rule) {
	s.pageCap.Store(int64(s.config.PageCap))
	s.script.Store(newScript(rules, s.config.Seed))
}

// Shown returns the last day whose bars are published.
func (s *Server) Shown() Date { v := s.view(); return v.shown }

// Restate switches a Restated market to the truth; others have only one version.
func (s *Server) Restate() {
	if m, ok := s.config.Market.(interface{ Restate() }); ok {
		m.Restate()
	}
}

// Close ends all connections and returns when all is stopped.
func (s *Server) Close() error {
	s.group.Stop(errClosed)
	return s.group.Wait()
}

// Done is closed when the server stops: by Close, with ctx, or because it cannot go on.
func (s *Server) Done() <-chan struct{} { return s.group.Context().Done() }

// accept takes connections until the context ends.
func (s *Server) accept(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = s.listener.Close() })
	defer stop()
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return fmt.Errorf("accept on %s: %w", s.Address(), err)
		}
		s.count(func(stats *Stats) { stats.Connections++ })
		session := &session{server: s, conn: conn, reader: bufio.NewReaderSize(conn, 16<<10)}
		if session.remote, _, err = net.SplitHostPort(conn.RemoteAddr().String()); err != nil {
			session.remote = conn.RemoteAddr().String()
		}
		s.group.Go("session", session.serve)
	}
}

// count changes the counters.
func (s *Server) count(change func(*Stats)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.stats)
}

// machine returns the record of a client's address; the caller holds mu.
func (s *Server) machine(remote string) *address {
	a := s.addresses[remote]
	if a == nil {
		a = &address{recent: make([]time.Time, s.config.RequestsPerSecond)}
		s.addresses[remote] = a
	}
	return a
}

// ban blacklists an address until the virtual day ends; the caller holds mu.
func (s *Server) ban(a *address) *refusal {
	if !a.banned {
		a.banned = true
		s.stats.Banned++
	}
	return refuse("10001011")
}

// admit counts a request against the limits of its address.
func (s *Server) admit(remote string) *refusal {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.machine(remote)
	if a.banned {
		return s.ban(a)
	}
	a.today++
	if limit := s.config.RequestsPerDay; limit > 0 && a.today > limit {
		return s.ban(a)
	}
	if len(a.recent) == 0 {
		return nil
	}
	now := time.Now()
	earlier := a.recent[a.at]
	a.recent[a.at] = now
	a.at = (a.at + 1) % len(a.recent)
	if !earlier.IsZero() && now.Sub(earlier) < time.Second {
		return s.ban(a)
	}
	return nil
}

// enter counts a session of an address, or refuses it.
func (s *Server) enter(remote string) *refusal {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.machine(remote)
	if limit := s.config.MaxSessions; limit > 0 && a.sessions >= limit {
		if s.config.SessionsBan {
			return s.ban(a)
		}
		return refuse("10001005")
	}
	a.sessions++
	s.stats.Logins++
	return nil
}

// leave ends a session of an address.
func (s *Server) leave(remote string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.machine(remote).sessions--
}

// view is what a request may see of the market.
type view struct {
	market Market
	dates  dateText
	now    time.Time
	today  Date
	shown  Date // the last day whose bars are published
}

// view returns the market at the virtual now.
func (s *Server) view() view {
	s.mu.Lock()
	now := s.now
	s.mu.Unlock()
	v := view{market: s.config.Market, dates: s.dates, now: now, today: dayOf(now)}
	v.shown = v.today
	if now.Sub(v.today.Time()) < s.config.PublishAt {
		v.shown--
	}
	return v
}

// security returns a code's line of the listing as of today.
func (v *view) security(code string) (Security, bool) {
	list := v.market.Securities()
	i, ok := findSecurity(list, code)
	if !ok || !list[i].shows(v.today) {
		return Security{}, false
	}
	return list[i], true
}

// dayOf returns the calendar day that a clock shows.
func dayOf(t time.Time) Date { return DateOf(t.Date()) }
