package op

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tapeline/tapeline/batch"
)

var update = flag.Bool("update", false, "write docs/operators.md")

func schemaOf(t testing.TB, text string) *batch.Schema {
	t.Helper()
	var fields []batch.Field
	for part := range strings.SplitSeq(text, "; ") {
		name, typ, _ := strings.Cut(part, " ")
		parsed, err := batch.ParseType(typ)
		if err != nil {
			t.Fatal(err)
		}
		fields = append(fields, batch.Field{Name: name, Type: parsed, Nullable: true})
	}
	return batch.NewSchema(fields...)
}

// dense makes a batch of typed columns: "id int64; name string" and rows of values.
func dense(t testing.TB, schema string, rows ...[]any) *batch.Batch {
	t.Helper()
	s := schemaOf(t, schema)
	builder := batch.NewBuilder(s)
	for _, row := range rows {
		for i, v := range row {
			if err := builder.Column(i).Any(v); err != nil {
				t.Fatalf("column %s: %v", s.Field(i).Name, err)
			}
		}
	}
	b, err := builder.Batch()
	if err != nil {
		t.Fatal(err)
	}
	return b.WithOrigin(&batch.Origin{Name: "in", Line: 1})
}

// lazy makes a batch of raw cells, as the csv source delivers: records by line, cells by |, empty
// cells NULL.
func lazy(t testing.TB, schema string, records ...string) *batch.Batch {
	t.Helper()
	s := schemaOf(t, schema)
	spans := &batch.Spans{
		Stride: s.Len() + 1, Step: 1, Gap: 1, Syntax: batch.Plain, Clean: true, Nulls: []string{""},
	}
	for _, record := range records {
		cells := strings.Split(record, "|")
		if len(cells) != s.Len() {
			t.Fatalf("record %q has %d cells", record, len(cells))
		}
		for _, cell := range cells {
			spans.Offsets = append(spans.Offsets, uint32(len(spans.Data)))
			spans.Data = append(append(spans.Data, cell...), '|')
		}
		spans.Offsets = append(spans.Offsets, uint32(len(spans.Data)))
	}
	columns := make([]*batch.Column, s.Len())
	for i := range columns {
		columns[i] = batch.LazyColumn(s.Field(i).Type, spans, i)
	}
	return batch.New(s, columns, len(records)).WithOrigin(&batch.Origin{Name: "in", Line: 1})
}

// made constructs an operator; configure changes a copy of the defaults.
func made[C any](t testing.TB, spec Spec, env Env, configure func(*C)) Operator {
	t.Helper()
	operator, err := tryMake(spec, env, configure)
	if err != nil {
		t.Fatal(err)
	}
	return operator
}

func tryMake[C any](spec Spec, env Env, configure func(*C)) (Operator, error) {
	config := *spec.Config.(*C)
	configure(&config)
	return spec.New(env, &config)
}

// apply binds an operator to the batch's schema and runs it once.
func apply(t testing.TB, operator Operator, b *batch.Batch) *Output {
	t.Helper()
	out, err := tryApply(operator, b)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func tryApply(operator Operator, b *batch.Batch) (*Output, error) {
	bound, err := operator.Bind(b.Schema())
	if err != nil {
		return nil, err
	}
	out := &Output{}
	return out, bound.Apply(b, out)
}

// lines renders the rows of a port: one JSON object a row, after + (insert), ~ (upsert) or
// - (delete) where the batch has operations.
func lines(t testing.TB, out *Output, port int) []string {
	t.Helper()
	var rows []string
	for _, part := range out.Parts {
		if part.Port != port {
			continue
		}
		b, bad := part.Batch.Dense()
		if len(bad) > 0 {
			t.Fatalf("emitted rows that do not read: %v", bad)
		}
		for i := range b.Len() {
			mark := ""
			if b.Operations() != nil {
				mark = string("+~-"[b.Operation(i)])
			}
			row := string(batch.AppendRow(nil, b, i))
			if !json.Valid([]byte(row)) {
				t.Fatalf("row %s is not JSON", row)
			}
			rows = append(rows, mark+row)
		}
	}
	return rows
}

// refusals renders rejected rows as "line column: reason".
func refusals(out *Output) []string {
	var rows []string
	for _, r := range out.Rejected {
		rows = append(rows, fmt.Sprintf("%d %s: %s", r.Batch.Origin().At(r.Row).Line, r.Column, r.Reason))
	}
	return rows
}

func same(t testing.TB, what string, got []string, want ...string) {
	t.Helper()
	if len(got) == 0 && len(want) == 0 {
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// fails runs an operator to its error and compares a part of it.
func fails(t *testing.T, err error, part string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), part) {
		t.Errorf("got error %v, want one with %q", err, part)
	}
}

func operations(b *batch.Batch, marks string) *batch.Batch {
	list := make([]batch.Operation, b.Rows())
	for i := range list {
		list[i] = batch.Operation(strings.IndexByte("+~-", marks[i]))
	}
	return b.WithOperations(list)
}

func TestAllMakesACatalogue(t *testing.T) {
	catalogue, err := NewCatalogue(All()...)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range catalogue.Names() {
		spec, _ := catalogue.Get(name)
		if spec.Summary == "" || !strings.HasSuffix(spec.Summary, ".") {
			t.Errorf("%s: summary %q", name, spec.Summary)
		}
		states := strings.Contains(spec.Doc, "upsert") || strings.Contains(spec.Doc, "Upsert") ||
			strings.Contains(spec.Doc, "ow operations")
		if !states {
			t.Errorf("%s: the doc says nothing of row operations", name)
		}
	}
	if _, err := NewCatalogue(Filter(), Filter()); err == nil {
		t.Error("a duplicate was accepted")
	}
}

func TestOperatorsPageIsCurrent(t *testing.T) {
	catalogue, err := NewCatalogue(All()...)
	if err != nil {
		t.Fatal(err)
	}
	page := Markdown(catalogue)
	name := filepath.Join("..", "..", "..", "docs", "operators.md")
	if *update {
		if err := os.WriteFile(name, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != page {
		t.Error("docs/operators.md is not current: go test ./internal/flow/op -run Page -update")
	}
}
