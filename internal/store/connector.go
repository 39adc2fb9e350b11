package store

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"

	"github.com/tapeline/tapeline/connector"
)

// Connector returns connector `store`.
func Connector() connector.Connector {
	const preferredRows = 10_000
	open := &openStores{byDir: map[string]*shared{}}
	return connector.Connector{
		Name: "store", Version: "1.0.0", Contract: connector.ContractVersion,
		Summary: "Reads and writes the datasets of a market store, exactly once.",
		Doc:     page,
		Source: connector.NewSource(SourceConfig{}, connector.SourceCapabilities{
			Bounded: true, Resumable: true, Incremental: true, Operations: true,
		}, func(env connector.Env, c *SourceConfig) (connector.Source, error) {
			s, err := newSource(env, *c)
			if err != nil || c.Order == "" && c.Adjust == "" {
				return s, err
			}
			return newOrderedSource(env, s)
		}),
		Sink: connector.NewSink(SinkConfig{}, connector.SinkCapabilities{
			Transactions: true, Decides: true, Upsert: true, Staged: true,
			PreferredRows: preferredRows,
		}, func(env connector.Env, c *SinkConfig) (connector.Sink, error) {
			return newSink(env, *c, open)
		}),
	}
}

// SourceConfig configures the source.
type SourceConfig struct {
	Path        string   `yaml:"path" required:"true" doc:"folder of the store" example:"store"`
	Dataset     string   `yaml:"dataset" required:"true" doc:"dataset to read" example:"bar_1d"`
	Symbols     []string `yaml:"symbols" doc:"canonical symbols; default all" example:"[600000.XSHG]"`
	From        string   `yaml:"from" doc:"first date; default without bound" example:"2024-01-02"`
	To          string   `yaml:"to" doc:"last date; default without bound" example:"2024-12-31"`
	Columns     []string `yaml:"columns" doc:"columns to read, in this order; default all" example:"[symbol, date, close]"`
	AsOf        int64    `yaml:"as_of" doc:"number of the commit to read at; 0 is the newest"`
	Order       string   `yaml:"order" enum:"stored,key" doc:"stored: partition by partition; key: by symbol and then date over all of them. Default stored"`
	Adjust      string   `yaml:"adjust" enum:"none,forward,backward" doc:"prices of bar_1d across dividends and splits: forward keeps the newest, backward the oldest, exactly, as decimal(36,10). Default none"`
	Incremental bool     `yaml:"incremental" doc:"a later run reads only what was committed since, deletes included"`
}

// SinkConfig configures the sink.
type SinkConfig struct {
	Path    string   `yaml:"path" required:"true" doc:"folder of the store; made when missing" example:"store"`
	Dataset string   `yaml:"dataset" doc:"dataset of rows whose chunk names no table; default: chunks must name theirs" example:"bar_1d"`
	Key     []string `yaml:"key" doc:"key columns of a dataset of your own, which is made from the first rows" example:"[symbol, date]"`
	Source  string   `yaml:"source" doc:"recorded as the origin of the rows; default none" example:"baostock"`

	// Unknown, in code, are by dataset the columns of which the source of the rows knows nothing.
	Unknown map[string][]string `yaml:"-"`
	// Writer, in code, is the lock to write under; nil takes the lock of Path while the sink is open.
	Writer *Writer `yaml:"-"`
}

// openStores are the stores that sinks of one process write: they share the lock.
type openStores struct {
	mu    sync.Mutex
	byDir map[string]*shared
}

type shared struct {
	store  *Store
	writer *Writer
	users  int
}

// take returns the writer of a folder, locking it for the first user.
func (o *openStores) take(ctx context.Context, dir, holder string) (*Writer, func() error, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, nil, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	s := o.byDir[dir]
	if s == nil {
		s = &shared{}
		if s.store, err = Open(dir, Config{}); err != nil {
			return nil, nil, err
		}
		if s.writer, err = s.store.Lock(ctx, holder); err != nil {
			return nil, nil, errors.Join(err, s.store.Close())
		}
		o.byDir[dir] = s
	}
	s.users++
	return s.writer, func() error { return o.release(dir, s) }, nil
}

func (o *openStores) release(dir string, s *shared) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if s.users--; s.users > 0 {
		return nil
	}
	delete(o.byDir, dir)
	return errors.Join(s.writer.Unlock(), s.store.Close())
}

// classify gives an error of the store the class that tells the engine what to do.
func classify(op string, err error) error {
	if err == nil {
		return nil
	}
	if already, ok := errors.AsType[*connector.Error](err); ok {
		return already
	}
	if _, ok := errors.AsType[*connector.PartialError](err); ok {
		return err
	}
	class := connector.Transient
	for _, lasting := range []error{
		ErrLocked, ErrCorrupt, ErrHorizon, ErrFuture, ErrClosed, ErrFenced, ErrDataset, ErrUnknown, ErrAbsent, ErrForeign,
	} {
		if errors.Is(err, lasting) {
			class = connector.Permanent
		}
	}
	return &connector.Error{Op: op, Class: class, Err: err}
}

func misuse(op, format string, args ...any) error {
	return &connector.Error{Op: op, Class: connector.Permanent, Err: fmt.Errorf(format, args...)}
}

const page = `**Sink.** One transaction per checkpoint: rows, coverage, quarantine, restatements and the checkpoint's
number are committed together, so each row is there exactly once. Rows are kept by their dataset's key: of equal
keys the last counts, a row that is stored already is not written, one that differs replaces it and leaves an
entry in dataset ` + "`restatement`" + `; deletes are honoured. Columns go by name; a missing key column or
required column is refused, a missing nullable one is NULL, others are ignored. Types are cast where no digit is
lost.

The datasets of market data (bar_1d, adj_factor, ...) are known. Another name makes a dataset of your own from the
first rows and ` + "`key`" + `. A column ` + "`symbol`" + ` of the key holds instruments. Nested types, binary
and decimals of more than 18 digits have no form in the store.

Rows of bar data that break a rule of quality (low above high, a negative volume, ...) go to dataset
` + "`quarantine`" + ` with the rule and the row's text. One process writes a store at a time; another is
refused with the name of the first.

**Source.** Reads one dataset as of one commit, partition by partition, in order of the key. It goes on exactly
behind any position. With ` + "`incremental`" + ` the next run reads what was committed since, as upserts and
deletes. A change of an instrument's code makes all of its rows another's: the next run then deletes the keys they
had under former codes and reads everything again. Whichever code is asked for, rows come under the present one.`
