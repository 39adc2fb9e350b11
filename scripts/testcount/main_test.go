package main

import (
	"encoding/json"
	"strings"
	"testing"
)

// events encodes short notes "action package[.Test[: output]]" as go test -json lines.
func events(t *testing.T, notes ...string) string {
	t.Helper()
	var text strings.Builder
	for _, note := range notes {
		action, rest, _ := strings.Cut(note, " ")
		place, output, _ := strings.Cut(rest, ": ")
		pkg, test, _ := strings.Cut(place, ".")
		e := event{Action: action, Package: pkg, Test: test}
		if output != "" {
			e.Output = output + "\n"
		}
		line, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		text.Write(line)
		text.WriteByte('\n')
	}
	return text.String()
}

func TestCount(t *testing.T) {
	for name, test := range map[string]struct {
		in       string
		want     string   // closing line
		contains []string // in the output before it
		fails    bool
	}{
		"pass": {
			in:   events(t, "run p.TestA", "output p.TestA: noise", "pass p.TestA", "pass p"),
			want: "1 passed, 0 failed, 0 skipped",
		},
		"subtests are leaves": {
			in: events(t, "run p.TestA", "run p.TestA/x", "run p.TestA/y", "pass p.TestA/x",
				"skip p.TestA/y", "pass p.TestA", "pass p"),
			want: "1 passed, 0 failed, 1 skipped",
		},
		"failed subtest counts once": {
			in: events(t, "run p.TestA", "run p.TestA/x", "output p.TestA/x: got 1, want 2",
				"fail p.TestA/x", "fail p.TestA", "fail p"),
			want: "0 passed, 1 failed, 0 skipped", contains: []string{"got 1, want 2", "p TestA/x"}, fails: true,
		},
		"parent that fails alone": {
			in: events(t, "run p.TestA", "run p.TestA/x", "pass p.TestA/x", "output p.TestA: after",
				"fail p.TestA", "fail p"),
			want: "1 passed, 1 failed, 0 skipped", contains: []string{"after"}, fails: true,
		},
		"skip says why": {
			in: events(t, "run p.TestA", "output p.TestA: === RUN TestA",
				"output p.TestA:     x_test.go:1: not run: no server", "skip p.TestA", "pass p"),
			want: "0 passed, 0 failed, 1 skipped", contains: []string{"p TestA: x_test.go:1: not run: no server"},
		},
		"package that does not build": {
			in: `{"Action":"build-output","ImportPath":"p [p.test]","Output":"p.go:1: undefined\n"}` + "\n" +
				`{"Action":"fail","Package":"p","FailedBuild":"p [p.test]"}` + "\n",
			want: "0 passed, 1 failed, 0 skipped", contains: []string{"p.go:1: undefined"}, fails: true,
		},
		"test that never ended": {
			in:   events(t, "run p.TestA", "output p.TestA: panic: bug", "fail p"),
			want: "0 passed, 1 failed, 0 skipped", contains: []string{"panic: bug"}, fails: true,
		},
		"stream that breaks off": {
			in:   events(t, "run p.TestA"),
			want: "0 passed, 1 failed, 0 skipped", fails: true,
		},
		"no test": {
			in: "go: no packages\n", want: "0 passed, 0 failed, 0 skipped",
			contains: []string{"go: no packages"}, fails: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			err := count(strings.NewReader(test.in), &out)
			if (err != nil) != test.fails {
				t.Errorf("got error %v, want one: %v", err, test.fails)
			}
			lines := strings.Split(strings.TrimSpace(out.String()), "\n")
			if got := lines[len(lines)-1]; got != test.want {
				t.Errorf("closing line: got %q, want %q", got, test.want)
			}
			for _, fragment := range test.contains {
				if !strings.Contains(out.String(), fragment) {
					t.Errorf("output lacks %q:\n%s", fragment, out.String())
				}
			}
			if name == "pass" && strings.Contains(out.String(), "noise") {
				t.Errorf("output of a passed test is shown:\n%s", out.String())
			}
		})
	}
}
