package spec

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/tapeline/tapeline/internal/testenv"
)

// suiteCase is one case of a file of the YAML test suite.
type suiteCase struct {
	Name string  `yaml:"name"`
	Fail bool    `yaml:"fail"`
	YAML string  `yaml:"yaml"`
	JSON *string `yaml:"json"`
	Tags string  `yaml:"tags"`
}

func readSuite(t *testing.T) map[string]suiteCase {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(testenv.Data(t, "yaml_test_suite"), "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	cases := map[string]suiteCase{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var list []suiteCase
		if err := yaml.Unmarshal(data, &list); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		whole := list[0]
		for i, c := range list {
			if c.YAML == "" { // later cases of a file repeat what they do not say
				c.YAML = whole.YAML
			}
			id := strings.TrimSuffix(filepath.Base(file), ".yaml")
			if len(list) > 1 {
				id += "/" + string(rune('0'+i/10)) + string(rune('0'+i%10))
			}
			c.YAML = visible(c.YAML)
			cases[id] = c
		}
	}
	return cases
}

// visible decodes the suite's marks for white space.
func visible(text string) string {
	return strings.NewReplacer(
		"␣", " ", "————»", "\t", "———»", "\t", "——»", "\t", "—»", "\t", "»", "\t", "↵", "",
		"∎\n", "", "←", "\r", "⇔", "\uFEFF",
	).Replace(text)
}

// suiteOutcome runs one case through the loader's first stage.
func suiteOutcome(c suiteCase) (root *Value, problems []Problem) {
	r := &report{file: "case"}
	root = parseTree(newSource("case", c.YAML), r)
	return root, r.problems()
}

// TestSuite runs the YAML test suite through the loader: never a panic; what must fail is
// rejected; what is read equals the suite's JSON. The exceptions are listed with their reason.
func TestSuite(t *testing.T) {
	t.Parallel()
	accepted, misread, refused := 0, 0, 0
	seen := map[string]bool{}
	for id, c := range readSuite(t) {
		seen[id] = true
		root, problems := suiteOutcome(c)
		for _, p := range problems {
			if strings.Contains(p.Message, "cannot read this") {
				t.Logf("%s: a panic of the library became a problem: %s", id, p.Message)
			}
		}
		got := suiteVerdict(t, c, root, problems)
		if want := suiteExceptions()[id]; got != want {
			t.Errorf("%s (%s): got %q, listed as %q\n%s\n%v", id, c.Name, got, want, c.YAML, problems)
		}
		switch got {
		case "":
			accepted++
		case refusal:
			refused++
		default:
			misread++
		}
	}
	for id := range suiteExceptions() {
		if !seen[id] {
			t.Logf("exception %s is not in this part of the suite", id)
		}
	}
	t.Logf("%d as the suite says, %d valid ones refused, %d wrong", accepted, refused, misread)
}

// suiteVerdict says what happened: "" as the suite says.
func suiteVerdict(t *testing.T, c suiteCase, root *Value, problems []Problem) string {
	t.Helper()
	switch {
	case c.Fail && !Failed(problems):
		return "accepted, must fail"
	case c.Fail:
		return ""
	case Failed(problems):
		return refusal
	case c.JSON == nil:
		return ""
	}
	decoder := json.NewDecoder(strings.NewReader(*c.JSON))
	var want, second any
	if err := decoder.Decode(&want); err != nil {
		if errors.Is(err, io.EOF) {
			return ""
		}
		t.Fatal(err)
	}
	if !errors.Is(decoder.Decode(&second), io.EOF) {
		return "several documents"
	}
	text, err := json.Marshal(root.Any())
	if err != nil {
		return "no JSON"
	}
	var got any
	if err := json.NewDecoder(bytes.NewReader(text)).Decode(&got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		return "misread"
	}
	return ""
}

const refusal = "refused"

// suiteExceptions returns the verdicts that differ from the suite, by the reason.
func suiteExceptions() map[string]string {
	exceptions := map[string]string{
		// A trailing --- starts a second document without content; it is let pass.
		"PUW8": "several documents", "W4TN": "several documents",
	}
	for _, ids := range map[string]string{
		"rule: tags beyond the core schema": "2XXW 565N 6WLZ 7FWL 9WXW C4HZ CUP7 J7PZ P76L UGM3 Z67P Z9M4",
		"rule: one document in a file":      "6ZKB 9DXL KSS4 L383 RZT7 U9NS",
		"rule: a document has content":      "6XDY 8G76 98YD AVM7 QT73 DK95/07 ZYU8/00",
		"rule: keys are scalars":            "6PBE CFD4 LX3P M5DY NKF9 SBG9 V9D5 X38W",
		// Errors of github.com/goccy/go-yaml v1.19.2 on valid text.
		"library: directives without a version or with comments":   "ZYU8/01 ZYU8/02 ZYU8/03",
		"library: a key inside brackets with its : on a new line":  "4MUZ/02 VJP3/01",
		"library: a line of only a tab":                            "DK95/04",
		"library: a pair with an empty key, or as [a: b, ? c : d]": "9MMW NHX8 FRK4",
		"library: comment lines between ? and its value":           "RZP5",
	} {
		for id := range strings.FieldsSeq(ids) {
			exceptions[id] = refusal
		}
	}
	return exceptions
}
