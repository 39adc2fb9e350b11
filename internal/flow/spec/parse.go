package spec

import (
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"
)

// Options say how a document is read. The zero value reads the process's environment and checks
// all but node types.
type Options struct {
	Lookup   func(name string) (string, bool)  // of environment variables; nil: os.LookupEnv
	ReadFile func(path string) ([]byte, error) // of ${file:}; nil: regular files up to 64 KiB
	Set      []string                          // overrides: sources.a.config.path=x.csv
	// Catalogue checks node types and configs; nil: they are not checked.
	Catalogue Catalogue
	// AllowMissing makes unset variables and absent secret files warnings: for lint and explain
	// on a machine that does not run the workflow.
	AllowMissing bool
}

// Load reads and parses a file; - is standard input. A file that cannot be read is a problem.
func Load(path string, options Options) (*Document, []Problem) {
	name, input := path, io.Reader(os.Stdin)
	if path == "-" {
		name = "stdin"
	} else {
		file, err := os.Open(path)
		if err != nil {
			return nil, []Problem{{File: path, Severity: Error, Message: fmt.Sprintf("read: %v", err)}}
		}
		defer file.Close()
		input = file
	}
	data, err := io.ReadAll(io.LimitReader(input, MaxBytes+1))
	if err != nil {
		return nil, []Problem{{File: path, Severity: Error, Message: fmt.Sprintf("read: %v", err)}}
	}
	return Parse(name, data, options)
}

// Parse reads a workflow document and returns it with all its problems, in the order of the text.
// The document is nil when the text is no YAML mapping; with other errors it holds what could be
// read, for tools, and must not run. Parse never panics. Relative ${file:} paths start at the
// folder of file.
func Parse(file string, data []byte, options Options) (document *Document, problems []Problem) {
	r := &report{file: file}
	defer func() {
		if fault := recover(); fault != nil {
			r.errorf(Pos{}, "", "internal fault: %v", fault).Hint = "this is a bug; please report it"
			document, problems = nil, r.problems()
		}
	}()
	text := strings.TrimPrefix(string(data), "\uFEFF")
	root := parseTree(newSource(file, text), r)
	if root == nil {
		return nil, r.problems()
	}
	if root.Kind != KindMap {
		r.errorf(root.Pos, "", "want a workflow document, got %s", root.Kind).Hint = "a workflow starts with name:, sources: and destinations:"
		return nil, r.problems()
	}
	root = override(root, options.Set, r)
	(&substitution{report: r, options: options, done: map[*Value]bool{}}).walk(root, "")
	d := defaults()
	d.file, d.root, d.report = file, root, r
	d.read(options)
	return d, r.problems()
}

// read decodes and checks the tree.
func (d *Document) read(options Options) {
	decoder := &decoder{report: d.report}
	decoder.decode(d.root, reflect.ValueOf(d).Elem(), nil, "")
	d.hideByName(d.root, map[*Value]bool{})
	d.adopt()
	d.checkName()
	d.checkOlderShape()
	d.checkRestart()
	for _, n := range append(d.Nodes(), d.DeadLetter) {
		if n != nil {
			n.checkType(options.Catalogue)
		}
	}
	d.checkGraph(options.Catalogue != nil)
	d.checkTests()
	for _, f := range d.blocked { // last: all secrets of their lines are known now
		d.Blocked = append(d.Blocked, d.report.finish(f))
	}
}

// hideByName hides the values of keys that are secrets by their name.
func (d *Document) hideByName(v *Value, seen map[*Value]bool) {
	if seen[v] {
		return
	}
	seen[v] = true
	for _, item := range v.Items {
		d.hideByName(item, seen)
	}
	for _, pair := range v.Pairs {
		if secretName.MatchString(pair.Key) && pair.Value.scalar() && literalSecret(pair.Value.raw) {
			d.report.hide(pair.Value)
		}
		d.hideByName(pair.Value, seen)
	}
}

// adopt tells the nodes where they stand.
func (d *Document) adopt() {
	sections := map[NodeKind][]*Node{
		Source: d.Sources, Transformation: d.Transformations, Destination: d.Destinations,
	}
	for kind, nodes := range sections {
		section := d.root.Get(string(kind))
		if section == nil {
			section = d.root.Get(map[NodeKind]string{Transformation: "transforms", Destination: "sinks"}[kind])
		}
		for i, n := range nodes {
			n.Kind, n.document, n.Pos = kind, d, d.root.Pos
			if section != nil && i < len(section.Pairs) {
				n.Pos = section.Pairs[i].KeyPos
			}
		}
	}
	if n := d.DeadLetter; n != nil {
		n.Kind, n.document, n.ID, n.Pos = Destination, d, deadLetterID, d.PosOf("dead_letter")
		if len(n.Inputs) > 0 {
			d.report.errorf(n.Inputs[0].Pos, "dead_letter.inputs", "the dead-letter node has no inputs").Hint = "rows reach it from every node with on_error: dead_letter"
		}
	}
}

func (d *Document) checkName() {
	at := d.PosOf("name")
	switch {
	case d.Name == "" && d.ID != "":
		d.Name = d.ID
		d.report.warnf(d.PosOf("id"), "id", "older shape: the id is taken as the workflow's name").Hint = "write name: " + d.ID
		at = d.PosOf("id")
	case d.ID != "" && d.ID != d.Name:
		d.report.warnf(d.PosOf("id"), "id", "older shape: a workflow is identified by its name, %q", d.Name)
	case d.Name == "":
		if v := d.root.Get("name"); v == nil || !v.missing {
			d.report.errorf(at, "", "name is missing").Hint = "name: my-workflow"
		}
		return
	}
	if !validName(d.Name) {
		shown := fmt.Sprintf("%q", d.Name)
		if v := d.root.Get("name"); v != nil {
			shown = v.shown()
		}
		d.report.errorf(at, "name", "%s cannot name a workflow", shown).Hint = `at most 128 bytes, printable, without / \ : * ? " < > |`
	}
}

// checkOlderShape explains what became of the keys of DataFlare documents.
func (d *Document) checkOlderShape() {
	if d.Metadata != nil {
		d.report.warnf(d.PosOf("metadata"), "metadata", "older shape: metadata is not read")
	}
	if d.Mode != "" {
		d.checkMode(d.Mode, d.PosOf("mode"), "mode", d.Sources)
	}
	for _, n := range d.Nodes() {
		if n.Mode == "" {
			continue
		}
		at, path := n.Value.Pos, n.path()+".mode"
		if v := n.Value.Get("mode"); v != nil {
			at = v.Pos
		}
		if n.Kind != Source {
			d.report.errorf(at, path, "only a source has a mode")
			continue
		}
		d.checkMode(n.Mode, at, path, []*Node{n})
	}
}

func (d *Document) checkMode(mode string, at Pos, path string, sources []*Node) {
	switch mode {
	case "full":
		d.report.warnf(at, path, "older shape: mode full is what a source does without incremental:")
	case "incremental":
		p := d.report.warnf(at, path, "older shape: incremental reading is set by the source's config")
		for _, n := range sources {
			if n.At("incremental") == nil {
				p.Hint = "write in the config of " + n.ID + ": incremental: {column: updated_at}"
			}
		}
	case "cdc":
		d.block(at, path, "mode cdc needs a change-capture source, which is not in this binary; "+
			"the workflow cannot run yet")
	}
}

// block reports a warning that keeps the workflow from running.
func (d *Document) block(at Pos, path, message string) {
	p := d.report.warnf(at, path, "%s", message)
	d.blocked = append(d.blocked, finding{pos: at, problem: *p})
}

// checkRestart warns of settings that the chosen strategy does not read.
func (d *Document) checkRestart() {
	v := d.root.Get("execution").Get("restart_strategy")
	if v == nil || v.Kind != KindMap {
		return
	}
	used := map[string][]string{
		"none": {}, "fixed-delay": {"attempts", "delay"},
		"exponential":  {"attempts", "delay", "max_delay", "multiplier"},
		"failure-rate": {"interval", "max_failures", "delay"},
	}[d.Execution.RestartStrategy.Type]
	if used == nil {
		return
	}
	for _, pair := range v.Pairs {
		if pair.Key != "type" && !slices.Contains(used, pair.Key) {
			d.report.warnf(pair.KeyPos, "execution.restart_strategy."+pair.Key,
				"restart strategy %s does not use %s", d.Execution.RestartStrategy.Type, pair.Key)
		}
	}
	if s := d.Execution.RestartStrategy; s.Type == "exponential" && s.MaxDelay < s.Delay {
		d.report.errorf(v.Pos, "execution.restart_strategy", "max_delay %s is below delay %s",
			s.MaxDelay, s.Delay)
	}
}

// checkType finds the node's declaration and fills its config.
func (n *Node) checkType(catalogue Catalogue) {
	r := n.document.report
	if !validID(n.ID) {
		r.errorf(n.Pos, n.path(), "%q cannot be the id of a node", n.ID).Hint = "letters, digits, _ and -; a dot separates a port"
	}
	if n.ConfigTree != nil && n.ConfigTree.Kind != KindMap && n.ConfigTree.Kind != KindNull {
		r.errorf(n.ConfigTree.Pos, n.path()+".config", "want a mapping, got %s", n.ConfigTree.Kind)
		return
	}
	if catalogue == nil || n.Type == "" {
		return
	}
	declared, ok := catalogue.Find(n.Kind, n.Type)
	if !ok {
		n.unknownType(catalogue)
		return
	}
	n.declared = declared
	if declared.Config == nil {
		return
	}
	config := reflect.New(reflect.TypeOf(declared.Config).Elem())
	config.Elem().Set(clone(reflect.ValueOf(declared.Config).Elem()))
	n.decodeInto(r, config.Interface())
	n.Config = config.Interface()
}

// common are the config keys of every source and destination that does not declare them itself.
type common struct {
	BatchSize int `yaml:"batch_size" min:"1" max:"10000000" doc:"rows of one batch" fallback:"the engine decides"`
}

// takesCommon reports whether the engine reads the common keys from a config of this type.
func takesCommon(kind NodeKind, config reflect.Type) bool {
	if kind == Transformation || config.Kind() != reflect.Struct {
		return false
	}
	s := shapeOf(config)
	return s.find("batch_size") == nil
}

// withoutCommon reads the common keys and returns the tree without them.
func (n *Node) withoutCommon(d *decoder, tree *Value, target reflect.Type) *Value {
	given := tree.Get("batch_size")
	if given == nil || !takesCommon(n.Kind, target) {
		return tree
	}
	rest := *tree
	rest.Pairs = slices.DeleteFunc(slices.Clone(tree.Pairs), func(p Pair) bool { return p.Key == "batch_size" })
	own := common{}
	d.decode(&Value{Kind: KindMap, Pos: tree.Pos, Pairs: []Pair{{Key: "batch_size", KeyPos: given.Pos, Value: given}}},
		reflect.ValueOf(&own).Elem(), nil, n.path()+".config")
	n.BatchSize = own.BatchSize
	return &rest
}

// unknownType tells a type of another kind, a planned one and a typo apart.
func (n *Node) unknownType(catalogue Catalogue) {
	r := n.document.report
	v := n.Value.Get("type")
	if v == nil || v.missing {
		return
	}
	path := n.path() + ".type"
	known := catalogue.Names(n.Kind)
	for _, kind := range []NodeKind{Source, Transformation, Destination} {
		if _, ok := catalogue.Find(kind, n.Type); ok {
			r.errorf(v.Pos, path, "%s is a %s type, not a %s type", n.Type, kind.Noun(), n.Kind.Noun()).
				Hint = n.Kind.Noun() + " types: " + strings.Join(known, ", ")
			return
		}
	}
	if slices.Contains(plannedTypes(n.Kind), strings.ToLower(n.Type)) {
		noun := "connector"
		if n.Kind == Transformation {
			noun = "operator"
		}
		n.document.block(v.Pos, path, fmt.Sprintf(
			"%s %s is not in this binary; the workflow cannot run yet", noun, n.Type))
		return
	}
	r.errorf(v.Pos, path, "unknown %s type %q", n.Kind.Noun(), n.Type).Hint = didYouMean(n.Type, known)
}
