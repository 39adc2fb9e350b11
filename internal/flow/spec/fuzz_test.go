package spec_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tapeline/tapeline/internal/flow/spec"
)

// FuzzParse: no text makes Parse panic, problems have places inside the text, and the print
// without secrets reads again and prints the same.
func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/*.yaml", "testdata/stories/*.txt", "../../../examples/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			f.Fatalf("%s: no seeds, %v", pattern, err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			for part := range strings.SplitSeq(string(data), "\n\n") {
				text, _, _ := strings.Cut(part, "\n----\n")
				if _, rest, ok := strings.Cut(text, "\n"); ok && strings.HasSuffix(file, ".txt") {
					text = rest
				}
				f.Add([]byte(text))
			}
			f.Add(data)
		}
	}
	options := spec.Options{
		Catalogue:    testCatalogue(),
		AllowMissing: true,
		Lookup:       func(name string) (string, bool) { return "v: [" + name, name == "A" },
		ReadFile:     func(string) ([]byte, error) { return []byte("secret\n"), nil },
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		document, problems := spec.Parse("wf.yaml", data, options)
		lines := strings.Count(string(data), "\n") + strings.Count(string(data), "\r") + 1
		for _, p := range problems {
			if strings.Contains(p.Message, "internal fault") {
				t.Fatal(p)
			}
			if p.Line > lines || p.Message == "" {
				t.Fatalf("%d lines: %+v", lines, p)
			}
		}
		if document == nil || spec.Failed(problems) {
			return
		}
		for _, n := range document.Nodes() {
			n.Fingerprint()
		}
		printed := document.Redacted()
		again, problems := spec.Parse("printed.yaml", printed, options)
		if again == nil {
			t.Fatalf("the print is no document: %v\n%s", problems, printed)
		}
		if second := again.Redacted(); string(second) != string(printed) {
			t.Fatalf("printed twice:\n%s\n---\n%s", printed, second)
		}
	})
}
