package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"github.com/tapeline/tapeline/bench/dataset"
)

// bench measures workload after workload.
type bench struct {
	options

	report *report
}

// entrant is a tool in one workload.
type entrant struct {
	tool

	result *toolResult
	job    job
}

// workload measures one workload with all its tools. The error is a wrong output of any tool, or
// a Tapeline that does not run; peers that do not run are in the result only.
func (b *bench) workload(ctx context.Context, w *workload) (*workloadResult, error) {
	result := &workloadResult{Name: w.name, Title: w.title, goal: w.goal}
	var db *database
	if w.output == formatTable {
		db = &database{dsn: os.Getenv(databaseVariable)}
	}
	entrants, failed := b.entrants(ctx, w, db, result)
	if len(entrants) == 0 {
		return result, failed
	}
	if db != nil {
		result.Title += ", " + db.settings(ctx)
		defer func() {
			if err := db.remove(context.WithoutCancel(ctx)); err != nil {
				fmt.Fprintln(os.Stderr, "bench:", err)
			}
		}()
	}
	for round := range b.rounds {
		// Shuffled, not rotated: no tool always runs after the same one.
		order := rand.New(rand.NewPCG(uint64(round), 0)).Perm(len(entrants))
		for i := range entrants {
			e := entrants[order[i]]
			if e.result.Reason != "" || ctx.Err() != nil {
				continue
			}
			e.job.round = round
			if err := b.once(ctx, e, db); err != nil {
				e.result.Reason = err.Error()
				var mismatch mismatchError
				if isOurs(e.name) || errors.As(err, &mismatch) {
					failed = errors.Join(failed, fmt.Errorf("%s %s: %w", w.name, e.name, err))
				}
			}
		}
	}
	result.summarize()
	return result, failed
}

// mismatchError is an output other than the expected one.
type mismatchError struct{ error }

func isOurs(name string) bool { return name == ours || name == oursCheckpoints }

// entrants lists the tools of a workload with their inputs made; the others go to the result.
func (b *bench) entrants(ctx context.Context, w *workload, db *database, result *workloadResult,
) ([]*entrant, error) {
	var entrants []*entrant
	var failed error
	for _, t := range tools(b.root, b.tapeline) {
		if t.jobs[w.name] == nil {
			continue
		}
		e := &entrant{tool: t, result: &toolResult{
			Tool: t.name, Durability: t.durability, Note: t.note, Reason: b.chosen(&t),
		}}
		result.Tools = append(result.Tools, e.result)
		chosen := e.result.Reason == ""
		if chosen {
			e.result.Reason = t.available(b.root)
		}
		if chosen && db != nil && db.dsn == "" {
			e.result.Reason = databaseVariable + " is not set"
		}
		if e.result.Reason != "" {
			if chosen && isOurs(t.name) && (db == nil || db.dsn != "") {
				failed = errors.Join(failed, fmt.Errorf("%s %s: %s", w.name, t.name, e.result.Reason))
			}
			continue
		}
		e.result.Version = t.version()
		e.job = b.job(w, &t)
		e.result.Rows = e.job.rows
		entrants = append(entrants, e)
	}
	if err := b.prepare(ctx, w, entrants, db); err != nil {
		return nil, errors.Join(failed, err)
	}
	return entrants, failed
}

// job returns what a tool is to do in a workload.
func (b *bench) job(w *workload, t *tool) job {
	j := job{workload: w, rows: b.rows}
	switch {
	case t.slow || w.output == formatTable:
		j.rows = b.slowRows
	case isOurs(t.name):
		j.rows *= w.oursTimes
	}
	if w.input != "" {
		j.input = b.dataPath(j.rows, w.input)
	}
	return j
}

func (b *bench) dataPath(rows int, ending string) string {
	return filepath.Join(b.data, fmt.Sprintf("rows-%d.%s", rows, ending))
}

// prepare generates the inputs that are missing and computes the expected sums.
func (b *bench) prepare(ctx context.Context, w *workload, entrants []*entrant, db *database) error {
	sums := map[int]dataset.Sums{}
	for _, e := range entrants {
		if _, known := sums[e.job.rows]; !known && w.output != formatNone {
			sums[e.job.rows] = w.expected(e.job.rows)
		}
		e.result.want = sums[e.job.rows]
		e.job.expect = e.result.want.Rows
		if w.input == "" {
			continue
		}
		write := dataset.WriteCSV
		if w.input == "ndjson" {
			write = dataset.WriteNDJSON
		}
		if err := generate(e.job.input, e.job.rows, write); err != nil {
			return err
		}
	}
	if db == nil || len(entrants) == 0 {
		return nil
	}
	path := b.dataPath(b.slowRows, "csv")
	if err := generate(path, b.slowRows, dataset.WriteCSV); err != nil {
		return err
	}
	return db.prepare(ctx, path)
}

// generate writes a data file unless it exists; it appears complete or not at all.
func generate(path string, rows int, write func(io.Writer, int) error) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	part := path + ".part"
	file, err := os.Create(part)
	if err != nil {
		return fmt.Errorf("create data file: %w", err)
	}
	if err := errors.Join(write(file, rows), file.Close()); err != nil {
		return errors.Join(err, os.Remove(part))
	}
	if err := os.Rename(part, path); err != nil {
		return fmt.Errorf("name data file: %w", err)
	}
	return nil
}

// toolBytes is more than the memory of any tool here.
const toolBytes = 1 << 30

// once runs one tool once, checks its output and records the sample.
func (b *bench) once(ctx context.Context, e *entrant, db *database) (err error) {
	scratch, err := os.MkdirTemp(b.data, "scratch-")
	if err != nil {
		return fmt.Errorf("create scratch folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	e.job.scratch = scratch
	e.job.output = filepath.Join(scratch, "result."+string(e.job.workload.output))
	if db != nil {
		if err := db.reset(ctx); err != nil {
			return err
		}
	}
	inputBytes, err := warm(e.job.input)
	if err != nil {
		return err
	}
	invocation := e.jobs[e.job.workload.name](e.job)
	invocation.memoryBytes = inputBytes + toolBytes // no output is larger than its input
	e.result.Command = b.show(invocation, scratch)
	measured, err := measure(ctx, invocation, scratch)
	if err != nil {
		return err
	}
	if isOurs(e.name) {
		if err := e.readAccount(); err != nil {
			return err
		}
	}
	if err := b.check(ctx, e, db); err != nil {
		return err
	}
	e.result.Samples = append(e.result.Samples, measured)
	return nil
}

// readAccount takes over what Tapeline reports of the run just ended.
func (e *entrant) readAccount() error {
	reported, err := readAccount(filepath.Join(e.job.scratch, reportFile))
	if err != nil {
		return err
	}
	e.result.Checkpoints = reported.Checkpoints
	if e.job.workload.output != formatNone {
		return nil // its output is read back instead
	}
	if err := reported.verify(int64(e.job.rows)); err != nil {
		return mismatchError{err}
	}
	return nil
}

// warm reads the input once, so that every tool finds it in the page cache, and returns its size.
func warm(path string) (sizeBytes int64, err error) {
	if path == "" {
		return 0, nil
	}
	file, err := os.Open(path)
	if err != nil {
		return 0, fmt.Errorf("open input: %w", err)
	}
	sizeBytes, err = io.Copy(io.Discard, file)
	return sizeBytes, errors.Join(err, file.Close())
}

// check sums the whole output of the first round; later rounds must be of the same size.
func (b *bench) check(ctx context.Context, e *entrant, db *database) error {
	w := e.job.workload
	if w.output == formatNone {
		return nil
	}
	if e.result.Output != nil && db == nil {
		info, err := os.Stat(e.job.output)
		if err != nil {
			return fmt.Errorf("stat output: %w", err)
		}
		if info.Size() != e.result.Output.SizeBytes {
			return mismatchError{fmt.Errorf("output of round %d: got %d bytes, want %d",
				e.job.round+1, info.Size(), e.result.Output.SizeBytes)}
		}
		return nil
	}
	var got content
	var err error
	if db != nil {
		got, err = db.sum(ctx)
	} else {
		got, err = sumFile(e.job.output, w.output, w.value)
	}
	if err != nil {
		return mismatchError{err}
	}
	e.result.Output = &got
	if err := verify(got, e.result.want); err != nil {
		return mismatchError{err}
	}
	return nil
}

// show returns a command line as a person would type it at the root of the repository; the
// connection string is not shown.
func (b *bench) show(run invocation, scratch string) string {
	words := append([]string{}, run.env...)
	for _, word := range run.args {
		if strings.ContainsAny(word, " $\"'>=") {
			word = "'" + word + "'"
		}
		words = append(words, word)
	}
	if run.stdout != "" {
		words = append(words, ">", run.stdout)
	}
	line := strings.Join(words, " ")
	line = strings.ReplaceAll(line, scratch, "OUT")
	line = strings.ReplaceAll(line, b.data, "DATA")
	if dsn := os.Getenv(databaseVariable); dsn != "" {
		line = strings.ReplaceAll(line, dsn, "DSN")
	}
	return strings.ReplaceAll(line, b.root+string(filepath.Separator), "")
}
