package sqlkit

import (
	"fmt"
	"slices"

	"github.com/tapeline/tapeline/batch"
)

// Incremental makes a source read only rows after the last run's highest value.
type Incremental struct {
	Column       string `yaml:"column" doc:"column that only grows, as a sequence or updated_at"`
	InitialValue any    `yaml:"initial_value" doc:"first run: only rows after it; none: all rows"`
}

// IncrementalDoc is the part of a source's page about incremental reading.
const IncrementalDoc = `The end of a run is the start of the next. A position names the rows read that
share the newest value, so that others of that value are read once, whenever they are committed; of
more than 1000 such rows, and of views and queries, only those that sort later are. Rows committed
with a lower value than one read before are not seen: let the column grow with the commits (a time
taken when a long transaction began does not). Rows without a value are not read; the log says so
when a table has any. An ` + "`initial_value`" + ` with an offset is an instant, which a column without
zone holds in UTC.`

// SourceConfig is what every SQL source accepts.
type SourceConfig struct {
	Table       string      `yaml:"table" doc:"table to read, also schema.table; or give query"`
	Query       string      `yaml:"query" doc:"SELECT to read instead of a table"`
	Columns     []string    `yaml:"columns" doc:"columns to read; none: all"`
	Where       string      `yaml:"where" doc:"SQL condition the server applies"`
	Incremental Incremental `yaml:"incremental" doc:"read only new rows"`
	BatchSize   int         `yaml:"batch_size" doc:"most rows of a batch; 0: the engine decides"`
}

// Validate returns all problems.
func (c *SourceConfig) Validate() error {
	switch {
	case c.Table == "" && c.Query == "":
		return fmt.Errorf("table: give a table or a query")
	case c.Table != "" && c.Query != "":
		return fmt.Errorf("query: give a table or a query, not both")
	case c.BatchSize < 0:
		return fmt.Errorf("batch_size: %d must not be negative", c.BatchSize)
	case c.Incremental.InitialValue != nil && c.Incremental.Column == "":
		return fmt.Errorf("incremental.column: missing beside initial_value")
	}
	return nil
}

// The modes of a sink.
const (
	Append  = "append"
	Upsert  = "upsert"
	Replace = "replace"
)

// SinkConfig is what every SQL sink accepts.
type SinkConfig struct {
	Table     string   `yaml:"table" required:"true" doc:"table, also schema.table; may hold {table}"`
	Key       []string `yaml:"key" doc:"columns that identify a row; rows of equal key are replaced, rows with a NULL among them refused"`
	Mode      string   `yaml:"mode" enum:"append,upsert,replace" doc:"default: upsert with a key, else append; replace empties the table at the start of a run"`
	Create    bool     `yaml:"create" doc:"create a missing table"`
	BatchSize int      `yaml:"batch_size" doc:"rows of one write; 0: the engine decides"`
}

// Validate returns the first problem and fills the default mode.
func (c *SinkConfig) Validate() error {
	if c.Table == "" {
		return fmt.Errorf("table: missing")
	}
	if c.Mode == "" {
		c.Mode = Append
		if len(c.Key) > 0 {
			c.Mode = Upsert
		}
	}
	switch {
	case !slices.Contains([]string{Append, Upsert, Replace}, c.Mode):
		return fmt.Errorf("mode: %q must be append, upsert or replace", c.Mode)
	case c.Mode == Upsert && len(c.Key) == 0:
		return fmt.Errorf("key: mode upsert needs the columns that identify a row")
	case c.BatchSize < 0:
		return fmt.Errorf("batch_size: %d must not be negative", c.BatchSize)
	}
	return nil
}

// Keyed reports whether writes replace rows of equal key.
func (c *SinkConfig) Keyed() bool { return len(c.Key) > 0 && c.Mode != Append }

// SingleWriter tells the plan that a table to be emptied has one writer.
func (c *SinkConfig) SingleWriter() bool { return c.Mode == Replace }

// NullKeys refuses the rows whose key has a NULL, as it identifies none: columns are dense and in the
// schema's order.
func (c *SinkConfig) NullKeys(
	schema *batch.Schema, columns []*batch.Column, rows []int32,
) (bad []batch.RowError) {
	if !c.Keyed() {
		return nil
	}
	for _, name := range c.Key {
		column := columns[schema.Index(name)]
		if column.Validity() == nil && column.Type().Kind != batch.Null {
			continue
		}
		each(column.Len(), rows, func(row int) {
			if column.IsNull(row) {
				bad = append(bad, batch.RowError{
					Row: row, Column: name, Reason: "it is part of the key and NULL, which identifies no row",
				})
			}
		})
	}
	return bad
}

// CheckKey refuses a schema that lacks a key column.
func (c *SinkConfig) CheckKey(schema *batch.Schema) error {
	for _, name := range c.Key {
		if schema.Index(name) < 0 {
			return fmt.Errorf("key column %q is not among the rows' columns %v", name, schema.Names())
		}
	}
	return nil
}
