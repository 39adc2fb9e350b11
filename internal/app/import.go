package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/filesink"
	"github.com/tapeline/tapeline/internal/flow/run"
	"github.com/tapeline/tapeline/internal/flow/spec"
	"github.com/tapeline/tapeline/internal/intake"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/vfs"
)

// Import describes `tapeline import`.
type Import struct {
	Store   string
	Dataset string
	Format  string // csv, tdx or parquet
	Source  string // "" is the format
	Paths   []string
	File    string   // of a mapping, YAML; "" none
	Map     []string // DATASET=FILE names of columns, over those of File
	Flags   intake.Mapping
	Covers  string // FROM..TO
	Replace bool
	Digits  int // of the prices in TDX files
}

// importSuffixes are the files of a folder that a format takes.
var importSuffixes = map[string][]string{
	"csv": {".csv", ".tsv", ".csv.gz", ".csv.zst"}, "parquet": {".parquet", ".parq"}, "tdx": nil,
}

// Import brings files into a store. A wish that cannot be met is a *WishError, before anything is
// written.
func (e *Engine) Import(
	ctx context.Context, i Import, log *slog.Logger,
	follow func(w *run.Workflow, progress func() (rows int64, inputs int)) (interrupted bool),
) (report *intake.Report, interrupted bool, err error) {
	job, err := e.Parts.importJob(i)
	if err != nil {
		return nil, false, &WishError{err}
	}
	env := connector.Env{Log: slog.New(slog.DiscardHandler), FS: vfs.OS{}}
	if err := job.CheckFirst(ctx, env); err != nil {
		return nil, false, &WishError{err}
	}
	if job.Store, err = openStore(i.Store, log, true); err != nil {
		return nil, false, err
	}
	defer func() { err = errors.Join(err, job.Store.Close()) }()
	if err := job.Prepare(ctx); err != nil {
		return nil, false, err
	}
	if job.Writer, err = job.Store.Lock(ctx, "the import of "+job.Source); err != nil {
		return nil, false, err
	}
	defer func() { err = errors.Join(err, job.Writer.Unlock()) }()
	debug.SetGCPercent(syncGCPercent) // rows are garbage as soon as they are written
	begun := time.Now()
	w, err := e.startFresh(ctx, job.Workflow())
	if err != nil {
		return nil, false, err
	}
	if follow != nil {
		interrupted = follow(w, job.Progress)
	}
	ran, err := w.Wait()
	if err == nil && !interrupted {
		if _, err := job.Writer.Compact(ctx, false); err != nil {
			// What was asked for is stored; the next import or sync tries again.
			log.Warn("the store was not compacted", "reason", err)
		}
	}
	report, more := job.Report(context.WithoutCancel(ctx), ran.Run, time.Since(begun))
	return report, interrupted && ran.Status != run.Completed, errors.Join(err, more)
}

// importJob checks what is asked.
func (p *Parts) importJob(i Import) (*intake.Job, error) {
	suffixes, ok := importSuffixes[i.Format]
	if !ok {
		return nil, fmt.Errorf("--format %q: want csv, tdx or parquet", i.Format)
	}
	d, ok := market.DatasetByName(i.Dataset)
	if !ok {
		return nil, fmt.Errorf("--dataset %q: %s", i.Dataset, nearestDataset(i.Dataset))
	}
	job := &intake.Job{Dataset: d, Source: cmp.Or(i.Source, i.Format), Replace: i.Replace}
	if provides(job.Source) {
		return nil, fmt.Errorf("--source %s: that is a provider, whose rows only a sync writes; choose another name", job.Source)
	}
	var err error
	if job.Mapping, err = i.mapping(); err != nil {
		return nil, err
	}
	problems := job.Mapping.Check(d)
	if i.Covers != "" {
		from, to, two := strings.Cut(i.Covers, "..")
		var v market.Interval
		v.From, err = market.ParseDate(from)
		if err == nil {
			v.To, err = market.ParseDate(to)
		}
		if !two || err != nil || v.Empty() {
			problems = append(problems, fmt.Errorf("--covers %q: want FROM..TO, as 2020-01-02..2024-06-28", i.Covers))
		}
		job.Covers = &v
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	for _, path := range i.Paths {
		files := []string{path}
		if suffixes != nil {
			if files, err = importFiles(path, suffixes); err != nil {
				return nil, err
			}
		}
		for _, file := range files {
			job.Inputs = append(job.Inputs, p.importInput(i, job.Mapping, file))
		}
	}
	return job, nil
}

// provides reports whether a name is a provider's, whose rows a sync brings.
func provides(name string) bool {
	_, err := Provider(name)
	return err == nil
}

// mapping reads the mapping file and lays the flags over it.
func (i Import) mapping() (m intake.Mapping, err error) {
	if i.File != "" {
		problems := spec.Config([]string{i.File}, "TAPELINE_IMPORT", &m, spec.Options{})
		if spec.Failed(problems) {
			return m, fmt.Errorf("--mapping %s: %s", i.File, firstError(problems))
		}
	}
	if m.Columns == nil {
		m.Columns = map[string]string{}
	}
	for _, pair := range i.Map {
		name, column, ok := strings.Cut(pair, "=")
		if !ok || name == "" || column == "" {
			return m, fmt.Errorf("--map %q: want COLUMN OF THE DATASET=COLUMN OF THE FILE, as date=日期", pair)
		}
		m.Columns[strings.TrimSpace(name)] = strings.TrimSpace(column)
	}
	over := i.Flags
	m.Scheme, m.Class, m.Symbol = cmp.Or(over.Scheme, m.Scheme), cmp.Or(over.Class, m.Class), cmp.Or(over.Symbol, m.Symbol)
	m.VolumeUnit, m.AmountUnit = cmp.Or(over.VolumeUnit, m.VolumeUnit), cmp.Or(over.AmountUnit, m.AmountUnit)
	m.Turn, m.Round = cmp.Or(over.Turn, m.Turn), over.Round || m.Round
	m.Encoding, m.Delimiter = cmp.Or(over.Encoding, m.Encoding), cmp.Or(over.Delimiter, m.Delimiter)
	return m, nil
}

// importFiles are the files of a path: itself, those of a glob, or those of a format in a folder.
func importFiles(path string, suffixes []string) (files []string, err error) {
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() {
		glob := filesink.SourceConfig{Path: path}
		return glob.Expand(vfs.OS{})
	}
	if path, err = filepath.EvalSymlinks(path); err != nil { // WalkDir takes a link for a file
		return nil, err
	}
	err = filepath.WalkDir(path, func(name string, entry fs.DirEntry, err error) error {
		hidden := strings.HasPrefix(entry.Name(), ".") && name != path
		switch {
		case err != nil:
			return err
		case entry.IsDir() && hidden:
			return filepath.SkipDir
		case !entry.IsDir() && !hidden && slices.ContainsFunc(suffixes, func(suffix string) bool {
			return strings.HasSuffix(strings.ToLower(name), suffix)
		}):
			files = append(files, name)
		}
		return nil
	})
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("%s holds no file that ends in %s", path, strings.Join(suffixes, ", "))
	}
	return files, err
}

// importInput makes the source of one path.
func (p *Parts) importInput(i Import, m intake.Mapping, path string) intake.Input {
	return intake.Input{Path: path, Source: func(env connector.Env) (connector.Source, error) {
		c, ok := p.Connectors.Get(i.Format)
		if !ok || c.Source == nil {
			return nil, fmt.Errorf("there is no connector %s that reads files", i.Format)
		}
		settings := map[string]any{"path": path}
		switch i.Format {
		case "csv":
			settings["dialect"], settings["header"] = "auto", true
			if m.Encoding != "" {
				settings["encoding"] = m.Encoding
			}
			if m.Delimiter != "" {
				settings["delimiter"] = m.Delimiter
			}
		case "tdx":
			settings["price_digits"] = i.Digits
		}
		config := clone(c.Source.Config)
		if problems := spec.DecodeMap(settings, config); spec.Failed(problems) {
			return nil, errors.New(firstError(problems))
		}
		return c.Source.New(env, config)
	}}
}
