package app

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/tapeline/tapeline/internal/ingest"
	"github.com/tapeline/tapeline/internal/market/repair"
	"github.com/tapeline/tapeline/internal/vfs"
)

// RepairPrices describes `tapeline repair --prices`.
type RepairPrices struct {
	In     string // a CSV file, or a folder of them; .gz is read and written too
	Out    string // the file, or folder; "": nothing is written
	Expect string // folder of what is expected; "": no score
}

// RepairedFile is what was done to one file.
type RepairedFile struct {
	File    string         `json:"file"`
	Rows    int            `json:"rows"`
	Changed int            `json:"cells_changed"`
	Rules   []RepairedRule `json:"rules"`
	Cells   []RepairedCell `json:"cells"`
	Error   string         `json:"error,omitempty"`
	// Twin is the file that was expected, the input itself where a file is right as it is; "": not asked.
	Twin        string              `json:"expected,omitempty"`
	Equal       bool                `json:"equal"`
	Differences []repair.Difference `json:"differences,omitempty"`
}

// RepairedRule is what one rule did to a file.
type RepairedRule struct {
	Rule  string `json:"rule"`
	Cells int    `json:"cells"`
	From  string `json:"from"`
	To    string `json:"to"`
	Why   string `json:"why"`
}

// RepairedCell is a cell that was changed.
type RepairedCell struct {
	Line   int    `json:"line"`
	Date   string `json:"date"`
	Column string `json:"column"`
	Old    string `json:"old"`
	New    string `json:"new"`
	Rule   string `json:"rule"`
}

// RepairedPrices is what was done to all files.
type RepairedPrices struct {
	Files    []RepairedFile `json:"files"`
	Repaired int            `json:"repaired"` // files with a changed cell
	Failed   int            `json:"failed"`   // files that could not be read
	Scored   int            `json:"scored"`   // files of which it is known what is expected
	Equal    int            `json:"equal"`    // of these
	Log      string         `json:"log,omitempty"`
}

// twinSuffix ends the name of a file that is another, repaired.
const twinSuffix = "-fixed"

// Run repairs the files. One that cannot be read is named in the result and keeps none from being
// repaired.
func (r RepairPrices) Run(ctx context.Context, progress func(step string, done, all int64)) (*RepairedPrices, error) {
	files, folder, err := r.files()
	if err != nil {
		return nil, &ingest.RequestError{Reasons: []string{err.Error()}}
	}
	out := &RepairedPrices{Files: []RepairedFile{}}
	for i, name := range files {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		progress("files", int64(i), int64(len(files)))
		target := ""
		if target = r.Out; folder && r.Out != "" {
			target = filepath.Join(r.Out, filepath.Base(name))
		}
		f, err := r.file(name, target)
		if err != nil {
			f.Error = err.Error()
			out.Failed++
		}
		if f.Changed > 0 {
			out.Repaired++
		}
		if f.Twin != "" && err == nil {
			out.Scored++
			if f.Equal {
				out.Equal++
			}
		}
		out.Files = append(out.Files, f)
	}
	if r.Out == "" || out.Repaired == 0 {
		return out, nil
	}
	if out.Log = r.Out + ".repairs.csv"; folder {
		out.Log = filepath.Join(r.Out, "repairs.csv")
	}
	return out, write(out.Log, out.log)
}

// files returns the inputs. What is expected of another is none.
func (r RepairPrices) files() (files []string, folder bool, err error) {
	info, err := os.Stat(r.In)
	if err != nil {
		return nil, false, fmt.Errorf("--prices: %w", err)
	}
	if same, err := os.Stat(r.Out); r.Out != "" && err == nil && os.SameFile(info, same) {
		return nil, false, fmt.Errorf("--out %s is --prices: name another, so that the originals stay", r.Out)
	}
	if r.Expect != "" {
		if _, err := os.ReadDir(r.Expect); err != nil {
			return nil, false, fmt.Errorf("--expect: %w", err)
		}
	}
	if !info.IsDir() {
		return []string{r.In}, false, nil
	}
	entries, err := os.ReadDir(r.In)
	if err != nil {
		return nil, true, fmt.Errorf("--prices: %w", err)
	}
	present := map[string]bool{}
	for _, e := range entries {
		present[e.Name()] = true
	}
	for _, e := range entries {
		stem, suffix := cutPrices(e.Name())
		original, twin := strings.CutSuffix(stem, twinSuffix)
		if e.IsDir() || suffix == "" || e.Name() == "repairs.csv" || twin && present[original+suffix] {
			continue
		}
		files = append(files, filepath.Join(r.In, e.Name()))
	}
	if len(files) == 0 {
		return nil, true, fmt.Errorf("--prices: folder %s holds no .csv or .csv.gz", r.In)
	}
	return files, true, nil
}

// cutPrices parts a name of a file of prices from its suffix, "" where it is none.
func cutPrices(name string) (stem, suffix string) {
	for _, suffix := range []string{".csv", ".csv.gz"} {
		if stem, ok := strings.CutSuffix(name, suffix); ok {
			return stem, suffix
		}
	}
	return name, ""
}

// file repairs one file.
func (r RepairPrices) file(name, target string) (RepairedFile, error) {
	f := RepairedFile{File: name, Rules: []RepairedRule{}, Cells: []RepairedCell{}}
	raw, err := os.ReadFile(name)
	if err != nil {
		return f, err
	}
	table, err := readPrices(name, raw)
	if err != nil {
		return f, err
	}
	changes := table.Series.Repair()
	f.describe(table, changes)
	table.Apply(changes)
	if target != "" {
		err = write(target, func(w io.Writer) error {
			if len(changes) == 0 {
				_, err := w.Write(raw) // to the byte
				return err
			}
			return writePrices(name, table, w)
		})
		if err != nil {
			return f, err
		}
	}
	if r.Expect == "" {
		return f, nil
	}
	return f, r.score(&f, name, raw, table)
}

// score compares a repaired file with its twin, or with itself where it has none.
func (r RepairPrices) score(f *RepairedFile, name string, raw []byte, table *repair.Table) error {
	stem, suffix := cutPrices(filepath.Base(name))
	expected := raw
	f.Twin = name
	for _, twin := range []string{stem + twinSuffix + suffix, stem + suffix} {
		text, err := os.ReadFile(filepath.Join(r.Expect, twin))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		f.Twin, expected = filepath.Join(r.Expect, twin), text
		break
	}
	want, err := readPrices(f.Twin, expected)
	if err != nil {
		return fmt.Errorf("what is expected: %w", err)
	}
	if f.Differences, err = repair.Compare(table, want); err != nil {
		return fmt.Errorf("what is expected: %w", err)
	}
	f.Equal = len(f.Differences) == 0
	return nil
}

func (f *RepairedFile) describe(t *repair.Table, changes []repair.Change) {
	f.Rows, f.Changed = len(t.Series.Rows), len(changes)
	why := map[string]string{}
	for _, rule := range repair.Rules() {
		why[rule[0]] = rule[1]
	}
	at := map[string]int{}
	for _, c := range changes {
		date := t.Series.Rows[c.Row].Time.Format("2006-01-02")
		i, ok := at[c.Rule]
		if !ok {
			i = len(f.Rules)
			at[c.Rule] = i
			f.Rules = append(f.Rules, RepairedRule{Rule: c.Rule, From: date, Why: why[c.Rule]})
		}
		f.Rules[i].Cells++
		f.Rules[i].To = date
		f.Cells = append(f.Cells, RepairedCell{
			Line: t.Line(c.Row), Date: date, Column: c.Column.String(), Old: t.Text(c.Row, c.Column),
			New: repair.Format(c.Column, c.New), Rule: c.Rule,
		})
	}
}

func readPrices(name string, raw []byte) (*repair.Table, error) {
	var text io.Reader = bytes.NewReader(raw)
	if strings.HasSuffix(name, ".gz") {
		plain, err := gzip.NewReader(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		text = plain
	}
	table, err := repair.Read(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return table, nil
}

func writePrices(name string, table *repair.Table, w io.Writer) error {
	if !strings.HasSuffix(name, ".gz") {
		return table.Write(w)
	}
	packed := gzip.NewWriter(w)
	return cmp.Or(table.Write(packed), packed.Close())
}

// write makes a file as a whole, or leaves it as it is. Synced.
func write(name string, content func(w io.Writer) error) error {
	var b bytes.Buffer
	if err := content(&b); err != nil {
		return err
	}
	system := vfs.OS{}
	if err := system.MkdirAll(filepath.Dir(name)); err != nil {
		return err
	}
	return vfs.Replace(system, name, b.Bytes())
}

// log writes every cell that was changed.
func (r *RepairedPrices) log(w io.Writer) error {
	lines := csv.NewWriter(w)
	records := [][]string{{"file", "line", "date", "column", "old", "new", "rule"}}
	for _, f := range r.Files {
		for _, c := range f.Cells {
			records = append(records, []string{
				filepath.Base(f.File), strconv.Itoa(c.Line), c.Date, c.Column, c.Old, c.New, c.Rule,
			})
		}
	}
	return lines.WriteAll(records)
}

// Text returns what was done for people.
func (r *RepairedPrices) Text() string {
	const shown = 3 // differences of a file
	var b strings.Builder
	for _, f := range r.Files {
		verdict := "unchanged"
		if f.Changed > 0 {
			verdict = fmt.Sprintf("%d cells repaired", f.Changed)
		}
		switch {
		case f.Error != "":
			verdict = "not read: " + f.Error
		case f.Twin != "" && f.Equal:
			verdict += ", as expected"
		case f.Twin != "":
			verdict += fmt.Sprintf(", %d cells are not as expected", len(f.Differences))
		}
		fmt.Fprintf(&b, "%s: %d rows, %s\n", filepath.Base(f.File), f.Rows, verdict)
		rules := slices.Clone(f.Rules)
		slices.SortFunc(rules, func(a, b RepairedRule) int { return cmp.Compare(a.Rule, b.Rule) })
		for _, rule := range rules {
			fmt.Fprintf(&b, "  %-20s %d cells, %s..%s: %s\n", rule.Rule, rule.Cells, rule.From, rule.To, rule.Why)
		}
		for _, d := range f.Differences[:min(shown, len(f.Differences))] {
			fmt.Fprintf(&b, "  line %d: %s is %s, expected %s\n", d.Line, d.Column, d.Got, d.Want)
		}
	}
	fmt.Fprintf(&b, "%d files, %d repaired", len(r.Files), r.Repaired)
	if r.Failed > 0 {
		fmt.Fprintf(&b, ", %d not read", r.Failed)
	}
	if r.Scored > 0 {
		fmt.Fprintf(&b, "; score: %d of %d as expected", r.Equal, r.Scored)
	}
	b.WriteString("\n")
	if r.Log != "" {
		fmt.Fprintf(&b, "every changed cell, old and new: %s\n", r.Log)
	}
	return b.String()
}
