package generate

import (
	"testing"

	"github.com/tapeline/tapeline/connector"
)

// TestDecodeChainsRelease: the Release of the chunk as read is part of that of the decoded one.
func TestDecodeChainsRelease(t *testing.T) {
	t.Parallel()
	source := open(t, Config{Rows: 9, Fields: allFields()}, connector.Limits{Rows: 9, Bytes: 1 << 20}, nil)
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
