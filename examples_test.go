package tapeline_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tapeline/tapeline/internal/testenv"
)

// inRepository returns a folder in which examples/ is as in the repository.
func inRepository(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "examples"), os.DirFS(filepath.Join(testenv.Root(), "examples"))); err != nil {
		t.Fatal(err)
	}
	return dir
}

// The examples that need no other system run as they stand, and their tests pass.
func TestExamplesRun(t *testing.T) {
	dir := inRepository(t)
	mustRun(t, dir, nil, "run", "examples/active-customers.yaml")
	want := "id,name,status,balance,with_tax\n1,Ada,active,120.50,143.3950\n4,\"Dee, Ltd.\",active,19.99,23.7881\n"
	if got := readFile(t, filepath.Join(dir, "active.csv")); got != want {
		t.Errorf("active.csv is\n%s\nwant\n%s", got, want)
	}
	generated := mustRun(t, dir, nil, "run", "examples/generate.yaml", "--limit", "1000")
	wantAll(t, generated.errors, "generate completed")
	for _, name := range []string{"active-customers", "demo"} {
		wantAll(t, mustRun(t, dir, nil, "test", "examples/"+name+".yaml").out, "1 passed, 0 failed")
	}
}

// The commands that README and examples/README show do what they say.
func TestShownCommandsRun(t *testing.T) {
	dir := inRepository(t)
	commands := 0
	for line := range strings.Lines(readFile(t, filepath.Join(testenv.Root(), "examples", "README.md"))) {
		line, _, _ = strings.Cut(strings.TrimSpace(line), "  #")
		if !strings.HasPrefix(line, "bin/tapeline ") {
			continue
		}
		for command := range strings.SplitSeq(line, " && ") {
			args := words(t, strings.TrimSpace(strings.TrimPrefix(command, "bin/tapeline ")))
			file := ""
			if n := len(args); n > 2 && args[n-2] == ">" {
				args, file = args[:n-2], args[n-1]
			}
			got := mustRun(t, dir, nil, args...)
			if file != "" {
				writeFile(t, filepath.Join(dir, file), got.out)
			}
			commands++
		}
	}
	if commands < 8 {
		t.Errorf("%d commands were found, want at least 8", commands)
	}
}

// words splits a command line at blanks outside quotes.
func words(t *testing.T, line string) []string {
	t.Helper()
	var out []string
	for line = strings.TrimSpace(line); line != ""; line = strings.TrimSpace(line) {
		if quote := line[0]; quote == '\'' || quote == '"' {
			end := strings.IndexByte(line[1:], quote)
			if end < 0 {
				t.Fatalf("%s: a quote is open", line)
			}
			out, line = append(out, line[1:end+1]), line[end+2:]
			continue
		}
		word, rest, _ := strings.Cut(line, " ")
		out, line = append(out, word), rest
	}
	return out
}
