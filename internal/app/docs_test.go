package app_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tapeline/tapeline/internal/app"
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

// The document of the requirements lints and explains without errors, though one of its
// connectors is not in this binary; with csv in its place it plans.
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
