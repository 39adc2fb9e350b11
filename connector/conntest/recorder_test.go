package conntest

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// recorder runs a check and notes its failures instead of failing the test.
type recorder struct {
	testing.TB
	failures []string
	stopped  bool // FailNow was called
}

func (r *recorder) Helper() {}

func (r *recorder) Logf(string, ...any) {}

func (r *recorder) Error(args ...any) { r.failures = append(r.failures, fmt.Sprint(args...)) }

func (r *recorder) Errorf(format string, args ...any) { r.Error(fmt.Sprintf(format, args...)) }

func (r *recorder) Fatal(args ...any) { r.Error(args...); r.FailNow() }

func (r *recorder) Fatalf(format string, args ...any) {
	r.Error(fmt.Sprintf(format, args...))
	r.FailNow()
}

func (r *recorder) FailNow() { r.stopped = true; runtime.Goexit() }

func (r *recorder) Failed() bool { return len(r.failures) > 0 }

func (r *recorder) patience() time.Duration { return 100 * time.Millisecond }

// failing runs all checks and returns those that failed, with why.
func failing(t *testing.T, checks []check) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, c := range checks {
		if c.skip != "" {
			continue
		}
		r := &recorder{TB: t}
		done := make(chan struct{})
		go func() {
			defer close(done)
			defer func() {
				if p := recover(); p != nil {
					r.failures = append(r.failures, fmt.Sprintf("panic: %v", p))
				}
			}()
			c.run(r)
		}()
		<-done
		if r.Failed() {
			found[c.name] = strings.Join(r.failures, "; ")
		}
	}
	return found
}

// catches fails unless the named checks are among those that fail, with the words in their text.
func catches(t *testing.T, checks []check, want, words string) {
	t.Helper()
	found := failing(t, checks)
	text, ok := found[want]
	if !ok {
		t.Fatalf("check %q does not catch it; failing: %v", want, found)
	}
	if !strings.Contains(text, words) {
		t.Errorf("check %q says %q, want %q in it", want, text, words)
	}
}

// names returns the names of checks that apply.
func names(checks []check) []string {
	var out []string
	for _, c := range checks {
		if c.skip == "" {
			out = append(out, c.name)
		}
	}
	slices.Sort(out)
	return out
}
