package connector_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
)

// countConfig configures the example's source. Each key says what it does, with unit and default.
type countConfig struct {
	To int64 `yaml:"to" required:"true" doc:"rows to make, at least 0" example:"10"`
}

// counter is a tiny source: the numbers from 0. Its position is the next number.
type counter struct {
	to, next int64
	budget   *connector.Budget
}

var _ connector.Source = (*counter)(nil)

func (s *counter) Open(_ context.Context, _ connector.Partition, at connector.Position) error {
	if at != nil {
		s.next = int64(binary.BigEndian.Uint64(at))
	}
	return nil
}

func (s *counter) Read(context.Context) (connector.Chunk, error) {
	if s.next >= s.to {
		return connector.Chunk{}, io.EOF
	}
	b := batch.NewBuilder(batch.NewSchema(batch.Field{Name: "n", Type: batch.Of(batch.Int64)}))
	for range min(s.to-s.next, int64(s.budget.Limits().Rows)) {
		b.Column(0).Int(s.next)
		s.next++
	}
	rows, err := b.Batch()
	return connector.Chunk{Batch: rows, Position: binary.BigEndian.AppendUint64(nil, uint64(s.next))}, err
}

func (s *counter) Ack(context.Context, connector.Position) error { return nil }
func (s *counter) Close() error                                  { return nil }

// printer is a tiny sink. Its Spec does not state Selection, so batches come dense.
type printer struct{ output io.Writer }

var _ connector.Sink = (*printer)(nil)

func (*printer) Open(context.Context, connector.Task) error { return nil }

func (s *printer) Write(_ context.Context, chunk connector.Chunk) error {
	for row := range chunk.Batch.Len() {
		if _, err := s.output.Write(append(batch.AppendRow(nil, chunk.Batch, row), '\n')); err != nil {
			return &connector.Error{Op: "print", Class: connector.Permanent, Err: err}
		}
	}
	return nil
}

func (*printer) Close() error { return nil }

// exampleConnector describes both for documents, lint, docs and the engine.
func exampleConnector() connector.Connector {
	return connector.Connector{
		Name: "example", Version: "1.0.0", Contract: connector.ContractVersion,
		Summary: "Counts and prints.",
		Source: connector.NewSource(countConfig{}, connector.SourceCapabilities{Bounded: true, Resumable: true},
			func(env connector.Env, cfg *countConfig) (connector.Source, error) {
				return &counter{to: cfg.To, budget: env.Budget}, nil
			}),
		Sink: connector.NewSink(struct{}{}, connector.SinkCapabilities{},
			func(connector.Env, *struct{}) (connector.Sink, error) { return &printer{os.Stdout}, nil }),
	}
}

// A source and a sink, driven by hand as the engine drives them: a chunk, a crash, and the rest
// from the position after it.
func Example() {
	ctx, c := context.Background(), exampleConnector()
	sink, err := c.Sink.New(connector.Env{}, &struct{}{})
	if err != nil {
		fmt.Println(err)
	}
	var at connector.Position
	for range 2 {
		env := connector.Env{Budget: connector.NewBudget(connector.Limits{Rows: 2, Bytes: 1 << 20})}
		source, err := c.Source.New(env, &countConfig{To: 3})
		if err != nil {
			fmt.Println(err)
		}
		if err := source.Open(ctx, connector.Partition{}, at); err != nil {
			fmt.Println(err)
		}
		chunk, err := source.Read(ctx)
		if err != nil {
			fmt.Println(err)
		}
		if err := sink.Write(ctx, chunk); err != nil {
			fmt.Println(err)
		}
		at = chunk.Position
	}
	// Output:
	// {"n":0}
	// {"n":1}
	// {"n":2}
}

// The registry of a binary is a value; a name that is taken is an error.
func ExampleNewRegistry() {
	registry, err := connector.NewRegistry(exampleConnector())
	fmt.Println(registry.Names(), err)
	_, err = connector.NewRegistry(exampleConnector(), exampleConnector())
	fmt.Println(err)
	// Output:
	// [example] <nil>
	// connector example: registered twice
}

// Fields describes a config struct for docs, JSON schema and lint.
func ExampleFields() {
	for _, f := range connector.Fields(&countConfig{}) {
		fmt.Println(f.Key, f.Type, f.Required, f.Doc)
	}
	// Output: to integer true rows to make, at least 0
}

// A connector says what kind of failure it met; the engine decides what is done about it.
func ExampleError() {
	var err error = &connector.Error{
		Op: "copy into orders", Class: connector.Transient, Err: io.ErrUnexpectedEOF, Hint: "is the server up?",
	}
	var classified *connector.Error
	fmt.Println(errors.As(err, &classified), classified.Class, err)
	// Output: true transient copy into orders: unexpected EOF (is the server up?)
}
