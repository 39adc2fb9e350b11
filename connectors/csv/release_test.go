package csv

import (
	"testing"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/vfs"
)

// TestDecodeChainsRelease: the Release of the chunk as read is part of that of the decoded one.
func TestDecodeChainsRelease(t *testing.T) {
	t.Parallel()
	cfg := at(writeFile(t, t.TempDir()+"/in.csv", []byte("a\n1\n2\n")))
	source, err := newSource(connector.Env{FS: vfs.OS{}, Budget: connector.NewBudget(usual())}, &cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := source.Open(t.Context(), connector.Partition{}, nil); err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	chunk, err := source.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	released, inner := 0, chunk.Release
	chunk.Release = func() {
		released++
		if inner != nil {
			inner()
		}
	}
	chunk, err = source.(connector.Decoder).NewDecode()(chunk)
	if err != nil {
		t.Fatal(err)
	}
	if released != 0 || chunk.Batch.Len() == 0 {
		t.Fatalf("released %d times before use, %d rows", released, chunk.Batch.Len())
	}
	if chunk.Release(); released != 1 {
		t.Errorf("released %d times, want 1", released)
	}
}

// TestEncodeLeavesReleaseAlone: an encoded chunk's Release is of the encoder's memory only, which
// the next chunk gets.
func TestEncodeLeavesReleaseAlone(t *testing.T) {
	t.Parallel()
	cfg := SinkConfig{Header: true}
	cfg.Path = t.TempDir() + "/out.csv"
	var sink connector.Sink = newTestSink(t, cfg, 1)
	defer sink.Close()
	encode := sink.(connector.Encoder).NewEncode()
	column := batch.FixedColumn(batch.Of(batch.Int64), []int64{1, 2}, nil)
	schema := batch.NewSchema(batch.Field{Name: "a", Type: batch.Of(batch.Int64)})
	released := 0
	for range 3 {
		chunk, err := encode(connector.Chunk{
			Batch:   batch.New(schema, []*batch.Column{column}, 2),
			Release: func() { released++ },
		})
		if err == nil {
			err = sink.Write(t.Context(), chunk)
		}
		if err != nil {
			t.Fatal(err)
		}
		chunk.Release()
	}
	if released != 0 {
		t.Errorf("the rows were released %d times, that is the engine's", released)
	}
}
