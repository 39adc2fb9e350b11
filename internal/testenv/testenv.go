// Package testenv says what the machine offers to tests: real data, real servers, CI.
//
// Only test files import it. invariant: a skip prints its reason and is a failure under CI=true.
package testenv

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// Skip skips t with the reason, or fails it when CI=true: a skip must never look green there.
func Skip(t testing.TB, reason string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("not run: %s (a skip fails under CI=true)", reason)
	}
	t.Skipf("not run: %s", reason)
}

// Data returns the folder of the named real data set, below TAPELINE_DATA
// (default ../shared/data beside the repository), or skips.
func Data(t testing.TB, set string) string {
	t.Helper()
	root := os.Getenv("TAPELINE_DATA")
	if root == "" {
		root = filepath.Join(Root(), "..", "shared", "data")
	}
	dir := filepath.Join(root, set)
	if _, err := os.Stat(dir); err != nil {
		Skip(t, "data set "+set+" is not at "+dir+"; set TAPELINE_DATA")
	}
	return dir
}

// Root returns the root folder of the repository's source.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..")
}

// Server returns the connection string in the environment variable that
// scripts/services exports for a real server, or skips naming how to get one.
func Server(t testing.TB, variable string) string {
	t.Helper()
	dsn := os.Getenv(variable)
	if dsn == "" {
		Skip(t, variable+" is not set; run the tests by `make test`, which starts the server, "+
			"or `eval \"$(scripts/services start)\"`")
	}
	return dsn
}
