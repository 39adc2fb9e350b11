package sqlkit

import (
	"context"
	"fmt"
	"strings"

	"github.com/tapeline/tapeline/batch"
)

const stageOperation = "tapeline_operation"

// applyStage keeps a chunk's rows in a temporary table of this connection, which no other waits
// for. The table's constraints are checked by publish.
func (s *Sink) applyStage(
	ctx context.Context, t *target, columns []*batch.Column, inserts, deletes []int32,
) error {
	if err := s.ensureStage(ctx, t); err != nil {
		return err
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
func (s *Sink) ensureStage(ctx context.Context, t *target) error {
	if t.stage != "" {
		return nil
	}
	d := s.backend.Dialect
	stages := 0
	for _, known := range s.targets {
		for _, other := range known {
			if other.stage != "" {
				stages++
			}
		}
	}
	stage := "temp." + d.Quote(fmt.Sprintf("tapeline_stage_%d", stages))
	_, err := s.data.Exec(ctx, fmt.Sprintf("CREATE TABLE %s AS SELECT %s, 0 AS %s FROM %s WHERE 0",
		stage, d.QuoteList(t.schema.Names()), stageOperation, d.QuoteName(t.name)))
	if err == nil {
		t.stage = stage
	}
	return err
}

// publish moves staged rows into their tables, inside the epoch's transaction.
func (s *Sink) publish(ctx context.Context) error {
	if !s.staging {
		return nil
	}
	for _, known := range s.targets {
		for _, t := range known {
			if !t.staged {
				continue
			}
			for _, sql := range s.publishing(t) {
				if _, err := s.data.Exec(ctx, sql); err != nil {
					return fmt.Errorf("insert into %s: %w", t.name, err)
				}
			}
			t.staged = false
			if s.config.Mode == Replace {
				s.emptied.Add(t.name)
			}
		}
	}
	return nil
}

// publishing returns the statements for one table: of each key, the last operation counts.
func (s *Sink) publishing(t *target) []string {
	d := s.backend.Dialect
	table, columns := d.QuoteName(t.name), d.QuoteList(t.schema.Names())
	var out []string
	if s.config.Mode == Replace && !s.emptied.Has(t.name) {
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
