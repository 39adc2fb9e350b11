package run

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"sync"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/credit"
	"github.com/tapeline/tapeline/internal/flow/plan"
	"github.com/tapeline/tapeline/internal/obs"
	"github.com/tapeline/tapeline/internal/vfs"
)

// Checkpoint is one stored manifest.
type Checkpoint struct {
	Run      string
	Epoch    uint64
	Manifest []byte
}

// Record is one run of a workflow as the catalog keeps it.
type Record struct {
	ID          string
	Workflow    string
	Document    string // as it was run, secrets masked
	Status      Status
	RowsIn      int64
	RowsOut     int64
	DeadLetters int64
	Error       string
	Report      []byte // JSON
}

// Catalog keeps runs and checkpoints.
type Catalog interface {
	// Acquire makes the caller the workflow's only runner and fences earlier ones. lost is called
	// when another process took over.
	Acquire(ctx context.Context, workflow string, lost func(error)) (Lease, error)
	// LastRun returns the newest run of a workflow.
	LastRun(ctx context.Context, workflow string) (Record, bool, error)
	// Checkpoints returns the newest committed manifest of a workflow, which may be of an earlier
	// run, and one prepared after it; nil where there is none.
	Checkpoints(ctx context.Context, workflow string) (committed, prepared *Checkpoint, err error)
}

// Lease is the right to run a workflow. What it writes is committed when the method returns nil.
type Lease interface {
	// Fence returns a number larger than that of any runner before.
	Fence() uint64
	// Begin stores a new run when the record has no ID, and returns it with one; else it takes the
	// unfinished run up again.
	Begin(ctx context.Context, r Record) (Record, error)
	// Finish stores how a run ended.
	Finish(ctx context.Context, r Record) error
	// Discard forgets all checkpoints of the workflow.
	Discard(ctx context.Context) error
	// Prepare stores a manifest whose outcome is open.
	Prepare(ctx context.Context, run string, epoch uint64, manifest []byte) error
	// Commit marks a prepared manifest committed; repeating it does no harm.
	Commit(ctx context.Context, run string, epoch uint64) error
	// Drop forgets a prepared manifest.
	Drop(ctx context.Context, run string, epoch uint64) error
	// Release lets others run the workflow.
	Release()
}

// Config is what a Cluster needs.
type Config struct {
	Catalog Catalog
	FS      vfs.FS
	Dir     string // state folder
	Log     *slog.Logger
	Metrics *obs.Registry // nil: none
	Lookup  func(typ string, config map[string]any) (connector.Lookup, error)
	// Cores and MemoryBytes are what the workflows of the process may use together; default: the
	// machine's cores, and no bound.
	Cores       float64
	MemoryBytes int64
}

// Cluster runs the workflows of a process: it places them by the cores and memory they declare and
// queues what does not fit.
type Cluster struct {
	config Config
	tasks  *directory[command]
	cores  *credit.Pool // thousandths of a core
	memory *credit.Pool

	mu        sync.Mutex
	workflows map[string]*Workflow
}

// NewCluster returns an empty cluster.
func NewCluster(config Config) *Cluster {
	if config.Cores <= 0 {
		config.Cores = float64(runtime.GOMAXPROCS(0))
	}
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	c := &Cluster{
		config: config, tasks: newDirectory[command](), workflows: map[string]*Workflow{},
		cores: credit.New(int64(config.Cores * 1000)),
	}
	if config.MemoryBytes > 0 {
		c.memory = credit.New(config.MemoryBytes)
	}
	return c
}

// Options say how a workflow is started.
type Options struct {
	Fresh  bool // discard an unfinished run and all positions
	Resume bool // only finish an unfinished run; nothing to do when there is none
	// Document is the workflow's text for the catalog, secrets masked.
	Document string
}

// Start runs a planned workflow in the background. A name that is running is an error.
func (c *Cluster) Start(ctx context.Context, p *plan.Plan, options Options) (*Workflow, error) {
	w := newWorkflow(c, p, options)
	c.mu.Lock()
	if c.workflows[w.name] != nil {
		c.mu.Unlock()
		return nil, fmt.Errorf("workflow %s is already running in this process", w.name)
	}
	c.workflows[w.name] = w
	c.mu.Unlock()
	if metrics := c.config.Metrics; metrics != nil {
		for n, m := range w.meters {
			metrics.AddNode(w.name, n.ID, &m.Node)
		}
	}
	go func() {
		defer close(w.done)
		w.run(ctx)
		if c.config.Metrics != nil {
			c.config.Metrics.RemoveWorkflow(w.name)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.workflows, w.name)
	}()
	return w, nil
}

// Workflows returns the running and queued workflows.
func (c *Cluster) Workflows() []*Workflow {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make([]*Workflow, 0, len(c.workflows))
	for _, w := range c.workflows {
		out = append(out, w)
	}
	return out
}

// needs is what a workflow takes of the machine.
type needs struct {
	cores float64
	bytes int64
}

// needs returns what the workflow declares, else what its last run was measured to take, else 0:
// unknown needs do not wait.
func (w *Workflow) needs() needs {
	e := w.plan.Workflow.Execution
	n := needs{cores: e.CPU, bytes: e.MemoryBytes}
	for _, node := range w.plan.Workflow.Nodes {
		if e.CPU == 0 {
			n.cores += node.CPU
		}
		if e.MemoryBytes == 0 {
			n.bytes += node.MemoryBytes
		}
	}
	if n.cores == 0 {
		n.cores = min(w.lastReport.Cores, w.cluster.config.Cores)
	}
	if n.bytes == 0 {
		n.bytes = w.lastReport.InFlightBytes * collected
	}
	return n
}

// place waits until the cores and memory a workflow needs are free; one that needs more than there
// is runs alone.
func (c *Cluster) place(ctx context.Context, n needs) (release func(), err error) {
	cores := int64(n.cores * 1000)
	if err := c.cores.Acquire(ctx, cores); err != nil {
		return nil, err
	}
	if c.memory == nil || n.bytes <= 0 {
		return func() { c.cores.Release(cores) }, nil
	}
	if err := c.memory.Acquire(ctx, n.bytes); err != nil {
		c.cores.Release(cores)
		return nil, err
	}
	return func() {
		c.cores.Release(cores)
		c.memory.Release(n.bytes)
	}, nil
}
