package spec_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/tapeline/tapeline/internal/flow/spec"
	"github.com/tapeline/tapeline/internal/testenv"
)

func compileSchema(t *testing.T, catalogue spec.Catalogue) *jsonschema.Schema {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(spec.Schema(catalogue)))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("workflow.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("workflow.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// TestSchemaAgrees holds the JSON Schema against the loader: what one accepts the other does, and
// each document with one mistake is refused by both.
func TestSchemaAgrees(t *testing.T) {
	t.Parallel()
	schema := compileSchema(t, testCatalogue())
	good := `{name: a, sources: {s: {type: csv, config: {path: x}}}, destinations: {d: {type: discard, inputs: [s]}}}`
	for name, test := range map[string]struct {
		old, new string
		bad      bool
	}{
		"as it is":          {old: "name: a", new: "name: a"},
		"variable":          {old: "path: x", new: "path: x, batch_size: '${N:-5}'"},
		"one input":         {old: "inputs: [s]", new: "inputs: s"},
		"planned type":      {old: "type: discard", new: "type: kafka, config: {any: 1}"},
		"batch size":        {old: "name: a", new: "name: a, execution: {batch_size: 5}"},
		"batch bounds":      {old: "name: a", new: "name: a, execution: {batch_size: {min_size: 1, max: 9, initial: 2}}"},
		"durations":         {old: "name: a", new: "name: a, execution: {linger: 5ms, checkpoint_interval: 1m30s, memory_limit: 64MB}"},
		"share":             {old: "name: a", new: "name: a, max_dead_letters: 1%"},
		"older":             {old: "name: a", new: "id: a, mode: full"},
		"sinks":             {old: "destinations", new: "sinks"},
		"tests":             {old: "name: a", new: "name: a, tests: [{name: t, given: {s: [{a: 1}]}, expect: {s: []}}]"},
		"declared columns":  {old: "type: csv", new: "type: csv, schema: {strict: true, columns: {a: int64}}"},
		"ordered":           {old: "name: a", new: "name: a, transformations: {c: {type: compute, inputs: s, config: {columns: {x: a + 1}}}}"},
		"no name":           {old: "name: a,", new: "", bad: true},
		"unknown key":       {old: "name: a", new: "name: a, nam: b", bad: true},
		"unknown node key":  {old: "type: csv", new: "type: csv, typ: csv", bad: true},
		"unknown type":      {old: "type: csv", new: "type: cvs", bad: true},
		"unknown setting":   {old: "path: x", new: "path: x, pth: y", bad: true},
		"missing setting":   {old: "path: x", new: "header: true", bad: true},
		"missing config":    {old: ", config: {path: x}", new: "", bad: true},
		"wrong enum":        {old: "path: x", new: "path: x, encoding: latin", bad: true},
		"below range":       {old: "path: x", new: "path: x, batch_size: 0", bad: true},
		"not a boolean":     {old: "path: x", new: "path: x, header: maybe", bad: true},
		"bare duration":     {old: "name: a", new: "name: a, execution: {linger: 5}", bad: true},
		"wrong size":        {old: "name: a", new: "name: a, execution: {memory_limit: 5 apples}", bad: true},
		"list for a column": {old: "name: a", new: "name: a, transformations: {c: {type: compute, inputs: s, config: {columns: [x]}}}", bad: true},
		"wrong kind of key": {old: "sources: {", new: "sources: {t: 1, ", bad: true},
	} {
		text := strings.Replace(good, test.old, test.new, 1)
		document, problems := spec.Parse("wf.yaml", []byte(text), spec.Options{Catalogue: testCatalogue()})
		if got := spec.Failed(problems); got != test.bad {
			t.Errorf("%s: loader refuses: %v, want %v: %v\n%s", name, got, test.bad, problems, text)
		}
		if err := schema.Validate(document.Tree().Any()); (err != nil) != test.bad {
			t.Errorf("%s: schema: %v, want an error: %v\n%s", name, err, test.bad, text)
		}
	}
}

// TestExamples loads the repository's example documents; they also hold to the JSON Schema.
func TestExamples(t *testing.T) {
	t.Parallel()
	schema := compileSchema(t, nil)
	files, err := filepath.Glob(filepath.Join(testenv.Root(), "examples", "*.yaml"))
	if err != nil || len(files) < 4 {
		t.Fatalf("%d examples, %v", len(files), err)
	}
	for _, file := range files {
		document, problems := spec.Load(file, spec.Options{AllowMissing: true})
		if spec.Failed(problems) {
			t.Errorf("%s: %v", file, problems)
			continue
		}
		if err := schema.Validate(document.Tree().Any()); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// TestFirstSizeUnderALatencyTarget: the first batches have a latency too, so they are small, unless
// the document says otherwise.
func TestFirstSizeUnderALatencyTarget(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]int{
		"{max: 65536}":                            16384,
		"{latency_target: 20ms}":                  256,
		"{latency_target_ms: 20, min: 64}":        64,
		"{latency_target: 20ms, initial: 4096}":   4096,
		"{latency_target: 20ms, min: 1, max: 10}": 1,
	} {
		text := "name: w\nexecution: {batch_size: " + given + "}\n" +
			"sources: {s: {type: generate}}\ndestinations: {d: {type: discard, inputs: [s]}}\n"
		document, problems := spec.Parse("wf.yaml", []byte(text), spec.Options{})
		if spec.Failed(problems) {
			t.Fatalf("%s: %v", given, problems)
		}
		if got := document.Execution.BatchSize.Initial; got != want {
			t.Errorf("%s begins with %d rows, want %d", given, got, want)
		}
	}
}

// TestRequirementDocument reads the document that users have today, unchanged.
func TestRequirementDocument(t *testing.T) {
	t.Parallel()
	document, problems := spec.Load("testdata/requirements.yaml",
		spec.Options{Catalogue: testCatalogue(), AllowMissing: true})
	if spec.Failed(problems) || len(document.Blocked) != 1 {
		t.Fatalf("blocked %v, problems %v", document.Blocked, problems)
	}
	if err := compileSchema(t, testCatalogue()).Validate(document.Tree().Any()); err != nil {
		t.Error(err)
	}
	e := document.Execution
	if e.BatchSize.Max != 10000 || e.BatchSize.Adaptive() || e.Parallelism != 4 ||
		e.CheckpointInterval.Seconds() != 30 || e.RestartStrategy.Type != "fixed-delay" ||
		e.RestartStrategy.Attempts != 3 || e.RestartStrategy.Delay.Seconds() != 5 {
		t.Errorf("execution %+v", e)
	}
	source := document.Sources[0]
	config := source.Config.(*postgresConfig)
	if source.Parallelism != 2 || config.Table != "customers" || config.BatchSize != 1000 ||
		config.Incremental.InitialValue != "2023-01-01T00:00:00Z" {
		t.Errorf("source %+v, config %+v", source, config)
	}
	csv := strings.Replace(string(readFile(t, "testdata/requirements.yaml")), `type: "elasticsearch"`,
		`type: "csv"`, 1)
	_, problems = spec.Parse("csv.yaml", []byte(csv), spec.Options{Catalogue: testCatalogue(), AllowMissing: true})
	if !spec.Failed(problems) {
		t.Error("a csv destination without a path was accepted")
	}
}

func readFile(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestReferencePageHoldsNodeTypes(t *testing.T) {
	t.Parallel()
	if full := spec.Markdown(testCatalogue()); !strings.Contains(full, "| `connection_string` | string | required | postgres URL; secret, never printed |") {
		t.Error("a node type's table is missing")
	}
}
