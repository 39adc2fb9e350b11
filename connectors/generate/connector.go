package generate

import (
	"time"

	"github.com/tapeline/tapeline/connector"
)

// Config is the configuration of a generate source.
type Config struct {
	Rows   int64         `yaml:"rows" doc:"rows to make; 0 is endless. Default 0"`
	Seed   uint64        `yaml:"seed" doc:"equal seeds make equal rows. Default 0"`
	Fields []FieldConfig `yaml:"fields" required:"true" doc:"columns in order, each a mapping or a short form" example:"{id: sequence, status: [active, inactive]}"`
	Rate   float64       `yaml:"rate" resume:"ignore" doc:"rows per second; 0 is as fast as possible. Default 0"`
	Linger time.Duration `yaml:"linger" resume:"ignore" doc:"with rate: longest wait of a row for its chunk to fill; 0 uses the engine's batch age. Default 0"`
}

// FieldConfig describes one column; the page of the connector has examples.
type FieldConfig struct {
	Name  string `yaml:",key"`
	Short any    `yaml:",value"` // instead of the rest: a list of values, a type, sequence or emitted

	Type      string  `yaml:"type" doc:"column type; default int64 for sequences, the type of the values for values"`
	Kind      string  `yaml:"kind" enum:"random,sequence,values,emitted" doc:"how values come about; found from the other keys when absent"`
	Sequence  bool    `yaml:"sequence" doc:"the same as kind: sequence"`
	Values    []any   `yaml:"values" doc:"one of these is drawn for each row, all equally likely"`
	Start     any     `yaml:"start" doc:"sequence: first value. Default 1, for times 1970-01-01"`
	Step      any     `yaml:"step" doc:"sequence: increment. Default 1, one second, one day"`
	Min       any     `yaml:"min" doc:"random: least value. Default that of the type; 0 for floats"`
	Max       any     `yaml:"max" doc:"random: greatest value, included. Default that of the type; 1 for floats"`
	Length    int     `yaml:"length" doc:"random string: letters and digits, 1 to 1048576. Default 8"`
	Prefix    string  `yaml:"prefix" doc:"string: text before a number, of the sequence or from min to max"`
	NullShare float64 `yaml:"null_share" doc:"share of nulls, 0 to 1. Default 0"`
}

// Connector describes the generate source.
func Connector() connector.Connector {
	return connector.Connector{
		Name:     "generate",
		Version:  "1.0.0",
		Contract: connector.ContractVersion,
		Summary:  "Makes seeded, typed rows at a given rate.",
		Doc:      doc,
		Source: connector.NewSource(Config{}, connector.SourceCapabilities{Resumable: true},
			newSource),
	}
}

const doc = `Each entry of ` + "`fields`" + ` names a column and says what it holds:

    fields:
      id: sequence                          # 1, 2, 3 ... as int64
      status: [active, inactive]            # one of the values
      price: {type: "decimal(12,2)", min: 1, max: 1000}
      at: {type: timestamptz, start: 2024-01-01T00:00:00Z, step: 250ms}
      name: {type: string, prefix: cust-, min: 1, max: 999999}
      code: {type: string, length: 8}       # letters and digits
      note: {type: string, values: [a, b], null_share: 0.1}
      seen: emitted                         # when the row was due, timestamp(ns,UTC)

A short form is a kind (` + "`sequence`, `emitted`" + `), a type (` + "`float64`" + `) or a list of values.

Bounds are included. A sequence that would leave its type within ` + "`rows`" + ` is refused; an endless one wraps around.

A row depends on the seed and its number only, so a resumed run continues exactly. With ` + "`rate`" + `
rows have a timetable that starts when the source opens: a chunk is handed over as soon as its
rows are due, and a reader that falls behind gets the missed rows at once, up to the batch size.
Kind ` + "`emitted`" + ` holds the time of that table (without rate: when the chunk was begun), which
makes the age of a row at a sink its latency from the intended emission.
`
