package op

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/internal/flow/spec"
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
	columns := &Output{Empty: true}
	if err := bound.Apply(b.Select(nil), columns); err != nil {
		return nil, fmt.Errorf("apply to no rows: %w", err)
	}
	out := &Output{}
	if err := bound.Apply(b, out); err != nil {
		return out, err
	}
	return out, sameColumns(columns, out)
}

// sameColumns: applied to no rows, an operator shows the columns that its rows have.
func sameColumns(empty, full *Output) error {
	for _, part := range full.Parts {
		at := slices.IndexFunc(empty.Parts, func(p Part) bool { return p.Port == part.Port })
		if at < 0 {
			return fmt.Errorf("port %d has no part without rows", part.Port)
		}
		got, want := empty.Parts[at].Batch, part.Batch
		if got.Len() > 0 || !got.Schema().Equal(want.Schema()) {
			return fmt.Errorf("port %d: applied to no rows gives %d rows of (%s), want none of (%s)",
				part.Port, got.Len(), got.Schema(), want.Schema())
		}
	}
	return nil
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

// TestConfigsReadFromDocuments decodes what people write into the config structs.
func TestConfigsReadFromDocuments(t *testing.T) {
	type object = map[string]any
	for name, c := range map[string]struct {
		spec   Spec
		config object
		schema string
	}{
		"parse": {Parse(), object{
			"column": "x", "format": "json",
			"fields": object{"a": "int64", "b": object{"path": "c.d"}},
		}, "x string"},
		"validate": {Validate(), object{
			"schema": object{"a": "int64"},
			"rules": []object{
				{"column": "a", "not_null": true, "range": object{"min": 0, "max": 1.5}, "on_failure": "drop"},
				{"column": "b", "in_set": []any{"x", "y"}},
				{"columns": []string{"a", "b"}, "unique": true},
			},
		}, "a int64; b string"},
		"enrich": {Enrich(), object{
			"lookup": object{"type": "sqlite", "config": object{"path": "x.db"}}, "on": object{"a": "id"},
			"columns": object{"n": "string", "m": object{"type": "int64", "from": "k"}},
			"cache":   object{"ttl": "5m"},
		}, "a int64"},
		"route":   {Route(), object{"routes": object{"big": "a > 5"}, "default": "rest"}, "a int64"},
		"dedupe":  {Dedupe(), object{"key": []string{"a"}, "window": "1h", "time": "t"}, "a int64; t date"},
		"flatten": {Flatten(), object{"prefix": ""}, "a struct<x:int64>"},
		"union":   {Union(), object{"columns": object{"a": "int64"}}, "a int32"},
	} {
		config := reflect.New(reflect.TypeOf(c.spec.Config).Elem())
		config.Elem().Set(reflect.ValueOf(c.spec.Config).Elem())
		if problems := spec.DecodeMap(c.config, config.Interface()); len(problems) > 0 {
			t.Errorf("%s: %v", name, problems)
			continue
		}
		operator, err := c.spec.New(Env{}, config.Interface())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if _, err := operator.Bind(schemaOf(t, c.schema)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
