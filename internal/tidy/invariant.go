package tidy

import (
	"regexp"
	"strings"
)

// tag matches an enforcement site's tag, to the end of its line.
var tag = regexp.MustCompile(`\binvariant: +(\S.*)`)

// Invariants checks that each tag in the code is repeated, word for word, in at least one test
// file: the test that fails when the invariant breaks.
func Invariants(t *Tree) []Finding {
	var tests strings.Builder
	for _, s := range t.sources {
		if s.test() {
			tests.WriteString(plain(string(s.text)))
		}
	}
	named := tests.String()
	var found []Finding
	for _, s := range t.sources {
		if s.test() {
			continue
		}
		for _, group := range s.file.Comments {
			for _, comment := range group.List {
				match := tag.FindStringSubmatch(comment.Text)
				if match == nil {
					continue
				}
				if text := plain("invariant: " + match[1]); !strings.Contains(named, text) {
					found = append(found, s.find(comment.Pos(), "no test names this tag: write %q in the "+
						"comment of the test that fails without it", strings.TrimSpace(text)))
				}
			}
		}
	}
	return found
}

// plain lowers the case, joins blanks and drops a closing full stop, so that a tag and its test
// may differ in these only.
func plain(text string) string {
	text = strings.ToLower(strings.Join(strings.Fields(text), " "))
	return strings.TrimRight(text, ".;,")
}
