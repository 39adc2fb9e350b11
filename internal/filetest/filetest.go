package filetest

import (
	"errors"
	"io"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/vfs"
)

// Env returns what a connector may use: a file system, and room for any batch.
func Env(fsys vfs.FS) connector.Env {
	return Limited(fsys, connector.Limits{Rows: 16384, Bytes: 64 << 20})
}

// Limited is Env with batches of at most the given size.
func Limited(fsys vfs.FS, limits connector.Limits) connector.Env {
	return connector.Env{FS: fsys, Budget: connector.NewBudget(limits)}
}

// Outcome is what a source delivered.
type Outcome struct {
	Batches   []*batch.Batch
	Rows      []string // as JSON
	Positions []connector.Position
	Counts    []int // rows up to each position
	Rejected  []connector.Rejected
	Schema    *batch.Schema
}

// Read runs a source from a position to its end. Its batches are typed: it decodes by itself.
func Read(
	t testing.TB, env connector.Env, c connector.Connector, config any, part connector.Partition,
	at connector.Position,
) (Outcome, error) {
	t.Helper()
	return readUpTo(t, math.MaxInt, env, c, config, part, at)
}

// readUpTo reads until at least most rows came.
func readUpTo(
	t testing.TB, most int, env connector.Env, c connector.Connector, config any,
	part connector.Partition, at connector.Position,
) (Outcome, error) {
	t.Helper()
	var out Outcome
	s, err := c.Source.New(env, config)
	if err != nil {
		return out, err
	}
	defer s.Close()
	if err := s.Open(t.Context(), part, at); err != nil {
		return out, err
	}
	for len(out.Rows) < most {
		chunk, err := s.Read(t.Context())
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		out.Batches, out.Schema = append(out.Batches, chunk.Batch), chunk.Batch.Schema()
		out.Rows = append(out.Rows, Lines(chunk.Batch)...)
		out.Rejected = append(out.Rejected, chunk.Rejected...)
		out.Positions = append(out.Positions, chunk.Position)
		out.Counts = append(out.Counts, len(out.Rows))
	}
	return out, nil
}

// Lines spells rows as JSON objects.
func Lines(batches ...*batch.Batch) []string {
	var rows []string
	for _, b := range batches {
		for i := range b.Len() {
			rows = append(rows, string(batch.AppendRow(nil, b, b.Row(i))))
		}
	}
	return rows
}

// Diff compares rows; no rows are no rows.
func Diff(want, got []string) string {
	if len(want) == 0 && len(got) == 0 {
		return ""
	}
	return cmp.Diff(want, got)
}

// Open returns a sink of run r, opened and brought to an epoch; number 0 is the start.
func Open(
	t testing.TB, env connector.Env, c connector.Connector, config any, epoch uint64, token []byte,
) connector.Transactional {
	t.Helper()
	s, err := c.Sink.New(env, config)
	if err != nil {
		t.Fatal(err)
	}
	tx := s.(connector.Transactional)
	err = errors.Join(tx.Open(t.Context(), task()),
		tx.Recover(t.Context(), connector.Epoch{Number: epoch}, token))
	if err != nil {
		t.Fatal(err)
	}
	return tx
}

func task() connector.Task { return connector.Task{Run: "r", Node: "out", Count: 1} }

// Commit takes an epoch through all its steps and returns its token.
func Commit(t testing.TB, tx connector.Transactional, epoch connector.Epoch) []byte {
	t.Helper()
	token, err := commit(t, tx, epoch)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func commit(t testing.TB, tx connector.Transactional, epoch connector.Epoch) ([]byte, error) {
	prepared, err := tx.Prepare(t.Context(), epoch)
	if err == nil {
		err = prepared.Sync(t.Context())
	}
	if err != nil {
		return nil, err
	}
	return prepared.Token, tx.Commit(t.Context(), epoch, prepared.Token)
}

// Write writes batches as a run of one epoch.
func Write(
	t testing.TB, env connector.Env, c connector.Connector, config any, batches ...*batch.Batch,
) {
	t.Helper()
	tx := Open(t, env, c, config, 0, nil)
	for _, b := range batches {
		if err := tx.Write(t.Context(), connector.Chunk{Batch: b}); err != nil {
			t.Fatal(err)
		}
	}
	Commit(t, tx, connector.Epoch{Number: 1, Final: true})
	if err := tx.Close(); err != nil {
		t.Fatal(err)
	}
}
