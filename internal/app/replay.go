package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/internal/catalog"
	"github.com/tapeline/tapeline/internal/flow/plan"
	"github.com/tapeline/tapeline/internal/flow/run"
	"github.com/tapeline/tapeline/internal/flow/spec"
)

// Replay describes `tapeline dead RUN --replay`.
type Replay struct {
	Run catalog.Run
	// From is a file of repaired dead letters, as DeadLetters returns them, one a line; "" replays
	// the rows as they are.
	From string
	// Document is the workflow to run them through; nil takes the one recorded with the run.
	Document *spec.Document
	Log      *slog.Logger
}

// Replayed is the outcome of a replay.
type Replayed struct {
	Rows    int         `json:"rows"`    // fed again
	Skipped []Skipped   `json:"skipped"` // stay as they are
	Report  *run.Report `json:"report,omitempty"`
}

// Skipped is a dead letter that was not fed again.
type Skipped struct {
	ID     string `json:"id"`
	Reason string `json:"reason"`
	Done   bool   `json:"done"` // it was replayed before
}

// Replay feeds dead letters of a run again to the nodes that refused them, and what they yield to
// the nodes behind. Each row is fed once: a replay that was interrupted is taken up again, and rows
// of a finished one are marked. Files are appended to.
func (e *Engine) Replay(ctx context.Context, r Replay) (*Replayed, error) {
	letters, err := e.lettersToReplay(r)
	if err != nil {
		return nil, err
	}
	out := &Replayed{Skipped: []Skipped{}}
	var use []DeadLetter
	for _, l := range letters {
		switch {
		case l.Replayed:
			out.Skipped = append(out.Skipped, Skipped{l.ID, "it was replayed before", true})
		case l.Row == nil:
			out.Skipped = append(out.Skipped, Skipped{ID: l.ID, Reason: "it never was a row; give one with --from"})
		default:
			use = append(use, l)
		}
	}
	d := r.Document
	if d == nil {
		if d, err = e.recorded(ctx, r.Run.Workflow); err != nil {
			return nil, err
		}
	}
	w, used, err := e.replayWorkflow(ctx, d, use, r, out)
	if err != nil || len(used) == 0 {
		return out, err
	}
	out.Rows = len(used)
	report, err := e.finishReplay(ctx, w)
	out.Report = report
	if err != nil {
		return out, err
	}
	return out, writeMarks(e.deadDir(r.Run), used)
}

// finishReplay runs the workflow, unless it ran to its end and only the marks are missing.
func (e *Engine) finishReplay(ctx context.Context, w *plan.Workflow) (*run.Report, error) {
	before, err := e.Catalog.History(ctx, w.Name, 1)
	if err != nil {
		return nil, err
	}
	if len(before) > 0 && before[0].Status == catalog.Completed {
		return nil, nil
	}
	started, err := e.StartPlan(ctx, w, run.Options{})
	if err != nil {
		return nil, err
	}
	report, err := e.Parts.await(started)
	return &report, err
}

// recorded returns the document that the workflow was run with last.
func (e *Engine) recorded(ctx context.Context, workflow string) (*spec.Document, error) {
	w, err := e.Catalog.Workflow(ctx, workflow)
	if err != nil {
		return nil, err
	}
	d, problems := spec.Parse("recorded "+workflow, []byte(w.Document),
		spec.Options{Catalogue: e.Parts})
	if d == nil || spec.Failed(problems) {
		return nil, fmt.Errorf("recorded workflow %s: %s; give its file with --workflow",
			workflow, firstError(problems))
	}
	if strings.Contains(w.Document, "***") {
		return nil, fmt.Errorf("the recorded workflow %s has its secrets masked; "+
			"give its file with --workflow", workflow)
	}
	return d, nil
}

// lettersToReplay returns the run's letters, with the rows of the repaired file.
func (e *Engine) lettersToReplay(r Replay) ([]DeadLetter, error) {
	letters, err := e.DeadLetters(r.Run)
	if err != nil || r.From == "" {
		return letters, err
	}
	repaired, err := readLetters(r.From)
	if err != nil {
		return nil, err
	}
	byID := map[string]DeadLetter{}
	for _, l := range letters {
		byID[l.ID] = l
	}
	out := make([]DeadLetter, 0, len(repaired))
	for i, l := range repaired {
		known, ok := byID[l.ID]
		if !ok {
			return nil, fmt.Errorf("%s:%d: id %q is no dead letter of run %s",
				r.From, i+1, l.ID, r.Run.ID)
		}
		known.Row = l.Row
		out = append(out, known)
	}
	return out, nil
}

// replayWorkflow returns the part of the graph from the refusing nodes on, fed by the rows.
func (e *Engine) replayWorkflow(
	ctx context.Context, d *spec.Document, letters []DeadLetter, r Replay, out *Replayed,
) (*plan.Workflow, []string, error) {
	w, err := e.Parts.build(d)
	if err != nil {
		return nil, nil, err
	}
	byNode := map[string][]DeadLetter{}
	for _, l := range letters {
		byNode[l.Node] = append(byNode[l.Node], l)
	}
	var used []string
	digest := sha256.New()
	heads := map[string]*plan.Node{}
	for _, id := range slices.Sorted(maps.Keys(byNode)) {
		rows, ids, err := e.rowsOf(ctx, d, w, byNode[id], r, out)
		if err != nil {
			return nil, nil, err
		}
		if len(ids) == 0 {
			continue
		}
		heads[id] = rowNode(id+" replayed", rows)
		used = append(used, ids...)
		fmt.Fprintln(digest, id, ids)
		for _, object := range rowObjects(rows) {
			digest.Write(object)
		}
	}
	if len(used) == 0 {
		return nil, nil, nil
	}
	w.Nodes = below(w.Nodes, heads)
	if err := appendOnly(d, w); err != nil {
		return nil, nil, err
	}
	// The same rows make the same name, so that an interrupted replay is taken up again.
	w.Name = fmt.Sprintf("%s-replay-%s-%s", d.Name, r.Run.ID, hex.EncodeToString(digest.Sum(nil)[:4]))
	return w, used, nil
}

// rowsOf reads the rows of one node by the types it was given them with, as far as its sources
// still tell. Rows that do not read as these are skipped.
func (e *Engine) rowsOf(
	ctx context.Context, d *spec.Document, w *plan.Workflow, letters []DeadLetter, r Replay,
	out *Replayed,
) (*batch.Batch, []string, error) {
	id := letters[0].Node
	at := slices.IndexFunc(w.Nodes, func(n *plan.Node) bool { return n.ID == id })
	if at < 0 {
		return nil, nil, fmt.Errorf("node %s is not in the workflow any more", id)
	}
	schema := e.inputSchema(ctx, d, w.Nodes[at], r.Log)
	var text []byte
	for _, l := range letters {
		text = append(append(text, l.Row...), '\n')
	}
	rows, bad, err := typedRows(text, schema)
	if err != nil {
		return nil, nil, fmt.Errorf("rows of node %s: %w", id, err)
	}
	wrong := map[int]bool{}
	for _, b := range bad {
		if !wrong[b.Row] {
			out.Skipped = append(out.Skipped, Skipped{
				ID: letters[b.Row].ID, Reason: fmt.Sprintf("column %s: %s", b.Column, b.Reason),
			})
		}
		wrong[b.Row] = true
	}
	var ids []string
	for i, l := range letters {
		if !wrong[i] {
			ids = append(ids, l.ID)
		}
	}
	return rows, ids, nil
}

// inputSchema asks the nodes before for the first row they yield; nil when they cannot tell.
func (e *Engine) inputSchema(
	ctx context.Context, d *spec.Document, n *plan.Node, log *slog.Logger,
) *batch.Schema {
	output := n.ID
	if n.Kind == plan.Transformation {
		if output = n.Inputs[0].Node; n.Inputs[0].Port != "" {
			output += "." + n.Inputs[0].Port
		}
	}
	s, err := e.Parts.newScratch(slog.New(slog.DiscardHandler))
	if err != nil {
		return nil
	}
	defer func() {
		if err := s.close(); err != nil {
			log.Warn("scratch folder was not removed", "error", err)
		}
	}()
	batches, _, err := e.Parts.first(ctx, s, d, output, 1)
	if err != nil || len(batches) == 0 {
		log.Warn("the sources do not tell the types of replayed rows; they follow from the values",
			"node", n.ID, "error", err)
		return nil
	}
	return batches[0].Schema()
}

// below returns the heads, the nodes they feed and all behind, without inputs from elsewhere. A
// head stands for a source, or feeds the node whose rows it holds.
func below(nodes []*plan.Node, heads map[string]*plan.Node) []*plan.Node {
	kept := map[string]bool{}
	for changed := true; changed; {
		changed = false
		for _, n := range nodes {
			if kept[n.ID] {
				continue
			}
			reached := heads[n.ID] != nil || slices.ContainsFunc(n.Inputs, func(in plan.Input) bool {
				return kept[in.Node]
			})
			if reached {
				kept[n.ID], changed = true, true
			}
		}
	}
	out := filtered(nodes, kept)
	for i, n := range out {
		n.Inputs = slices.DeleteFunc(n.Inputs, func(in plan.Input) bool { return !kept[in.Node] })
		head := heads[n.ID]
		switch {
		case head == nil:
		case n.Kind == plan.Source:
			head.ID = n.ID
			out[i] = head
		default:
			n.Inputs = append(n.Inputs, plan.Input{Node: head.ID})
			out = append(out, head)
		}
	}
	return out
}

// appendOnly makes file sinks append, and refuses sinks that would replace what they hold.
func appendOnly(d *spec.Document, w *plan.Workflow) error {
	for _, n := range w.Nodes {
		declared := d.Node(n.ID)
		if n.Kind != plan.Destination || declared == nil {
			continue
		}
		path := textSetting(declared.Config, "path")
		single := path != "" && !strings.HasSuffix(path, "/") &&
			!strings.HasSuffix(path, string(filepath.Separator))
		switch {
		case textSetting(declared.Config, "mode") == "replace":
			return fmt.Errorf("destination %s replaces its table: a replay would leave only the "+
				"replayed rows in it", n.ID)
		case single && textSetting(declared.Config, "format") == "array":
			return fmt.Errorf("destination %s writes one JSON array, which cannot be appended to", n.ID)
		case single:
			setText(declared.Config, "if_exists", "append")
		}
	}
	return nil
}

// setting returns the field of a config struct with that key, the zero Value when there is none.
func setting(config any, key string) reflect.Value {
	v := reflect.Indirect(reflect.ValueOf(config))
	if v.Kind() != reflect.Struct {
		return reflect.Value{}
	}
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if f.Anonymous && v.Field(i).Kind() == reflect.Struct {
			if found := setting(v.Field(i).Addr().Interface(), key); found.IsValid() {
				return found
			}
		}
		if name, _, _ := strings.Cut(f.Tag.Get("yaml"), ","); name == key && name != "" {
			return v.Field(i)
		}
	}
	return reflect.Value{}
}

func textSetting(config any, key string) string {
	if v := setting(config, key); v.IsValid() && v.Kind() == reflect.String {
		return v.String()
	}
	return ""
}

func setText(config any, key, text string) {
	if v := setting(config, key); v.IsValid() && v.Kind() == reflect.String {
		v.SetString(text)
	}
}
