package app

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tapeline/tapeline/internal/catalog"
	"github.com/tapeline/tapeline/internal/vfs"
)

// DeadLetter is one refused row of a run.
type DeadLetter struct {
	ID       string          `json:"id"` // part:line, what --from names
	Time     string          `json:"time,omitempty"`
	Node     string          `json:"node"`
	Reason   string          `json:"reason,omitempty"`
	Column   string          `json:"column,omitempty"`
	Origin   string          `json:"origin,omitempty"`
	Line     int64           `json:"line,omitempty"`
	Record   int64           `json:"record,omitempty"`
	Row      json.RawMessage `json:"row,omitempty"`  // as the node was given it; absent: it never was a row
	Text     string          `json:"text,omitempty"` // the record as it was read
	Replayed bool            `json:"replayed"`
}

// FindRun returns the run whose id begins with name, or else the last run of the workflow of that
// name.
func (e *Engine) FindRun(ctx context.Context, name string) (catalog.Run, error) {
	found, err := e.Catalog.FindRun(ctx, name)
	if !errors.Is(err, catalog.ErrNotFound) {
		return found, err
	}
	runs, err := e.Catalog.History(ctx, name, 1)
	if err == nil && len(runs) == 0 {
		err = fmt.Errorf("no run or workflow %q; `tapeline history` lists them", name)
	}
	if err != nil {
		return catalog.Run{}, err
	}
	return runs[0], nil
}

func (e *Engine) deadDir(r catalog.Run) string {
	return filepath.Join(e.dir, "state", r.Workflow, "dead", r.ID)
}

// DeadLetters returns the refused rows of a run in the order they were written. Those that went to
// a dead_letter node of the document's own are not among them.
func (e *Engine) DeadLetters(r catalog.Run) ([]DeadLetter, error) {
	dir := e.deadDir(r)
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read dead letters: %w", err)
	}
	replayed, err := readMarks(dir)
	if err != nil {
		return nil, err
	}
	var all []DeadLetter
	for _, entry := range entries {
		part, ok := strings.CutSuffix(entry.Name(), ".ndjson")
		if !ok || strings.HasPrefix(part, ".") {
			continue
		}
		letters, err := readLetters(filepath.Join(dir, entry.Name()))
		if err != nil {
			return nil, err
		}
		part = part[strings.LastIndexByte(part, '-')+1:]
		for i := range letters {
			letters[i].ID = fmt.Sprintf("%s:%d", strings.TrimLeft(part, "0"), i+1)
			letters[i].Replayed = replayed[letters[i].ID]
		}
		all = append(all, letters...)
	}
	return all, nil
}

// readLetters reads lines of JSON objects.
func readLetters(path string) (_ []DeadLetter, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read dead letters: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	var letters []DeadLetter
	reader := bufio.NewReader(file)
	for line := 1; ; line++ {
		text, err := reader.ReadBytes('\n')
		if len(bytes.TrimSpace(text)) > 0 {
			var letter DeadLetter
			if err := json.Unmarshal(text, &letter); err != nil {
				return nil, fmt.Errorf("read dead letters: %s:%d: %w", path, line, err)
			}
			if string(letter.Row) == "null" {
				letter.Row = nil
			}
			letters = append(letters, letter)
		}
		if errors.Is(err, io.EOF) {
			return letters, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read dead letters: %s:%d: %w", path, line, err)
		}
	}
}

// marksName is the file beside the parts that lists what was replayed, one id a line.
const marksName = "replayed"

func readMarks(dir string) (map[string]bool, error) {
	text, err := os.ReadFile(filepath.Join(dir, marksName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read marks of replayed rows: %w", err)
	}
	marks := map[string]bool{}
	for id := range strings.FieldsSeq(string(text)) {
		marks[id] = true
	}
	return marks, nil
}

// writeMarks adds ids to the marks: synced.
func writeMarks(dir string, ids []string) (err error) {
	marks, err := readMarks(dir)
	if err != nil {
		return err
	}
	for _, id := range ids {
		marks[id] = true
	}
	var text bytes.Buffer
	for _, id := range slices.Sorted(maps.Keys(marks)) {
		fmt.Fprintln(&text, id)
	}
	if err := vfs.Replace(vfs.OS{}, filepath.Join(dir, marksName), text.Bytes()); err != nil {
		return fmt.Errorf("mark replayed rows: %w", err)
	}
	return nil
}
