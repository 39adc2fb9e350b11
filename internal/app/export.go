package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/internal/fault"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/store"
)

// Export describes `tapeline export`.
type Export struct {
	Store   string
	Dataset string
	Format  string   // csv, parquet, arrow or ptrade; "" by the suffix of Out, parquet for a folder
	Out     string   // a file; a folder, which is kept up to date, when it ends in / or is one
	Symbols []string // as any scheme with an exchange in it writes them
	From    string
	To      string
	AsOf    int64
	Adjust  string // none, forward or backward
}

// exportFormats are the sinks that an export may have.
var exportFormats = []string{"csv", "parquet", "arrow"}

// ExportDocument returns the workflow that does the export, as YAML text. A wish that cannot be met is a
// *WishError.
func (p *Parts) ExportDocument(ctx context.Context, e Export) (string, error) {
	format, err := e.format(p)
	if err != nil {
		return "", &WishError{err}
	}
	c, err := e.check()
	if err != nil {
		return "", &WishError{err}
	}
	if err := e.known(ctx, c); err != nil {
		return "", err
	}
	source := e.source(c)
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
		return "", fmt.Errorf("--out %s: its suffix tells no format; give --format %s, or end a folder with /", e.Out,
			strings.Join(exportFormats, ", "))
	}
	if !slices.Contains(exportFormats, format) {
		return "", fmt.Errorf("--format %q: want %s, ptrade", format, strings.Join(exportFormats, ", "))
	}
	return format, nil
}

// checked is an export whose wishes were understood.
type checked struct {
	dir     string
	days    market.Interval // 0: without bound
	symbols []string        // canonical
	adjust  market.Adjustment
}

func (e Export) check() (c checked, err error) {
	if _, err := os.Stat(e.Store); err != nil {
		return c, fmt.Errorf("--store %s: there is no store: %w", e.Store, err)
	}
	if c.dir, err = filepath.Abs(e.Store); err != nil {
		return c, err
	}
	if _, ok := market.DatasetByName(e.Dataset); !ok && !slices.Contains(storeDatasets, e.Dataset) {
		return c, fmt.Errorf("--dataset %q: %s", e.Dataset, nearestDataset(e.Dataset))
	}
	for key, bound := range map[string]struct {
		text string
		into *market.Date
	}{"from": {e.From, &c.days.From}, "to": {e.To, &c.days.To}} {
		if bound.text == "" {
			continue
		}
		if *bound.into, err = market.ParseDate(bound.text); err != nil {
			return c, fmt.Errorf("--%s: %w", key, err)
		}
	}
	if e.From != "" && e.To != "" && c.days.Empty() {
		return c, fmt.Errorf("--from %s is after --to %s", c.days.From, c.days.To)
	}
	for _, text := range e.Symbols {
		symbol, err := anySymbol(strings.TrimSpace(text))
		if err != nil {
			return c, fmt.Errorf("--symbols: %w", err)
		}
		c.symbols = append(c.symbols, symbol.String())
	}
	if e.AsOf < 0 {
		return c, errors.New("--as-of: commits are numbered from 1; 0 is the newest")
	}
	how := slices.Index([]string{"none", "forward", "backward"}, cmp.Or(e.Adjust, "none"))
	if how < 0 {
		return c, fmt.Errorf("--adjust %q: want none, forward or backward", e.Adjust)
	}
	if c.adjust = market.Adjustment(how); how > 0 && (e.Dataset != market.Bar1D || e.Format == "ptrade") {
		return c, fmt.Errorf("--adjust %s: only prices of %s are adjusted", e.Adjust, market.Bar1D)
	}
	return c, nil
}

// known refuses a commit and symbols that the store does not have, before anything is written.
func (e Export) known(ctx context.Context, c checked) (err error) {
	opened, err := openStore(c.dir, slog.New(slog.DiscardHandler), false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, opened.Close()) }()
	view, err := opened.View(ctx, store.Seq(e.AsOf))
	if err != nil {
		return wished(err)
	}
	return wished(errors.Join(view.Known(c.symbols), view.Close()))
}

// wished makes an error that says the store does not have what was asked for a *WishError.
func wished(err error) error {
	for _, absent := range []error{store.ErrUnknown, store.ErrFuture, store.ErrHorizon} {
		if errors.Is(err, absent) {
			return &WishError{err}
		}
	}
	return err
}

// source is the config of the store's source.
func (e Export) source(c checked) map[string]any {
	config := map[string]any{"path": c.dir, "dataset": e.Dataset, "order": "key"}
	if c.adjust != market.Raw {
		config["adjust"] = e.Adjust
	}
	if e.From != "" {
		config["from"] = c.days.From.String()
	}
	if e.To != "" {
		config["to"] = c.days.To.String()
	}
	if c.symbols != nil {
		config["symbols"] = c.symbols
	}
	if e.AsOf > 0 {
		config["as_of"] = e.AsOf
	}
	return config
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
