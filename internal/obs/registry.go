package obs

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// maxSeries bounds the label sets of one name.
const maxSeries = 1000

// Label is one dimension of a figure. Values come from configuration, never from data.
type Label struct{ Name, Value string }

// Counter is a number that only grows. Safe for concurrent use.
type Counter struct{ value atomic.Int64 }

// Add adds n >= 0.
func (c *Counter) Add(n int64) { c.value.Add(n) }

// Value returns the sum so far.
func (c *Counter) Value() int64 { return c.value.Load() }

// Registry names figures so that they can be read together. The zero value is not ready: use
// NewRegistry. Safe for concurrent use.
type Registry struct {
	mu    sync.Mutex
	names map[string]*family
	nodes map[string][]node // by workflow
}

// family is all series of one name.
type family struct {
	name, help string
	series     map[string]*series // by labels, encoded
}

// series is one figure; one of its last three fields is set.
type series struct {
	labels    []Label
	counter   *Counter
	gauge     func() float64
	histogram *Histogram
}

type node struct {
	name string
	*Node
}

// NewRegistry returns an empty registry.
func NewRegistry() *Registry {
	return &Registry{names: map[string]*family{}, nodes: map[string][]node{}}
}

// Counter returns the counter of that name and labels, making it when missing. Keep it: the call
// is not for hot paths. A name that breaks the rules, or that is no counter, is a bug and panics.
func (r *Registry) Counter(name, help string, labels ...Label) *Counter {
	s := r.series(name, help, labels, func(s *series) { s.counter = &Counter{} })
	if s.counter == nil {
		panic("obs: " + name + " is not a counter")
	}
	return s.counter
}

// Histogram returns the histogram of that name and labels, as Counter does. The name's unit is
// seconds.
func (r *Registry) Histogram(name, help string, labels ...Label) *Histogram {
	s := r.series(name, help, labels, func(s *series) { s.histogram = &Histogram{} })
	if s.histogram == nil {
		panic("obs: " + name + " is not a histogram")
	}
	return s.histogram
}

// Gauge names a value that is read when somebody looks. read is called from any goroutine; the
// first one of a name and labels stays.
func (r *Registry) Gauge(name, help string, read func() float64, labels ...Label) {
	if s := r.series(name, help, labels, func(s *series) { s.gauge = read }); s.gauge == nil {
		panic("obs: " + name + " is not a gauge")
	}
}

// AddNode makes a node's meter visible until RemoveWorkflow.
func (r *Registry) AddNode(workflow, name string, n *Node) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.nodes[workflow] = append(r.nodes[workflow], node{name, n})
}

// RemoveWorkflow forgets the meters of a workflow's nodes.
func (r *Registry) RemoveWorkflow(workflow string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.nodes, workflow)
}

// Sample is one figure at one moment.
type Sample struct {
	Name      string
	Labels    []Label // in the order they were given
	Value     float64
	Quantiles *Quantiles // of a histogram; Value is their count then
}

// Snapshot returns all figures, sorted by name and labels.
func (r *Registry) Snapshot() []Sample {
	var samples []Sample
	r.each(func(_ string, s Sample) { samples = append(samples, s) })
	slices.SortFunc(samples, func(a, b Sample) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), slices.CompareFunc(a.Labels, b.Labels, compare))
	})
	return samples
}

func compare(a, b Label) int {
	return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Value, b.Value))
}

// each calls visit with help text and sample of each figure, outside the lock.
func (r *Registry) each(visit func(help string, s Sample)) {
	type found struct {
		name, help string
		*series
	}
	type placed struct {
		node
		workflow string
	}
	r.mu.Lock()
	var all []found
	for _, f := range r.names {
		for _, s := range f.series {
			all = append(all, found{f.name, f.help, s})
		}
	}
	var nodes []placed
	for workflow, in := range r.nodes {
		for _, n := range in {
			nodes = append(nodes, placed{n, workflow})
		}
	}
	r.mu.Unlock()
	// In the order that Prometheus sorts them to: what is in order costs it little.
	slices.SortFunc(nodes, func(a, b placed) int {
		return cmp.Or(strings.Compare(a.name, b.name), strings.Compare(a.workflow, b.workflow))
	})

	for _, f := range all {
		s := Sample{Name: f.name, Labels: f.labels}
		switch {
		case f.counter != nil:
			s.Value = float64(f.counter.Value())
		case f.gauge != nil:
			s.Value = f.gauge()
		case f.histogram != nil:
			s.setQuantiles(f.histogram)
		}
		visit(f.help, s)
	}
	for _, n := range nodes {
		labels := []Label{{"workflow", n.workflow}, {"node", n.name}}
		for _, figure := range n.figures() {
			visit(figure.help, Sample{Name: figure.name, Labels: labels, Value: figure.value})
		}
		s := Sample{Name: "tapeline_flow_latency_seconds", Labels: labels}
		if s.setQuantiles(&n.Latency); s.Value > 0 {
			visit("time of a batch from its reading to its writing", s)
		}
	}
}

func (s *Sample) setQuantiles(h *Histogram) {
	quantiles := h.Quantiles()
	s.Quantiles, s.Value = &quantiles, float64(quantiles.Count)
}

// series returns the series of a name and labels, made by fill when missing.
func (r *Registry) series(name, help string, labels []Label, fill func(*series)) *series {
	if !validName(name) {
		panic("obs: " + name + " is not tapeline_<floor>_<noun>_<unit>")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	f := r.names[name]
	if f == nil {
		f = &family{name: name, help: help, series: map[string]*series{}}
		r.names[name] = f
	}
	key := encode(labels)
	if s := f.series[key]; s != nil {
		return s
	}
	if len(f.series) >= maxSeries {
		labels = slices.Clone(labels)
		for i := range labels {
			labels[i].Value = "other"
		}
		key = encode(labels)
		if s := f.series[key]; s != nil {
			return s
		}
	}
	s := &series{labels: slices.Clone(labels)}
	fill(s)
	f.series[key] = s
	return s
}

func validName(name string) bool {
	return regexp.MustCompile(`^tapeline(_[a-z][a-z0-9]*){3,}$`).MatchString(name)
}

// encode returns labels as one string, distinct for distinct labels.
func encode(labels []Label) string {
	var text strings.Builder
	for _, l := range labels {
		text.WriteString(l.Name)
		text.WriteByte(0xff)
		text.WriteString(l.Value)
		text.WriteByte(0xff)
	}
	return text.String()
}
