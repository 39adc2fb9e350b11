package baostock

import (
	"time"

	"github.com/tapeline/tapeline/internal/provider"
)

// Statistics is what a session has done since it was made.
type Statistics struct {
	Requests      int64 // sent, logins and logouts included
	Logins        int64
	Reconnects    int64         // connections after the first
	BytesReceived int64         // as on the wire
	BytesSent     int64         //
	Rows          int64         // records received
	Locks         int64         // how often the session was asked for
	LockTimeouts  int64         // how often it was not free within lock_timeout
	LockWait      time.Duration // all waits for it together
	InFlight      time.Duration // all requests together
	Paced         time.Duration // waits for the budget together, of Open
	Open          time.Duration // from the first request to the end of the last
}

// since returns what was done after earlier statistics of the same session.
func (s Statistics) since(earlier Statistics) Statistics {
	s.Requests -= earlier.Requests
	s.Logins -= earlier.Logins
	s.Reconnects -= earlier.Reconnects
	s.BytesReceived -= earlier.BytesReceived
	s.BytesSent -= earlier.BytesSent
	s.Rows -= earlier.Rows
	s.Locks -= earlier.Locks
	s.LockTimeouts -= earlier.LockTimeouts
	s.LockWait -= earlier.LockWait
	s.InFlight -= earlier.InFlight
	s.Paced -= earlier.Paced
	s.Open -= earlier.Open
	return s
}

// MeanLockWait returns the mean wait for the session.
func (s Statistics) MeanLockWait() time.Duration { return mean(s.LockWait, s.Locks) }

// MeanRequest returns the mean time from sending a request to its complete answer.
func (s Statistics) MeanRequest() time.Duration { return mean(s.InFlight, s.Requests) }

// Utilisation returns the share of the session's time in which a request was under way, 0 to 1.
// Time in which the budget forbade to ask does not count.
func (s Statistics) Utilisation() float64 { return provider.Utilisation(s.InFlight, s.Open-s.Paced) }

func mean(total time.Duration, n int64) time.Duration {
	if n == 0 {
		return 0
	}
	return total / time.Duration(n)
}
