package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"os"
	"strconv"

	"github.com/tapeline/tapeline/bench/dataset"
)

// content is what an output file holds, reduced to what tools can be compared by.
type content struct {
	dataset.Sums

	SizeBytes int64  `json:"size_bytes"`
	Digest    string `json:"digest"` // of the lines in order, without the header of a CSV file
	Ordered   bool   `json:"ordered"`
	Header    bool   `json:"header"`
}

// summer reduces lines to a content.
type summer struct {
	content

	form   format
	value  []byte // `"total":` in NDJSON
	id     []byte
	column int // index of the value in CSV
	lastID int64
}

// sumFile reads an output file once. value names the column summed beside customer_id.
func sumFile(path string, form format, value string) (got content, err error) {
	file, err := os.Open(path)
	if err != nil {
		return content{}, fmt.Errorf("open output: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return sum(file, form, value)
}

// sum reduces all lines of source.
func sum(source io.Reader, form format, value string) (content, error) {
	const lineBytes = 1 << 20
	s := &summer{
		form: form, id: []byte(`"customer_id":`), value: []byte(`"` + value + `":`),
		column: csvColumn(value), content: content{Ordered: true},
	}
	digest := fnv.New64a()
	reader := bufio.NewReaderSize(source, lineBytes)
	for first := true; ; first = false {
		line, err := reader.ReadSlice('\n')
		s.SizeBytes += int64(len(line))
		if len(line) > 0 {
			if first && form == formatCSV && string(bytes.TrimSpace(line)) == dataset.Header {
				s.Header = true
			} else {
				if addErr := s.add(bytes.TrimRight(line, "\r\n")); addErr != nil {
					return s.content, fmt.Errorf("line %d: %w", s.Rows+1, addErr)
				}
				if _, err := digest.Write(line); err != nil {
					return s.content, fmt.Errorf("hash line: %w", err)
				}
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			s.Digest = strconv.FormatUint(digest.Sum64(), 16)
			return s.content, nil
		case err != nil:
			return s.content, fmt.Errorf("read output: %w", err)
		}
	}
}

// add takes one row.
func (s *summer) add(line []byte) error {
	var idText, valueText []byte
	if s.form == formatCSV {
		idText, valueText = csvField(line, 0), csvField(line, s.column)
	} else {
		idText, valueText = member(line, s.id), member(line, s.value)
	}
	id, err := strconv.ParseInt(string(idText), 10, 64)
	if err != nil {
		return fmt.Errorf("read customer_id: %w", err)
	}
	value, err := strconv.ParseFloat(string(valueText), 64)
	if err != nil {
		return fmt.Errorf("read value: %w", err)
	}
	s.Rows++
	s.IDs += id
	s.Values += int64(math.Round(value * 1000))
	s.Ordered = s.Ordered && id > s.lastID
	s.lastID = id
	return nil
}

// csvColumn returns the index of a column of the data, -1 when it has none of that name.
func csvColumn(name string) int {
	for i, column := range bytes.Split([]byte(dataset.Header), []byte(",")) {
		if string(column) == name {
			return i
		}
	}
	return -1
}

// csvField returns a field of a line; the data holds neither quotes nor commas inside fields.
func csvField(line []byte, index int) []byte {
	for ; index > 0; index-- {
		comma := bytes.IndexByte(line, ',')
		if comma < 0 {
			return nil
		}
		line = line[comma+1:]
	}
	if comma := bytes.IndexByte(line, ','); comma >= 0 {
		line = line[:comma]
	}
	return bytes.Trim(line, `"`)
}

// member returns the number after a key of a flat object, also when the tool wrote it as text.
func member(line, key []byte) []byte {
	_, after, ok := bytes.Cut(line, key)
	if !ok {
		return nil
	}
	text := bytes.TrimLeft(after, ` "`)
	end := bytes.IndexAny(text, `,"} `)
	if end < 0 {
		return nil
	}
	return text[:end]
}

// verify compares an output with the expected sums.
func verify(got content, want dataset.Sums) error {
	if got.Sums != want {
		return fmt.Errorf("output: got %d rows, ids %d, values %d, want %d rows, ids %d, values %d",
			got.Rows, got.IDs, got.Values, want.Rows, want.IDs, want.Values)
	}
	return nil
}

// account is what Tapeline reports of its own run.
type account struct {
	Status      string `json:"status"`
	RowsIn      int64  `json:"rows_in"`
	RowsOut     int64  `json:"rows_out"`
	Checkpoints int64  `json:"checkpoints"`
}

// readAccount reads the report of a run.
func readAccount(path string) (account, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return account{}, fmt.Errorf("read report: %w", err)
	}
	var a account
	if err := json.Unmarshal(text, &a); err != nil {
		return account{}, fmt.Errorf("decode report: %w", err)
	}
	return a, nil
}

// verify checks a run whose output is dropped: all rows were read, and about half were kept,
// since the filter's column draws one of two values.
func (a account) verify(rows int64) error {
	tolerance := 5 * math.Sqrt(float64(rows)/4) // five standard deviations of fair draws
	if a.RowsIn != rows || math.Abs(float64(a.RowsOut)-float64(rows)/2) > tolerance {
		return fmt.Errorf("report: got status %s, %d rows in, %d out, want %d in, half of them out",
			a.Status, a.RowsIn, a.RowsOut, rows)
	}
	return nil
}
