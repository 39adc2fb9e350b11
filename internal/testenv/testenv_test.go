package testenv

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// recorder is a test that only notes how it was ended.
type recorder struct {
	testing.TB
	failed, skipped string
}

func (r *recorder) Helper() {}

func (r *recorder) Fatalf(format string, args ...any) {
	r.failed = fmt.Sprintf(format, args...)
	runtime.Goexit() // as the real one does
}

func (r *recorder) Skipf(format string, args ...any) {
	r.skipped = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// skip calls Skip in a goroutine that it may end.
func skip(reason string) *recorder {
	r, done := &recorder{}, make(chan struct{})
	go func() {
		defer close(done)
		Skip(r, reason)
	}()
	<-done
	return r
}

// invariant: a skip prints its reason and is a failure under CI=true.
func TestSkip(t *testing.T) {
	t.Setenv("CI", "")
	local := skip("no server")
	if local.failed != "" || !strings.Contains(local.skipped, "no server") {
		t.Errorf("outside CI: failed %q, skipped %q; want a skip with the reason", local.failed, local.skipped)
	}
	t.Setenv("CI", "true")
	ci := skip("no server")
	if ci.skipped != "" || !strings.Contains(ci.failed, "no server") {
		t.Errorf("under CI: failed %q, skipped %q; want a failure with the reason", ci.failed, ci.skipped)
	}
}
