package baostock

import (
	"log/slog"
	"sync"
)

// sessions are those of a process: one per service and user, however many sources read beside or
// after each other. A session that nobody uses is logged out, and keeps what it knows of the budget
// and of failed connections for the next user.
type sessions struct {
	mu    sync.Mutex
	byKey map[sessionKey]*sharedSession
}

type sessionKey struct{ address, user, password, apiKey, version string }

type sharedSession struct {
	session *session
	users   int
}

func newSessions() *sessions { return &sessions{byKey: map[sessionKey]*sharedSession{}} }

func keyOf(cfg Config) sessionKey {
	return sessionKey{cfg.Address, cfg.User, cfg.Password, cfg.APIKey, cfg.Version}
}

// open returns the session for a filled configuration. The first of its users sets the rest of it.
func (s *sessions) open(cfg Config, log *slog.Logger) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := keyOf(cfg)
	shared := s.byKey[key]
	if shared == nil {
		shared = &sharedSession{session: newSession(cfg, log)}
		s.byKey[key] = shared
	}
	if shared.users++; shared.users == 1 {
		shared.session.configure(cfg, log)
	}
	return shared.session
}

// close ends one use of a session, and with the last one its connection.
func (s *sessions) close(one *session) error {
	s.mu.Lock()
	shared := s.byKey[keyOf(one.cfg)]
	shared.users--
	last := shared.users == 0
	s.mu.Unlock()
	if !last {
		return nil
	}
	return one.close()
}
