package market

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tapeline/tapeline/internal/testenv"
)

// docLines are the lines of docs/market.md that restate the code.
func docLines(t *testing.T) map[string][]string {
	t.Helper()
	lines := map[string][]string{}
	for _, s := range Schemes()[1:] {
		lines["Symbols"] = append(lines["Symbols"], fmt.Sprintf("| %s | `%s` |", s, strings.ReplaceAll(forms[s].examples(), ", ", "` `")))
	}
	all, err := builtIn()
	if err != nil {
		t.Fatal(err)
	}
	for mic, c := range all {
		covers := c.Covers().From.String() + " to " + c.Covers().To.String()
		if c.open == nil {
			covers = "always open"
		}
		lines["Calendars"] = append(lines["Calendars"], fmt.Sprintf("| %s | %s | %s |", mic, c.Zone(), covers))
	}
	slices.Sort(lines["Calendars"])
	for _, d := range Datasets() {
		lines["Datasets"] = append(lines["Datasets"], fmt.Sprintf("| %s | %s | %s | %s |",
			d.Name, strings.Join(d.Key, ", "), d.Partition, strings.ReplaceAll(strings.Join(d.Schema.Names(), " "), "|", "")))
	}
	for _, r := range Rules() {
		when, of := "before a write", "all"
		if r.Scope == CrossRow {
			when = "by verify"
		}
		if r.Datasets != nil {
			of = strings.Join(r.Datasets, ", ")
		}
		lines["Rules of quality"] = append(lines["Rules of quality"], fmt.Sprintf("| %s | %s | %s | %s |", r.Name, when, of, r.Doc))
	}
	return lines
}

// TestDocs: the page says what the code does.
func TestDocs(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join(testenv.Root(), "docs", "market.md"))
	if err != nil {
		t.Fatal(err)
	}
	for title, want := range docLines(t) {
		_, section, found := strings.Cut(string(page), "\n## "+title+"\n")
		section, _, _ = strings.Cut(section, "\n## ")
		var got []string
		for line := range strings.SplitSeq(section, "\n") {
			if strings.HasPrefix(line, "| ") && !strings.HasPrefix(line, "| name |") {
				got = append(got, line)
			}
		}
		if !found || !slices.Equal(got, want) {
			t.Errorf("docs/market.md, section %q: the table is not\n%s", title, strings.Join(want, "\n"))
		}
	}
}
