// Command testcount reads the output of `go test -json` from standard input and prints what a
// person wants of it: a line per package, the output of each failed test when it fails, the
// reasons of what was not run, and a closing line `N passed, N failed, N skipped`.
//
// Path of one event: decode (main) -> counter.add -> counter.finish -> counter.close.
//
// Only leaves count: a test with subtests counts itself when it fails and none of them did. A
// package that fails without a failed test (it does not build, it died) counts as one failure.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// errFailed says that at least one test failed.
var errFailed = errors.New("tests failed")

func main() {
	err := count(os.Stdin, os.Stdout)
	if err == nil {
		return
	}
	if !errors.Is(err, errFailed) { // what failed is printed already, and the closing line is the last
		fmt.Fprintln(os.Stderr, "testcount:", err)
	}
	os.Exit(1)
}

// event is one line of `go test -json` (go doc test2json), including those of the build.
type event struct {
	Action      string
	Package     string
	ImportPath  string // of build output, instead of Package
	Test        string
	Elapsed     float64 // seconds
	Output      string
	FailedBuild string
}

// test is what is known of one test of one package.
type test struct {
	output  []string // until it is known to pass
	parent  bool     // it has subtests
	failing bool     // it, or one of its subtests, failed
	done    bool
}

// suite is one package under test.
type suite struct {
	tests  map[string]*test
	output []string // printed outside any test
	passed, failed,
	skipped int
}

// counter follows all packages.
type counter struct {
	out      io.Writer
	suites   map[string]*suite
	skips    []string // "package test: reason"
	failures []string
	build    map[string][]string // compiler output by import path
	passed, failed,
	skipped int
}

// count reads events to the end and prints the closing line. It returns an error when a test
// failed or when there was no test at all.
func count(in io.Reader, out io.Writer) error {
	const maxLineBytes = 64 << 20 // one event carries one line of a test's output
	c := &counter{out: out, suites: map[string]*suite{}, build: map[string][]string{}}
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 0, 1<<16), maxLineBytes)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			fmt.Fprintln(out, lines.Text()) // a message of the go command itself
			continue
		}
		c.add(e)
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read test events: %w", err)
	}
	return c.close()
}

// add takes one event.
func (c *counter) add(e event) {
	switch {
	case e.Action == "build-output":
		c.build[e.ImportPath] = append(c.build[e.ImportPath], e.Output)
	case e.Package == "":
	case e.Test == "":
		c.addSuite(e)
	default:
		c.addTest(e)
	}
}

// suite returns the record of a package, made at its first event.
func (c *counter) suite(name string) *suite {
	s := c.suites[name]
	if s == nil {
		s = &suite{tests: map[string]*test{}}
		c.suites[name] = s
	}
	return s
}

// addTest takes an event of a test.
func (c *counter) addTest(e event) {
	s := c.suite(e.Package)
	t := s.tests[e.Test]
	if t == nil {
		t = &test{}
		s.tests[e.Test] = t
		if above := s.above(e.Test); above != nil {
			above.parent = true
		}
	}
	switch e.Action {
	case "output":
		t.output = append(t.output, e.Output)
	case "pass", "fail", "skip":
		c.finish(s, e, t)
	}
}

// above returns the nearest recorded ancestor of a subtest, or nil.
func (s *suite) above(name string) *test {
	for {
		cut := strings.LastIndexByte(name, '/')
		if cut < 0 {
			return nil
		}
		name = name[:cut]
		if t := s.tests[name]; t != nil {
			return t
		}
	}
}

// finish takes the result of a test.
func (c *counter) finish(s *suite, e event, t *test) {
	t.done = true
	switch {
	case e.Action == "fail":
		c.fail(s, e.Package, e.Test, t)
	case t.parent:
	case e.Action == "skip":
		s.skipped++
		c.skips = append(c.skips, short(e.Package)+" "+e.Test+reason(t.output))
	default:
		s.passed++
	}
	t.output = nil
}

// fail prints a failed test at once and counts it unless a subtest's failure was counted.
func (c *counter) fail(s *suite, name, testName string, t *test) {
	fmt.Fprintf(c.out, "%s", strings.Join(t.output, ""))
	if !t.failing {
		s.failed++
		c.failures = append(c.failures, short(name)+" "+testName)
	}
	if above := s.above(testName); above != nil {
		above.failing = true
	}
}

// reason extracts why a test was skipped from its output.
func reason(output []string) string {
	for _, line := range output {
		if text := strings.TrimSpace(line); text != "" && !strings.HasPrefix(text, "===") &&
			!strings.HasPrefix(text, "--- ") {
			return ": " + text
		}
	}
	return ": it does not say why"
}

// addSuite takes an event of a whole package.
func (c *counter) addSuite(e event) {
	s := c.suite(e.Package)
	switch e.Action {
	case "output":
		s.output = append(s.output, e.Output)
	case "fail":
		c.failSuite(s, e)
		fmt.Fprintf(c.out, "FAIL  %-40s %7.2fs  %d passed, %d failed, %d skipped\n",
			short(e.Package), e.Elapsed, s.passed, s.failed, s.skipped)
		c.take(s, e.Package)
	case "pass":
		fmt.Fprintf(c.out, "ok    %-40s %7.2fs  %d passed, %d skipped\n",
			short(e.Package), e.Elapsed, s.passed, s.skipped)
		c.take(s, e.Package)
	case "skip":
		c.take(s, e.Package)
	}
}

// failSuite counts tests that never ended, or the package itself when no test is to blame.
func (c *counter) failSuite(s *suite, e event) {
	names := make([]string, 0, len(s.tests))
	for name, t := range s.tests {
		if !t.done && !t.parent {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		c.fail(s, e.Package, name, s.tests[name])
	}
	if s.failed == 0 {
		fmt.Fprint(c.out, strings.Join(c.build[e.FailedBuild], ""), strings.Join(s.output, ""))
		s.failed++
		c.failures = append(c.failures, short(e.Package))
	}
}

// take adds a finished package to the totals and forgets it.
func (c *counter) take(s *suite, name string) {
	c.passed += s.passed
	c.failed += s.failed
	c.skipped += s.skipped
	delete(c.suites, name)
}

// close prints what was not run, what failed, and the closing line.
func (c *counter) close() error {
	for name, s := range c.suites { // the go command died before this package ended
		c.failSuite(s, event{Package: name})
		c.take(s, name)
	}
	c.list("not run:", c.skips)
	c.list("failed:", c.failures)
	fmt.Fprintf(c.out, "%d passed, %d failed, %d skipped\n", c.passed, c.failed, c.skipped)
	switch {
	case c.failed > 0:
		return errFailed
	case c.passed+c.skipped == 0:
		return errors.New("no test was run")
	}
	return nil
}

// list prints a heading and its lines, sorted.
func (c *counter) list(heading string, lines []string) {
	if len(lines) == 0 {
		return
	}
	slices.Sort(lines)
	fmt.Fprintf(c.out, "%s\n  %s\n", heading, strings.Join(lines, "\n  "))
}

// short drops the module's path from a package's.
func short(name string) string {
	return strings.TrimPrefix(name, "github.com/tapeline/tapeline/")
}
