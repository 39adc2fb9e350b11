package run

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/flow/op"
	"github.com/tapeline/tapeline/internal/flow/plan"
)

// known is a source that can say its columns.
type known struct{ counter }

func (s *known) Discover(context.Context) (*batch.Schema, error) { return numberSchema, nil }

// headerSink notes the chunks without rows.
type headerSink struct {
	stagingSink
	headers *[]string
}

func (s *headerSink) Write(ctx context.Context, c connector.Chunk) error {
	if c.Batch.Len() == 0 {
		*s.headers = append(*s.headers, c.Table+"("+c.Batch.Schema().String()+")")
	}
	return s.stagingSink.Write(ctx, c)
}

// renamed is an operator that drops all rows and calls the column m.
type renamed struct{}

func (renamed) Bind(*batch.Schema) (op.Bound, error) { return renamed{}, nil }

func (renamed) Apply(b *batch.Batch, out *op.Output) error {
	schema := batch.NewSchema(batch.Field{Name: "m", Type: batch.Of(batch.Int64)})
	out.Emit(b.Select(nil).WithColumns(schema, b.Columns()))
	return nil
}

// TestSinkLearnsColumnsWithoutRows: whatever the reason that no row came, the sink gets one chunk
// without rows, with the columns that rows would have had.
func TestSinkLearnsColumnsWithoutRows(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		rows     int64
		discover bool
		dropped  bool // by an operator
		want     string
	}{
		"empty source":         {0, true, false, "orders(n int64 not null)"},
		"unknown columns":      {0, false, false, ""},
		"all rows are dropped": {100, false, true, "orders(m int64 not null)"},
		"empty, renamed":       {0, true, true, "orders(m int64 not null)"},
		"rows":                 {100, true, false, ""},
	} {
		b, headers := newBed(t), []string{}
		source := sourceNode("in", func() *counter { return &counter{to: c.rows, step: 7} })
		source.Table = "orders"
		if c.discover {
			source.NewSource = func(connector.Env) (connector.Source, error) {
				return &known{counter{to: c.rows, step: 7}}, nil
			}
		}
		nodes, last := []*plan.Node{source}, "in"
		if c.dropped {
			last = "drop"
			nodes = append(nodes, operatorNode(last, renamed{}, "in"))
		}
		sink := sinkNode("out", func() connector.Sink {
			return &headerSink{stagingSink{tableSink{table: newTable()}}, &headers}
		}, last)
		sink.Parallelism, sink.SinkSpec.Parallel = 2, true
		_, err := b.run(t, &plan.Workflow{Name: "w", Nodes: append(nodes, sink)}, Options{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := strings.Join(headers, ""); got != c.want {
			t.Errorf("%s: the sink learned %q, want %q", name, got, c.want)
		}
	}
}

// TestHeaderCountsRowsOfEarlierProcesses: a run that wrote rows before it was interrupted is not
// taken for one without rows.
func TestHeaderCountsRowsOfEarlierProcesses(t *testing.T) {
	t.Parallel()
	b, headers, rows := newBed(t), []string{}, newTable()
	wrote, more := make(chan struct{}, 1), int64(20)
	plans := func() *plan.Plan {
		source := sourceNode("in", nil)
		source.SourceSpec.Resumable = true
		source.NewSource = func(connector.Env) (connector.Source, error) {
			gate := make(chan struct{}, 1)
			gate <- struct{}{} // one chunk, then it waits
			return &known{counter{to: more, step: 10, gate: gate}}, nil
		}
		sink := sinkNode("out", func() connector.Sink {
			sink := &headerSink{stagingSink{tableSink{table: rows}}, &headers}
			sink.fail = func(op string) error {
				if op == "write" {
					wrote <- struct{}{}
				}
				return nil
			}
			return sink
		}, "in")
		p, err := plan.New(&plan.Workflow{Name: "w", Nodes: []*plan.Node{source, sink}})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	first, err := b.cluster.Start(t.Context(), plans(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	<-wrote
	first.Drain()
	if report, err := first.Wait(); err != nil || report.Status != Stopped {
		t.Fatalf("%s: %v", report.Status, err)
	}
	more = 10 // the second process finds nothing more
	second, err := b.cluster.Start(t.Context(), plans(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if report, err := second.Wait(); err != nil || report.Status != Completed {
		t.Fatalf("%s: %v", report.Status, err)
	}
	if len(rows.committed) != 10 || len(headers) > 0 {
		t.Errorf("%d rows, headers %q", len(rows.committed), headers)
	}
}

// TestManyPaths: a graph of few nodes may have very many paths from a source to a sink. Each node
// counts once, for the columns of a run without rows, and where a limit ends the source.
func TestManyPaths(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		rows int64
		want string
	}{"no rows": {0, "(n int64 not null)"}, "a limit": {1000, ""}} {
		b, headers, last := newBed(t), []string{}, "s"
		source := sourceNode(last, nil)
		source.NewSource = func(connector.Env) (connector.Source, error) {
			return &known{counter{to: c.rows, step: 10}}, nil
		}
		nodes := []*plan.Node{source}
		none := mapOperator(func(int64) (bool, string) { return false, "" })
		for i := range 40 {
			left, right, joined := fmt.Sprint("l", i), fmt.Sprint("r", i), fmt.Sprint("j", i)
			nodes = append(nodes, operatorNode(left, mapOperator(even), last), operatorNode(right, none, last),
				operatorNode(joined, mapOperator(even), left, right))
			last = joined
		}
		limit := operatorNode("limit", nil, last)
		limit.Ordered = true
		limit.NewOperator = func(op.Env) (op.Operator, error) { return &limiter{left: 5}, nil }
		out := sinkNode("out", func() connector.Sink {
			return &headerSink{stagingSink{tableSink{table: newTable()}}, &headers}
		}, "limit")
		report, err := b.run(t, &plan.Workflow{Name: "w", Nodes: append(nodes, limit, out)}, Options{})
		if err != nil || strings.Join(headers, "") != c.want || report.RowsOut != min(c.rows, 5) {
			t.Errorf("%s: headers %q, %d rows: %v", name, headers, report.RowsOut, err)
		}
	}
}

// fussySink takes no row.
type fussySink struct{ headerSink }

func (s *fussySink) Write(ctx context.Context, c connector.Chunk) error {
	if c.Batch.Len() == 0 {
		return s.headerSink.Write(ctx, c)
	}
	partial := &connector.PartialError{}
	for i := range c.Batch.Len() {
		partial.Rows = append(partial.Rows, batch.RowError{Row: c.Batch.Row(i), Reason: "no"})
	}
	return partial
}

// TestSinkLearnsColumnsOfRefusedRows: its file or table comes into being though no row was any good.
func TestSinkLearnsColumnsOfRefusedRows(t *testing.T) {
	t.Parallel()
	b, headers := newBed(t), []string{}
	sink := sinkNode("out", func() connector.Sink {
		return &fussySink{headerSink{stagingSink{tableSink{table: newTable()}}, &headers}}
	}, "in")
	source := sourceNode("in", func() *counter { return &counter{to: 30, step: 7} })
	report, err := b.run(t, &plan.Workflow{Name: "w", Nodes: []*plan.Node{source, sink}}, Options{})
	if err != nil || report.DeadLetters != 30 {
		t.Fatalf("%d dead letters, want 30: %v", report.DeadLetters, err)
	}
	if len(headers) != 1 {
		t.Errorf("the sink learned %q, want its columns once", headers)
	}
}

// TestTablesKeepTheirColumns: a source that delivers several tables in turn has the columns of each.
func TestTablesKeepTheirColumns(t *testing.T) {
	t.Parallel()
	source := &plan.Node{ID: "in"}
	w := &Workflow{seen: map[*plan.Node]tables{}}
	other := batch.NewSchema(batch.Field{Name: "m", Type: batch.Of(batch.Int64)})
	for range 2 {
		w.saw(source, header{"orders", numberSchema})
		w.saw(source, header{"units", other})
	}
	got, err := w.headerOfSource(t.Context(), source)
	if err != nil {
		t.Fatal(err)
	}
	want := tables{{"orders", numberSchema}, {"units", other}}
	if !slices.EqualFunc(got, want, func(a, b header) bool {
		return a.table == b.table && a.schema.Equal(b.schema)
	}) {
		t.Errorf("got %v, want %v", got, want)
	}
}
