package expr

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/expr-lang/expr/ast"

	"github.com/tapeline/tapeline/batch"
)

// maxNodes bounds a bound expression; chained comparisons and list tests write operands twice.
const maxNodes = 20000

// Options say how a program is built and run. The zero value is the usual one.
type Options struct {
	// Interpret runs every operation row by row (a workflow's vectorized: false). Default false.
	Interpret bool
	// Condition requires the expression to be a bool, as Eval.Filter does. Default false.
	Condition bool
	// KeepLazy leaves lazy columns in the batches that Column and Filter return as they are, so
	// that a sink passes their text through; by default those typed for all remaining rows are
	// replaced by their values, so that the next operator does not read the text again.
	KeepLazy bool
	// Now is the clock of now() and today(), read once a batch. Default time.Now.
	Now func() time.Time
}

// Program is an expression bound to a schema. It is immutable and safe for concurrent use.
type Program struct {
	source  string
	schema  *batch.Schema
	options Options
	root    *node
	columns []int
	nodes   int
	rowOnly string
}

// Compile parses and binds an expression.
func Compile(source string, schema *batch.Schema, options Options) (*Program, error) {
	x, err := Parse(source)
	if err != nil {
		return nil, err
	}
	return x.Bind(schema, options)
}

// Bind resolves names against the schema and types every operation. Its error is an *Error.
func (x *Expression) Bind(schema *batch.Schema, options Options) (p *Program, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			p, err = nil, newError(x.source, span{0, 1}, fmt.Sprintf("unusable expression: %v", fault), "")
		}
	}()
	if options.Now == nil {
		options.Now = time.Now
	}
	b := &binder{source: []rune(x.source), schema: schema, options: options}
	root := b.bind(x.root)
	if options.Condition && b.err == nil {
		root = b.condition(root)
	}
	if b.err != nil {
		b.err.at(x.source)
		return nil, b.err.fault
	}
	slices.Sort(b.columns)
	p = &Program{
		source: x.source, schema: schema, options: options, root: root,
		columns: slices.Compact(b.columns),
	}
	if !p.number(root, true) {
		return nil, newError(x.source, spanOfNode(x.root), tooManyOperations(), "")
	}
	if options.Interpret {
		p.rowOnly = "vectorized: false"
	}
	return p, nil
}

// number gives the nodes their ids, finds the first without column form, and marks those whose
// column the root may hand on as it is.
// Operands that are used twice count twice; false means that the limit is passed.
func (p *Program) number(n *node, shared bool) bool {
	n.id = p.nodes
	n.shared = n.shared || shared
	p.nodes++
	shared = shared && (n.op == opCoalesce || n.op == opMember)
	if p.rowOnly == "" {
		p.rowOnly = n.rowOnly
	}
	for _, arg := range n.args {
		if p.nodes > maxNodes || !p.number(arg, shared) {
			return false
		}
	}
	return true
}

func tooManyOperations() string {
	return fmt.Sprintf("expression has more than %d operations", maxNodes)
}

// Type returns the type of the expression's value; Null for an expression that is always NULL.
func (p *Program) Type() batch.Type { return p.root.typ }

// Columns returns the positions of the columns read, ascending.
func (p *Program) Columns() []int { return p.columns }

// Source returns the expression's text.
func (p *Program) Source() string { return p.source }

// Interpreted reports whether Options.Interpret made all of it run row by row.
func (p *Program) Interpreted() bool { return p.options.Interpret }

// Vectorized reports whether all of the expression runs over columns, else why not.
func (p *Program) Vectorized() (ok bool, reason string) { return p.rowOnly == "", p.rowOnly }

// mistake is the first error of a binding; its place is found when the whole tree is known.
type mistake struct {
	span          span
	message, hint string
	fault         *Error
}

func (f *mistake) at(source string) { f.fault = newError(source, f.span, f.message, f.hint) }

// binder types one expression. After the first fault it goes on with NULLs.
type binder struct {
	source  []rune
	schema  *batch.Schema
	options Options
	columns []int
	count   int
	element *node // the element inside a predicate
	err     *mistake
}

func (b *binder) fail(at span, hint, format string, args ...any) *node {
	if b.err == nil {
		b.err = &mistake{span: at, message: fmt.Sprintf(format, args...), hint: hint}
	}
	return b.null(at)
}

func (b *binder) null(at span) *node {
	return &node{op: opConstant, typ: batch.Of(batch.Null), constant: nullValue(), at: at}
}

func (b *binder) bind(n ast.Node) *node {
	b.count++
	at := spanOfNode(n)
	if b.count > maxNodes || b.err != nil {
		return b.fail(at, "", "%s", tooManyOperations())
	}
	switch n := n.(type) {
	case *ast.NilNode:
		return b.null(at)
	case *ast.BoolNode:
		return constant(batch.Bool, boolValue(n.Value), at)
	case *ast.StringNode:
		return constant(batch.String, stringValue(n.Value), at)
	case *ast.BytesNode:
		return constant(batch.Binary, textValue(n.Value), at)
	case *ast.IntegerNode:
		c := constant(batch.Int64, intValue(int64(n.Value)), at)
		c.literal = strconv.Itoa(n.Value)
		return c
	case *ast.FloatNode:
		c := constant(batch.Float64, floatValue(n.Value), at)
		c.literal = b.text(at)
		return c
	case *ast.IdentifierNode:
		return b.identifier(n.Value, at)
	case *ast.UnaryNode:
		return b.unary(n, at)
	case *ast.BinaryNode:
		return b.binary(n, at)
	case *ast.ConditionalNode:
		return b.conditional(n, at)
	case *ast.CallNode:
		return b.callNode(n, at)
	case *ast.BuiltinNode:
		return b.call(n.Name, n.Arguments, at)
	}
	return b.bindNested(n, at)
}

func constant(kind batch.Kind, v value, at span) *node {
	return &node{op: opConstant, typ: batch.Of(kind), constant: v, at: at}
}

// text returns the source of a span without the separators numbers may have.
func (b *binder) text(at span) string {
	var out []rune
	for _, ch := range b.source[at.from:at.to] {
		if ch != '_' {
			out = append(out, ch)
		}
	}
	return string(out)
}

func (b *binder) identifier(name string, at span) *node {
	i := b.schema.Index(name)
	if i < 0 && isNullWord(name) {
		return b.null(at)
	}
	if i < 0 {
		hint := didYouMean(name, b.schema.Names())
		if hint == "" && b.schema.Len() > 0 {
			hint = "the columns are " + listed(b.schema.Names())
		}
		return b.fail(at, hint, "unknown column %q", name)
	}
	typ := b.schema.Field(i).Type
	b.columns = append(b.columns, i)
	if typ.Kind == batch.Null {
		return b.null(at)
	}
	return &node{op: opColumn, typ: typ, column: i, at: at}
}

func listed(names []string) string {
	const shown = 12
	text := ""
	for i, name := range names {
		if i == shown {
			return text + ", ..."
		}
		if i > 0 {
			text += ", "
		}
		text += name
	}
	return text
}

func (b *binder) unary(n *ast.UnaryNode, at span) *node {
	arg := b.bind(n.Node)
	switch n.Operator {
	case "not", "!":
		arg = b.condition(arg)
		return b.folded(&node{op: opNot, typ: batch.Of(batch.Bool), args: []*node{arg}, at: at})
	case "+":
		if arg.typ.Kind != batch.Null && !arg.typ.Numeric() {
			return b.fail(at, "", "+ needs a number, not %s", arg.typ)
		}
		return arg
	}
	if arg.op == opConstant && arg.literal != "" {
		return negatedLiteral(arg, at)
	}
	if arg.typ.Numeric() && widened(arg.typ).Kind == batch.Uint64 {
		arg = b.coerce(arg, batch.Of(batch.Int64))
	}
	minus := constant(batch.Int64, intValue(-1), at)
	minus.literal = "-1"
	return b.arithmetic(multiply, minus, arg, at)
}

func negatedLiteral(arg *node, at span) *node {
	c := *arg
	c.at = at
	c.literal = "-" + c.literal
	if c.literal[1] == '-' {
		c.literal = c.literal[2:]
	}
	if c.typ.Kind == batch.Float64 {
		c.constant = floatValue(-c.constant.float())
	} else {
		c.constant = intValue(-c.constant.int())
	}
	return &c
}

// condition returns n as a Bool, or fails.
func (b *binder) condition(n *node) *node {
	switch n.typ.Kind {
	case batch.Bool:
		return n
	case batch.Null:
		return b.coerce(n, batch.Of(batch.Bool))
	case batch.JSON:
		return b.coerce(n, batch.Of(batch.Bool))
	}
	return b.fail(n.at, "compare it with something, as in x == 'a' or x > 0",
		"a condition must be a bool, this is %s", n.typ)
}

func (b *binder) binary(n *ast.BinaryNode, at span) *node {
	switch n.Operator {
	case "in":
		return b.in(n, at)
	case "..":
		return b.fail(at, "use it as in x in 1..10", "a range is not a value")
	case "matches":
		return b.call("regex_match", []ast.Node{n.Left, n.Right}, at)
	case "**", "^":
		return b.call("power", []ast.Node{n.Left, n.Right}, at)
	}
	x, y := b.bind(n.Left), b.bind(n.Right)
	switch n.Operator {
	case "and", "&&":
		return b.logical(opAnd, x, y, at)
	case "or", "||":
		return b.logical(opOr, x, y, at)
	case "==":
		return b.comparison(equal, x, y, at)
	case "!=":
		return b.comparison(notEqual, x, y, at)
	case "<":
		return b.comparison(less, x, y, at)
	case "<=":
		return b.comparison(lessEqual, x, y, at)
	case ">":
		return b.comparison(greater, x, y, at)
	case ">=":
		return b.comparison(greaterEqual, x, y, at)
	case "+":
		return b.plus(x, y, at)
	case "-":
		return b.arithmetic(subtract, x, y, at)
	case "*":
		return b.arithmetic(multiply, x, y, at)
	case "/":
		return b.arithmetic(divide, x, y, at)
	case "%":
		return b.arithmetic(remainder, x, y, at)
	case "??":
		return b.coalesce([]*node{x, y}, at)
	case "contains":
		return b.textTest(contains, x, y, at)
	case "startsWith":
		return b.textTest(startsWith, x, y, at)
	case "endsWith":
		return b.textTest(endsWith, x, y, at)
	}
	return b.fail(at, "", "operator %q is not supported", n.Operator)
}

func (b *binder) logical(op operation, x, y *node, at span) *node {
	x, y = b.condition(x), b.condition(y)
	return b.folded(&node{op: op, typ: batch.Of(batch.Bool), args: []*node{x, y}, at: at})
}

func (b *binder) conditional(n *ast.ConditionalNode, at span) *node {
	condition := b.condition(b.bind(n.Cond))
	branches := []*node{b.bind(n.Exp1), b.bind(n.Exp2)}
	branches = b.unified(branches, at, "the two values of a conditional")
	return b.folded(&node{
		op: opConditional, typ: branches[0].typ, at: at,
		args: []*node{condition, branches[0], branches[1]},
	})
}

func (b *binder) coalesce(args []*node, at span) *node {
	args = b.unified(args, at, "the values of coalesce")
	return b.folded(&node{op: opCoalesce, typ: args[0].typ, args: args, at: at})
}

func (b *binder) isNull(x *node, at span) *node {
	return b.folded(&node{op: opIsNull, typ: batch.Of(batch.Bool), args: []*node{x}, at: at})
}

func (b *binder) not(x *node) *node {
	return b.folded(&node{op: opNot, typ: batch.Of(batch.Bool), args: []*node{x}, at: x.at})
}

// folded evaluates an operation on constants now. One that fails is kept: it fails rows only where
// it is evaluated.
func (b *binder) folded(n *node) *node {
	if n.volatile || n.rowOnly != "" || n.typ.Nested() || b.err != nil {
		return n
	}
	for _, arg := range n.args {
		if arg.op != opConstant {
			return n
		}
	}
	e := &Eval{frame: frame{now: b.options.Now}}
	v, reason := e.row(n, 0)
	if reason != "" || len(v.text) > maxSourceBytes {
		return n
	}
	v.text = append([]byte(nil), v.text...)
	return &node{op: opConstant, typ: n.typ, constant: v, at: n.at}
}
