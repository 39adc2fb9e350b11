package tapeline_test

import (
	"os/exec"
	"strings"
	"testing"
)

// A machine without zone files would read and show every zone as UTC.
func TestBinaryBringsTimeZones(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "./cmd/tapeline").Output()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(out), "\ntime/tzdata\n") {
		t.Error("time/tzdata is not part of the binary")
	}
}
