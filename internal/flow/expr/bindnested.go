package expr

import (
	"fmt"
	"slices"

	"github.com/expr-lang/expr/ast"

	"github.com/tapeline/tapeline/batch"
)

// bindNested binds members, elements, list literals and what the language leaves out.
func (b *binder) bindNested(n ast.Node, at span) *node {
	switch n := n.(type) {
	case *ast.ChainNode:
		return b.bind(n.Node)
	case *ast.MemberNode:
		return b.member(n, at)
	case *ast.ArrayNode:
		return b.array(n, at)
	case *ast.PointerNode:
		return b.pointer(n, at)
	case *ast.SliceNode:
		return b.fail(at, "use substr(text, start, length)", "slices are not supported")
	case *ast.MapNode:
		return b.fail(at, "keep the values as columns", "maps cannot be written")
	}
	return b.fail(at, "", "this form is not supported")
}

// member binds x.name, x['name'] and x[0] by the type of x.
func (b *binder) member(n *ast.MemberNode, at span) *node {
	if id, ok := n.Node.(*ast.IdentifierNode); ok && id.Value == "$env" {
		if name, ok := n.Property.(*ast.StringNode); ok {
			return b.identifier(name.Value, at)
		}
	}
	x := b.bind(n.Node)
	switch x.typ.Kind {
	case batch.Struct:
		return b.structMember(x, n, at)
	case batch.List:
		index := b.integer(b.bind(n.Property))
		return b.callNamed("list_get", []*node{x, index}, at)
	case batch.Map:
		key := b.coerce(b.bind(n.Property), widened(x.typ.Fields[0].Type))
		return b.callNamed("map_get", []*node{x, key}, at)
	case batch.JSON:
		return b.jsonMember(x, n, at)
	case batch.Null:
		return x
	}
	hint := ""
	if x.typ.Kind == batch.String {
		hint = "for JSON text write parse_json(x).name, for a part of text substr(x, start, length)"
	}
	return b.fail(at, hint, "%s has no members", x.typ)
}

func (b *binder) structMember(x *node, n *ast.MemberNode, at span) *node {
	name, ok := n.Property.(*ast.StringNode)
	if !ok {
		return b.fail(at, "write x.name", "a struct's member is asked for by its name")
	}
	names := make([]string, len(x.typ.Fields))
	for i, f := range x.typ.Fields {
		names[i] = f.Name
	}
	i := slices.Index(names, name.Value)
	if i < 0 {
		hint := didYouMean(name.Value, names)
		if hint == "" {
			hint = "the members are " + listed(names)
		}
		return b.fail(spanOf(name.Location()), hint, "unknown member %q", name.Value)
	}
	out := &node{op: opMember, typ: x.typ.Fields[i].Type, column: i, args: []*node{x}, at: at}
	if x.rowOnly != "" || x.op == opElement {
		out.rowOnly = "members of list elements are read row by row"
	}
	return out
}

func (b *binder) jsonMember(x *node, n *ast.MemberNode, at span) *node {
	switch p := n.Property.(type) {
	case *ast.StringNode:
		name := constant(batch.String, stringValue(p.Value), at)
		return b.callNamed("json_member", []*node{x, name}, at)
	case *ast.IntegerNode:
		index := constant(batch.Int64, intValue(int64(p.Value)), at)
		return b.callNamed("json_element", []*node{x, index}, at)
	}
	return b.fail(at, "", "a JSON member is asked for by a literal name or index")
}

func (b *binder) integer(n *node) *node {
	if n.typ.Kind != batch.Null && !n.typ.Integer() {
		return b.fail(n.at, "", "an index must be an integer, this is %s", n.typ)
	}
	return b.coerce(n, batch.Of(batch.Int64))
}

func (b *binder) array(n *ast.ArrayNode, at span) *node {
	if len(n.Nodes) == 0 {
		return b.fail(at, "", "an empty list has no type")
	}
	args := make([]*node, len(n.Nodes))
	for i, element := range n.Nodes {
		args[i] = b.bind(element)
	}
	args = b.unified(args, at, "the elements of a list")
	if args[0].typ.Nested() || args[0].typ.Kind == batch.Foreign {
		return b.fail(at, "", "a list of %s cannot be written", args[0].typ)
	}
	return &node{
		op: opList, typ: batch.ListOf(args[0].typ), args: args, at: at,
		rowOnly: "list literals are built row by row",
	}
}

// in binds x in [..], x in low..high, x in list and key in map.
func (b *binder) in(n *ast.BinaryNode, at span) *node {
	x := b.bind(n.Left)
	switch right := n.Right.(type) {
	case *ast.ArrayNode:
		return b.inList(x, right, at)
	case *ast.BinaryNode:
		if right.Operator == ".." {
			low := b.comparison(greaterEqual, x, b.bind(right.Left), at)
			high := b.comparison(lessEqual, x, b.bind(right.Right), at)
			return b.logical(opAnd, low, high, at)
		}
	}
	list := b.bind(n.Right)
	switch list.typ.Kind {
	case batch.List:
		element := widened(list.typ.Fields[0].Type)
		return b.callNamed("list_contains", []*node{list, b.coerce(x, element)}, at)
	case batch.Map:
		key := widened(list.typ.Fields[0].Type)
		return b.callNamed("map_contains", []*node{list, b.coerce(x, key)}, at)
	case batch.Null:
		return b.coerce(list, batch.Of(batch.Bool))
	}
	return b.fail(spanOfNode(n.Right), "write x in ['a', 'b'], x in 1..10 or x in a list column",
		"in needs a list, this is %s", list.typ)
}

// inList tests against literals by a set; other elements become comparisons joined by or.
func (b *binder) inList(x *node, list *ast.ArrayNode, at span) *node {
	set := newConstantSet()
	var rest *node
	typ := x.typ
	for _, element := range list.Nodes {
		y := b.bind(element)
		if y.typ.Kind == batch.Null {
			set.null = true
			continue
		}
		left, right := b.comparable(x, y, at)
		if b.err != nil {
			return left
		}
		if right.op == opConstant && left.typ.Equal(right.typ) && left.op != opConstant &&
			(set.empty() || left.typ.Equal(typ)) {
			if right.constant.null {
				set.null = true
			} else if set.empty() {
				x, typ = left, left.typ
			}
			set.add(right.constant)
			continue
		}
		rest = b.either(rest, b.comparison(equal, x, y, at), at)
	}
	boolean := batch.Of(batch.Bool)
	if set.empty() && (!set.null || rest == nil) {
		if rest != nil {
			return rest
		}
		v := boolValue(false)
		v.null = set.null
		return &node{op: opConstant, typ: boolean, constant: v, at: at}
	}
	set.prepare(typ)
	return b.either(&node{op: opIn, typ: boolean, args: []*node{x}, set: set, at: at}, rest, at)
}

func (b *binder) either(x, y *node, at span) *node {
	switch {
	case x == nil:
		return y
	case y == nil:
		return x
	}
	return b.logical(opOr, x, y, at)
}

// predicateNames are the functions over lists that take a predicate.
func predicateNames() []string {
	return []string{"all", "any", "none", "one", "filter", "map", "count", "find"}
}

// each binds filter(list, predicate) and its like.
func (b *binder) each(name string, arguments []ast.Node, at span) *node {
	if len(arguments) == 0 {
		return b.fail(at, "", "%s needs a list", name)
	}
	list := b.bind(arguments[0])
	if list.typ.Kind != batch.List {
		return b.fail(list.at, "", "%s needs a list, this is %s", name, list.typ)
	}
	if len(arguments) == 1 {
		return b.callNamed("length", []*node{list}, at)
	}
	predicate, ok := arguments[1].(*ast.PredicateNode)
	if !ok || len(arguments) > 2 {
		return b.fail(at, "", "%s takes a list and a predicate", name)
	}
	elementType := list.typ.Fields[0].Type
	outer := b.element
	b.element = &node{
		op: opElement, typ: widened(elementType), rowOnly: name + " looks at list elements",
	}
	body := b.bind(predicate.Node)
	b.element = outer
	n := &node{op: opEach, name: name, at: at, rowOnly: name + " runs its predicate row by row"}
	switch name {
	case "map":
		n.typ = batch.ListOf(body.typ)
		if body.typ.Kind == batch.Null {
			return b.fail(at, "", "map gives a list of nothing but NULL")
		}
	case "filter":
		n.typ = batch.ListOf(widened(elementType))
	case "find":
		n.typ = widened(elementType)
	case "count":
		n.typ = batch.Of(batch.Int64)
	default:
		n.typ = batch.Of(batch.Bool)
	}
	if name != "map" {
		body = b.condition(body)
	}
	n.args = []*node{list, body}
	return n
}

func (b *binder) pointer(n *ast.PointerNode, at span) *node {
	switch {
	case b.element == nil:
		return b.fail(at, "", "# stands for an element inside a predicate only")
	case n.Name == "":
		element := *b.element
		element.at = at
		return &element
	case n.Name == "index":
		return &node{
			op: opIndex, typ: batch.Of(batch.Int64), at: at, rowOnly: "#index is known row by row",
		}
	}
	return b.fail(at, "", "#%s is not supported", n.Name)
}

// callNode binds name(...), and explains methods.
func (b *binder) callNode(n *ast.CallNode, at span) *node {
	if member, ok := n.Callee.(*ast.MemberNode); ok {
		name := "f"
		if s, ok := member.Property.(*ast.StringNode); ok {
			name = s.Value
		}
		return b.fail(spanOf(n.Location()), fmt.Sprintf("write %s(x)", name), "values have no methods")
	}
	callee, ok := n.Callee.(*ast.IdentifierNode)
	if !ok {
		return b.fail(at, "", "only functions can be called")
	}
	return b.call(callee.Value, n.Arguments, at)
}
