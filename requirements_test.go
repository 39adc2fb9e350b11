package tapeline_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/tapeline/tapeline/internal/testenv"
)

// requirementDocument is the workflow of the requirements, unchanged.
func requirementDocument(t *testing.T) string {
	t.Helper()
	return readFile(t, filepath.Join(testenv.Root(), "internal", "flow", "spec", "testdata", "requirements.yaml"))
}

// The document of the requirements lints and explains as it stands, and is refused by run with the
// reason and its place, as its sink is not in this binary.
func TestRequirementDocumentUnchanged(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "flow.yaml"), requirementDocument(t))
	lint := mustRun(t, dir, nil, "lint", "flow.yaml")
	wantAll(t, lint.errors, "flow.yaml:37:11: warning: ", "connector elasticsearch is not in this binary",
		"environment variable PG_CONNECTION is not set", "flow.yaml: no errors")
	explained := mustRun(t, dir, nil, "explain", "flow.yaml")
	wantAll(t, explained.out, "workflow enhanced-data-pipeline: checkpoints every 30s, restart fixed-delay",
		"stage postgres_source, 4 workers", "condition: status == 'active'", "elasticsearch_sink",
		"cannot run here: connector elasticsearch is not in this binary")
	environment := []string{"PG_CONNECTION=postgres://nobody@127.0.0.1:1/x", "ES_CONNECTION=http://127.0.0.1:1"}
	got := tapelineIn(t, dir, environment, "run", "flow.yaml")
	if got.code != 1 {
		t.Errorf("exit code %d, want 1", got.code)
	}
	wantAll(t, got.errors, "flow.yaml:37:11: error: ", "connector elasticsearch is not in this binary")
	if strings.Count(got.errors, "not in this binary") != 1 {
		t.Errorf("the reason is given more than once:\n%s", got.errors)
	}
}

// With csv in the place of elasticsearch the document runs, and goes on where it was: its keys
// initial_value, batch_size, parallelism and vectorized do what they say.
func TestRequirementDocumentWithCSV(t *testing.T) {
	dsn := testenv.Server(t, "TAPELINE_TEST_POSTGRES")
	dir := t.TempDir()
	schema := fmt.Sprintf("requirements_%d", os.Getpid())
	connection, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close(t.Context())
	execute := func(statement string) {
		t.Helper()
		if _, err := connection.Exec(t.Context(), strings.ReplaceAll(statement, "SCHEMA", schema)); err != nil {
			t.Fatal(err)
		}
	}
	execute(`create schema SCHEMA; create table SCHEMA.customers
		(customer_id bigint primary key, status text, updated_at timestamptz not null)`)
	defer execute("drop schema SCHEMA cascade")
	execute(`insert into SCHEMA.customers select i, case when i % 2 = 0 then 'active' else 'closed' end,
		'2022-12-31T00:00:00Z'::timestamptz + i * interval '1 hour' from generate_series(1, 5000) i`)

	text := requirementDocument(t)
	for _, change := range [][2]string{
		{`type: "elasticsearch"`, `type: "csv"`},
		{`connection: "${ES_CONNECTION}"`, `path: "customers/"`},
		{"      index: \"customers\"\n      id_field: \"customer_id\"\n", ""},
		{`table: "customers"`, fmt.Sprintf(`table: "%s.customers"`, schema)},
	} {
		if !strings.Contains(text, change[0]) {
			t.Fatalf("the document has no %s", change[0])
		}
		text = strings.Replace(text, change[0], change[1], 1)
	}
	writeFile(t, filepath.Join(dir, "flow.yaml"), text)
	environment := []string{"PG_CONNECTION=" + dsn}
	run := func(extra ...string) int64 {
		t.Helper()
		mustRun(t, dir, environment, append([]string{"run", "flow.yaml", "--json-report", "report.json"}, extra...)...)
		r := readReport(t, filepath.Join(dir, "report.json"))
		for _, n := range r.Nodes {
			if n.ID == "postgres_source" && n.Batches > 0 && n.RowsIn > 1000*n.Batches {
				t.Errorf("%d rows came in %d batches, batch_size is 1000", n.RowsIn, n.Batches)
			}
		}
		return r.RowsIn
	}
	mustRun(t, dir, environment, "lint", "flow.yaml")
	explained := mustRun(t, dir, environment, "explain", "flow.yaml")
	wantAll(t, explained.out, "condition: status == 'active'  [vectorised, bool; reads status]")
	interpreted := mustRun(t, dir, environment, "explain", "flow.yaml",
		"--set", "transformations.filter_active.config.vectorized=false")
	wantAll(t, interpreted.out, "[row by row: vectorized: false, bool; reads status]")

	// Row 24 is of 2023-01-01T00:00:00Z, which is initial_value itself.
	if first := run(); first != 4976 {
		t.Errorf("%d rows after initial_value, want 4976", first)
	}
	if again := run(); again != 0 {
		t.Errorf("%d rows in a second run, want none: nothing is new", again)
	}
	execute(`insert into SCHEMA.customers values (6000, 'active', '2024-01-01'), (6001, 'closed', '2024-01-02')`)
	if more := run("--set", "transformations.filter_active.config.vectorized=false"); more != 2 {
		t.Errorf("%d rows in a third run, want the 2 new ones", more)
	}
	parts, err := filepath.Glob(filepath.Join(dir, "customers", "*.csv"))
	if err != nil || len(parts) == 0 {
		t.Fatalf("no files in customers/: %v", err)
	}
	mustRun(t, dir, nil, "copy", "customers/*.csv", "all.csv", "--quiet")
	all := strings.Count(readFile(t, filepath.Join(dir, "all.csv")), "\n") - 1
	if want := 4976/2 + 1; all != want {
		t.Errorf("%d active customers arrived, want %d", all, want)
	}
}
