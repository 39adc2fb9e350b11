package avro

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/filesink"
)

// sink appends blocks that EncodeFuncs made to a stage.
type sink struct {
	cfg    *SinkConfig
	env    connector.Env
	stage  *filesink.Stage
	sync   []byte
	schema *batch.Schema // of the rows written so far
	head   []byte        // of a file with that schema
	inline connector.EncodeFunc
}

var (
	_ connector.Transactional = (*sink)(nil)
	_ connector.Encoder       = (*sink)(nil)
	_ connector.SchemaEvolver = (*sink)(nil)
)

func newSink(env connector.Env, cfg *SinkConfig) (connector.Sink, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	s := &sink{env: env, cfg: cfg}
	s.inline = s.NewEncode()
	var err error
	s.stage, err = filesink.NewStage(filesink.StageConfig{
		Env: env, Suffix: suffix,
		Sink: *cfg.stage(),
	})
	return s, err
}

// encoded is one block on its way to the file, without its end mark.
type encoded struct {
	schema *batch.Schema
	block  []byte
}

// NewEncode returns a function that makes blocks of batches.
func (s *sink) NewEncode() connector.EncodeFunc {
	packer := compressor{codec: codecName(s.cfg.Compression)}
	var data []byte
	return func(chunk connector.Chunk) (connector.Chunk, error) {
		b := chunk.Batch
		if b.Operations() != nil {
			return chunk, &connector.Error{
				Op: "write avro", Class: connector.Schema, Err: errors.New("a file takes no upserts or deletes"),
				Hint: "drop the operations before this sink",
			}
		}
		dense, bad := b.Dense()
		var err error
		if data, err = appendRows(data[:0], dense); err != nil {
			return chunk, err
		}
		packed, err := packer.pack(data)
		if err != nil {
			return chunk, fmt.Errorf("compress block: %w", err)
		}
		block := binary.AppendVarint(make([]byte, 0, len(packed)+2*binary.MaxVarintLen64), int64(dense.Len()))
		block = append(binary.AppendVarint(block, int64(len(packed))), packed...)
		if dense.Len() == 0 {
			block = nil
		}
		chunk.Payload = &encoded{schema: b.Schema(), block: block}
		if len(bad) > 0 {
			return chunk, &connector.PartialError{Rows: bad}
		}
		return chunk, nil
	}
}

// appendRows encodes a dense batch row by row.
func appendRows(data []byte, b *batch.Batch) ([]byte, error) {
	if _, err := schemaText(b.Schema()); err != nil {
		return nil, refuse(err)
	}
	encodes := make([]encode, len(b.Columns()))
	for i, c := range b.Columns() {
		encodes[i] = newEncode(c, b.Schema().Field(i).Nullable)
	}
	for row := range b.Len() {
		for _, encode := range encodes {
			data = encode(data, row)
		}
	}
	return data, nil
}

func refuse(cause error) error {
	return &connector.Error{
		Op: "write avro", Class: connector.Schema, Code: "avro_schema", Err: cause,
		Hint: "cast or drop the column before this sink",
	}
}

// Open prepares the stage. The end mark follows from the run, so that its file can go on.
func (s *sink) Open(ctx context.Context, task connector.Task) error {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%d", task.Run, s.cfg.Path, task.Index))
	s.sync = sum[:syncBytes]
	return s.stage.Open(ctx, task)
}

// Write appends the chunk's block, after a header where the file begins.
func (s *sink) Write(_ context.Context, chunk connector.Chunk) error {
	var partial *connector.PartialError
	if chunk.Payload == nil {
		var err error
		if chunk, err = s.inline(chunk); err != nil && !errors.As(err, &partial) {
			return err
		}
	}
	e, ok := chunk.Payload.(*encoded)
	if !ok {
		return fmt.Errorf("write avro: payload is %T", chunk.Payload)
	}
	if err := s.sameColumns(e.schema); err != nil {
		return err
	}
	fresh, err := s.stage.Fresh()
	if err != nil {
		return err
	}
	var data []byte
	if fresh {
		data = append(data, s.head...)
	}
	if e.block != nil {
		data = append(append(data, e.block...), s.sync...)
	}
	if len(data) > 0 {
		// One write, so that a failed one leaves neither header nor rows.
		if _, err := s.stage.Write(data); err != nil {
			return err
		}
	}
	if partial != nil {
		return partial
	}
	return nil
}

// sameColumns refuses rows of another schema than those in the file.
func (s *sink) sameColumns(schema *batch.Schema) error {
	if s.schema == schema || s.schema != nil && s.schema.Equal(schema) {
		return nil
	}
	text, err := schemaText(schema)
	if err != nil {
		return refuse(err)
	}
	if err := s.stage.Columns("avro", []byte(schema.String()), false); err != nil {
		return err
	}
	head := append([]byte(magic), 4) // two pairs, zigzag
	for _, value := range []string{schemaKey, text, codecKey, codecName(s.cfg.Compression)} {
		head = append(binary.AppendVarint(head, int64(len(value))), value...)
	}
	s.head = append(append(head, 0), s.sync...)
	s.schema = schema
	return nil
}

// Prepare ends the epoch. A run without rows whose columns are not known leaves a file without any.
func (s *sink) Prepare(ctx context.Context, epoch connector.Epoch) (connector.Prepared, error) {
	if epoch.Final && !s.stage.Folder() && !s.stage.Holds() {
		err := s.sameColumns(batch.NewSchema())
		if err == nil {
			_, err = s.stage.Write(s.head)
		}
		if err != nil {
			return connector.Prepared{}, err
		}
	}
	return s.stage.Prepare(ctx, epoch)
}

// Commit publishes what the epoch completed.
func (s *sink) Commit(ctx context.Context, epoch connector.Epoch, token []byte) error {
	return s.stage.Commit(ctx, epoch, token)
}

// Recover returns to the end of the epoch.
func (s *sink) Recover(ctx context.Context, epoch connector.Epoch, token []byte) error {
	return s.stage.Recover(ctx, epoch, token)
}

// Evolve takes over a changed schema where each part is a file of its own. An unchanged one tells
// what the parts of an earlier attempt hold.
func (s *sink) Evolve(_ context.Context, _, to *batch.Schema) error { return s.sameColumns(to) }

// Close leaves what is staged for Recover.
func (s *sink) Close() error { return s.stage.Close() }
