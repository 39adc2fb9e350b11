package expr

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/expr-lang/expr/ast"

	"github.com/tapeline/tapeline/batch"
)

// Function describes one function of the language.
type Function struct {
	Name      string
	Group     string // heading in the documentation
	Signature string // name(parameter: type, ...) -> type; "?" marks optional, "..." repeated ones
	Doc       string
	Examples  []Example
	Volatile  bool // its value does not follow from its arguments alone
}

// Example is an expression without columns and the text of its value ("NULL" for NULL).
type Example struct {
	Expression string
	Result     string
}

// Functions returns the functions in the order of the documentation.
func Functions() []Function {
	entries := registry().entries
	out := make([]Function, len(entries))
	for i, entry := range entries {
		out[i] = entry.Function
	}
	return out
}

// entry is a function with its implementation: run over coerced arguments, or bind, which makes
// a node of its own.
type entry struct {
	Function
	parameters []parameter
	result     batch.Type
	run        function
	bind       func(c *call) *node
	seesNull   bool // run is called for NULL arguments too
	hidden     bool // not in the documentation: reached through operators
}

// parameter is one of a signature.
type parameter struct {
	name     string
	typ      string
	optional bool
	repeated bool
}

// call is one use of a function.
type call struct {
	*binder
	entry *entry
	args  []*node
	at    span
}

// node makes an opCall of the entry's run, or another.
func (c *call) node(typ batch.Type, run function) *node {
	return c.folded(&node{
		op: opCall, name: c.entry.Name, typ: typ, args: c.args, at: c.at, run: run,
		strict: !c.entry.seesNull, volatile: c.entry.Volatile,
	})
}

type registered struct {
	entries []*entry // documented ones
	byName  map[string]*entry
	names   []string
}

// registry is built once and never altered.
var registry = sync.OnceValue(func() *registered {
	r := &registered{byName: map[string]*entry{}}
	groups := [][]entry{
		nullFunctions(), castFunctions(), textFunctions(), regexFunctions(), numberFunctions(),
		timeFunctions(), hashFunctions(), jsonFunctions(), listFunctions(),
	}
	for _, group := range groups {
		for _, e := range group {
			e.parse()
			r.byName[e.Name] = &e
			if !e.hidden {
				r.entries = append(r.entries, &e)
				r.names = append(r.names, e.Name)
			}
		}
	}
	r.names = append(r.names, predicateNames()...)
	for alias, name := range aliases() {
		r.byName[alias] = r.byName[name]
	}
	return r
})

// aliases are other usual names.
func aliases() map[string]string {
	return map[string]string{
		"len": "length", "str": "to_string", "string": "to_string", "substring": "substr",
		"ifnull": "coalesce", "nvl": "coalesce", "min": "least", "max": "greatest",
		"ceiling": "ceil", "pow": "power", "toJSON": "to_json", "fromJSON": "parse_json",
		"numeric": "decimal", "hasPrefix": "starts_with", "hasSuffix": "ends_with", "double": "float",
		"integer":           "int",
		"current_timestamp": "now", "repeat": "repeat_text", "duration": "to_duration",
	}
}

// parse reads the signature.
func (e *entry) parse() {
	name, rest, _ := strings.Cut(e.Signature, "(")
	e.Name = name
	inside, result, _ := strings.Cut(rest, ") -> ")
	if inside != "" {
		for text := range strings.SplitSeq(inside, ", ") {
			var p parameter
			p.name, p.typ, _ = strings.Cut(text, ": ")
			p.name, p.optional = strings.CutSuffix(p.name, "?")
			p.name, p.repeated = strings.CutSuffix(p.name, "...")
			e.parameters = append(e.parameters, p)
		}
	}
	if typ, err := batch.ParseType(result); err == nil {
		e.result = typ
	}
}

// find returns the function of a call in the source, nil for one that takes a predicate; message
// and hint say why there is none, or that it takes another number of arguments.
func find(name string, arguments []ast.Node) (e *entry, message, hint string) {
	e = registry().byName[name]
	takesPredicate := slices.Contains(predicateNames(), name)
	switch {
	case (e == nil || e.hidden) && takesPredicate:
		return nil, "", ""
	case isPredicate(arguments) && !takesPredicate:
		return nil, name + " is not supported", "the functions on lists are all, any, none, one, filter, " +
			"map, count, find, list_sum, list_min, list_max, list_get, list_contains and length"
	case isPredicate(arguments):
		return nil, "", ""
	case e == nil || e.hidden:
		return nil, fmt.Sprintf("unknown function %q", name), didYouMean(name, registry().names)
	}
	least, most := e.arity()
	if len(arguments) < least || len(arguments) > most {
		return nil, fmt.Sprintf("%s takes %s, not %d", e.Name, countWords(least, most), len(arguments)),
			e.Signature
	}
	return e, "", ""
}

// arity returns the least and the most arguments.
func (e *entry) arity() (least, most int) {
	most = len(e.parameters)
	for _, p := range e.parameters {
		if !p.optional {
			least++
		}
		if p.repeated {
			most = manyArguments
		}
	}
	return least, most
}

const manyArguments = 1000

// call binds a function call of the source.
func (b *binder) call(name string, arguments []ast.Node, at span) *node {
	e, message, hint := find(name, arguments)
	if message != "" {
		return b.fail(at, hint, "%s", message)
	}
	if e == nil {
		return b.each(name, arguments, at)
	}
	args := make([]*node, len(arguments))
	for i, argument := range arguments {
		args[i] = b.bind(argument)
	}
	return b.callNamed(e.Name, args, at)
}

func isPredicate(arguments []ast.Node) bool {
	return slices.ContainsFunc(arguments, func(n ast.Node) bool {
		_, ok := n.(*ast.PredicateNode)
		return ok
	})
}

// callNamed binds a call over bound arguments.
func (b *binder) callNamed(name string, args []*node, at span) *node {
	if b.err != nil {
		return b.null(at)
	}
	e := registry().byName[name]
	c := &call{binder: b, entry: e, args: slices.Clone(args), at: at}
	if !c.coerceArguments() {
		return b.null(at)
	}
	if e.bind != nil {
		return e.bind(c)
	}
	return c.node(e.result, e.run)
}

// coerceArguments checks types.
func (c *call) coerceArguments() bool {
	parameters := c.entry.parameters
	for i := range c.args {
		c.args[i] = c.coerceArgument(parameters[min(i, len(parameters)-1)], c.args[i])
	}
	return c.err == nil
}

func countWords(least, most int) string {
	switch {
	case most == manyArguments:
		return fmt.Sprintf("%d or more arguments", least)
	case least != most:
		return fmt.Sprintf("%d to %d arguments", least, most)
	case least == 1:
		return "1 argument"
	}
	return fmt.Sprintf("%d arguments", least)
}

// coerceArgument brings one argument to its parameter's type.
func (c *call) coerceArgument(p parameter, n *node) *node {
	typ := n.typ
	null := typ.Kind == batch.Null
	wanted := ""
	switch p.typ {
	case "any":
		return n
	case "string":
		if null || typ.Text() {
			return c.coerce(n, batch.Of(batch.String))
		}
		wanted = "convert it with to_string(...)"
	case "bytes":
		if typ.Kind == batch.Binary || typ.Kind == batch.String {
			return n
		}
		if null || typ.Kind == batch.JSON {
			return c.coerce(n, batch.Of(batch.Binary))
		}
		wanted = "convert it with to_string(...)"
	case "int":
		if null || typ.Integer() {
			return c.coerce(n, batch.Of(batch.Int64))
		}
		wanted = "convert it with int(...)"
	case "float":
		if null || typ.Numeric() {
			return c.coerce(n, batch.Of(batch.Float64))
		}
		wanted = "convert it with float(...)"
	case "number":
		if null {
			return c.coerce(n, batch.Of(batch.Float64))
		}
		if typ.Numeric() {
			return c.widen(n)
		}
		wanted = "convert it with int(...), float(...) or decimal(..., precision, scale)"
	case "bool":
		return c.condition(n)
	default:
		return c.coerceSpecial(p, n)
	}
	return c.fail(n.at, wanted, "%s: %s must be a %s, this is %s", c.entry.Name, p.name, p.typ, typ)
}

// coerceSpecial handles moments, JSON and lists.
func (c *call) coerceSpecial(p parameter, n *node) *node {
	typ := n.typ
	hint := ""
	switch p.typ {
	case "moment":
		switch {
		case typ.Kind == batch.Date || typ.Kind == batch.Timestamp:
			return n
		case typ.Kind == batch.Null:
			return c.coerce(n, batch.TimestampOf(batch.Microsecond, ""))
		case typ.Kind == batch.String && n.op == opConstant:
			if _, ok := batch.ParseDate(n.constant.text); ok {
				return c.coerce(n, batch.Of(batch.Date))
			}
			return c.coerce(n, batch.TimestampOf(batch.Microsecond, ""))
		}
		hint = "convert it with date(...) or timestamp(...)"
	case "json":
		switch typ.Kind {
		case batch.JSON:
			return n
		case batch.String, batch.Null:
			// Text is taken as JSON as it stands; what is not JSON has no members.
			return &node{
				op: opCall, name: "as_json", typ: batch.Of(batch.JSON), args: []*node{n}, at: n.at,
				run: func(_ *frame, args []value) (value, string) { return args[0], "" }, strict: true,
			}
		}
		hint = "convert it with to_json(...)"
	case "list":
		if typ.Kind == batch.List {
			return n
		}
	case "map":
		if typ.Kind == batch.Map {
			return n
		}
	}
	return c.fail(n.at, hint, "%s: %s must be a %s, this is %s", c.entry.Name, p.name, p.typ, typ)
}

// constantText returns a literal text argument, for options known when binding.
func (c *call) constantText(i int) (string, bool) {
	n := c.args[i]
	if n.op != opConstant || n.constant.null {
		c.fail(n.at, "", "%s: %s must be a literal text", c.entry.Name,
			c.entry.parameters[min(i, len(c.entry.parameters)-1)].name)
		return "", false
	}
	return string(n.constant.text), true
}

// constantInt returns a literal integer argument within limits.
func (c *call) constantInt(i, least, most int) (int, bool) {
	n := c.args[i]
	if n.op != opConstant || n.constant.null || n.constant.int() < int64(least) ||
		n.constant.int() > int64(most) {
		c.fail(n.at, "", "%s: %s must be a literal integer from %d to %d", c.entry.Name,
			c.entry.parameters[min(i, len(c.entry.parameters)-1)].name, least, most)
		return 0, false
	}
	return int(n.constant.int()), true
}
