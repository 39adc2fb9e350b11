package app

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/filesink"
	"github.com/tapeline/tapeline/internal/flow/expr"
	"github.com/tapeline/tapeline/internal/flow/op"
	"github.com/tapeline/tapeline/internal/flow/plan"
	"github.com/tapeline/tapeline/internal/flow/run"
	"github.com/tapeline/tapeline/internal/flow/spec"
	"github.com/tapeline/tapeline/internal/lifecycle"
	"github.com/tapeline/tapeline/internal/vfs"
)

// Build turns a checked document into nodes that can be planned. What keeps a node from being made
// is returned as problems of the document.
func (p *Parts) Build(d *spec.Document) (*plan.Workflow, []spec.Problem) {
	w := &plan.Workflow{Name: d.Name, Execution: execution(d)}
	var problems []spec.Problem
	for _, n := range d.Nodes() {
		if n.Config == nil {
			continue // reported as blocked
		}
		node := p.node(d, n)
		w.Nodes = append(w.Nodes, node)
		problems = append(problems, p.try(n, node)...)
	}
	w.DeadLetter = p.deadLetter(d)
	if d.DeadLetter != nil && d.DeadLetter.Config != nil {
		problems = append(problems, p.try(d.DeadLetter, w.DeadLetter)...)
	}
	return w, slices.Concat(problems, operations(d, w), sharedTargets(d), ownInputs(d))
}

// Unsound is a document that cannot run; its problems are complete for printing.
type Unsound struct{ Problems []spec.Problem }

// Error returns the first error.
func (u *Unsound) Error() string { return firstError(u.Problems) }

// firstError returns the message and the hint of the first error.
func firstError(problems []spec.Problem) string {
	for _, p := range problems {
		if p.Severity == spec.Error && p.Hint != "" {
			return p.Message + " (" + p.Hint + ")"
		}
		if p.Severity == spec.Error {
			return p.Message
		}
	}
	return ""
}

// build is Build for callers that go on with a sound document only; *Unsound otherwise.
func (p *Parts) build(d *spec.Document) (*plan.Workflow, error) {
	w, problems := p.Build(d)
	if spec.Failed(problems) {
		return nil, &Unsound{spec.Merge(problems, nil)}
	}
	return w, nil
}

func execution(d *spec.Document) plan.Execution {
	e, b := d.Execution, d.Execution.BatchSize
	out := plan.Execution{
		Parallelism: e.Parallelism, CheckpointInterval: e.CheckpointInterval,
		MemoryBytes: int64(max(e.MemoryLimit, d.Resources.Memory)), CPU: max(e.CPU, d.Resources.CPU),
		Restart: lifecycle.Strategy{
			Kind: lifecycle.Kind(e.RestartStrategy.Type), Attempts: e.RestartStrategy.Attempts,
			Delay: e.RestartStrategy.Delay, MaxDelay: e.RestartStrategy.MaxDelay,
			Multiplier: e.RestartStrategy.Multiplier, Interval: e.RestartStrategy.Interval,
			MaxFailures: e.RestartStrategy.MaxFailures,
		},
		Patient: d.Tree().Get("execution").Get("restart_strategy") != nil,
		Batching: plan.Batching{
			Initial: b.Initial, Min: b.Min, Max: b.Max, ThroughputTarget: b.ThroughputTarget,
			LatencyTarget: b.LatencyTarget, AdaptationRate: b.AdaptationRate, Linger: e.Linger,
		},
	}
	if t := d.MaxDeadLetters; t != nil {
		out.MaxDead = &plan.DeadLimit{Count: t.Count, Share: t.Share}
	}
	return out
}

// node makes one plan node; its connector or operator exists.
func (p *Parts) node(d *spec.Document, n *spec.Node) *plan.Node {
	node := &plan.Node{
		ID: n.ID, Type: n.Type, Parallelism: n.Parallelism, OnError: onError(n.OnError),
		Fingerprint: n.Fingerprint(), Interpret: !d.Execution.Vectorized,
		CPU: n.Resources.CPU, MemoryBytes: int64(n.Resources.Memory),
	}
	for _, in := range n.Inputs {
		node.Inputs = append(node.Inputs, plan.Input{Node: in.Node, Port: in.Port})
	}
	switch n.Kind {
	case spec.Source:
		c, _ := p.Connectors.Get(n.Type)
		node.Kind, node.SourceSpec = plan.Source, c.Source.Capabilities
		node.SourceSpec.Incremental = node.SourceSpec.Incremental && !bounded(n.Config)
		node.BatchSize, node.Table = batchSize(n), configuredTable(n.Config)
		node.NewSource = func(env connector.Env) (connector.Source, error) {
			config := clone(n.Config)
			if err := declareSchema(config, n); err != nil {
				return nil, err
			}
			return c.Source.New(env, config)
		}
	case spec.Destination:
		c, _ := p.Connectors.Get(n.Type)
		node.Kind, node.SinkSpec = plan.Destination, c.Sink.Capabilities
		if rows := batchSize(n); rows > 0 {
			node.SinkSpec.PreferredRows, node.SinkSpec.MaxRows = rows, rows
		}
		if one, ok := n.Config.(interface{ SingleWriter() bool }); ok && one.SingleWriter() {
			node.SinkSpec.Parallel = false
		}
		node.OnSchema, node.KeyedUpserts = onSchema(n.Schema), keyed(n.Config)
		node.NewSink = func(env connector.Env) (connector.Sink, error) {
			return c.Sink.New(env, clone(n.Config))
		}
	case spec.Transformation:
		o, _ := p.Operators.Get(n.Type)
		node.Kind, node.RefusesOps = plan.Transformation, o.RefusesOperations
		node.Continues, node.Narrows = o.Continues, o.Narrows
		node.Ordered = o.Ordered || o.OrderedFor != nil && o.OrderedFor(n.Config)
		if o.Ports != nil {
			node.Ports = o.Ports(n.Config)
		}
		node.NewOperator = func(env op.Env) (op.Operator, error) {
			return o.New(env, clone(n.Config))
		}
	}
	return node
}

// key finds the value of a dotted key in a config struct, embedded structs included; the zero Value
// when there is none.
func key(config reflect.Value, path string) reflect.Value {
	config = reflect.Indirect(config)
	if config.Kind() != reflect.Struct {
		return reflect.Value{}
	}
	first, rest, nested := strings.Cut(path, ".")
	for i := range config.NumField() {
		f := config.Type().Field(i)
		if f.Anonymous {
			if v := key(config.Field(i), path); v.IsValid() {
				return v
			}
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case name != first:
		case nested:
			return key(config.Field(i), rest)
		default:
			return reflect.Indirect(config.Field(i))
		}
	}
	return reflect.Value{}
}

// keyed reports whether a sink's config names key columns.
func keyed(config any) bool {
	v := key(reflect.ValueOf(config), "key")
	return v.IsValid() && v.Kind() == reflect.Slice && v.Len() > 0
}

// bounded reports whether a source that can read incrementally is configured to read everything.
func bounded(config any) bool {
	v := key(reflect.ValueOf(config), "incremental.column")
	return v.IsValid() && v.Kind() == reflect.String && v.Len() == 0
}

func onError(text string) plan.OnError {
	switch text {
	case "fail":
		return plan.Fail
	case "drop":
		return plan.Drop
	case "dead_letter":
		return plan.DeadLetter
	}
	return plan.DeadLetterDefault
}

func onSchema(s *spec.RowSchema) plan.SchemaChange {
	if s == nil {
		return plan.Evolve
	}
	switch s.OnChange {
	case "dead_letter":
		return plan.DeadLetterChanged
	case "halt":
		return plan.Halt
	}
	return plan.Evolve
}

// declareSchema hands a node's schema section to connectors whose config has one.
func declareSchema(config any, n *spec.Node) error {
	if n.Schema == nil || len(n.Schema.Columns) == 0 && !n.Schema.Strict {
		return nil
	}
	var schema filesink.SchemaConfig
	schema.Strict = n.Schema.Strict
	for _, c := range n.Schema.Columns {
		schema.Columns = append(schema.Columns, filesink.ColumnConfig{Name: c.Name, Type: c.Type})
	}
	v := reflect.Indirect(reflect.ValueOf(config))
	for _, field := range v.Fields() {
		if declared, ok := reflect.TypeAssert[*filesink.SchemaConfig](field.Addr()); ok {
			if len(declared.Columns) > 0 {
				return fmt.Errorf("schema is declared twice: beside config and in it")
			}
			*declared = schema
			return nil
		}
	}
	return fmt.Errorf("%s takes no declared schema; cast its columns instead", n.Type)
}

// clone copies a config struct, so that no instance sees another's changes.
func clone(config any) any {
	v := reflect.ValueOf(config)
	out := reflect.New(v.Elem().Type())
	out.Elem().Set(v.Elem())
	return out.Interface()
}

// batchSize returns the rows of one batch that a node's config asks for, 0 for none.
func batchSize(n *spec.Node) int {
	if v := key(reflect.ValueOf(n.Config), "batch_size"); v.IsValid() && v.CanInt() {
		return int(v.Int())
	}
	return n.BatchSize
}

// configuredTable reads the key table, which SQL sources put on their chunks.
func configuredTable(config any) string {
	if v := key(reflect.ValueOf(config), "table"); v.IsValid() && v.Kind() == reflect.String {
		return v.String()
	}
	return ""
}

// try makes a node's connector or operator once to find faults in its config; nothing is opened.
func (p *Parts) try(n *spec.Node, node *plan.Node) []spec.Problem {
	if n.Incomplete() {
		return nil // variables of the machine that runs it are missing
	}
	env := connector.Env{Log: slog.New(slog.DiscardHandler), FS: vfs.OS{}, Node: n.ID}
	var err error
	switch {
	case node.NewSource != nil:
		_, err = node.NewSource(env)
	case node.NewSink != nil:
		_, err = node.NewSink(env)
	default:
		var operator op.Operator
		operator, err = node.NewOperator(op.Env{Node: n.ID, Interpret: node.Interpret, Lookup: p.lookup})
		if c, ok := operator.(op.Closer); ok && err == nil {
			_ = c.Close() // nothing was opened yet
		}
	}
	if err != nil {
		return configProblems(n, "", err)
	}
	return nil
}

// Faults returns the settings of a document that a failed run found not to fit the rows.
func Faults(d *spec.Document, err error) []spec.Problem {
	failed, ok := errors.AsType[*run.NodeError](err)
	if !ok {
		return nil
	}
	n := d.Node(failed.Node.ID)
	if _, ok := errors.AsType[*op.ConfigError](failed.Err); !ok || n == nil {
		return nil
	}
	return configProblems(n, "", failed.Err)
}

// configProblems places the errors of a connector or operator in the document. path is the key
// they are below, "" the config itself.
func configProblems(n *spec.Node, path string, err error) []spec.Problem {
	switch fault := err.(type) { //nolint:errorlint // one level of the tree at a time: each may add to the path
	case *connector.Error:
		if fault.Err != nil {
			return configProblems(n, path, fault.Err)
		}
	case *op.ConfigError:
		return configProblems(n, joined(path, fault.Path), fault.Err)
	case interface{ Unwrap() []error }:
		var problems []spec.Problem
		for _, one := range fault.Unwrap() {
			problems = append(problems, configProblems(n, path, one)...)
		}
		return problems
	}
	return []spec.Problem{configProblem(n, path, err)}
}

func joined(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// configProblem places one error: inside the text of an expression where it can, else at the key
// that it begins with, as in "table: give a table or a query".
func configProblem(n *spec.Node, path string, err error) spec.Problem {
	offset, message, hint := -1, err.Error(), ""
	if x, ok := errors.AsType[*expr.Error](err); ok {
		message, hint = x.Message, x.Hint
		if v := n.At(path); v != nil {
			offset = offsetOf(v.Text, x.Line, x.Column)
		}
	} else if first, rest, ok := strings.Cut(message, ": "); ok {
		if at := joined(path, first); n.At(at) != nil || key(reflect.ValueOf(n.Config), at).IsValid() {
			path, message = at, rest
		}
	}
	problem := n.Problem(path, offset, message)
	problem.Hint = hint
	if hint == "" && strings.HasPrefix(message, "the expression ends") && strings.Contains(problem.Excerpt, " #") {
		problem.Hint = "quote the expression: in YAML a # after a blank begins a comment"
	}
	return problem
}

// offsetOf returns the byte offset of a line and column (in characters, from 1).
func offsetOf(text string, line, column int) int {
	offset := 0
	for ; line > 1; line-- {
		end := strings.IndexByte(text[offset:], '\n')
		if end < 0 {
			break
		}
		offset += end + 1
	}
	for i := range text[offset:] {
		if column <= 1 {
			return offset + i
		}
		column--
	}
	return len(text)
}

// deadLetter returns the node for dead letters: the declared one, else NDJSON parts in the state
// folder, one for each checkpoint.
func (p *Parts) deadLetter(d *spec.Document) *plan.Node {
	if d.DeadLetter != nil && d.DeadLetter.Config != nil {
		return p.node(d, d.DeadLetter)
	}
	c, ok := p.Connectors.Get("json")
	if !ok {
		return nil
	}
	return &plan.Node{
		ID: "dead_letter", Type: "json", Kind: plan.Destination, SinkSpec: c.Sink.Capabilities,
		NewSink: func(env connector.Env) (connector.Sink, error) {
			config := clone(c.Sink.Config)
			folder := filepath.Join(env.Dir, "dead", env.Run) + string(filepath.Separator)
			key(reflect.ValueOf(config), "path").SetString(folder)
			key(reflect.ValueOf(config), "min_part_bytes").SetInt(1) // shown while the run goes on
			return c.Sink.New(env, config)
		},
	}
}
