package app

import (
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/internal/fault"
	"github.com/tapeline/tapeline/internal/market"
)

// Export describes `tapeline export`.
type Export struct {
	Store   string
	Dataset string
	Format  string // csv, parquet or arrow; "" by the suffix of Out
	Out     string
	Symbols []string // as any scheme with an exchange in it writes them
	From    string
	To      string
	AsOf    int64
}

// exportFormats are the sinks that an export may have.
var exportFormats = []string{"csv", "parquet", "arrow"}

// ExportDocument returns the workflow that does the export, as YAML text.
func (p *Parts) ExportDocument(e Export) (string, error) {
	format, err := e.format(p)
	if err != nil {
		return "", err
	}
	source, err := e.source()
	if err != nil {
		return "", err
	}
	sum := fnv.New32a()
	fmt.Fprintf(sum, "%+v", e)
	var b strings.Builder
	fmt.Fprintf(&b, "name: export-%08x\nsources:\n", sum.Sum32())
	writeNode(&b, "rows", "store", "", source, inFull)
	last := "rows"
	if flags := e.flags(); format == "csv" && len(flags) > 0 {
		b.WriteString("transformations:\n")
		writeNode(&b, "flags", "compute", last, map[string]any{"columns": flags}, inFull)
		last = "flags"
	}
	b.WriteString("destinations:\n")
	writeNode(&b, "file", format, last, map[string]any{"path": e.Out}, inFull)
	return b.String(), nil
}

func (e Export) format(p *Parts) (string, error) {
	format := e.Format
	if format == "" {
		for _, name := range exportFormats {
			c, ok := p.Connectors.Get(name)
			if ok && matchesSuffix(c, e.Out) {
				return name, nil
			}
		}
		return "", fmt.Errorf("--out %s: its suffix tells no format; give --format %s", e.Out, strings.Join(exportFormats, ", "))
	}
	if !slices.Contains(exportFormats, format) {
		return "", fmt.Errorf("--format %q: want %s", format, strings.Join(exportFormats, ", "))
	}
	return format, nil
}

// source is the config of the store's source.
func (e Export) source() (map[string]any, error) {
	if _, err := os.Stat(e.Store); err != nil {
		return nil, fmt.Errorf("--store %s: there is no store: %w", e.Store, err)
	}
	dir, err := filepath.Abs(e.Store)
	if err != nil {
		return nil, err
	}
	if _, ok := market.DatasetByName(e.Dataset); !ok && !slices.Contains(storeDatasets, e.Dataset) {
		return nil, fmt.Errorf("--dataset %q: %s", e.Dataset, nearestDataset(e.Dataset))
	}
	config := map[string]any{"path": dir, "dataset": e.Dataset}
	var days market.Interval
	for key, text := range map[string]string{"from": e.From, "to": e.To} {
		if text == "" {
			continue
		}
		day, err := market.ParseDate(text)
		if err != nil {
			return nil, fmt.Errorf("--%s: %w", key, err)
		}
		config[key] = day.String()
		if key == "from" {
			days.From = day
		} else {
			days.To = day
		}
	}
	if e.From != "" && e.To != "" && days.Empty() {
		return nil, fmt.Errorf("--from %s is after --to %s", days.From, days.To)
	}
	var symbols []string
	for _, text := range e.Symbols {
		symbol, err := anySymbol(strings.TrimSpace(text))
		if err != nil {
			return nil, fmt.Errorf("--symbols: %w", err)
		}
		symbols = append(symbols, symbol.String())
	}
	if symbols != nil {
		config["symbols"] = symbols
	}
	switch {
	case e.AsOf < 0:
		return nil, errors.New("--as-of: commits are numbered from 1; 0 is the newest")
	case e.AsOf > 0:
		config["as_of"] = e.AsOf
	}
	return config, nil
}

// storeDatasets are the store's own.
var storeDatasets = []string{"restatement", "quarantine"}

func nearestDataset(name string) string {
	known := slices.Clone(storeDatasets)
	for _, d := range market.Datasets() {
		known = append(known, d.Name)
	}
	if near := fault.Nearest(name, known); near != "" {
		return "there is none; did you mean " + near + "?"
	}
	return "there is none; there are " + strings.Join(known, ", ")
}

// anySymbol reads a symbol in the first scheme that knows it: with an exchange in it, the schemes that
// do agree.
func anySymbol(text string) (market.Symbol, error) {
	_, first := market.ParseSymbol(text)
	for _, scheme := range market.Schemes() {
		if symbol, err := scheme.Parse(text, market.Unknown); err == nil {
			return symbol, nil
		}
	}
	return market.Symbol{}, first
}

// flags are the truth values of a dataset as vendors write them in text.
func (e Export) flags() map[string]any {
	flags := map[string]any{}
	d, ok := market.DatasetByName(e.Dataset)
	if !ok {
		return flags
	}
	for _, f := range d.Schema.Fields() {
		if f.Type.Kind == batch.Bool {
			flags[f.Name] = fmt.Sprintf("int(%s)", f.Name)
		}
	}
	return flags
}
