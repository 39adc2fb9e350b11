package main

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
)

// serve runs one statement a line on a database file, reading its answer whole, and prints a line with
// rows, first value of the last row as a number, and CPU nanoseconds used so far; or "error" and why.
func serve(path string, threads int, in io.Reader, out io.Writer) (err error) {
	ctx := context.Background()
	db, err := sql.Open("duckdb", path)
	if err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(ctx, fmt.Sprintf("SET threads = %d", threads)); err != nil {
		return fmt.Errorf("set threads: %w", err)
	}
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		rows, first, err := query(ctx, db, lines.Text())
		if err != nil {
			if _, err := fmt.Fprintln(out, "error", strings.ReplaceAll(err.Error(), "\n", " ")); err != nil {
				return err
			}
			continue
		}
		var used syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
			return err
		}
		if _, err := fmt.Fprintln(out, rows, first, used.Utime.Nano()+used.Stime.Nano()); err != nil {
			return err
		}
	}
	return lines.Err()
}

func query(ctx context.Context, db *sql.DB, text string) (count int, first int64, err error) {
	rows, err := db.QueryContext(ctx, text)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	names, err := rows.Columns()
	if err != nil {
		return 0, 0, err
	}
	values, into := make([]any, len(names)), make([]any, len(names))
	for i := range values {
		into[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return 0, 0, err
		}
		count++
	}
	switch v := append(values, nil)[0].(type) {
	case int64:
		first = v
	case int32:
		first = int64(v)
	}
	return count, first, rows.Err()
}
