package app_test

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tapeline/tapeline/internal/app"
	"github.com/tapeline/tapeline/internal/flow/op"
	"github.com/tapeline/tapeline/internal/flow/spec"
	"github.com/tapeline/tapeline/internal/testenv"
)

// The reference pages in docs/ are those the code makes; `make docs` rewrites them.
func TestDocsAreCurrent(t *testing.T) {
	parts, err := app.NewParts()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range parts.Docs() {
		file := filepath.Join(testenv.Root(), "docs", filepath.FromSlash(name))
		got, err := os.ReadFile(file)
		if err != nil || string(got) != want {
			t.Errorf("docs/%s is not current; run `make docs`: %v", name, err)
		}
	}
}

// Every example document lints without errors against the real node types.
func TestExamplesLint(t *testing.T) {
	parts, err := app.NewParts()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(testenv.Root(), "examples", "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("examples: %v, %v", files, err)
	}
	for _, file := range files {
		d, problems := spec.Load(file, spec.Options{Catalogue: parts, AllowMissing: true})
		if d != nil {
			_, more := parts.Build(d)
			problems = append(problems, more...)
		}
		for _, p := range problems {
			if p.Severity == spec.Error {
				t.Error(p)
			}
		}
	}
}

// Every operator has an example in its documentation, and the example is true.
func TestOperatorExamples(t *testing.T) {
	t.Chdir(t.TempDir())
	parts, err := app.NewParts()
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	makeCompanies(t, parts, log)
	examples := op.Examples()
	for _, name := range parts.Operators.Names() {
		t.Run(name, func(t *testing.T) {
			example, ok := examples[name]
			if !ok {
				t.Fatal("there is no example")
			}
			var text strings.Builder
			fmt.Fprintf(&text, `name: example
sources: {in: {type: generate, config: {rows: 1, fields: {unused: sequence}}}}
transformations: {%s: {type: %s, inputs: [in], config: %s}}
destinations: {out: {type: discard, inputs: [%s]}}
tests:
  - name: example
    given: {in: [%s]}
    expect:
`, name, name, example.Config, outputsOf(name, example), strings.Join(example.Given, ", "))
			for _, out := range example.Gives {
				node := name
				switch out.Port {
				case "":
				case "dead_letter":
					node = out.Port
				default:
					node += "." + out.Port
				}
				fmt.Fprintf(&text, "      %s: [%s]\n", node, strings.Join(out.Rows, ", "))
			}
			d, problems := spec.Parse(name+".yaml", []byte(text.String()), spec.Options{Catalogue: parts})
			if d == nil || spec.Failed(problems) {
				t.Fatalf("%v\n%s", problems, text.String())
			}
			results, err := parts.RunTests(t.Context(), d, log)
			if err != nil || len(results) != 1 {
				t.Fatalf("%v, %d results", err, len(results))
			}
			if !results[0].Passed {
				t.Errorf("%+v\n%s", results[0], text.String())
			}
		})
	}
}

// outputsOf lists what a destination reads of the example's node.
func outputsOf(name string, example op.Example) string {
	var out []string
	for _, rows := range example.Gives {
		switch rows.Port {
		case "", "dead_letter":
		default:
			out = append(out, name+"."+rows.Port)
		}
	}
	if out == nil {
		return name
	}
	return strings.Join(out, ", ")
}

// makeCompanies makes the table that the example of enrich looks up.
func makeCompanies(t *testing.T, parts *app.Parts, log *slog.Logger) {
	t.Helper()
	if err := os.WriteFile("companies.csv", []byte("ticker,name\nAAPL,Apple\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	text, err := parts.Document(app.Copy{From: "companies.csv", To: "companies.db"})
	if err != nil {
		t.Fatal(err)
	}
	d, problems := spec.Parse("copy", []byte(text), spec.Options{Catalogue: parts})
	if d == nil || spec.Failed(problems) {
		t.Fatal(problems)
	}
	engine, err := app.OpenEngine(parts, "state", log)
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	w, problems, err := engine.Start(t.Context(), d, app.RunOptions{})
	if err != nil || problems != nil {
		t.Fatal(err, problems)
	}
	if _, err := w.Wait(); err != nil {
		t.Fatal(err)
	}
}

// The document of the requirements lints and explains without errors, though one of its
// connectors is not in this binary.
func TestRequirementDocument(t *testing.T) {
	parts, err := app.NewParts()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(testenv.Root(), "internal", "flow", "spec", "testdata", "requirements.yaml")
	d, problems := spec.Load(file, spec.Options{Catalogue: parts, AllowMissing: true})
	if d == nil || spec.Failed(problems) {
		t.Fatalf("problems: %v", problems)
	}
	explained, problems := parts.Explain(t.Context(), d)
	if spec.Failed(problems) {
		t.Fatalf("explain: %v", problems)
	}
	var stages []string
	for _, s := range explained.Stages {
		for _, n := range s.Nodes {
			stages = append(stages, s.ID+":"+n.ID)
		}
	}
	want := []string{
		"postgres_source:postgres_source", "postgres_source:filter_active",
		"postgres_source:elasticsearch_sink",
	}
	if diff := cmp.Diff(want, stages); diff != "" {
		t.Error(diff)
	}
	if len(explained.Blocked) != 1 {
		t.Errorf("blocked: %q", explained.Blocked)
	}
}
