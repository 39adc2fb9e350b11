package spec

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Caps on a document.
const (
	MaxBytes = 1 << 20 // of the text
	MaxNodes = 100_000 // keys and values, aliases expanded
	MaxDepth = 100     // nesting
	MaxKeys  = 5_000   // of one mapping: the parser's time grows with their square
	MaxText  = 8 << 20 // bytes of all scalars, aliases expanded
)

// parseTree reads one YAML document into Values. It returns nil when there is none or an error was
// reported.
func parseTree(s *source, r *report) (root *Value) {
	top := Pos{Line: 1, Column: 1, source: s}
	defer func() {
		if fault := recover(); fault != nil {
			r.errorf(top, "", "the YAML library cannot read this: %v", fault)
			root = nil
		}
	}()
	if !checkBytes(s, r, top) {
		return nil
	}
	tokens := lexer.Tokenize(s.text)
	if !guard(tokens, s, r) {
		return nil
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		reportSyntax(err, s, r)
		return nil
	}
	b := &builder{source: s, report: r, anchors: map[string]*Value{}}
	return b.file(file, top)
}

// checkBytes refuses text that is too large or not UTF-8.
func checkBytes(s *source, r *report, top Pos) bool {
	if len(s.text) > MaxBytes {
		at := Pos{source: s}
		r.errorf(at, "", "the document has %d bytes, at most %d are read", len(s.text), MaxBytes)
		return false
	}
	if !utf8.ValidString(s.text) {
		at := top
		for i, ch := range s.text {
			if ch == utf8.RuneError && !strings.HasPrefix(s.text[i:], "\uFFFD") {
				at = s.pos(i)
				break
			}
		}
		r.errorf(at, "", "the document is not UTF-8").Hint = "save the file as UTF-8"
		return false
	}
	for i := 0; i < len(s.text); i++ {
		if ch := s.text[i]; ch < ' ' && ch != '\t' && ch != '\n' && ch != '\r' || ch == 0x7f {
			r.errorf(s.pos(i), "", "control character 0x%02X", ch)
			return false
		}
	}
	return true
}

// reportSyntax turns the parser's error into a problem.
func reportSyntax(err error, s *source, r *report) {
	var syntax yaml.Error
	if errors.As(err, &syntax) && syntax.GetToken() != nil {
		at := tokenPos(syntax.GetToken(), s)
		p := r.errorf(at, "", "%s", syntax.GetMessage())
		if strings.Contains(s.line(at.Line), "${") {
			p.Hint = `inside [ ] and { } a variable needs quotes: "${NAME}"`
		}
		if strings.Contains(syntax.GetMessage(), "'\t'") || strings.Contains(syntax.GetMessage(), "tab") {
			p.Message = "a tab character stands where YAML takes spaces only"
			p.Hint = "indent with spaces"
		}
		return
	}
	r.errorf(Pos{Line: 1, Column: 1, source: s}, "", "%s", strings.SplitN(err.Error(), "\n", 2)[0])
}

func tokenPos(tk *token.Token, s *source) Pos {
	if tk == nil || tk.Position == nil {
		return Pos{Line: 1, Column: 1, source: s}
	}
	return Pos{
		Line: min(max(tk.Position.Line, 1), len(s.lines)), Column: max(tk.Position.Column, 1), source: s,
	}
}

// maxDocuments bounds the document marks that reach the parser, whose time grows with their square.
const maxDocuments = 100

// level is one open block collection: the column it starts in and its keys so far.
type level struct{ column, keys int }

// nesting estimates depth and size from tokens alone: the parser recurses, and a stack overflow
// cannot be recovered.
type nesting struct {
	levels      []level
	flow        []level
	line, start int // of the token; column where the next key of the line starts
	indicator   int // column of the last - or ? of the line, 0 for none
	nodes       int
	documents   int
	marks       int // anchors and tags in a row
	cached      int // line number that text holds
	text        []rune
	skip        bool
}

// guard checks depth, size and keys of the token stream.
func guard(tokens token.Tokens, s *source, r *report) bool {
	n := nesting{}
	for _, tk := range tokens {
		if tk == nil {
			continue
		}
		at, wrong := n.strict(tk, s)
		if wrong != "" {
			r.errorf(at, "", "%s", wrong)
			return false
		}
		if tk.Type == token.CommentType {
			continue
		}
		keys := n.step(tk)
		switch {
		case len(n.levels)+len(n.flow) > MaxDepth, n.marks > MaxDepth:
			r.errorf(at, "", "nested deeper than %d levels", MaxDepth)
			return false
		case keys > MaxKeys:
			r.errorf(at, "", "a mapping with more than %d keys", MaxKeys)
			return false
		case n.documents > maxDocuments:
			r.errorf(at, "", "more than one YAML document").Hint = "write one workflow per file"
			return false
		case n.nodes > MaxNodes:
			r.errorf(at, "", "more than %d keys and values", MaxNodes)
			return false
		}
	}
	return true
}

// step takes one token and returns the number of keys of its mapping so far.
func (n *nesting) step(tk *token.Token) (keys int) {
	if n.skip { // the text of a block scalar: its column means nothing
		n.skip = false
		return 0
	}
	n.newLine(tk)
	mark := tk.Type == token.AnchorType || tk.Type == token.TagType
	switch tk.Type {
	case token.LiteralType, token.FoldedType:
		n.skip = true
	case token.DocumentHeaderType, token.DocumentEndType:
		n.documents++
	case token.SequenceStartType, token.MappingStartType:
		n.flow = append(n.flow, level{})
	case token.SequenceEndType, token.MappingEndType:
		n.flow = n.flow[:max(len(n.flow)-1, 0)]
	case token.CollectEntryType:
		n.nodes++
	case token.SequenceEntryType, token.MappingKeyType:
		n.nodes++
		if len(n.flow) == 0 {
			n.open(tk.Position.Column)
		}
		n.start, n.indicator = tk.Position.Column+1, tk.Position.Column
	case token.MappingValueType:
		n.nodes += 2
		keys = n.key()
	}
	if mark {
		n.marks++
	} else if tk.Type != token.StringType {
		n.marks = 0
	}
	return keys
}

// newLine closes the block collections that end where the token's line starts.
func (n *nesting) newLine(tk *token.Token) {
	if tk.Position.Line == n.line {
		return
	}
	n.line, n.start, n.indicator = tk.Position.Line, tk.Position.Column, 0
	if len(n.flow) > 0 {
		return
	}
	for len(n.levels) > 0 && n.levels[len(n.levels)-1].column > tk.Position.Column {
		n.levels = n.levels[:len(n.levels)-1]
	}
}

// open enters the block collection that starts in column.
func (n *nesting) open(column int) {
	if len(n.levels) == 0 || n.levels[len(n.levels)-1].column < column {
		n.levels = append(n.levels, level{column: column})
	}
}

// key counts one key of the innermost mapping.
func (n *nesting) key() int {
	open := &n.flow
	if len(n.flow) == 0 {
		n.open(n.start)
		open = &n.levels
	}
	last := &(*open)[len(*open)-1]
	last.keys++
	return last.keys
}

// builder turns the library's tree into Values.
type builder struct {
	source  *source
	report  *report
	anchors map[string]*Value // nil while the anchored value is being built
	merged  int               // pairs copied by merge keys
	stopped bool              // a cap was hit
}

// file returns the root of the only document of the file.
func (b *builder) file(file *ast.File, top Pos) *Value {
	var root *Value
	for _, doc := range file.Docs {
		if doc.Body == nil || doc.Body.Type() == ast.DirectiveType {
			continue
		}
		if root != nil {
			b.report.errorf(b.pos(doc.Body), "", "a second YAML document").Hint = "write one workflow per file"
			return nil
		}
		root = b.value(doc.Body)
	}
	switch {
	case b.stopped:
		return nil
	case root == nil:
		b.report.errorf(top, "", "the document is empty")
	}
	return root
}

func (b *builder) pos(n ast.Node) Pos { return tokenPos(n.GetToken(), b.source) }

// value builds one Value; an error gives a null in its place, so that the rest is still checked.
func (b *builder) value(n ast.Node) *Value {
	v := b.build(n)
	if v.nodes > MaxNodes || b.merged > MaxNodes {
		b.stop(v.Pos, "more than %d keys and values when aliases are expanded", MaxNodes)
	}
	if v.bytes > MaxText {
		b.stop(v.Pos, "more than %d bytes when aliases are expanded", MaxText)
	}
	if v.depth > MaxDepth {
		b.stop(v.Pos, "nested deeper than %d levels when aliases are expanded", MaxDepth)
	}
	if b.stopped {
		return &Value{Pos: v.Pos, nodes: 1}
	}
	return v
}

func (b *builder) stop(at Pos, format string, limit int) {
	if !b.stopped {
		b.report.errorf(at, "", format, limit)
	}
	b.stopped = true
}

func (b *builder) build(n ast.Node) *Value {
	switch n := n.(type) {
	case nil:
		return &Value{nodes: 1}
	case *ast.AnchorNode:
		return b.anchor(n)
	case *ast.AliasNode:
		return b.alias(n)
	case *ast.TagNode:
		return b.tag(n)
	case *ast.MappingNode:
		return b.mapping(b.mappingPos(n), n.Values)
	case *ast.MappingValueNode:
		return b.mapping(b.pos(n.Key), []*ast.MappingValueNode{n})
	case *ast.SequenceNode:
		v := &Value{Kind: KindList, Pos: b.pos(n), nodes: 1}
		for _, item := range n.Values {
			v.Items = append(v.Items, v.count(b.value(item)))
			if b.stopped {
				break
			}
		}
		return v
	case *ast.LiteralNode:
		return b.block(n)
	}
	return b.scalar(n)
}

// count adds the size of a child.
func (v *Value) count(child *Value) *Value {
	v.nodes += child.nodes
	v.bytes += child.bytes
	v.depth = max(v.depth, child.depth+1)
	return child
}

func (b *builder) block(n *ast.LiteralNode) *Value {
	text := ""
	if n.Value != nil {
		text = n.Value.Value
	}
	v := &Value{Kind: KindString, Pos: b.pos(n), Text: text, raw: text, style: styleLiteral}
	v.nodes, v.bytes = 1, len(text)
	if n.Start.Type == token.FoldedType {
		v.style = styleFolded
	}
	return v
}

// scalar builds a plain or quoted scalar, typed by its text alone.
func (b *builder) scalar(n ast.Node) *Value {
	tk := n.GetToken()
	v := &Value{Pos: tokenPos(tk, b.source), Text: tk.Value, raw: tk.Value}
	v.nodes, v.bytes = 1, len(tk.Value)
	switch tk.Type {
	case token.SingleQuoteType:
		v.Kind, v.style = KindString, styleSingle
	case token.DoubleQuoteType:
		v.Kind, v.style = KindString, styleDouble
	case token.ImplicitNullType:
		v.Text, v.raw = "", ""
	default:
		v.Kind = resolve(tk.Value)
	}
	return v
}

func (b *builder) anchor(n *ast.AnchorNode) *Value {
	name := ""
	if n.Name != nil {
		name = n.Name.GetToken().Value
	}
	b.anchors[name] = nil
	v := b.value(n.Value)
	b.anchors[name] = v
	return v
}

func (b *builder) alias(n *ast.AliasNode) *Value {
	name := ""
	if n.Value != nil {
		name = n.Value.GetToken().Value
	}
	v, known := b.anchors[name]
	switch {
	case !known:
		names := make([]string, 0, len(b.anchors))
		for anchor := range b.anchors {
			names = append(names, anchor)
		}
		b.report.errorf(b.pos(n), "", "alias *%s has no anchor before it", name).Hint = didYouMean(name, sorted(names))
	case v == nil:
		b.report.errorf(b.pos(n), "", "alias *%s stands inside its own anchor", name)
	default:
		return v
	}
	return &Value{Pos: b.pos(n), nodes: 1}
}

// tag applies a core schema tag to a scalar.
func (b *builder) tag(n *ast.TagNode) *Value {
	v := &Value{Pos: b.pos(n), nodes: 1}
	if n.Value != nil {
		v = b.value(n.Value)
	}
	name := strings.TrimSuffix(strings.TrimPrefix(
		strings.Replace(n.Start.Value, "!<tag:yaml.org,2002:", "!!", 1), "!!"), ">")
	ok := false
	typed := *v
	switch name {
	case "!", "str":
		ok = v.scalar()
		typed.Kind = KindString
	case "int", "float", "bool", "null":
		kind := resolve(v.Text)
		typed.Kind = kind
		ok = v.scalar() && (kind.String() == map[string]string{
			"int": "a number", "float": "a number", "bool": "a boolean", "null": "nothing",
		}[name])
	case "map":
		ok = v.Kind == KindMap
	case "seq":
		ok = v.Kind == KindList
	default:
		b.report.errorf(b.pos(n), "", "tag %s is not supported", n.Start.Value).Hint = "leave the tag away; documents use plain YAML 1.2 values"
		return v
	}
	if !ok {
		b.report.errorf(b.pos(n), "", "tag %s does not fit %s", n.Start.Value, v.Kind)
		return v
	}
	return &typed
}

// mappingPos returns the place of the first key of a block mapping or of the opening brace.
func (b *builder) mappingPos(n *ast.MappingNode) Pos {
	if !n.IsFlowStyle && len(n.Values) > 0 {
		return b.pos(n.Values[0].Key)
	}
	return b.pos(n)
}

func (b *builder) mapping(at Pos, entries []*ast.MappingValueNode) *Value {
	v := &Value{Kind: KindMap, Pos: at, nodes: 1}
	seen := make(map[string]Pos, len(entries))
	var merges []*Value
	for _, entry := range entries {
		if b.stopped {
			break
		}
		if entry.Key.IsMergeKey() {
			merges = append(merges, b.value(entry.Value))
			continue
		}
		key, ok := b.key(entry.Key)
		value := b.value(entry.Value)
		if !ok {
			continue
		}
		if value.Pos.Line == 0 {
			value.Pos = key.Pos
		}
		if first, ok := seen[key.Text]; ok {
			b.report.errorf(key.Pos, "", "key %q is written twice", key.Text).Hint = fmt.Sprintf("it is first written in line %d", first.Line)
			continue
		}
		seen[key.Text] = key.Pos
		v.nodes++
		v.bytes += len(key.Text)
		v.Pairs = append(v.Pairs, Pair{Key: key.Text, KeyPos: key.Pos, Value: v.count(value)})
	}
	for _, merge := range merges {
		b.merge(v, merge, seen)
	}
	return v
}

// key builds a mapping's key: a scalar.
func (b *builder) key(n ast.MapKeyNode) (*Value, bool) {
	var node ast.Node = n
	if explicit, ok := n.(*ast.MappingKeyNode); ok {
		node = explicit.Value
	}
	if node == nil {
		return &Value{Pos: b.pos(n)}, true
	}
	v := b.value(node)
	if !v.scalar() {
		b.report.errorf(v.Pos, "", "%s cannot be a key", v.Kind)
		return v, false
	}
	if v.Pos.Line == 0 {
		v.Pos = b.pos(n)
	}
	return v, true
}

// merge copies the pairs of a merge key's value that the mapping does not have itself.
func (b *builder) merge(v, from *Value, seen map[string]Pos) {
	switch from.Kind {
	case KindList:
		for _, item := range from.Items {
			if item.Kind == KindList {
				b.report.errorf(item.Pos, "", "a merge key takes mappings, not a list of lists")
				continue
			}
			b.merge(v, item, seen)
		}
	case KindMap:
		for _, pair := range from.Pairs {
			b.merged++
			if _, ok := seen[pair.Key]; ok || b.merged > MaxNodes {
				continue
			}
			seen[pair.Key] = pair.KeyPos
			v.nodes++
			v.count(pair.Value)
			v.Pairs = append(v.Pairs, pair)
		}
	default:
		b.report.errorf(from.Pos, "", "a merge key takes a mapping, not %s", from.Kind)
	}
}
