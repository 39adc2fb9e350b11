package ingest

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/market"
)

// WriterStatistics is what a batch writer did in a run.
type WriterStatistics struct {
	BatchSize   int   `json:"batch_size"`  // rows handed to the store at once
	Batches     int64 `json:"batches"`     // that it took
	Refused     int64 `json:"refused"`     // batches that it did not take as a whole
	Quarantined int64 `json:"quarantined"` // rows that it did not take even alone
	// Alone are rows that were handed over each on its own: with enable false, or after a refusal.
	Alone        int64   `json:"rows_alone"`
	AloneSeconds float64 `json:"rows_alone_seconds"`
}

// writing is how rows are handed to the store, shared by the sinks of a run. Safe for concurrent use.
type writing struct {
	settings BatchWriterConfig
	source   string // the provider
	log      *slog.Logger

	mu    sync.Mutex
	size  int // rows of a batch now; the memory limit shrinks it
	stats WriterStatistics
}

func newWriting(settings BatchWriterConfig, source string, log *slog.Logger) *writing {
	w := &writing{settings: settings, source: source, log: log}
	w.resize(settings.BatchSize)
	return w
}

// resize sets the rows of a batch; each row goes alone where the batch writer is switched off.
func (w *writing) resize(rows int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.size = max(1, rows); !w.settings.Enable {
		w.size = 1
	}
	w.stats.BatchSize = w.size
}

func (w *writing) batchSize() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.size
}

func (w *writing) count(change func(s *WriterStatistics)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change(&w.stats)
}

func (w *writing) statistics() WriterStatistics {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stats
}

// batchWriter hands rows to the store in batches: the store stages each batch whole or not at all, and
// groups the staged ones into a commit at every checkpoint. A batch that it refuses is handed over in
// smaller ones, then row by row; a row that is refused alone goes to quarantine with the reason, so
// that no other row is lost with it.
// invariant: a refused batch takes no other row with it
//
// With auto_flush false the rows of a unit wait for its end, so that a commit holds whole units only.
type batchWriter struct {
	connector.Decider

	*writing
	waiting []connector.Chunk // auto_flush false: of the unit that has not ended
}

// Full reports that a checkpoint is due.
func (w *batchWriter) Full() bool {
	bounded, ok := w.Decider.(connector.Bounded)
	return ok && bounded.Full()
}

// Write hands over the rows of a chunk, or keeps them until their unit ends.
func (w *batchWriter) Write(ctx context.Context, chunk connector.Chunk) error {
	if w.settings.AutoFlush || chunk.Batch == nil {
		return w.split(ctx, chunk)
	}
	if chunk.Table != market.UnitTable {
		chunk.Batch = chunk.Batch.Keep() // it is the engine's again when Write returns
		chunk.Release = nil
		w.waiting = append(w.waiting, chunk)
		return nil
	}
	for len(w.waiting) > 0 {
		if err := w.split(ctx, w.waiting[0]); err != nil {
			return err
		}
		w.waiting = w.waiting[1:]
	}
	return w.Decider.Write(ctx, chunk)
}

// split hands over the rows of a dataset in batches.
func (w *batchWriter) split(ctx context.Context, chunk connector.Chunk) error {
	if chunk.Batch == nil || chunk.Table == market.UnitTable || chunk.Table == market.QuarantineTable {
		return w.Decider.Write(ctx, chunk)
	}
	if chunk.Batch.Len() == 0 {
		return w.Decider.Write(ctx, chunk)
	}
	size := w.batchSize()
	begun := time.Now()
	for from := 0; from < chunk.Batch.Len(); from += size {
		part := chunk
		part.Batch = chunk.Batch.Part(from, min(from+size, chunk.Batch.Len()))
		if err := w.hand(ctx, part); err != nil {
			return err
		}
	}
	if size == 1 {
		w.count(func(s *WriterStatistics) {
			s.Alone += int64(chunk.Batch.Len())
			s.AloneSeconds += time.Since(begun).Seconds()
		})
	}
	return nil
}

// smaller is into how many parts a refused batch is divided.
const smaller = 10

// hand hands over a batch, and where it is refused its parts.
func (w *batchWriter) hand(ctx context.Context, chunk connector.Chunk) error {
	err := w.Decider.Write(ctx, chunk)
	rows := chunk.Batch.Len()
	switch {
	case err == nil:
		w.count(func(s *WriterStatistics) { s.Batches++ })
		return nil
	case !isRefusal(err) || ctx.Err() != nil:
		return err
	case rows == 1:
		w.count(func(s *WriterStatistics) { s.Quarantined++ })
		return w.quarantine(ctx, chunk, err)
	}
	w.count(func(s *WriterStatistics) { s.Refused++ })
	w.log.Warn("the store refused a batch; it is handed over in smaller ones", "dataset", chunk.Table,
		"rows", rows, "error", err)
	size := max(1, rows/smaller)
	begun := time.Now()
	for from := 0; from < rows; from += size {
		part := chunk
		part.Batch = chunk.Batch.Part(from, min(from+size, rows))
		if err := w.hand(ctx, part); err != nil {
			return err
		}
	}
	if size == 1 {
		w.count(func(s *WriterStatistics) {
			s.Alone += int64(rows)
			s.AloneSeconds += time.Since(begun).Seconds()
		})
	}
	return nil
}

// isRefusal reports whether rows are at fault: not the disk, the lock, or the shape of all rows.
func isRefusal(err error) bool {
	if _, ok := errors.AsType[*connector.PartialError](err); ok {
		return true
	}
	e, ok := errors.AsType[*connector.Error](err)
	return ok && e.Class == connector.Data
}

// quarantine keeps a row that the store refuses, as it was received.
func (w *batchWriter) quarantine(ctx context.Context, chunk connector.Chunk, cause error) error {
	b := chunk.Batch
	row := b.Row(0)
	q := market.Quarantine{
		Dataset: chunk.Table, Source: w.source, Rule: "refused", Message: cause.Error(),
		Raw: string(batch.AppendRow(nil, b, row)), Place: b.Origin().At(row).String(),
	}
	text := func(column string) string {
		at := b.Schema().Index(column)
		if at < 0 || b.Column(at).Lazy() || b.Column(at).IsNull(row) {
			return ""
		}
		return string(batch.AppendText(nil, b.Column(at), row))
	}
	q.Symbol = text("symbol")
	if d, ok := market.DatasetByName(chunk.Table); ok {
		if date, err := market.ParseDate(text(d.Time)); err == nil {
			q.Date = date
		}
	}
	held := batch.NewBuilder(market.QuarantineSchema())
	market.AppendQuarantine(held, q)
	rows, err := held.Batch()
	if err != nil {
		return err
	}
	return w.Decider.Write(ctx, connector.Chunk{Table: market.QuarantineTable, Batch: rows})
}

// wholeUnits is a provider's source whose positions lie between units only: after a restart within a
// run, a unit of which rows were waiting is read again from its beginning.
type wholeUnits struct {
	connector.Source

	at connector.Position // behind the last unit that ended
}

// Open continues between units.
func (s *wholeUnits) Open(ctx context.Context, partition connector.Partition, at connector.Position) error {
	s.at = at
	return s.Source.Open(ctx, partition, at)
}

// Read reads on, and says that the stream continues behind the last whole unit.
func (s *wholeUnits) Read(ctx context.Context) (connector.Chunk, error) {
	chunk, err := s.Source.Read(ctx)
	if err == nil && chunk.Table != market.UnitTable {
		chunk.Position = s.at
		return chunk, nil
	}
	if chunk.Position != nil {
		s.at = chunk.Position
	}
	return chunk, err
}
