package run

import (
	"encoding/json"
	"fmt"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/fault"
	"github.com/tapeline/tapeline/internal/flow/plan"
)

// manifestVersion is raised when the meaning of a manifest changes.
const manifestVersion = 1

// manifest is one checkpoint as the catalog keeps it: all that a restart needs.
type manifest struct {
	Version   int
	Epoch     uint64
	Final     bool
	Positions map[string]map[string]partitionPosition // source -> partition
	// Began are the positions at which incremental sources of this run began. The next run starts
	// there for a source that was stopped before its end.
	Began        map[string]map[string]partitionPosition `json:",omitempty"`
	BeganStates  map[string]stateHistory                 `json:",omitempty"` // the states that belong to Began
	Decider      string                                  `json:",omitempty"` // sink that decides; "": the catalog
	Schemas      []targetSchema                          `json:",omitempty"`
	Tokens       map[string][][]byte                     // sink -> token per writer
	Redo         map[string][]*redoObject                `json:",omitempty"` // following sink -> per writer
	DeadToken    []byte                                  `json:",omitempty"`
	DeadRedo     *redoObject                             `json:",omitempty"`
	States       map[string]stateHistory                 `json:",omitempty"`
	Fingerprints map[string]string                       // source or stateful node -> fingerprint
	Rows         map[string][3]int64                     // node -> rows in, rows out, rejected
	DeadAsked    int64
	DeadOther    int64
}

// partitionPosition is how far one partition of a source is committed.
type partitionPosition struct {
	Spec     []byte             `json:",omitempty"`
	Position connector.Position `json:",omitempty"`
	Ended    bool               `json:",omitempty"`
	Cut      bool               `json:",omitempty"` // ended because nobody wanted more rows
}

// stateHistory names the state objects of one node: a base and the increments after it.
type stateHistory struct {
	Base       stateObject
	Increments []stateObject `json:",omitempty"`
}

type stateObject struct {
	Name   string
	Bytes  int64
	CRC32C uint32
}

func (h stateHistory) empty() bool { return h.Base.Name == "" }

func (h stateHistory) incrementBytes() int64 {
	total := int64(0)
	for _, o := range h.Increments {
		total += o.Bytes
	}
	return total
}

func (m *manifest) encode() ([]byte, error) {
	data, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode manifest of epoch %d: %w", m.Epoch, err)
	}
	return data, nil
}

func decodeManifest(data []byte) (*manifest, error) {
	m := &manifest{}
	if err := json.Unmarshal(data, m); err != nil {
		return nil, fmt.Errorf("decode manifest: %w", err)
	}
	if m.Version != manifestVersion {
		return nil, unresumable("manifest has version %d, this binary reads %d; finish the run with "+
			"the binary that began it, or start over with --fresh", m.Version, manifestVersion)
	}
	return m, nil
}

// targetSchema is the schema a target has held last.
type targetSchema struct {
	Node, Table string
	Fields      []targetField
}

type targetField struct {
	Name, Type string
	Nullable   bool `json:",omitempty"`
}

// newTargetSchema writes a schema; ok is false when a type has no text form.
func newTargetSchema(to target, schema *batch.Schema) (s targetSchema, ok bool) {
	s = targetSchema{Node: to.node.ID, Table: to.table}
	for _, f := range schema.Fields() {
		if _, err := batch.ParseType(f.Type.String()); err != nil {
			return s, false
		}
		s.Fields = append(s.Fields, targetField{f.Name, f.Type.String(), f.Nullable})
	}
	return s, true
}

func (s targetSchema) schema() (*batch.Schema, error) {
	fields := make([]batch.Field, len(s.Fields))
	for i, f := range s.Fields {
		typ, err := batch.ParseType(f.Type)
		if err != nil {
			return nil, fmt.Errorf("schema of %s in the manifest: %w", s.Node, err)
		}
		fields[i] = batch.Field{Name: f.Name, Type: typ, Nullable: f.Nullable}
	}
	return batch.NewSchema(fields...), nil
}

// checkSinks refuses to resume with sinks that have rows staged and are gone, or have another
// number of writers: nobody would publish or drop those rows.
func (m *manifest) checkSinks(stages []*plan.Stage) error {
	writers := map[string]int{}
	for _, s := range stages {
		if s.Sink != nil {
			writers[s.Sink.ID] = s.Writers
		}
	}
	for node, tokens := range m.Tokens {
		if now := writers[node]; now != len(tokens) {
			return unresumable("sink %s of the unfinished run had %d writers and has %d now; undo the "+
				"change to finish the run, or discard the run with --fresh", node, len(tokens), now)
		}
	}
	return nil
}

// unresumable refuses an unfinished run; a restart would meet the same.
func unresumable(format string, args ...any) error {
	return fault.New(connector.Permanent, "", fmt.Errorf(format, args...))
}

// checkFingerprints refuses to continue with positions or state of nodes that have changed.
func (m *manifest) checkFingerprints(now map[string]string) error {
	for node, before := range m.Fingerprints {
		after, ok := now[node]
		switch {
		case !ok:
			return unresumable("node %s of the unfinished run is not in the workflow any more; "+
				"put it back to finish the run, or discard the run with --fresh", node)
		case after != before:
			return unresumable("node %s has changed since the unfinished run began; "+
				"undo the change to finish the run, or discard the run with --fresh", node)
		}
	}
	return nil
}
