package app

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/internal/flow/plan"
	"github.com/tapeline/tapeline/internal/flow/spec"
)

// Diff describes `tapeline diff`.
type Diff struct {
	A, B       string // URLs or paths
	Key        []string
	ASet, BSet map[string]any // settings of the sources, over those of their URLs
	Examples   int            // differing rows to show; default 10
}

// DiffResult says how two tables differ. Rows are compared as multisets of canonical text over the
// columns both have; the text is described at canonical.
type DiffResult struct {
	Equal   bool             `json:"equal"`
	A       DiffSide         `json:"a"`
	B       DiffSide         `json:"b"`
	Columns []DiffColumn     `json:"columns,omitempty"` // columns that differ
	OnlyInA []map[string]any `json:"only_in_a,omitempty"`
	OnlyInB []map[string]any `json:"only_in_b,omitempty"`
	Changed []DiffChange     `json:"changed,omitempty"` // with a key
	// Counts of differing rows. Exact is false when there were too many to look at each: they are
	// then of the part looked at.
	Counts DiffCounts `json:"counts"`
	Exact  bool       `json:"exact"`
}

// DiffSide is one table.
type DiffSide struct {
	Address string `json:"address"`
	Rows    int64  `json:"rows"`
	Hash    string `json:"hash"` // of the multiset of rows, the same in every run
	Schema  string `json:"schema"`
}

// DiffColumn is a column that only one side has, or has with another type. Another type alone is
// no difference.
type DiffColumn struct {
	Name string `json:"name"`
	A    string `json:"a,omitempty"` // its type
	B    string `json:"b,omitempty"`
}

// DiffChange is a row whose key both sides have.
type DiffChange struct {
	Key     map[string]any            `json:"key"`
	Columns map[string]map[string]any `json:"columns"` // column -> {a, b}
}

// DiffCounts counts differing rows.
type DiffCounts struct {
	OnlyInA int `json:"only_in_a"`
	OnlyInB int `json:"only_in_b"`
	Changed int `json:"changed"`
}

// mostDiffRows bounds the rows of both sides that are held in memory to be compared one by one.
const mostDiffRows = 400_000

// Diff reads both sides once for counts and hashes, and when they differ once more for the rows of
// differing hash buckets. Memory is bounded whatever their size.
func (p *Parts) Diff(ctx context.Context, d Diff, log *slog.Logger) (_ *DiffResult, err error) {
	if d.Examples == 0 {
		d.Examples = 10
	}
	s, err := p.newScratch(log)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	x := &differ{parts: p, scratch: s, diff: d}
	a, err := x.schema(ctx, d.A, d.ASet)
	if err != nil {
		return nil, err
	}
	b, err := x.schema(ctx, d.B, d.BSet)
	if err != nil {
		return nil, err
	}
	out := &DiffResult{Columns: diffColumns(a, b)}
	if x.columns, err = commonColumns(a, b, d.Key); err != nil {
		return nil, err
	}
	x.wall = zoneOnOneSide(out.Columns)
	sums := [2]*bucketSums{}
	for i, side := range x.sides() {
		sums[i] = &bucketSums{}
		if err := x.scan(ctx, side, x.hashing(sums[i])); err != nil {
			return nil, err
		}
	}
	out.A = DiffSide{redacted(d.A), sums[0].rows, sums[0].hash(), schemaText(a)}
	out.B = DiffSide{redacted(d.B), sums[1].rows, sums[1].hash(), schemaText(b)}
	same := out.A.Rows == out.B.Rows && out.A.Hash == out.B.Hash
	out.Equal = same && !slices.ContainsFunc(out.Columns, func(c DiffColumn) bool {
		return c.A == "" || c.B == ""
	})
	if out.Exact = same; same || x.reads("stdio") {
		return out, nil
	}
	return out, x.examples(ctx, sums, out)
}

// diffSide is one side to read.
type diffSide struct {
	address string
	set     map[string]any
}

// differ is one comparison.
type differ struct {
	parts   *Parts
	scratch *scratch
	diff    Diff
	columns []string        // that both sides have, sorted; the key first
	wall    map[string]bool // columns of moments that only one side has a zone for
}

func (x *differ) sides() [2]diffSide {
	return [2]diffSide{{x.diff.A, x.diff.ASet}, {x.diff.B, x.diff.BSet}}
}

// reads reports whether a side is of a type that can be read once only.
func (x *differ) reads(typ string) bool {
	for _, side := range x.sides() {
		if l, err := x.parts.Locate(spec.Source, side.address, ""); err == nil && l.Type == typ {
			return true
		}
	}
	return false
}

// workflow returns a workflow that reads a side into the node given.
func (x *differ) workflow(side diffSide, sink *plan.Node) (*plan.Workflow, error) {
	location, err := x.parts.Locate(spec.Source, side.address, "")
	if err != nil {
		return nil, err
	}
	// Numbers of text files are compared as they are written, not as the nearest float64.
	if c, _ := x.parts.Connectors.Get(location.Type); hasKey(c.Source.Config, "decimal") {
		location.Config["decimal"] = true
	}
	if err := checkFlows(side.set); err != nil {
		return nil, err
	}
	maps.Copy(location.Config, side.set)
	var text strings.Builder
	text.WriteString("name: diff\nsources:\n")
	writeNode(&text, "source", location.Type, "", location.Config, inFull)
	text.WriteString("destinations:\n")
	writeNode(&text, "sink", "discard", "source", nil, inFull)
	d, problems := spec.Parse(redacted(side.address), []byte(text.String()),
		spec.Options{Catalogue: x.parts})
	if d == nil || spec.Failed(problems) {
		return nil, fmt.Errorf("%s: %s", redacted(side.address), Copy{From: side.address}.Explain(problems))
	}
	w, err := x.parts.build(d)
	if err != nil {
		return nil, err
	}
	for i, n := range w.Nodes {
		n.OnError = plan.Fail // a row that cannot be read is not equal to anything
		if n.Kind == plan.Source {
			n.NewSource = untold(n.NewSource)
		} else {
			sink.Inputs = n.Inputs
			w.Nodes[i] = sink
		}
	}
	return w, nil
}

// hash returns the sum of all rows' hashes: equal multisets have equal sums.
func (s *bucketSums) hash() string {
	var all rowSum
	for i := range s.buckets {
		all.add(s.buckets[i].sum)
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %d %d", s.rows, all[0], all[1]))
	return hex.EncodeToString(sum[:16])
}

// diffColumns returns the columns that are not the same on both sides.
func diffColumns(a, b []DiffColumn) []DiffColumn {
	if len(a) == 0 || len(b) == 0 {
		return nil
	}
	types := map[string]DiffColumn{}
	for _, c := range a {
		types[c.Name] = DiffColumn{Name: c.Name, A: c.A}
	}
	for _, c := range b {
		types[c.Name] = DiffColumn{Name: c.Name, A: types[c.Name].A, B: c.A}
	}
	var out []DiffColumn
	for _, c := range types {
		if c.A != c.B {
			out = append(out, c)
		}
	}
	slices.SortFunc(out, func(x, y DiffColumn) int { return cmp.Compare(x.Name, y.Name) })
	return out
}

// zoneOnOneSide returns the columns of timestamps that have a zone on one side only.
func zoneOnOneSide(columns []DiffColumn) map[string]bool {
	out := map[string]bool{}
	for _, c := range columns {
		a, errA := batch.ParseType(c.A)
		b, errB := batch.ParseType(c.B)
		if errA == nil && errB == nil && a.Kind == batch.Timestamp && b.Kind == batch.Timestamp {
			out[c.Name] = (a.Zone == "") != (b.Zone == "")
		}
	}
	return out
}

// commonColumns returns the key, then the other columns both sides have, sorted.
func commonColumns(a, b []DiffColumn, key []string) ([]string, error) {
	if len(a) == 0 { // a side without rows says nothing of its columns
		a = b
	}
	if len(b) == 0 {
		b = a
	}
	in := map[string]int{}
	for _, side := range [][]DiffColumn{a, b} {
		for _, c := range side {
			in[c.Name]++
		}
	}
	for _, name := range key {
		if in[name] < 2 && len(a) > 0 {
			return nil, fmt.Errorf("key column %q is not on both sides: A has (%s), B has (%s)",
				name, schemaText(a), schemaText(b))
		}
	}
	var rest []string
	for name, n := range in {
		if n == 2 && !slices.Contains(key, name) {
			rest = append(rest, name)
		}
	}
	slices.Sort(rest)
	if len(rest)+len(key) == 0 && len(a) > 0 {
		return nil, fmt.Errorf("the sides have no column in common: A has (%s), B has (%s)",
			schemaText(a), schemaText(b))
	}
	return append(slices.Clone(key), rest...), nil
}

func schemaText(columns []DiffColumn) string {
	parts := make([]string, len(columns))
	for i, c := range columns {
		parts[i] = c.Name + " " + c.A
	}
	return strings.Join(parts, ", ")
}
