package spec

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// NodeKind says what a node does with rows.
type NodeKind string

// The kinds of nodes, spelled as their sections of the document.
const (
	Source         NodeKind = "sources"
	Transformation NodeKind = "transformations"
	Destination    NodeKind = "destinations"
)

// Noun returns the kind as a word: source, transformation or destination.
func (k NodeKind) Noun() string { return strings.TrimSuffix(string(k), "s") }

// Node is one node of a workflow.
type Node struct {
	ID          string     `yaml:",key"`
	Type        string     `yaml:"type" required:"true" doc:"node type"`
	Inputs      Inputs     `yaml:"inputs" alias:"input" doc:"ids of the nodes it reads; id.port names a port of a node with several outputs"`
	Parallelism int        `yaml:"parallelism" min:"0" max:"1024" doc:"workers of this node" fallback:"0: as the workflow"`
	OnError     string     `yaml:"on_error" enum:"fail,dead_letter,drop" doc:"what happens to a row the node rejects" fallback:"as the node type says: dead_letter for rows that cannot be read, typed or written"`
	Schema      *RowSchema `yaml:"schema" doc:"declared columns of the rows it yields"`
	Resources   Resources  `yaml:"resources" doc:"what it asks for when it is placed"`
	Mode        string     `yaml:"mode" alias:"collection_mode" enum:"full,incremental,cdc" doc:"older shape: how a source reads"`
	ConfigTree  *Value     `yaml:"config" doc:"settings of the node type"`
	Value       *Value     `yaml:",self"`

	Kind NodeKind
	// Config is the filled copy of the catalogue's config struct (a pointer); nil without a
	// catalogue and for a type this binary does not have.
	Config any
	// BatchSize is the config's batch_size where the type's own config has no such key; 0: none.
	BatchSize int
	Pos       Pos // of the id

	document *Document
	declared Declaration
}

// Inputs are the nodes a node reads.
type Inputs []Input

// Input names a node, and a port of it when it has several outputs.
type Input struct {
	Node string
	Port string // "" for the only output
	Pos  Pos
}

// String returns the input as it is written.
func (i Input) String() string {
	if i.Port == "" {
		return i.Node
	}
	return i.Node + "." + i.Port
}

func (in *Inputs) readTree(d *decoder, v *Value, path string) {
	items := []*Value{v}
	if v.Kind == KindList {
		items = v.Items
	}
	for i, item := range items {
		if !item.scalar() || item.Text == "" {
			d.mismatch(item, fmt.Sprintf("%s[%d]", path, i), "the id of a node")
			continue
		}
		node, port, _ := strings.Cut(item.Text, ".")
		*in = append(*in, Input{Node: node, Port: port, Pos: item.Pos})
	}
}

func (in *Inputs) schema() map[string]any {
	text := map[string]any{"type": "string"}
	return map[string]any{"anyOf": []any{text, map[string]any{"type": "array", "items": text}}}
}

func (in *Inputs) kindName() string { return "list of string" }

func (t *Threshold) readTree(d *decoder, v *Value, path string) {
	wrong := func() {
		d.mismatch(v, path, "a count or a share").Hint = "write a number of rows, or a share such as 1%"
	}
	if !v.scalar() {
		wrong()
		return
	}
	if text, ok := strings.CutSuffix(v.Text, "%"); ok {
		share, err := parseFloat(strings.TrimSpace(text))
		if err != nil || !(share > 0 && share <= 100) {
			wrong()
			return
		}
		t.Share = share / 100
		return
	}
	count, err := parseInt(v.Text)
	if err != nil || count < 0 {
		wrong()
		return
	}
	t.Count = count
}

func (t *Threshold) schema() map[string]any {
	return map[string]any{"anyOf": []any{
		map[string]any{"type": "integer", "minimum": 0},
		map[string]any{"type": "string", "pattern": `^([0-9.]+ *%|.*\$\{.*)$`},
	}}
}

func (t *Threshold) kindName() string { return "integer or share" }

// path returns where the node stands in its document.
func (n *Node) path() string {
	if n.document != nil && n == n.document.DeadLetter {
		return deadLetterID
	}
	return string(n.Kind) + "." + n.ID
}

// Incomplete reports whether a value of the config waits for a variable that is not set here.
func (n *Node) Incomplete() bool { return n.ConfigTree.incomplete() }

func (v *Value) incomplete() bool {
	return v != nil && (v.missing || slices.ContainsFunc(v.Items, (*Value).incomplete) ||
		slices.ContainsFunc(v.Pairs, func(p Pair) bool { return p.Value.incomplete() }))
}

// Decode fills target, a pointer to a config struct holding the defaults, from the node's config.
// It reports unknown keys, missing keys and values that do not fit. A *Value or any target
// receives the tree as it is.
func (n *Node) Decode(target any) []Problem {
	r := &report{file: n.document.file, secrets: n.document.report.secrets}
	n.decodeInto(r, target)
	return r.problems()
}

func (n *Node) decodeInto(r *report, target any) {
	d := &decoder{report: r}
	tree := n.ConfigTree
	if tree == nil || tree.Kind == KindNull {
		tree = &Value{Kind: KindMap, Pos: n.Pos}
	}
	tree = n.withoutCommon(d, tree, reflect.TypeOf(target).Elem())
	d.decode(tree, reflect.ValueOf(target).Elem(), nil, n.path()+".config")
}

// At returns the value at a path below config, such as columns.total or rules[2].min; nil when
// there is none.
func (n *Node) At(path string) *Value {
	v := n.ConfigTree
	for _, name := range splitPath(path) {
		if v = child(v, name); v == nil {
			return nil
		}
	}
	return v
}

// PosOf returns the place of the value at a path below config, else of the nearest value above it.
func (n *Node) PosOf(path string) Pos {
	if n.ConfigTree == nil {
		return n.Pos
	}
	return descend(n.ConfigTree, path).Pos
}

// Problem returns an error about a config value with excerpt and caret. A position inside its
// text, such as the byte offset of an error in an expression, moves the caret there; offset -1
// means the value as a whole. The problem may be altered (severity, hint).
func (n *Node) Problem(path string, offset int, message string) Problem {
	full := n.path()
	at := n.Pos
	if path != "" {
		full = join(full+".config", path)
		at = n.PosOf(path)
		if v := n.At(path); v != nil && offset >= 0 {
			at = v.At(offset)
		}
	}
	return n.document.Problem(Error, at, full, message)
}

// child returns the value under a key or index.
func child(v *Value, name string) *Value {
	if v == nil {
		return nil
	}
	if v.Kind == KindList {
		if i, err := strconv.Atoi(name); err == nil && i >= 0 && i < len(v.Items) {
			return v.Items[i]
		}
		return nil
	}
	return v.Get(name)
}

// descend follows a path as far as it goes.
func descend(v *Value, path string) *Value {
	for _, name := range splitPath(path) {
		next := child(v, name)
		if next == nil {
			break
		}
		v = next
	}
	return v
}

const (
	deadLetterID = "dead_letter"
	maxNameBytes = 128
)

// validID reports whether a node may have that id: letters, digits, _ and -.
func validID(id string) bool {
	if id == "" || len(id) > maxNameBytes {
		return false
	}
	return !strings.ContainsFunc(id, func(ch rune) bool {
		return !unicode.IsLetter(ch) && !unicode.IsDigit(ch) && ch != '_' && ch != '-'
	})
}

// validName reports whether a workflow may have that name: it becomes the name of a folder.
func validName(name string) bool {
	if name == "" || name == "." || name == ".." || len(name) > maxNameBytes ||
		strings.TrimSpace(name) != name {
		return false
	}
	return !strings.ContainsFunc(name, func(ch rune) bool {
		return !unicode.IsPrint(ch) || strings.ContainsRune(`/\:*?"<>|`, ch)
	})
}
