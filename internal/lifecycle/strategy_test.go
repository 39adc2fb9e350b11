package lifecycle_test

import (
	"io"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tapeline/tapeline/internal/fault"
	"github.com/tapeline/tapeline/internal/lifecycle"
)

const giveUp = time.Duration(-1)

// delays plays failures, each the given time after the restart before, and returns what follows.
func delays(s lifecycle.Strategy, lives ...time.Duration) []time.Duration {
	restarts := s.Start(func() float64 { return 0.25 })
	now := time.Unix(1_000_000, 0)
	var got []time.Duration
	for _, life := range lives {
		now = now.Add(life)
		delay, again := restarts.Next(now, io.EOF)
		if !again {
			return append(got, giveUp)
		}
		got = append(got, delay)
		now = now.Add(delay)
	}
	return got
}

func TestStrategies(t *testing.T) {
	t.Parallel()
	const s, m = time.Second, time.Minute
	cases := []struct {
		name     string
		strategy lifecycle.Strategy
		lives    []time.Duration
		want     []time.Duration
	}{
		{"zero value", lifecycle.Strategy{}, []time.Duration{s}, []time.Duration{giveUp}},
		{
			"none",
			lifecycle.Strategy{Kind: lifecycle.None, Attempts: 9},
			[]time.Duration{s},
			[]time.Duration{giveUp},
		},
		{
			"fixed delay",
			lifecycle.Strategy{Kind: lifecycle.FixedDelay, Attempts: 2, Delay: 3 * s},
			[]time.Duration{s, time.Hour, s},
			[]time.Duration{3 * s, 3 * s, giveUp},
		},
		{
			"exponential",
			lifecycle.Strategy{
				Kind: lifecycle.Exponential, Attempts: 4, Delay: s, MaxDelay: 5 * s, Multiplier: 3,
			},
			[]time.Duration{s, s, s, s, s},
			[]time.Duration{s, 3 * s, 5 * s, 5 * s, giveUp},
		},
		{
			"exponential that does not grow",
			lifecycle.Strategy{Kind: lifecycle.Exponential, Attempts: 3, Delay: s, Multiplier: 1},
			[]time.Duration{s, s, s, s},
			[]time.Duration{s, s, s, giveUp},
		},
		{
			"exponential forgets after a long life",
			lifecycle.Strategy{
				Kind: lifecycle.Exponential, Attempts: 2, Delay: s, ResetAfter: m,
			},
			[]time.Duration{s, s, m, m - 1, s},
			[]time.Duration{s, 2 * s, s, 2 * s, giveUp},
		},
		{
			"exponential without limit",
			lifecycle.Strategy{
				Kind: lifecycle.Exponential, Attempts: -1, Delay: s, MaxDelay: 2 * s, ResetAfter: -1,
			},
			[]time.Duration{s, s, s, time.Hour, s},
			[]time.Duration{s, 2 * s, 2 * s, 2 * s, 2 * s},
		},
		{
			"jitter", // half of the delay is random, of which 0.25 is drawn
			lifecycle.Strategy{Kind: lifecycle.Exponential, Attempts: 1, Delay: 8 * s, Jitter: 0.5},
			[]time.Duration{s},
			[]time.Duration{5 * s},
		},
		{
			"failure rate",
			lifecycle.Strategy{
				Kind: lifecycle.FailureRate, MaxFailures: 2, Interval: m, Delay: s,
			},
			[]time.Duration{s, 30 * s, 40 * s, 2 * m, s, s},
			[]time.Duration{s, s, s, s, s, giveUp},
		},
	}
	for _, c := range cases {
		if diff := cmp.Diff(c.want, delays(c.strategy, c.lives...)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestClassDecidesAboutRestart(t *testing.T) {
	t.Parallel()
	s := lifecycle.Strategy{Kind: lifecycle.FixedDelay, Attempts: -1, Delay: time.Second}
	again := map[fault.Class]bool{fault.Unknown: true, fault.Transient: true, fault.Throttled: true}
	for class := fault.Unknown; class <= fault.Data; class++ {
		_, got := s.Start(nil).Next(time.Now(), fault.New(class, "write", io.EOF))
		if got != again[class] {
			t.Errorf("%v: got %v, want %v", class, got, again[class])
		}
	}
	delay, _ := s.Start(nil).Next(time.Now(), fault.Throttle(time.Minute, "write", io.EOF))
	if delay != time.Minute {
		t.Errorf("throttled: got %v, want the minute it asks for", delay)
	}
}
