package connector

import (
	"context"
	"time"

	"github.com/tapeline/tapeline/batch"
)

// ContractVersion is the version of this contract; a connector states the one it was written for.
const ContractVersion = 1

// Position says where a source's stream continues after a chunk. It is opaque, versioned bytes
// owned by the connector; nil is the start. The end of a bounded source is a position too.
type Position []byte

// Partition is one independent part of a source, with positions of its own. A source without
// Partitioner has the one partition "".
type Partition struct {
	ID   string // stable for the life of a run
	Spec []byte // what the connector needs to open it again
}

// Chunk is a batch on its way, or the connector's own form of one.
type Chunk struct {
	Table     string       // which table of a many-table source; "" otherwise
	Batch     *batch.Batch // nil while only Payload is set
	Payload   any          // a Decoder's undecoded input or an Encoder's output; the connector's own
	Rejected  []Rejected   // records the source could not make rows of
	Position  Position     // where the stream continues after this chunk
	Watermark int64        // event time in Unix ns below which no row follows; 0: none
	Bytes     int          // size of the source's bytes, for credits and progress; 0: unknown
	// Release returns the chunk's memory to its owner; the engine calls it once when no one uses
	// the chunk any more. nil when there is nothing to return.
	Release func()
}

// Rejected is one record that is no row: where it was, why, and its text.
type Rejected struct {
	Place  batch.Place
	Reason string
	Record string // as read, cut at 64 KiB
}

// Source reads one partition of a system.
type Source interface {
	// Open starts reading the partition after position (nil: from the start). It is called once,
	// before Read. After a restart, and after a Read that failed with class Transient or Throttled,
	// the engine makes a new Source and opens it behind the last chunk it took.
	Open(ctx context.Context, partition Partition, position Position) error

	// Read returns the next chunk, blocking until there is one, or io.EOF after the last. The
	// chunk's memory is the engine's until it calls Release. It is called from one goroutine and
	// must return soon after ctx ends. A chunk the engine did not take is read again after Open.
	Read(ctx context.Context) (Chunk, error)

	// Ack says that everything up to position is committed at every sink. It carries the newest
	// position, may skip some, never goes back, and may come while Read blocks. Its failure is
	// logged, not fatal: the position was committed all the same.
	Ack(ctx context.Context, position Position) error

	// Close frees what Open took. It may come while Read blocks, which then returns.
	Close() error
}

// Sink writes to one table, file or topic.
type Sink interface {
	// Open prepares for Write. It is called once, before Recover and Write.
	Open(ctx context.Context, task Task) error

	// Write takes over all rows of the chunk or none, or returns *PartialError naming the rows it
	// did not take. The chunk is valid until Write returns. The returned nil means "written":
	// durability comes with Flush or Prepare. A chunk without rows comes at the end of a run that
	// had none for this sink: it tells the columns, so that the file or table comes into being.
	Write(ctx context.Context, chunk Chunk) error

	// Close frees what Open took. Rows of an epoch that was not committed are dropped or left for
	// Recover.
	Close() error
}

// Task names the piece of a run that a sink works for.
type Task struct {
	Workflow string
	Run      string // unique id of the run; the same after a resume
	Node     string
	Index    int // 0..Count-1 among the sink's parallel writers
	Count    int
	Fence    uint64 // lease revision; a later one fences an earlier
}

// Epoch is one checkpoint: all rows between two barriers.
type Epoch struct {
	Number uint64
	Final  bool // the run ends here; single-file sinks publish their file
}

// Prepared is a sink's answer to a barrier.
type Prepared struct {
	Token []byte // what Commit and Recover need; stored in the manifest, at most 64 KiB
	// Sync makes the epoch's rows durable ("synced"); the engine runs it beside following Writes.
	// nil when they already are.
	Sync func(ctx context.Context) error
}

// Transactional is a Sink whose rows become visible per epoch.
type Transactional interface {
	Sink
	// Prepare ends the epoch: rows written before it belong to it. Not yet visible.
	Prepare(ctx context.Context, epoch Epoch) (Prepared, error)
	// Commit makes a prepared epoch visible. It is idempotent: after a crash it is repeated.
	Commit(ctx context.Context, epoch Epoch, token []byte) error
	// Recover is called once after Open and before Write. It publishes the epoch if that did not
	// happen yet and discards everything later. token nil: no epoch was committed in this run.
	Recover(ctx context.Context, epoch Epoch, token []byte) error
}

// Decider is a Transactional sink that stores the epoch's number in its own data transaction and
// so decides whether the epoch is committed. Where another sink decides, it follows: the engine calls
// Decide once the epoch is committed, and after a crash in between it calls Recover with the epoch
// before and writes the rows again. Either way no Write comes between Prepare and Decide.
type Decider interface {
	Transactional
	// Decide commits the data transaction together with (run, epoch) by compare-and-set on the
	// epoch before: "committed". An error that leaves the outcome unknown is answered by Decided.
	Decide(ctx context.Context, epoch Epoch) error
	// Decided returns the newest epoch number committed for the task's run, 0 for none.
	Decided(ctx context.Context) (uint64, error)
}

// Flusher is a Sink that buffers: Flush makes all written rows durable ("synced").
type Flusher interface {
	Flush(ctx context.Context) error
}

// Upserter is a Sink that replaces rows by key. An empty Key means that it only inserts.
type Upserter interface {
	Key() []string
}

// Partitioner is a Source that can be read in parts at the same time.
type Partitioner interface {
	// Partitions returns at most limit parts that together are the whole source. It is called on a
	// Source that is not opened; the answer is kept for the life of the run.
	Partitions(ctx context.Context, limit int) ([]Partition, error)
}

// Decoder is a Source that leaves parsing to the engine's workers: Read returns chunks with
// Payload, and a DecodeFunc turns them into chunks with Batch.
type Decoder interface {
	// NewDecode returns a function with scratch of its own, used by one worker.
	NewDecode() DecodeFunc
}

// DecodeFunc fills Batch and Rejected from Payload; it does not change Position.
type DecodeFunc func(chunk Chunk) (Chunk, error)

// Encoder is a Sink that leaves formatting to the engine's workers.
type Encoder interface {
	// NewEncode returns a function with scratch of its own, used by one worker.
	NewEncode() EncodeFunc
}

// EncodeFunc fills Payload from Batch. *PartialError names rows that are not in Payload.
type EncodeFunc func(chunk Chunk) (Chunk, error)

// Merger is an Encoder whose payloads can be joined, so that small chunks share one Write.
type Merger interface {
	Encoder
	// Merge returns a payload with the rows of all, in order; false when these do not go together.
	// It may refer to their memory, which stays until the Write that takes it has returned. That
	// Write has no Batch, and refuses all rows or none.
	Merge(payloads []any) (any, bool)
}

// Bounded is a Sink that keeps the rows of an open epoch in memory.
type Bounded interface {
	Sink
	// Full reports, after a Write and once an epoch, that they are many: the checkpoint comes before
	// its time.
	Full() bool
}

// Checker can say whether a source or sink is reachable and permitted, without side effects.
type Checker interface {
	Check(ctx context.Context) error
}

// Discoverer can say the schema a source will deliver, before reading.
type Discoverer interface {
	Discover(ctx context.Context) (*batch.Schema, error)
}

// SchemaEvolver is a Sink that can follow a changed schema. Evolve is idempotent and comes between
// epochs.
type SchemaEvolver interface {
	Evolve(ctx context.Context, from, to *batch.Schema) error
}

// Lookup answers keys with rows, for enrich.
type Lookup interface {
	Open(ctx context.Context) error
	// Lookup takes a dense batch of distinct keys and returns found rows, and for each key the row
	// that answers it, or -1.
	Lookup(ctx context.Context, keys *batch.Batch) (found *batch.Batch, row []int32, err error)
	Close() error
}

// Limits is what one batch of a source may be; the engine changes it while the source reads.
type Limits struct {
	Rows  int           // at least 1
	Bytes int           // at least 1
	Age   time.Duration // longest wait for a batch to fill; 0: hand over what is there
}
