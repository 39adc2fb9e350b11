package app

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"sync"

	"github.com/tapeline/tapeline/batch"
	codec "github.com/tapeline/tapeline/codec/json"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/flow/plan"
)

// rowSource delivers rows that are in memory; a position is a version byte and a row number.
type rowSource struct {
	rows   *batch.Batch
	budget *connector.Budget
	next   int
}

var _ connector.Source = (*rowSource)(nil)

const rowPositionVersion = 1

// Open continues behind a position.
func (s *rowSource) Open(_ context.Context, _ connector.Partition, at connector.Position) error {
	if at == nil {
		return nil
	}
	if len(at) != 9 || at[0] != rowPositionVersion {
		return fmt.Errorf("open rows: unknown position %q", at)
	}
	s.next = int(binary.BigEndian.Uint64(at[1:]))
	return nil
}

// Read returns the next rows.
func (s *rowSource) Read(context.Context) (connector.Chunk, error) {
	if s.next >= s.rows.Len() {
		return connector.Chunk{}, io.EOF
	}
	from := s.next
	s.next = min(from+s.budget.Limits().Rows, s.rows.Len())
	return connector.Chunk{
		Batch:    s.rows.Slice(from, s.next),
		Position: binary.BigEndian.AppendUint64([]byte{rowPositionVersion}, uint64(s.next)),
	}, nil
}

// Ack does nothing.
func (s *rowSource) Ack(context.Context, connector.Position) error { return nil }

// Close does nothing.
func (s *rowSource) Close() error { return nil }

// rowType is the node type of rows in memory; no document can name it.
const rowType = "rows in memory"

// rowNode returns a source node of the rows.
func rowNode(id string, rows *batch.Batch) *plan.Node {
	return &plan.Node{
		ID: id, Type: rowType, Kind: plan.Source, Fingerprint: id,
		SourceSpec: connector.SourceCapabilities{Bounded: true, Resumable: true},
		NewSource: func(env connector.Env) (connector.Source, error) {
			return &rowSource{rows: rows, budget: env.Budget}, nil
		},
	}
}

// capture is a sink that keeps its rows in memory.
type capture struct {
	mu      sync.Mutex
	batches []*batch.Batch // dense
}

var _ connector.SchemaEvolver = (*capture)(nil)

// Open forgets the rows of an attempt before: scratch runs begin again from the start.
func (c *capture) Open(context.Context, connector.Task) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.batches = nil
	return nil
}

// Write keeps a copy of the rows.
func (c *capture) Write(_ context.Context, chunk connector.Chunk) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.batches = append(c.batches, chunk.Batch.Keep())
	return nil
}

// Close does nothing.
func (c *capture) Close() error { return nil }

// Evolve does nothing: each batch has its schema.
func (c *capture) Evolve(context.Context, *batch.Schema, *batch.Schema) error { return nil }

// node returns a destination that keeps the rows of an output.
func (c *capture) node(id string, from plan.Input) *plan.Node {
	return &plan.Node{
		ID: id, Type: "capture", Kind: plan.Destination, Inputs: []plan.Input{from},
		SinkSpec: connector.SinkCapabilities{SchemaEvolution: true},
		NewSink:  func(connector.Env) (connector.Sink, error) { return c, nil },
	}
}

// typedRows is lazyRows with every value read as its type; rows with values that do not read are
// left out and named in bad.
func typedRows(
	text []byte, declared *batch.Schema,
) (rows *batch.Batch, bad []batch.RowError, err error) {
	typed, err := lazyRows(text, declared)
	if err != nil {
		return nil, nil, err
	}
	for i := range typed.Columns() {
		b, errs := typed.Typed(i)
		typed, bad = b, append(bad, errs...)
	}
	return typed.Without(bad).Keep(), bad, nil
}

// lazyRows reads lines of JSON objects. Columns that declared names have its types, the others
// types that fit all values.
func lazyRows(text []byte, declared *batch.Schema) (*batch.Batch, error) {
	block := codec.Block{Data: text, Name: "rows", Line: 1, Last: true}
	inferred, whole := codec.Infer(block, codec.Lines, len(text)+1)
	if whole {
		return nil, fmt.Errorf("rows are not JSON objects")
	}
	var fields []batch.Field
	if declared != nil {
		fields = append(fields, declared.Fields()...)
	}
	for _, f := range inferred.Fields() {
		if declared == nil || declared.Index(f.Name) < 0 {
			fields = append(fields, f)
		}
	}
	reader, err := codec.NewReader(codec.Options{Schema: batch.NewSchema(fields...), Layout: codec.Lines})
	if err != nil {
		return nil, err
	}
	result, err := reader.NewDecoder().Decode(block)
	if err != nil {
		return nil, err
	}
	if len(result.Rejected) > 0 {
		first := result.Rejected[0]
		return nil, fmt.Errorf("row %d is no JSON object: %s", first.Place.Line, first.Reason)
	}
	return result.Batch, nil
}

// rowObjects returns the logical rows as JSON objects.
func rowObjects(b *batch.Batch) [][]byte {
	out := make([][]byte, b.Len())
	for i := range out {
		out[i] = batch.AppendRow(nil, b, b.Row(i))
	}
	return out
}
