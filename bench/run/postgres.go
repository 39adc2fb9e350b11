package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/tapeline/tapeline/bench/dataset"
)

const (
	// databaseVariable holds the connection string of the server under test.
	databaseVariable = "TAPELINE_TEST_POSTGRES"

	sourceTable = "tapeline_bench_source"
	targetTable = "tapeline_bench_target"
)

// database is the server of the workload tableToTable, reached by psql alone.
type database struct {
	dsn string
}

// psqlTools return psql twice: with the server as the filter, and with one that all rows go through.
func psqlTools(root string) []tool {
	psql := func(name, script, note string) tool {
		return tool{
			name: name, build: "psql", binary: "psql", durability: "committed", subset: true,
			version: func() string { return firstLine("psql", "--version") },
			note:    note + "; CPU and RSS of the clients only",
			jobs: map[string]func(job) invocation{tableToTable: func(job) invocation {
				dsn := os.Getenv(databaseVariable)
				return invocation{args: []string{
					filepath.Join(root, "bench", "peers", script), dsn, sourceTable, dsn, targetTable,
				}}
			}},
		}
	}
	return []tool{
		psql("psql", "psql-copy", "text COPY out, where the server filters, pipe, text COPY in"),
		psql("psql-mawk", "psql-mawk-copy", "text COPY out, mawk as the filter, text COPY in"),
	}
}

// prepare makes both tables with equal settings and fills the source from a CSV file.
func (d *database) prepare(ctx context.Context, csvPath string) error {
	const columns = `(customer_id bigint, symbol text, name text, region text, status text,
		price numeric(12,3), qty integer, amount numeric(18,2), updated_at timestamptz, note text)
		with (autovacuum_enabled = off)`
	file, err := os.Open(csvPath)
	if err != nil {
		return fmt.Errorf("open data file: %w", err)
	}
	defer func() { _ = file.Close() }() // read only
	statements := "drop table if exists " + sourceTable + ", " + targetTable + ";" +
		"create table " + sourceTable + columns + ";create table " + targetTable + columns
	if _, err := d.query(ctx, nil, statements); err != nil {
		return err
	}
	_, err = d.query(ctx, file, "copy "+sourceTable+" from stdin with (format csv, header)")
	return err
}

// reset empties the target before a run and lets the server finish older work.
func (d *database) reset(ctx context.Context) error {
	if _, err := d.query(ctx, nil, "truncate "+targetTable); err != nil {
		return err
	}
	// Only a superuser may ask for it; without it the noise is a little larger.
	_, _ = d.query(ctx, nil, "checkpoint")
	return nil
}

// sum returns what the target holds.
func (d *database) sum(ctx context.Context) (content, error) {
	text, err := d.query(ctx, nil, "select count(*), coalesce(sum(customer_id), 0), "+
		"coalesce(sum(amount * 1000), 0)::bigint, pg_table_size('"+targetTable+"') from "+targetTable)
	if err != nil {
		return content{}, err
	}
	var numbers [4]int64
	fields := strings.Split(strings.TrimSpace(text), "|")
	if len(fields) != len(numbers) {
		return content{}, fmt.Errorf("read sums: got %q, want %d numbers", text, len(numbers))
	}
	for i, field := range fields {
		if numbers[i], err = strconv.ParseInt(field, 10, 64); err != nil {
			return content{}, fmt.Errorf("read sums: %w", err)
		}
	}
	return content{
		Sums:      dataset.Sums{Rows: numbers[0], IDs: numbers[1], Values: numbers[2]},
		SizeBytes: numbers[3],
	}, nil
}

// settings returns the settings of the server that durability depends on.
func (d *database) settings(ctx context.Context) string {
	text, err := d.query(ctx, nil, "select 'PostgreSQL ' || current_setting('server_version') || "+
		"', fsync ' || current_setting('fsync') || ', synchronous_commit ' || "+
		"current_setting('synchronous_commit') || ', wal_level ' || current_setting('wal_level')")
	if err != nil {
		return "unknown: " + err.Error()
	}
	return strings.TrimSpace(text)
}

// remove drops both tables.
func (d *database) remove(ctx context.Context) error {
	_, err := d.query(ctx, nil, "drop table if exists "+sourceTable+", "+targetTable)
	return err
}

// query runs SQL through psql and returns its unaligned output.
func (d *database) query(ctx context.Context, input *os.File, text string) (string, error) {
	command := exec.CommandContext(ctx, "psql", "-qXAt", "-v", "ON_ERROR_STOP=1",
		"-d", d.dsn, "-c", text)
	if input != nil {
		command.Stdin = input
	}
	var complaint strings.Builder
	command.Stderr = &complaint
	output, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("query %.40q: %w: %s", text, err, ending(complaint.String()))
	}
	return string(output), nil
}
