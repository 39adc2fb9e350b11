package main

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"

	_ "github.com/duckdb/duckdb-go/v2"
)

func main() {
	job := flag.String("job", "", "one of "+strings.Join(jobs(), ", "))
	threads := flag.Int("threads", 2, "worker threads")
	input := flag.String("input", "", "file to read")
	output := flag.String("output", "", "file to write")
	database := flag.String("serve", "", "database file on which to run the statements of standard input")
	version := flag.Bool("version", false, "print the version of the library and end")
	flag.Parse()
	if *database != "" {
		if err := serve(*database, *threads, os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "duckdb:", err)
			os.Exit(1)
		}
		return
	}
	if err := run(*job, *threads, *input, *output, *version); err != nil {
		fmt.Fprintln(os.Stderr, "duckdb:", err)
		os.Exit(1)
	}
}

// jobs names what statement knows.
func jobs() []string {
	return []string{
		"csv-filter-csv", "csv-filter-csv-detect", "csv-filter-csv-text",
		"csv-filter-ndjson", "csv-filter-ndjson-detect", "ndjson-compute-ndjson",
	}
}

// run executes one job on an in-memory database.
func run(job string, threads int, input, output string, version bool) (err error) {
	ctx := context.Background()
	db, err := sql.Open("duckdb", "")
	if err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if version {
		var text string
		if err := db.QueryRowContext(ctx, "SELECT version()").Scan(&text); err != nil {
			return fmt.Errorf("query version: %w", err)
		}
		fmt.Println(text)
		return nil
	}
	query, err := statement(job, quote(input), quote(output))
	if err != nil {
		return err
	}
	if _, err := db.ExecContext(ctx, fmt.Sprintf("SET threads = %d", threads)); err != nil {
		return fmt.Errorf("set threads: %w", err)
	}
	if _, err := db.ExecContext(ctx, query); err != nil {
		return fmt.Errorf("run job %s: %w", job, err)
	}
	return nil
}

// statement returns the COPY of a job. input and output are quoted literals.
func statement(job, input, output string) (string, error) {
	// The detected types print other bytes than they read (times with a zone) and cost more; the
	// declared ones return the bytes of the input.
	const (
		active   = "COPY (SELECT * FROM read_csv(%s%s) WHERE status = 'active') TO %s (%s)"
		detected = ""
		declared = ", types = {'price': 'DECIMAL(12,3)', 'amount': 'DECIMAL(18,2)', " +
			"'updated_at': 'VARCHAR'}"
		text    = ", all_varchar = true"
		csvForm = "FORMAT csv, HEADER"
		json    = "FORMAT json"
	)
	switch job {
	case "csv-filter-csv":
		return fmt.Sprintf(active, input, declared, output, csvForm), nil
	case "csv-filter-csv-detect":
		return fmt.Sprintf(active, input, detected, output, csvForm), nil
	case "csv-filter-csv-text":
		return fmt.Sprintf(active, input, text, output, csvForm), nil
	case "csv-filter-ndjson":
		return fmt.Sprintf(active, input, declared, output, json), nil
	case "csv-filter-ndjson-detect":
		return fmt.Sprintf(active, input, detected, output, json), nil
	case "ndjson-compute-ndjson":
		// Only the columns used are declared: DuckDB skips the rest of each object.
		return "COPY (SELECT customer_id, symbol, upper(region) AS region, price * qty AS total " +
			"FROM read_json(" + input + ", format = 'newline_delimited', columns = {" +
			"customer_id: 'BIGINT', symbol: 'VARCHAR', region: 'VARCHAR', status: 'VARCHAR', " +
			"price: 'DOUBLE', qty: 'BIGINT'}) WHERE status = 'active') TO " +
			output + " (" + json + ")", nil
	}
	return "", fmt.Errorf("job %q: want one of %s", job, strings.Join(jobs(), ", "))
}

// quote returns text as a string literal of SQL.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }
