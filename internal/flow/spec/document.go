package spec

import (
	"fmt"
	"reflect"
	"strconv"
	"time"

	"github.com/tapeline/tapeline/connector"
)

// Document is a workflow as written, with defaults filled in. It is not altered after Parse and
// may be shared.
type Document struct {
	Name        string `yaml:"name" doc:"identity of the workflow: its state, runs and checkpoints carry it; no / or \\, at most 128 bytes" fallback:"required"`
	Version     string `yaml:"version" doc:"of the document, for people" example:"1.0"`
	Description string `yaml:"description" doc:"what the workflow is for"`

	Execution       Execution `yaml:"execution" doc:"how it runs"`
	Sources         []*Node   `yaml:"sources" doc:"where rows come from: id, then the node" required:"true"`
	Transformations []*Node   `yaml:"transformations" alias:"transforms" doc:"what happens to rows: id, then the node"`
	Destinations    []*Node   `yaml:"destinations" alias:"sinks" doc:"where rows go: id, then the node" required:"true"`

	DeadLetter     *Node      `yaml:"dead_letter" doc:"destination of rejected rows" fallback:"NDJSON in the state folder"`
	MaxDeadLetters *Threshold `yaml:"max_dead_letters" doc:"rejected rows that a run may have, more fail it: a count, or a share of the rows read, which holds from 1,000 rows on and at the end" fallback:"no limit" example:"1%"`
	Resources      Resources  `yaml:"resources" doc:"what the whole workflow asks for when it is placed"`
	Schedule       *Schedule  `yaml:"schedule" doc:"when it runs; kept with the document, the run command starts it at once"`
	Tests          []Test     `yaml:"tests" doc:"given rows and expected rows, run by tapeline test"`

	// The shape of DataFlare documents.
	ID       string `yaml:"id" doc:"older shape: the name when there is no name; otherwise a note"`
	Mode     string `yaml:"mode" doc:"older shape: how all sources read" enum:"full,incremental,cdc"`
	Metadata *Value `yaml:"metadata" doc:"older shape: notes for people, not read"`

	// Blocked lists what keeps a correct document from running in this binary, as warnings.
	Blocked []Problem

	file    string
	root    *Value
	report  *report
	blocked []finding
}

// Execution says how a workflow runs.
type Execution struct {
	BatchSize          BatchSize       `yaml:"batch_size" doc:"rows per batch: one number, or bounds to adapt between"`
	Parallelism        int             `yaml:"parallelism" min:"0" max:"1024" doc:"workers per stage" fallback:"0: as many as the machine has cores"`
	CheckpointInterval time.Duration   `yaml:"checkpoint_interval" max:"24h" doc:"time between checkpoints; 0 takes one at the end only"`
	RestartStrategy    RestartStrategy `yaml:"restart_strategy" doc:"what happens after a failure that up to ten repetitions of a read or write in place did not heal; when not set, a run without a checkpoint fails at once where a source or sink cannot be opened"`
	MemoryLimit        connector.Size  `yaml:"memory_limit" doc:"memory for rows in flight and their garbage; a process takes about 64 MB besides" fallback:"256MiB"`
	CPU                float64         `yaml:"cpu" min:"0" max:"4096" doc:"cores to use at most" fallback:"0: all"`
	Linger             time.Duration   `yaml:"linger" max:"1h" doc:"longest wait of a row for its batch to fill"`
	Vectorized         bool            `yaml:"vectorized" doc:"false forces the row interpreter for all expressions"`
}

// RestartStrategy says what happens after a failure that a retry inside a node did not heal.
type RestartStrategy struct {
	Type        string        `yaml:"type" enum:"none,fixed-delay,exponential,failure-rate" doc:"none fails at once; failure-rate gives up after max_failures within interval"`
	Attempts    int           `yaml:"attempts" min:"0" max:"1000000" doc:"restarts before the run fails: fixed-delay and exponential"`
	Delay       time.Duration `yaml:"delay" doc:"wait before a restart; the first one of exponential"`
	MaxDelay    time.Duration `yaml:"max_delay" doc:"longest wait of exponential"`
	Multiplier  float64       `yaml:"multiplier" min:"1" max:"100" doc:"growth of the wait of exponential"`
	Interval    time.Duration `yaml:"interval" doc:"window of failure-rate"`
	MaxFailures int           `yaml:"max_failures" min:"1" max:"1000000" doc:"failures allowed within the window of failure-rate"`
}

// Resources is what a workflow or a node asks for; zero means measured, not declared.
type Resources struct {
	CPU    float64        `yaml:"cpu" min:"0" max:"4096" doc:"cores, also fractions" fallback:"0: measured"`
	Memory connector.Size `yaml:"memory" doc:"bytes" fallback:"0: measured"`
}

// Schedule says when a workflow runs.
type Schedule struct {
	Type       string `yaml:"type" enum:"cron,interval,once,manual" required:"true" doc:"kind of schedule"`
	Expression string `yaml:"expression" doc:"cron line, interval or time" example:"0 2 * * *"`
	Timezone   string `yaml:"timezone" doc:"IANA name" fallback:"UTC" example:"Asia/Shanghai"`
}

// Test is one test of a workflow.
type Test struct {
	Name   string     `yaml:"name" doc:"what it shows" required:"true"`
	Given  []NodeRows `yaml:"given" doc:"node to the rows it yields" required:"true"`
	Expect []NodeRows `yaml:"expect" doc:"node, port or dead_letter to the rows that must come out of it" required:"true"`
	Value  *Value     `yaml:",self"`
}

// NodeRows is a list of rows beside a node's id.
type NodeRows struct {
	Node string   `yaml:",key"`
	Rows [][]Cell `yaml:",value"`
}

// Cell is one column of a row of a test. A Value of KindNull is NULL.
type Cell struct {
	Column string `yaml:",key"`
	Value  *Value `yaml:",value"`
}

// RowSchema is a node's declaration of the rows it yields.
type RowSchema struct {
	Strict   bool     `yaml:"strict" doc:"check every value of every column, also those no operation touches"`
	Columns  []Column `yaml:"columns" doc:"column to its type"`
	OnChange string   `yaml:"on_change" enum:"evolve,dead_letter,halt" doc:"of a destination: what a change of columns or types does, be it of a table or between files. evolve adds and widens columns, NULL in the rows before; dead_letter refuses the rows that do not fit, but not those whose further columns are NULL; halt ends the run" fallback:"evolve"`
}

// Column is a declared column.
type Column struct {
	Name string `yaml:",key"`
	Type string `yaml:",value"`
}

// defaults returns a Document that says nothing.
func defaults() *Document {
	return &Document{Execution: Execution{
		BatchSize:          BatchSize{Initial: 16384, Min: 256, Max: 65536, AdaptationRate: 0.2},
		CheckpointInterval: 10 * time.Second,
		Linger:             100 * time.Millisecond,
		Vectorized:         true,
		RestartStrategy: RestartStrategy{
			Type: "exponential", Attempts: 5, Delay: time.Second, MaxDelay: time.Minute,
			Multiplier: 2, Interval: 10 * time.Minute, MaxFailures: 3,
		},
	}}
}

// Nodes returns sources, transformations and destinations, in this order and that of the document.
func (d *Document) Nodes() []*Node {
	nodes := append([]*Node{}, d.Sources...)
	return append(append(nodes, d.Transformations...), d.Destinations...)
}

// Node returns the node with that id, nil when there is none.
func (d *Document) Node(id string) *Node {
	for _, n := range d.Nodes() {
		if n.ID == id {
			return n
		}
	}
	return nil
}

// File returns the name the document was parsed under.
func (d *Document) File() string { return d.file }

// Tree returns the document as written, after overrides and substitution.
func (d *Document) Tree() *Value { return d.root }

// Problem returns a problem at a place of the document, with excerpt; passwords inside connection
// strings are masked in the message too.
func (d *Document) Problem(severity Severity, at Pos, path, message string) Problem {
	return d.report.finish(finding{pos: at, problem: Problem{
		File: d.file, Severity: severity, Path: path, Message: maskText(message),
	}})
}

// PosOf returns the place of the value at a path such as execution.parallelism, else of the
// nearest value above it.
func (d *Document) PosOf(path string) Pos { return descend(d.root, path).Pos }

// BatchSize bounds the rows of a batch. A single number sets all three to it.
type BatchSize struct {
	Initial          int           `yaml:"initial" alias:"initial_size" min:"1" max:"10000000" doc:"rows at the start; with latency_target and without this, min"`
	Min              int           `yaml:"min" alias:"min_size" min:"1" max:"10000000" doc:"fewest rows"`
	Max              int           `yaml:"max" alias:"max_size" min:"1" max:"10000000" doc:"most rows"`
	ThroughputTarget int           `yaml:"throughput_target" min:"0" doc:"rows per second to reach" fallback:"0: as many as possible"`
	LatencyTarget    time.Duration `yaml:"latency_target" doc:"99 of 100 batches are to be written within it after they were read; rows per second come second" fallback:"0: none"`
	LatencyTargetMS  int           `yaml:"latency_target_ms" min:"0" max:"3600000" doc:"the same in milliseconds"`
	AdaptationRate   float64       `yaml:"adaptation_rate" min:"0.001" max:"1" doc:"share of its size that one batch over latency_target costs, and of the room for growth that a step takes; without a target a step is 1 + twice that"`
}

// Adaptive reports whether the size may change while running.
func (b BatchSize) Adaptive() bool { return b.Min < b.Max }

func (b *BatchSize) readTree(d *decoder, v *Value, path string) {
	if v.scalar() {
		rows := 0
		before := len(d.report.findings)
		d.scalar(v, reflect.ValueOf(&rows).Elem(), &key{min: "1", max: "10000000"}, path)
		if len(d.report.findings) == before {
			b.Initial, b.Min, b.Max = rows, rows, rows
		}
		return
	}
	if v.Kind == KindList {
		d.mismatch(v, path, "a number or a mapping")
		return
	}
	d.structure(v, reflect.ValueOf(b).Elem(), path)
	if b.LatencyTargetMS > 0 {
		if b.LatencyTarget > 0 {
			d.report.errorf(v.Pos, path, "latency_target and latency_target_ms are the same setting")
		}
		b.LatencyTarget = time.Duration(b.LatencyTargetMS) * time.Millisecond
	}
	given := func(name string) bool { return v.Get(name) != nil || v.Get(name+"_size") != nil }
	if given("min") && !given("max") {
		b.Max = max(b.Max, b.Min)
	}
	if given("max") && !given("min") {
		b.Min = min(b.Min, b.Max)
	}
	if !given("initial") {
		b.Initial = min(max(b.Initial, b.Min), b.Max)
		if b.LatencyTarget > 0 {
			b.Initial = b.Min // the first batches have a latency too
		}
	}
	if b.Min > b.Max || b.Initial < b.Min || b.Initial > b.Max {
		d.report.errorf(v.Pos, path, "initial %d is not between min %d and max %d", b.Initial, b.Min, b.Max)
	}
}

func (b *BatchSize) schema() map[string]any {
	object := structSchema(reflect.ValueOf(*b))
	return map[string]any{"anyOf": []any{numberSchema("integer"), object}}
}

func (b *BatchSize) kindName() string { return "integer or mapping" }

// Threshold is a count of rows or a share of them.
type Threshold struct {
	Count int64   // rows, when Share is 0
	Share float64 // of the rows read, above 0 and up to 1
}

// String returns the threshold as it is written.
func (t Threshold) String() string {
	if t.Share > 0 {
		return fmt.Sprintf("%g%%", t.Share*100)
	}
	return strconv.FormatInt(t.Count, 10)
}
