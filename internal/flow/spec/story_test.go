package spec_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/tapeline/tapeline/internal/flow/spec"
)

// TestStories runs documents through Parse: testdata holds what they report.
//
//	parse [env=(A=1,B=2)] [set=(a.b=c)] [missing] [untyped]   problems, or ok and the nodes
//	redacted                                                  the document without secrets
//	expression node=a path=condition at=N                     a problem inside a value's text
func TestStories(t *testing.T) {
	t.Parallel()
	datadriven.Walk(t, "testdata/stories", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, td *datadriven.TestData) string {
			document, problems := spec.Parse("wf.yaml", []byte(td.Input), storyOptions(td))
			switch td.Cmd {
			case "parse":
				return tell(document, problems)
			case "redacted":
				if spec.Failed(problems) {
					return tell(document, problems)
				}
				return string(document.Redacted())
			case "expression":
				var node, path string
				var at int
				td.ScanArgs(t, "node", &node)
				td.ScanArgs(t, "path", &path)
				td.ScanArgs(t, "at", &at)
				return document.Node(node).Problem(path, at, "here").String() + "\n"
			}
			t.Fatalf("unknown command %s", td.Cmd)
			return ""
		})
	})
}

func storyOptions(td *datadriven.TestData) spec.Options {
	environment := map[string]string{}
	options := spec.Options{
		Catalogue: testCatalogue(),
		Lookup: func(name string) (string, bool) {
			value, ok := environment[name]
			return value, ok
		},
		ReadFile: func(path string) ([]byte, error) {
			if path != "/run/secrets/db" {
				return nil, fmt.Errorf("open %s: %w", path, os.ErrNotExist)
			}
			return []byte("postgres://u:hunter2@db/x\n"), nil
		},
	}
	for _, argument := range td.CmdArgs {
		switch argument.Key {
		case "env":
			for _, pair := range argument.Vals {
				name, value, _ := strings.Cut(pair, "=")
				environment[name] = strings.NewReplacer(`\n`, "\n", `\s`, " ").Replace(value)
			}
		case "set":
			options.Set = argument.Vals
		case "missing":
			options.AllowMissing = true
		case "untyped":
			options.Catalogue = nil
		}
	}
	return options
}

func tell(document *spec.Document, problems []spec.Problem) string {
	var b strings.Builder
	for _, p := range problems {
		b.WriteString(p.String() + "\n")
	}
	if spec.Failed(problems) {
		return b.String()
	}
	fmt.Fprintf(&b, "ok: %s\n", document.Name)
	for _, n := range document.Nodes() {
		fmt.Fprintf(&b, "  %s %s (%s) %v\n", n.Kind.Noun(), n.ID, n.Type, n.Inputs)
	}
	for _, p := range document.Blocked {
		fmt.Fprintf(&b, "  blocked: %s\n", p.Message)
	}
	return b.String()
}
