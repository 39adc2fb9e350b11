package store

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/market"
)

var errUnbuilt = errors.New("not built yet")

// Store is an open store. Several processes may have it open. Safe for concurrent use.
type Store struct{ dir string }

// Open opens the store in a folder, making both when missing. It reads until Lock.
func Open(dir string, cfg Config) (*Store, error) { return nil, errUnbuilt }

// Close frees files and memory; it does not release a Writer's lock.
func (s *Store) Close() error { return nil }

// Dir returns the folder.
func (s *Store) Dir() string { return s.dir }

// Lock takes the writer lock, sweeps what a crash left, and returns the writer. *LockedError: another
// has it.
func (s *Store) Lock(ctx context.Context, holder string) (*Writer, error) { return nil, errUnbuilt }

// View returns the store as of a commit; 0 is the newest. Close releases it.
func (s *Store) View(ctx context.Context, asOf Seq) (*View, error) { return nil, errUnbuilt }

// Journal returns the commits after a sequence, oldest first, at most limit of them (0: all).
func (s *Store) Journal(ctx context.Context, after Seq, limit int) ([]Entry, error) {
	return nil, errUnbuilt
}

// Verify reads every segment and compares checksums, counts and order.
func (s *Store) Verify(ctx context.Context) ([]Problem, error) { return nil, errUnbuilt }

// Problem is one thing Verify found.
type Problem struct{ Place, Message string }

// Stats are sizes of a dataset, for reports.
type Stats struct {
	Dataset         string
	Rows            int64 // of live segments, replaced rows included
	Bytes           int64
	Segments, Blobs int
	First, Last     market.Date
	Symbols         int
	RetiredBytes    int64
	Uncompacted     int // segments that a compaction would merge
}

// Stats returns the sizes of every dataset that has rows.
func (s *Store) Stats(ctx context.Context) ([]Stats, error) { return nil, errUnbuilt }

// SaveReport keeps the report of a run (JSON), replacing an earlier one of that run.
func (s *Store) SaveReport(ctx context.Context, r Report) error { return errUnbuilt }

// Reports returns the newest reports of a kind, newest first.
func (s *Store) Reports(ctx context.Context, kind string, limit int) ([]Report, error) {
	return nil, errUnbuilt
}

// Report is what a run says of itself.
type Report struct {
	Run, Kind, Status string
	Started, Finished time.Time
	JSON              []byte
}

// SetCursor registers a reader's progress: what it still needs is not collected until it expires.
func (s *Store) SetCursor(ctx context.Context, c Cursor) error { return errUnbuilt }

// Cursors returns the cursors that have not expired.
func (s *Store) Cursors(ctx context.Context) ([]Cursor, error) { return nil, errUnbuilt }

// DropCursor forgets a cursor.
func (s *Store) DropCursor(ctx context.Context, name string) error { return errUnbuilt }

// Cursor is the progress of one reader of the journal.
type Cursor struct {
	Name    string
	Seq     Seq
	Expires time.Time
}

// Take spends n requests of a provider's window (such as "2024-01-02"); false: more than limit would
// be used, or the provider is banned until a later time. Synced.
func (s *Store) Take(ctx context.Context, provider, window string, n, limit int64) (bool, error) {
	return false, errUnbuilt
}

// Ban closes a provider until the given time. Synced.
func (s *Store) Ban(ctx context.Context, provider string, until time.Time) error { return errUnbuilt }

// Budget returns what is used of a window, and until when the provider is banned (zero: it is not).
func (s *Store) Budget(ctx context.Context, provider, window string) (int64, time.Time, error) {
	return 0, time.Time{}, errUnbuilt
}

// Writer holds the writer lock.
type Writer struct{ store *Store }

// Commit makes the changes in one step: all of them, or none. Committed. Rows that are stored already
// are not written; when nothing is left, nothing is written and the newest sequence is returned.
func (w *Writer) Commit(ctx context.Context, c Changes) (Seq, error) { return 0, errUnbuilt }

// Alias lets a code name the instrument of symbol on the dates of an interval.
func (w *Writer) Alias(ctx context.Context, symbol, alias string, valid market.Interval) error {
	return errUnbuilt
}

// Compact merges segments where that pays, or wherever there are two when all is asked for.
func (w *Writer) Compact(ctx context.Context, all bool) (Compaction, error) {
	return Compaction{}, errUnbuilt
}

// Compaction is what Compact did.
type Compaction struct {
	Partitions, Inputs, Outputs int
	Rows, Bytes, FreedBytes     int64
}

// Unlock releases the lock.
func (w *Writer) Unlock() error { return nil }

// View is the store as of one commit. Safe for concurrent use.
type View struct{ seq Seq }

// Close releases what the view pins.
func (v *View) Close() error { return nil }

// Seq returns the commit the view shows.
func (v *View) Seq() Seq { return v.seq }

// Point returns one symbol's rows over dates (0: without bound), in order of the key. columns nil: all.
func (v *View) Point(dataset, symbol string, from, to market.Date, columns []string) (*batch.Batch, error) {
	return nil, errUnbuilt
}

// Cross returns all symbols' rows of one date.
func (v *View) Cross(dataset string, date market.Date, columns []string) (*batch.Batch, error) {
	return nil, errUnbuilt
}

// Scan returns rows in batches, partition by partition, each in order of the key.
func (v *View) Scan(dataset string, r Range, columns []string) iter.Seq2[*batch.Batch, error] {
	return nil
}

// Latest returns a symbol's newest row (0 or 1 rows) with all columns.
func (v *View) Latest(dataset, symbol string) (*batch.Batch, error) { return nil, errUnbuilt }

// Coverage returns for each symbol the dates that need no request; "" stands for the whole universe.
func (v *View) Coverage(dataset, freq, source string) (map[string]market.Intervals, error) {
	return nil, errUnbuilt
}

// CoverageIn is Coverage of one state: ok, empty_confirmed, partial or failed.
func (v *View) CoverageIn(dataset, freq, source string, state market.State) (map[string]market.Intervals, error) {
	return nil, errUnbuilt
}

// Symbols returns the symbols that have rows or coverage, sorted.
func (v *View) Symbols() []string { return nil }

// Connector returns connector `store`.
func Connector() connector.Connector { return connector.Connector{} }

// SourceConfig configures the source; SinkConfig the sink.
type SourceConfig struct {
	Path        string   `yaml:"path" required:"true" doc:"folder of the store" example:"store"`
	Dataset     string   `yaml:"dataset" required:"true" doc:"dataset to read" example:"bar_1d"`
	Symbols     []string `yaml:"symbols" doc:"canonical symbols; default all"`
	From        string   `yaml:"from" doc:"first date; default no bound" example:"2024-01-02"`
	To          string   `yaml:"to" doc:"last date; default no bound"`
	Columns     []string `yaml:"columns" doc:"columns to read; default all"`
	AsOf        int64    `yaml:"as_of" doc:"sequence of the commit to read at; 0: the newest"`
	Incremental bool     `yaml:"incremental" doc:"a later run reads only rows committed since"`
}

// SinkConfig configures the sink.
type SinkConfig struct {
	Path    string   `yaml:"path" required:"true" doc:"folder of the store; made when missing" example:"store"`
	Dataset string   `yaml:"dataset" doc:"dataset of rows whose chunk names no table" example:"bar_1d"`
	Key     []string `yaml:"key" doc:"key of a dataset that does not exist yet: it is made from the first rows"`
	Source  string   `yaml:"source" doc:"recorded as the origin of the rows" example:"baostock"`

	Writer *Writer `yaml:"-"` // in code: write through this lock
}
