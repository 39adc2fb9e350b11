package baostock

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/provider"
)

// Longest waits for an answer: the whole list of instruments takes the service more than a minute.
const (
	dialWait   = 10 * time.Second
	loginWait  = 10 * time.Second
	logoutWait = 2 * time.Second
	queryWait  = 20 * time.Second
	marketWait = 120 * time.Second
)

func waitFor(q Query, args []string) time.Duration {
	if q == AllStock || (q == StockBasic || q == StockIndustry) && args[0] == "" {
		return marketWait
	}
	return queryWait
}

// session is the one connection to the service, shared by all who ask in this process.
type session struct {
	cfg Config
	log *slog.Logger

	lock chan struct{} // holds a token while nobody asks

	// The lock's holder's own:
	budget   provider.Budget
	conn     net.Conn // nil: not logged in
	frames   frameReader
	request  []byte
	user     string // as the login's answer has it
	used     time.Time
	failures int       // connections in a row that did not come about
	notUntil time.Time // when the next one may be tried

	mu       sync.Mutex
	stats    Statistics
	reported Statistics
	opened   time.Time // when the first request was sent
	answered time.Time // when the last one was over
	holder   string    // who has the lock
}

func newSession(cfg Config, log *slog.Logger) *session {
	s := &session{lock: make(chan struct{}, 1)}
	s.configure(cfg, log)
	s.lock <- struct{}{}
	return s
}

// configure sets what may differ from one user of the session to the next.
func (s *session) configure(cfg Config, log *slog.Logger) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s.cfg, s.log = cfg, log
	s.budget.Configure(s.cfg.limits())
}

// maxLockWait bounds the growing intervals at which a wait for the session is counted.
const maxLockWait = 5 * time.Minute

// acquire takes the session for holder. A wait beyond lock_timeout is counted, told once, and goes on.
func (s *session) acquire(ctx context.Context, holder string) error {
	before, limit := time.Now(), s.cfg.LockTimeout
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for timeouts := 0; ; {
		select {
		case <-s.lock:
			s.count(func(t *Statistics) {
				t.Locks++
				t.LockWait += time.Since(before)
				s.holder = holder
			})
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
			var by string
			s.count(func(t *Statistics) { t.LockTimeouts++; by = s.holder })
			if timeouts++; timeouts == 1 {
				s.log.Warn("session is not free", "waiting", holder, "holder", by, "lock_timeout", limit)
			}
			limit = min(2*limit, maxLockWait)
			timer.Reset(limit)
		}
	}
}

func (s *session) release() { s.lock <- struct{}{} }

func (s *session) count(change func(*Statistics)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.stats)
}

// ask sends one page's query and receives its answer into memory. A connection that was idle may have
// been dropped, and a login forgotten: both are made anew, once.
func (s *session) ask(
	ctx context.Context, q Query, args []string, page int, memory []byte,
) (frame, error) {
	holder := q.String()
	if len(args) > 0 {
		holder += " " + args[0]
	}
	if err := s.acquire(ctx, holder); err != nil {
		return frame{memory: memory}, err
	}
	defer s.release()
	if !s.cfg.EnableKeepalive {
		defer s.logout()
	}
	for again := false; ; again = true {
		reused, err := s.connect(ctx)
		if err != nil {
			return frame{memory: memory}, err
		}
		f, err := s.query(ctx, q, args, page, memory)
		if err == nil || again || ctx.Err() != nil || ((!reused || !dropped(err)) && !hasCode(err, codeNotLoggedIn)) {
			return f, err
		}
		memory = f.memory
		s.drop()
	}
}

// query asks on an open connection. Errors of the service are told apart at once, as they never come
// compressed; what a compressed answer says is read when its turn comes.
func (s *session) query(
	ctx context.Context, q Query, args []string, page int, memory []byte,
) (frame, error) {
	body := strings.Join(append([]string{
		q.String(), s.user, strconv.Itoa(page), strconv.Itoa(pageRows),
	}, args...), "\x01")
	f, err := s.exchange(ctx, kinds[q].typ, body, waitFor(q, args), memory)
	if err == nil && !f.zipped {
		_, err = parseAnswer(q, args, page, f)
	}
	if err != nil {
		err = s.refused(ctx, operation(q, args), err)
	}
	return f, err
}

func operation(q Query, args []string) string {
	op := "ask " + q.String()
	if len(args) > 0 && args[0] != "" {
		op += " of " + args[0]
	}
	return op
}

// refused takes note of an answer that is none; the session is the caller's.
func (s *session) refused(ctx context.Context, op string, err error) error {
	if hasCode(err, codeBlacklisted) {
		return s.blacklisted(ctx)
	}
	return s.failed(op, err)
}

// distrust is refused for what is found out about an answer after the session was given back.
func (s *session) distrust(ctx context.Context, op string, err error) error {
	if wait := s.acquire(ctx, op); wait != nil {
		return wait
	}
	defer s.release()
	return s.refused(ctx, op, err)
}

// failed classifies what went wrong with a request. What the service answers in form leaves the
// connection as it is; after everything else nobody knows what comes next on it.
func (s *session) failed(op string, err error) error {
	if e, ok := errors.AsType[*connector.Error](err); ok && strings.HasPrefix(e.Code, Name) {
		return err
	}
	s.drop()
	if errors.Is(err, context.Canceled) {
		return err
	}
	e := &connector.Error{Op: op, Class: connector.Transient, Err: err}
	switch {
	case errors.Is(err, errFrame):
		e.Code = Name + "_malformed"
	case timedOut(err):
		e.Code, e.Hint = Name+"_timeout", "the service did not answer in time"
	}
	return e
}

func timedOut(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// dropped reports whether the other side ended the connection.
func dropped(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, errFrame) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, io.ErrClosedPipe)
}

func hasCode(err error, code string) bool {
	e, ok := errors.AsType[*connector.Error](err)
	return ok && e.Code == Name+"_"+code
}

// blacklisted notes a ban: no request leaves until it is over.
func (s *session) blacklisted(ctx context.Context) error {
	s.drop()
	err := s.budget.BanToday(context.WithoutCancel(ctx))
	s.log.Warn("blacklisted", "error", err)
	return err
}

// exchange sends one request and receives its answer. The budget has taken it before.
func (s *session) exchange(
	ctx context.Context, typ int, body string, wait time.Duration, memory []byte,
) (frame, error) {
	paced, err := s.budget.Take(ctx)
	s.count(func(t *Statistics) {
		if !s.opened.IsZero() { // waits before count for no time of the session
			t.Paced += paced
		}
	})
	if err != nil {
		return frame{memory: memory}, err
	}
	defer s.budget.Over()
	conn := s.conn
	begun := time.Now()
	if err := conn.SetDeadline(begun.Add(wait)); err != nil {
		return frame{memory: memory}, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(begun) })
	s.request = appendRequest(s.request[:0], s.cfg.Version, typ, body)
	f := frame{memory: memory}
	if _, err = conn.Write(s.request); err == nil {
		f, err = s.frames.next(memory)
	}
	if !stop() && err != nil {
		err = context.Cause(ctx)
	}
	s.used = time.Now()
	s.count(func(t *Statistics) {
		if s.opened.IsZero() {
			s.opened = begun
		}
		s.answered = s.used
		t.Requests++
		t.InFlight += s.used.Sub(begun)
		t.BytesSent += int64(len(s.request))
		t.BytesReceived += s.frames.total
	})
	s.frames.total = 0
	return f, err
}

// connect makes sure that there is a logged-in connection; reused: it was there before.
func (s *session) connect(ctx context.Context) (reused bool, err error) {
	if s.conn != nil && time.Since(s.used) > s.cfg.SessionTimeout {
		s.drop()
	}
	if s.conn != nil {
		return true, nil
	}
	if err := s.budget.Allowed(ctx); err != nil {
		return false, err
	}
	if err := sleepUntil(ctx, s.notUntil); err != nil {
		return false, err
	}
	dialled, cancel := context.WithTimeout(ctx, dialWait)
	defer cancel()
	conn, err := s.cfg.Dial(dialled, s.cfg.Address)
	if err != nil {
		s.backOff()
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		return false, s.unreachable(err)
	}
	s.conn, s.frames.source = conn, conn
	if err := s.login(ctx); err != nil {
		s.drop()
		s.backOff()
		return false, err
	}
	s.failures = 0
	s.count(func(t *Statistics) {
		if t.Logins++; t.Logins > 1 {
			t.Reconnects++
		}
	})
	return false, nil
}

// firstConnections may fail before an address that was never reached counts as wrong.
const firstConnections = 5

// unreachable classifies a connection that did not come about.
func (s *session) unreachable(err error) error {
	e := &connector.Error{Op: "connect to " + s.cfg.Address, Class: connector.Transient, Err: err}
	if s.failures >= firstConnections && s.statistics().Logins == 0 {
		e.Class, e.Code = connector.Permanent, Name+"_unreachable"
		e.Hint = "nobody was reached there in five attempts: check the address and the network"
	}
	return e
}

// login opens the session on a new connection.
func (s *session) login(ctx context.Context) error {
	key := s.cfg.APIKey
	if key == "" {
		key = "0"
	}
	const op = "log in to " + Name
	body := strings.Join([]string{"login", s.cfg.User, s.cfg.Password, key}, "\x01")
	f, err := s.exchange(ctx, 0, body, loginWait, nil)
	if dropped(err) && ctx.Err() == nil {
		return &connector.Error{
			Op: op, Class: connector.Transient, Code: Name + "_client_version",
			Err:  fmt.Errorf("the service reset the connection at login: %w", err),
			Hint: fmt.Sprintf("it does so with client versions it no longer takes; this is %s: %s", s.cfg.Version, hints[codeVersion]),
		}
	}
	if err != nil {
		return s.failed(op, err)
	}
	parts := strings.Split(string(f.body), "\x01")
	err = serviceError(op, bytes.Split(f.body, []byte{separator}))
	switch {
	case hasCode(err, codeBlacklisted):
		return s.blacklisted(ctx)
	case hasCode(err, codeVersion):
		e, _ := errors.AsType[*connector.Error](err)
		e.Hint = fmt.Sprintf("this is %s: %s", s.cfg.Version, e.Hint)
		return e
	case err != nil:
		return s.failed(op, err)
	case f.typ != 1 || len(parts) < 4 || parts[fieldMethod] != "login":
		return s.failed(op, fmt.Errorf("%w: type %02d, %q", errFrame, f.typ, clip(f.body)))
	}
	s.user = parts[fieldUser]
	return nil
}

// logout ends the session and the connection; what goes wrong with it is of no interest any more.
func (s *session) logout() {
	if s.conn == nil {
		return
	}
	defer s.drop()
	ctx, cancel := context.WithTimeout(context.Background(), logoutWait)
	defer cancel()
	stamp := s.cfg.Now().In(exchangeZone).Format("20060102150405")
	_, _ = s.exchange(ctx, 2, "logout\x01"+s.user+"\x01"+stamp, logoutWait, nil)
}

// drop closes the connection.
func (s *session) drop() {
	if s.conn != nil {
		_ = s.conn.Close()
		s.conn = nil
	}
}

// Waits before the next connection after failed ones.
const (
	firstBackOff = 500 * time.Millisecond
	maxBackOff   = 30 * time.Second
)

func (s *session) backOff() {
	wait := min(firstBackOff<<min(s.failures, 10), maxBackOff)
	s.failures++
	s.notUntil = time.Now().Add(wait/2 + rand.N(wait/2)) //nolint:gosec // spreads load
}

func sleepUntil(ctx context.Context, when time.Time) error {
	wait := time.Until(when)
	if wait <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// close logs out and gives the budget back what was not sent; the session may be used again.
func (s *session) close() error {
	if err := s.acquire(context.Background(), "close"); err != nil {
		return err
	}
	defer s.release()
	s.logout()
	return s.budget.GiveBack(context.Background())
}

// keepAlive asks for one trade date whenever the session was idle for the interval, until ctx ends.
func (s *session) keepAlive(ctx context.Context) error {
	ticker := time.NewTicker(s.cfg.HeartbeatInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			s.beat(ctx)
		}
	}
}

// beat is one heartbeat. A session in use is alive without it.
func (s *session) beat(ctx context.Context) {
	select {
	case <-s.lock:
	default:
		return
	}
	s.count(func(*Statistics) { s.holder = "heartbeat" })
	defer s.release()
	if s.conn == nil || time.Since(s.used) < s.cfg.HeartbeatInterval {
		return
	}
	today := s.cfg.Now().In(exchangeZone).Format(time.DateOnly)
	if _, err := s.query(ctx, TradeDates, []string{today, today}, 1, nil); err != nil && ctx.Err() == nil {
		s.log.Info("session is gone", "error", err)
		s.drop()
	}
}

// statistics returns what was done so far.
func (s *session) statistics() Statistics {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.statisticsLocked()
}

func (s *session) statisticsLocked() Statistics {
	stats := s.stats
	stats.Open = s.answered.Sub(s.opened)
	return stats
}

// news returns what was done since it was asked last: sources that share a session, beside or after
// each other, report every request once.
func (s *session) news() Statistics {
	s.mu.Lock()
	defer s.mu.Unlock()
	stats := s.statisticsLocked()
	before := s.reported
	s.reported = stats
	return stats.since(before)
}
