package run

import (
	"time"

	"github.com/tapeline/tapeline/internal/flow/plan"
)

type strategy struct {
	next func(time.Time, error) (time.Duration, bool)
}

func newStrategy(r plan.Restart) strategy {
	left := r.Attempts
	return strategy{func(time.Time, error) (time.Duration, bool) {
		if r.Type == "" || r.Type == "none" || left <= 0 {
			return 0, false
		}
		left--
		return r.Delay, true
	}}
}
