package main

import (
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/tapeline/tapeline/bench/dataset"
)

func main() {
	rows := flag.Int("rows", 5_000_000, "rows to write")
	csvPath := flag.String("csv", "", "CSV file to write, none when empty")
	ndjsonPath := flag.String("ndjson", "", "NDJSON file to write, none when empty")
	flag.Parse()
	if *csvPath == "" && *ndjsonPath == "" || *rows < 0 || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "usage: gen [-rows N] [-csv FILE] [-ndjson FILE]")
		os.Exit(2)
	}
	err := errors.Join(
		writeFile(*csvPath, *rows, dataset.WriteCSV),
		writeFile(*ndjsonPath, *rows, dataset.WriteNDJSON),
	)
	if err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

// writeFile writes rows to path and prints its size and sha256; an empty path writes nothing.
func writeFile(path string, rows int, write func(io.Writer, int) error) (err error) {
	if path == "" {
		return nil
	}
	file, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("create data file: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	hash := sha256.New()
	if err := write(io.MultiWriter(file, hash), rows); err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		return fmt.Errorf("stat data file: %w", err)
	}
	fmt.Fprintf(os.Stdout, "%x  %s  %d rows  %d bytes\n", hash.Sum(nil), path, rows, info.Size())
	return nil
}
