package run

import (
	"context"
	"time"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/credit"
	"github.com/tapeline/tapeline/internal/flow/plan"
)

// Credits of one edge: what may be under way between two tasks.
const (
	edgeChunks = 16       // chunks; also the part of the receiver's inbox that is the edge's
	edgeBytes  = 32 << 20 // bytes of the chunks' source data
)

// item is what enters a task: a chunk, a barrier, or the end of a reader.
type item struct {
	input   int // index of the reader or edge
	chunk   connector.Chunk
	read    time.Time   // by a reader
	source  *openSource // of a reader: where the chunk is from
	rows    int         // logical rows of a decoded chunk; 0 while undecoded
	grant   *grant      // the memory it holds
	release func()      // returns memory and credits; called once by whoever is done with the chunk
	barrier *connector.Epoch
	end     bool  // reader only: io.EOF
	failure error // reader only: no chunk follows, for this reason
}

// edge carries chunks from one task to another. The receiver grants credits by finishing chunks;
// a sender without credit waits.
type edge struct {
	plan   *plan.Edge
	input  int // index among the receiver's inputs
	to     *task
	chunks *credit.Pool
	bytes  *credit.Pool
}

func newEdge(p *plan.Edge, input int, to *task) *edge {
	return &edge{
		plan: p, input: input, to: to,
		chunks: credit.New(edgeChunks), bytes: credit.New(edgeBytes),
	}
}

// send hands a chunk over, waiting for credit. The lease gets no further user: the caller shares
// it first. When the send fails the use is dropped.
func (e *edge) send(ctx context.Context, chunk connector.Chunk, l *lease) error {
	size := int64(max(chunk.Bytes, 1))
	if err := e.chunks.Acquire(ctx, 1); err != nil {
		l.drop()
		return err
	}
	if err := e.bytes.Acquire(ctx, size); err != nil {
		e.chunks.Release(1)
		l.drop()
		return err
	}
	done := func() {
		e.bytes.Release(size)
		e.chunks.Release(1)
		l.drop()
	}
	// The inbox holds a place for every chunk credit of every edge, so this does not block.
	e.to.receive() <- &item{
		input: e.input, chunk: chunk, rows: chunk.Batch.Len(), grant: l.grant, release: done,
	}
	return nil
}

// barrier passes a barrier behind everything sent so far; its place in the inbox is reserved,
// since one epoch is under way at a time.
func (e *edge) barrier(epoch connector.Epoch) {
	e.to.receive() <- &item{input: e.input, barrier: &epoch}
}
