package filesink

import (
	"fmt"

	"github.com/tapeline/tapeline/batch"
)

// SchemaConfig declares the columns of a file source.
type SchemaConfig struct {
	Strict  bool           `yaml:"strict" doc:"read every value as its type, so that a wrong one is a dead letter even where no one uses it. Default false"`
	Columns []ColumnConfig `yaml:"columns" doc:"name to type, in order" example:"{id: int64, price: \"decimal(12,4)\"}"`
}

// ColumnConfig declares one column.
type ColumnConfig struct {
	Name string `yaml:",key"`
	Type string `yaml:",value"`
}

// Fields returns the declared columns as nullable fields, with all that is wrong about them.
func (s SchemaConfig) Fields() ([]batch.Field, []error) {
	var problems []error
	fields := make([]batch.Field, len(s.Columns))
	seen := map[string]bool{}
	for i, c := range s.Columns {
		typ, err := batch.ParseType(c.Type)
		if err != nil {
			problems = append(problems, fmt.Errorf("schema.columns.%s: %w", c.Name, err))
		}
		if seen[c.Name] {
			problems = append(problems, fmt.Errorf("schema.columns.%s: declared twice", c.Name))
		}
		seen[c.Name] = true
		fields[i] = batch.Field{Name: c.Name, Type: typ, Nullable: true}
	}
	return fields, problems
}
