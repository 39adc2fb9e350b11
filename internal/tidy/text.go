package tidy

import (
	"bytes"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
)

var (
	absolutePath = regexp.MustCompile(`(?:^|[\s"'` + "`" + `(=:,])(/[A-Za-z][\w.-]*(?:/[\w.-]+)+)`)
	homePath     = regexp.MustCompile(`^/(root|home/[\w.-]+|Users/[\w.-]+)(/|$)`)
	markdownLink = regexp.MustCompile(`\]\(([^)\s]+)\)`)
)

// MachinePaths checks text files for paths that exist on one machine only: a home folder, the
// repository's own place, or a folder beside it. root is the absolute path of the repository.
func MachinePaths(t *Tree, root string) []Finding {
	var found []Finding
	for name, text := range t.texts {
		if path.Base(name) == "go.sum" {
			continue
		}
		for i, line := range bytes.Split(text, []byte("\n")) {
			for _, match := range absolutePath.FindAllSubmatch(line, -1) {
				if candidate := string(match[1]); ofMachine(candidate, root) {
					found = append(found, Finding{Path: name, Line: i + 1, Text: candidate +
						" is a path of one machine: make it relative, or take it from the environment"})
				}
			}
		}
	}
	return found
}

// ofMachine reports whether an absolute path belongs to the machine the check runs on.
func ofMachine(candidate, root string) bool {
	if homePath.MatchString(candidate) {
		return true
	}
	beside := filepath.Dir(root)
	rest, below := strings.CutPrefix(candidate, beside+"/")
	if !below || beside == filepath.Clean(os.TempDir()) {
		return false
	}
	first, _, _ := strings.Cut(strings.TrimRight(rest, "."), "/")
	_, err := os.Stat(filepath.Join(beside, first))
	return err == nil
}

// Links checks that relative links of Markdown pages lead to a file of the repository.
func Links(t *Tree) []Finding {
	var found []Finding
	for name, text := range t.texts {
		if !strings.HasSuffix(name, ".md") || strings.Contains("/"+name, "/testdata/") {
			continue
		}
		for i, line := range strings.Split(string(text), "\n") {
			for _, match := range markdownLink.FindAllStringSubmatch(line, -1) {
				target, _, _ := strings.Cut(match[1], "#")
				if target == "" || strings.Contains(target, ":") {
					continue
				}
				if !t.files[path.Join(path.Dir(name), target)] {
					found = append(found, Finding{Path: name, Line: i + 1, Text: "link to " + target +
						" leads nowhere"})
				}
			}
		}
	}
	return found
}

// StaleDocs compares generated pages with those in a folder of the repository: want maps a file
// name to its bytes. A missing, different or left-over page is a finding.
//
// It is called from a test of the package that owns the generator; a page not generated any more
// is found by its suffix, the extension of the pages wanted.
func StaleDocs(folder string, want map[string][]byte) ([]Finding, error) {
	const instead = "run make docs and commit the result"
	var found []Finding
	entries, err := os.ReadDir(folder)
	if err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	for _, entry := range entries {
		if _, ok := want[entry.Name()]; !ok && strings.HasSuffix(entry.Name(), ".md") {
			found = append(found, Finding{Path: entry.Name(), Text: "page is not generated any more: " + instead})
		}
	}
	for name, text := range want {
		got, err := os.ReadFile(filepath.Join(folder, name))
		switch {
		case os.IsNotExist(err):
			found = append(found, Finding{Path: name, Text: "page is missing: " + instead})
		case err != nil:
			return nil, err
		case !bytes.Equal(got, text):
			found = append(found, Finding{Path: name, Text: "page is not current: " + instead})
		}
	}
	return found, nil
}
