package plan

import (
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/flow/op"
	"github.com/tapeline/tapeline/internal/lifecycle"
)

// Kind is what a node is.
type Kind uint8

// The kinds of nodes.
const (
	Source Kind = iota
	Transformation
	Destination
)

// String returns source, transformation or destination.
func (k Kind) String() string {
	return [...]string{"source", "transformation", "destination"}[k]
}

// OnError is what happens to a row that a node cannot use.
type OnError uint8

// The reactions. DeadLetterDefault is DeadLetter that nobody asked for: the run ends as partial.
const (
	DeadLetterDefault OnError = iota
	DeadLetter
	Drop
	Fail
)

// Input is one edge into a node.
type Input struct {
	Node string
	Port string // "" for nodes with one output
}

// Node is one node of a workflow, ready to be made.
type Node struct {
	ID          string
	Type        string
	Kind        Kind
	Inputs      []Input
	Parallelism int // 0: the workflow's
	OnError     OnError
	Fingerprint string   // changes with whatever makes old positions or state meaningless
	Ports       []string // nil: one output

	NewSource    func(connector.Env) (connector.Source, error)
	SourceSpec   connector.SourceCapabilities
	BatchSize    int    // rows of one batch asked of this source; 0: the workflow's
	Table        string // the only one this source reads; "" none or several
	NewOperator  func(op.Env) (op.Operator, error)
	Ordered      bool
	Continues    bool // its state goes on in the next run where all its sources do
	Narrows      bool // its operator is op.Predicative
	Interpret    bool // vectorized: false
	NewSink      func(connector.Env) (connector.Sink, error)
	SinkSpec     connector.SinkCapabilities
	OnSchema     SchemaChange
	CPU          float64 // declared cores, 0 unknown
	MemoryBytes  int64   // declared, 0 unknown
	RefusesOps   bool    // upserts and deletes cannot pass
	KeyedUpserts bool    // sink with a key: repeated writes do no harm
}

// SchemaChange is what a sink does when the schema of its rows changes in mid-run.
type SchemaChange uint8

// The reactions to a schema change.
const (
	Evolve SchemaChange = iota
	DeadLetterChanged
	Halt
)

// Batching are the bounds and targets of adaptive batches.
type Batching struct {
	Initial, Min, Max int           // rows
	ThroughputTarget  int           // rows/s; 0: none
	LatencyTarget     time.Duration // 0: none
	AdaptationRate    float64       // 0..1, share of the size changed at once; default 0.2
	MaxBytes          int           // of one batch; default 1 MiB
	Linger            time.Duration // longest wait for a batch to fill
}

// Execution are the settings of a whole workflow.
type Execution struct {
	Parallelism        int
	CheckpointInterval time.Duration // 0: only at the end
	Restart            lifecycle.Strategy
	Patient            bool // Restart covers the first opening of sources and sinks too
	Batching           Batching
	MemoryBytes        int64 // of data in flight; default 256 MiB
	CPU                float64
	MaxDead            *DeadLimit // nil: no bound
	// CommitRead commits what a source gave before its Read failed for good. Without it a failure goes
	// back to the last checkpoint, which costs reading again.
	CommitRead bool
}

// DeadLimit is how many dead letters a run may have: a count, or a share of the rows in.
type DeadLimit struct {
	Count int64
	Share float64 // above 0: counts instead of Count
}

// Workflow is what New plans.
type Workflow struct {
	Name       string
	Execution  Execution
	Nodes      []*Node
	DeadLetter *Node // nil: NDJSON in the state folder
}

// Stage is a fused piece of the graph that one task runs.
type Stage struct {
	ID       string
	Source   *Node   // the source it reads; nil: Inputs
	Filter   *Node   // first of Parallel, whose predicates the source is offered; nil: none
	Inputs   []*Edge // edges it reads
	Parallel []*Node // operators run by any worker
	Ordered  []*Node // operators run in chunk order
	Sink     *Node   // what it writes; nil: Outputs
	Outputs  []*Edge // edges it feeds
	Workers  int     // upper bound of parallel workers
	Writers  int     // parallel sink writers
	Decides  bool    // its sink decides the workflow's checkpoints
}

// Nodes returns the stage's nodes in data order.
func (s *Stage) Nodes() []*Node {
	var nodes []*Node
	if s.Source != nil {
		nodes = append(nodes, s.Source)
	}
	nodes = append(append(nodes, s.Parallel...), s.Ordered...)
	if s.Sink != nil {
		nodes = append(nodes, s.Sink)
	}
	return nodes
}

// Hands returns how many chunks can be worked on at once from the stage on.
func (s *Stage) Hands() int {
	seen := map[*Stage]bool{}
	var count func(s *Stage) int
	count = func(s *Stage) int {
		if seen[s] {
			return 0
		}
		seen[s] = true
		hands := s.Workers + max(s.Writers, 1)
		for _, e := range s.Outputs {
			hands += count(e.To)
		}
		return hands
	}
	return count(s)
}

// Last returns the operator whose ports feed the outputs, nil when the stage has no operator.
func (s *Stage) Last() *Node {
	if n := len(s.Ordered); n > 0 {
		return s.Ordered[n-1]
	}
	if n := len(s.Parallel); n > 0 {
		return s.Parallel[n-1]
	}
	return nil
}

// Edge connects two stages.
type Edge struct {
	From, To *Stage
	Port     int   // port of From's last node
	Consumer *Node // first node behind the edge
}

// Plan is a workflow cut into stages, sources first.
type Plan struct {
	Workflow *Workflow
	Stages   []*Stage
	// Unoffered says of filters behind a source that could apply them why it is not offered them.
	Unoffered map[string]string
}

// New plans a workflow whose graph is valid: names are unique, inputs exist, no cycle. A violation
// is an error naming the node.
func New(w *Workflow) (*Plan, error) {
	g, err := newGraph(w)
	if err != nil {
		return nil, err
	}
	p := &Plan{Workflow: w}
	for _, v := range g.order {
		s := g.joins(v)
		if s == nil {
			s = &Stage{ID: v.ID}
			p.Stages = append(p.Stages, s)
			for _, in := range v.Inputs {
				from := g.byID[in.Node].stage
				e := &Edge{From: from, To: s, Port: g.port(in), Consumer: v.Node}
				from.Outputs = append(from.Outputs, e)
				s.Inputs = append(s.Inputs, e)
			}
		}
		s.add(v.Node)
		v.stage = s
	}
	for _, s := range p.Stages {
		s.Workers = workersOf(s, w.Execution.Parallelism)
		s.Writers = writersOf(s)
	}
	if s := p.decider(); s != nil {
		s.Decides = true
	}
	p.offer(g)
	return p, nil
}

// decider returns the stage whose sink decides the checkpoints, nil when the catalog does.
func (p *Plan) decider() *Stage {
	for _, s := range slices.Backward(p.Stages) {
		if s.Sink != nil && s.Sink.SinkSpec.Decides && s.Writers == 1 {
			return s
		}
	}
	return nil
}

func (s *Stage) add(n *Node) {
	switch {
	case n.Kind == Source:
		s.Source = n
	case n.Kind == Destination:
		s.Sink = n
	case n.Ordered:
		s.Ordered = append(s.Ordered, n)
	default:
		s.Parallel = append(s.Parallel, n)
	}
}

// workersOf: the largest parallelism any parallel piece of the stage asks for.
func workersOf(s *Stage, parallelism int) int {
	if parallelism <= 0 {
		parallelism = runtime.GOMAXPROCS(0)
	}
	workers := 0
	for _, n := range s.Parallel {
		workers = max(workers, n.Parallelism)
	}
	if workers == 0 {
		workers = parallelism
	}
	return workers
}

// writersOf: several writers only where the connector allows it.
func writersOf(s *Stage) int {
	// Upserts of one key must keep their order, so a keyed sink has one writer.
	if s.Sink == nil || !s.Sink.SinkSpec.Parallel || s.Sink.KeyedUpserts {
		return 1
	}
	return max(1, s.Sink.Parallelism)
}

type graph struct {
	byID  map[string]*vertex
	order []*vertex // sources first, each node after its inputs
}

// vertex is a node and what is found out about it.
type vertex struct {
	*Node
	readers  int // inputs that name it
	visiting bool
	ordered  bool
	stage    *Stage // it became part of; nil until then
}

func newGraph(w *Workflow) (*graph, error) {
	vertices := make([]vertex, len(w.Nodes))
	g := &graph{
		byID: make(map[string]*vertex, len(w.Nodes)), order: make([]*vertex, 0, len(w.Nodes)),
	}
	for i, n := range w.Nodes {
		if g.byID[n.ID] != nil {
			return nil, fmt.Errorf("plan %s: node %s is declared twice", w.Name, n.ID)
		}
		vertices[i].Node = n
		g.byID[n.ID] = &vertices[i]
	}
	for _, n := range w.Nodes {
		if (n.Kind == Source) != (len(n.Inputs) == 0) {
			return nil, fmt.Errorf("plan %s: %s %s has %d inputs", w.Name, n.Kind, n.ID, len(n.Inputs))
		}
		for _, in := range n.Inputs {
			from := g.byID[in.Node]
			if from == nil || from.Kind == Destination {
				return nil, fmt.Errorf("plan %s: input %s of %s is no source or transformation",
					w.Name, in.Node, n.ID)
			}
			if g.port(in) < 0 {
				return nil, fmt.Errorf("plan %s: %s has no output %q (it has %q)",
					w.Name, in.Node, in.Port, from.Ports)
			}
			from.readers++
		}
	}
	for i := range vertices {
		if err := g.visit(&vertices[i]); err != nil {
			return nil, fmt.Errorf("plan %s: %w", w.Name, err)
		}
	}
	return g, nil
}

// visit puts the node in order, its inputs before it.
func (g *graph) visit(v *vertex) error {
	switch {
	case v.ordered:
		return nil
	case v.visiting:
		return fmt.Errorf("node %s is part of a cycle", v.ID)
	}
	v.visiting = true
	for _, in := range v.Inputs {
		if err := g.visit(g.byID[in.Node]); err != nil {
			return err
		}
	}
	v.ordered = true
	g.order = append(g.order, v)
	return nil
}

func (g *graph) port(in Input) int {
	ports := g.byID[in.Node].Ports
	if ports == nil {
		if in.Port == "" {
			return 0
		}
		return -1
	}
	return slices.Index(ports, in.Port)
}

// joins returns the stage the node is fused into, nil when it starts its own.
func (g *graph) joins(v *vertex) *Stage {
	if len(v.Inputs) != 1 {
		return nil
	}
	before := g.byID[v.Inputs[0].Node]
	if before.readers > 1 || before.Ports != nil {
		return nil
	}
	if len(before.stage.Ordered) > 0 && !v.Ordered {
		return nil
	}
	return before.stage
}
