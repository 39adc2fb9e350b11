package main

import (
	"github.com/tapeline/tapeline/bench/dataset"
)

// format says how the output of a workload is summed.
type format string

const (
	formatCSV    format = "csv"
	formatNDJSON format = "ndjson"
	formatNone   format = "none"     // the output is dropped; only the exit code is checked
	formatTable  format = "postgres" // the output is a table of the database
)

// Names of the workloads, which are also those of their files.
const (
	csvToCSV        = "csv-filter-csv"
	csvToNDJSON     = "csv-filter-ndjson"
	ndjsonToNDJSON  = "ndjson-compute-ndjson"
	generated       = "generate-filter-discard"
	tableToTable    = "postgres-filter-postgres"
	ours            = "tapeline"
	oursCheckpoints = "tapeline-checkpoints" // checkpoints every second and metrics on
)

// goal is what Tapeline aims at in a workload.
type goal struct {
	RowsPerSecond float64            // 0: none
	MaxRSSBytes   int64              // 0: none
	Ratios        map[string]float64 // tool -> least ratio of wall rates
}

// workload is one job that all its tools do.
type workload struct {
	name   string
	title  string
	input  string // file ending of its input, empty for none
	output format
	value  string // column summed beside customer_id
	goal   goal

	// oursTimes multiplies Tapeline's rows where its run would otherwise be too short to time.
	oursTimes int
}

// workloads returns all workloads in the order of the report.
func workloads() []workload {
	return []workload{
		{
			name: csvToCSV, title: "CSV -> status == 'active' -> CSV",
			input: "csv", output: formatCSV, value: "amount", oursTimes: 1,
			goal: goal{
				RowsPerSecond: 4e6, MaxRSSBytes: 150 << 20,
				Ratios: map[string]float64{"benthos": 12, "duckdb-detect-2": 2},
			},
		},
		{
			name: csvToNDJSON, title: "CSV -> status == 'active' -> NDJSON",
			input: "csv", output: formatNDJSON, value: "amount", oursTimes: 1,
			goal: goal{
				RowsPerSecond: 2.5e6,
				Ratios:        map[string]float64{"benthos": 7, "duckdb-detect-2": 1.5},
			},
		},
		{
			name: ndjsonToNDJSON, input: "ndjson", output: formatNDJSON, value: "total",
			title:     "NDJSON -> status == 'active' -> price * qty, upper(region), 4 columns -> NDJSON",
			oursTimes: 1,
			goal: goal{
				RowsPerSecond: 3e6,
				Ratios:        map[string]float64{"benthos": 29, "duckdb-2": 1},
			},
		},
		{
			name: generated, output: formatNone, oursTimes: 40,
			title: "generate {int64, two-value string, decimal} -> status == 'active' -> discard",
			goal:  goal{RowsPerSecond: 20e6, Ratios: map[string]float64{"benthos": 54}},
		},
		{
			name: tableToTable, output: formatTable, value: "amount", oursTimes: 1,
			title: "PostgreSQL -> status == 'active' -> PostgreSQL",
			goal:  goal{Ratios: map[string]float64{"psql": 0.8}},
		},
	}
}

// expected returns what a correct output of the workload sums up to.
func (w *workload) expected(rows int) dataset.Sums {
	switch w.value {
	case "amount":
		return dataset.Expected(rows).Amounts
	case "total":
		return dataset.Expected(rows).Totals
	}
	return dataset.Sums{}
}
