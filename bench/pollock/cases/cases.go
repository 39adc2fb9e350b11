package cases

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// Case is one file of a set.
type Case struct {
	Name       string
	Path       string
	Parameters Parameters
	Want       [][]string // the clean version, the header first where there is one
}

// Parameters is the dialect that the Pollock sets state beside each file; an empty text is the usual
// delimiter, quote or escape.
type Parameters struct {
	Encoding    string   `json:"encoding"`
	Delimiter   string   `json:"delimiter"`
	Quote       string   `json:"quotechar"`
	Escape      string   `json:"escapechar"`
	RowEnd      string   `json:"row_delimiter"`
	HeaderLines count    `json:"header_lines"`
	Preamble    count    `json:"preamble_lines"`
	Names       []string `json:"column_names"`
	Columns     count    `json:"n_columns"`
}

// SkipRows is how many lines come before the first record.
func (p Parameters) SkipRows() int { return int(p.HeaderLines + p.Preamble) }

// count is a number that some files of the sets have as text, or as an empty one.
type count int

// UnmarshalJSON takes what is no number for 0.
func (c *count) UnmarshalJSON(text []byte) error {
	if unquoted, err := strconv.Unquote(string(text)); err == nil {
		text = []byte(unquoted)
	}
	n, _ := strconv.Atoi(string(text))
	*c = count(n)
	return nil
}

// Unpack extracts the .tar.xz of a set into a folder.
func Unpack(archive, dir string) error {
	if out, err := exec.Command("tar", "-xJf", archive, "-C", dir).CombinedOutput(); err != nil {
		return fmt.Errorf("unpack %s by tar with xz: %w: %s", archive, err, out)
	}
	return nil
}

// Load reads all cases of a set: dir holds csv, parameters and clean.
func Load(dir string) ([]Case, error) {
	files, err := filepath.Glob(filepath.Join(dir, "csv", "*"))
	if err != nil {
		return nil, err
	}
	var list []Case
	for _, file := range files {
		c := Case{Name: filepath.Base(file), Path: file}
		if err := readJSON(filepath.Join(dir, "parameters", c.Name+"_parameters.json"), &c.Parameters); err != nil {
			return nil, err
		}
		if c.Want, err = readClean(filepath.Join(dir, "clean", c.Name)); err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	return list, nil
}

// Weights reads how much each case counts in the weighted score, by name.
func Weights(path string) (map[string]float64, error) {
	var weights map[string]float64
	return weights, readJSON(path, &weights)
}

func readJSON(path string, into any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func readClean(path string) (rows [][]string, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	r := csv.NewReader(file)
	r.FieldsPerRecord, r.LazyQuotes = -1, true
	if rows, err = r.ReadAll(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return rows, nil
}
