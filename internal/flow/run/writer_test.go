package run

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/flow/op"
	"github.com/tapeline/tapeline/internal/flow/plan"
)

// joiningSink takes encoded chunks, several by one call, and refuses some numbers.
type joiningSink struct {
	decidingSink
	bad   []int64
	calls *int
}

var _ connector.Merger = (*joiningSink)(nil)

func (s *joiningSink) NewEncode() connector.EncodeFunc {
	return func(c connector.Chunk) (connector.Chunk, error) {
		var values []int64
		for i := range c.Batch.Len() {
			values = append(values, c.Batch.Column(0).Int(c.Batch.Row(i)))
		}
		c.Payload, c.Release = values, nil
		return c, nil
	}
}

func (s *joiningSink) Merge(payloads []any) (any, bool) {
	var all []int64
	for _, p := range payloads {
		all = append(all, p.([]int64)...)
	}
	return all, true
}

func (s *joiningSink) Write(_ context.Context, c connector.Chunk) error {
	*s.calls++
	values := c.Payload.([]int64)
	for _, v := range values {
		if slices.Contains(s.bad, v) {
			return &connector.Error{Op: "write", Class: connector.Data, Err: errors.New("refused")}
		}
	}
	s.open = append(s.open, values...)
	return nil
}

// Encoded chunks share calls up to the preferred rows; a refused row costs nobody else.
func TestEncodedChunksAreJoined(t *testing.T) {
	for _, bad := range [][]int64{nil, {123}} {
		b, rows, calls := newBed(t), newTable(), 0
		out := sinkNode("out", func() connector.Sink {
			return &joiningSink{decidingSink{tableSink{table: rows}}, bad, &calls}
		}, "in")
		out.SinkSpec.PreferredRows = 100
		report, err := b.run(t, &plan.Workflow{
			Name: "joined", Execution: plan.Execution{Batching: plan.Batching{Linger: time.Hour}},
			Nodes: []*plan.Node{
				sourceNode("in", func() *counter { return &counter{to: 1000, step: 10} }), out,
			},
		}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		want := slices.DeleteFunc(numbers(0, 1000), func(v int64) bool { return slices.Contains(bad, v) })
		if diff := cmp.Diff(want, rows.committed); diff != "" {
			t.Errorf("refused %v: rows (-want +got):\n%s", bad, diff)
		}
		if report.DeadLetters != int64(len(bad)) || report.RowsOut != int64(len(want)) {
			t.Errorf("refused %v: %d dead letters, %d rows out", bad, report.DeadLetters, report.RowsOut)
		}
		// 10 of 100 rows; then the 10 chunks of the refused call, one of them down to the row.
		if most := 10 + 30*len(bad); calls < 10 || calls > most {
			t.Errorf("refused %v: %d calls, want 10 to %d", bad, calls, most)
		}
	}
}

// asText makes its column raw text, as a file source hands it on.
type asText struct{}

func (asText) Bind(*batch.Schema) (op.Bound, error) { return asText{}, nil }

func (asText) Apply(b *batch.Batch, out *op.Output) error {
	spans := &batch.Spans{Stride: 2, Step: 1, Syntax: batch.Plain}
	for i := range b.Len() {
		from := len(spans.Data)
		spans.Data = batch.AppendText(spans.Data, b.Column(0), b.Row(i))
		spans.Offsets = append(spans.Offsets, uint32(from), uint32(len(spans.Data)))
	}
	out.Emit(batch.New(b.Schema(), []*batch.Column{batch.LazyColumn(batch.Of(batch.Int64), spans, 0)}, b.Len()))
	return nil
}

// keyedSink takes batches as they are and has a key.
type keyedSink struct{ decidingSink }

func (*keyedSink) Key() []string { return []string{"n"} }

// A key is compared by its values, also when the sink could do with the text of them.
func TestKeyOfRawText(t *testing.T) {
	b, rows := newBed(t), newTable()
	out := sinkNode("out", func() connector.Sink { return &keyedSink{decidingSink{tableSink{table: rows}}} }, "text")
	out.SinkSpec.Selection = true
	_, err := b.run(t, &plan.Workflow{Name: "raw", Nodes: []*plan.Node{
		sourceNode("in", func() *counter { return &counter{to: 100, step: 10} }),
		operatorNode("text", asText{}, "in"), out,
	}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(numbers(0, 100), rows.committed); diff != "" {
		t.Error(diff)
	}
}
