package sqlkit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
)

const stageOperation = "tapeline_operation"

// applyStage keeps a chunk's rows in a temporary table of this connection, which no other waits
// for. The target takes them first, for the time of the chunk, so that its constraints refuse rows
// here; what they say of several chunks together is seen by rehearse.
func (s *Sink) applyStage(
	ctx context.Context, t *target, columns []*batch.Column, inserts, deletes []int32,
) error {
	// A table that is still to be emptied would refuse for the sake of its old rows.
	if s.config.Mode != Replace || s.emptied.Has(t.name) {
		if _, err := s.data.Exec(ctx, "SAVEPOINT trial"); err != nil {
			return err
		}
		if err := s.apply(ctx, t, columns, inserts, deletes); err != nil {
			return err // the chunk's savepoint takes it back
		}
		if _, err := s.data.Exec(ctx, "ROLLBACK TO SAVEPOINT trial"); err != nil {
			return err
		}
	}
	names := s.backend.Dialect.QuoteList(append(t.schema.Names(), stageOperation))
	for _, part := range []struct {
		rows      []int32
		operation batch.Operation
	}{{deletes, batch.Delete}, {inserts, batch.Upsert}} {
		if len(part.rows) == 0 {
			continue
		}
		dense := make([]*batch.Column, len(columns), len(columns)+1)
		for i, c := range columns {
			dense[i] = c.Gather(part.rows)
		}
		operations := make([]int64, len(part.rows))
		for i := range operations {
			operations[i] = int64(part.operation)
		}
		dense = append(dense, batch.FixedColumn(batch.Of(batch.Int64), operations, nil))
		err := s.backend.Insert(ctx, s.data, Rows{
			Prefix:  "INSERT INTO " + t.stage + " (" + names + ") VALUES ",
			Columns: dense, Count: len(part.rows),
		})
		if err != nil {
			return err
		}
	}
	t.staged = true
	return nil
}

// ensureStage makes the temporary table with the target's column types and none of its constraints.
// It comes before the chunk's savepoint, which would take the table back with a refused chunk.
func (s *Sink) ensureStage(ctx context.Context, t *target) error {
	if t.stage != "" {
		return nil
	}
	d := s.backend.Dialect
	s.stages++
	stage := "temp." + d.Quote(fmt.Sprintf("tapeline_stage_%d", s.stages))
	_, err := s.data.Exec(ctx, fmt.Sprintf("CREATE TABLE %s AS SELECT %s, 0 AS %s FROM %s WHERE 0",
		stage, d.QuoteList(t.schema.Names()), stageOperation, d.QuoteName(t.name)))
	if err == nil {
		t.stage, t.number = stage, s.stages
	}
	return err
}

// rehearse publishes and takes it back, so that the tables' constraints refuse rows before the epoch
// is decided.
func (s *Sink) rehearse(ctx context.Context, op string) error {
	if !s.staging {
		return nil
	}
	if err := s.beginTransaction(ctx, op); err != nil {
		return err
	}
	s.begun = false // staged rows have no transaction open
	err := s.runPublishing(ctx)
	_, rollback := s.data.Exec(ctx, "ROLLBACK")
	if err = errors.Join(err, rollback); err != nil {
		s.drop()
		return fmt.Errorf("%w: %w", connector.ErrEpochLost, s.backend.Classify(op, err))
	}
	s.rows = true
	return nil
}

// publish moves staged rows into their tables, inside the epoch's transaction.
func (s *Sink) publish(ctx context.Context) error {
	if !s.staging {
		return nil
	}
	if err := s.runPublishing(ctx); err != nil {
		return err
	}
	for _, t := range s.stagedTargets() {
		t.staged = false
		if s.config.Mode == Replace {
			s.emptied.Add(t.name)
		}
	}
	return nil
}

func (s *Sink) runPublishing(ctx context.Context) error {
	emptied := map[Name]bool{} // two schemas, or spellings, may share a table
	for _, t := range s.stagedTargets() {
		for _, sql := range s.publishing(t, emptied[s.emptied.key(t.name)]) {
			if _, err := s.data.Exec(ctx, sql); err != nil {
				return fmt.Errorf("insert into %s: %w", t.name, err)
			}
		}
		emptied[s.emptied.key(t.name)] = true
	}
	return nil
}

// stagedTargets returns the targets whose stage holds rows, in the order they were met.
func (s *Sink) stagedTargets() []*target {
	var out []*target
	for _, known := range s.targets {
		for _, t := range known {
			if t.staged {
				out = append(out, t)
			}
		}
	}
	slices.SortFunc(out, func(x, y *target) int { return x.number - y.number })
	return out
}

// publishing returns the statements for one table: of each key, the last operation counts.
func (s *Sink) publishing(t *target, emptied bool) []string {
	d := s.backend.Dialect
	table, columns := d.QuoteName(t.name), d.QuoteList(t.schema.Names())
	var out []string
	if s.config.Mode == Replace && !emptied && !s.emptied.Has(t.name) {
		out = append(out, "DELETE FROM "+table)
	}
	condition := "true"
	if s.config.Keyed() {
		key := d.QuoteList(s.config.Key)
		condition = fmt.Sprintf("rowid IN (SELECT max(rowid) FROM %s GROUP BY %s)", t.stage, key)
		out = append(out, fmt.Sprintf("DELETE FROM %s WHERE (%s) IN (SELECT %s FROM %s WHERE %s AND "+
			"%s = %d)", table, key, key, t.stage, condition, stageOperation, batch.Delete))
		condition += fmt.Sprintf(" AND %s <> %d", stageOperation, batch.Delete)
	}
	out = append(out, strings.Join([]string{
		"INSERT INTO", table, "(" + columns + ")", "SELECT", columns, "FROM", t.stage, "WHERE", condition,
	}, " ")+" ORDER BY rowid"+t.suffix)
	return append(out, "DELETE FROM "+t.stage)
}
