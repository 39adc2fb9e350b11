package expr

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/parser/lexer"
)

// Limits of one expression; text beyond them is refused before the parser recurses over it.
const (
	maxSourceBytes = 64 << 10
	maxNesting     = 200
	maxBranches    = 1000 // conditionals and powers, which nest to the right
)

// Expression is a parsed expression, not yet bound to a schema. It is immutable.
type Expression struct {
	source string
	root   ast.Node
}

// Parse reads an expression's syntax. Its error is an *Error with line, column and excerpt.
func Parse(source string) (x *Expression, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			x, err = nil, newError(source, span{0, 1}, fmt.Sprintf("unreadable expression: %v", fault), "")
		}
	}()
	if len(source) > maxSourceBytes {
		return nil, newError(source[:40], span{0, 1},
			fmt.Sprintf("expression has %d bytes, the limit is %d", len(source), maxSourceBytes), "")
	}
	if !utf8.ValidString(source) {
		return nil, newError(strings.ToValidUTF8(source, "?"), span{0, 1}, "expression is not UTF-8", "")
	}
	if strings.TrimSpace(source) == "" {
		return nil, newError(source, span{0, 1}, "expression is empty", "")
	}
	if err := scan(source); err != nil {
		return nil, err
	}
	tree, err := parser.Parse(source)
	if err != nil {
		return nil, syntaxError(source, err)
	}
	check := &callChecker{source: source}
	ast.Walk(&tree.Node, check)
	if check.err != nil {
		return nil, check.err
	}
	return &Expression{source: source, root: tree.Node}, nil
}

// callChecker finds what is wrong with calls whatever the schema: unknown functions, the number of
// arguments and patterns that do not compile.
type callChecker struct {
	source string
	err    *Error // the first
}

// Visit checks one node.
func (c *callChecker) Visit(n *ast.Node) {
	switch n := (*n).(type) {
	case *ast.CallNode:
		if callee, ok := n.Callee.(*ast.IdentifierNode); ok {
			c.call(n, callee.Value, n.Arguments)
		}
	case *ast.BuiltinNode:
		c.call(n, n.Name, n.Arguments)
	case *ast.BinaryNode:
		if n.Operator == "matches" {
			c.pattern(n.Right)
		}
	}
}

func (c *callChecker) call(n ast.Node, name string, arguments []ast.Node) {
	e, message, hint := find(name, arguments)
	if message != "" {
		c.fail(spanOfNode(n), message, hint)
	}
	if e != nil && e.Group == groupRegex && len(arguments) > 1 {
		c.pattern(arguments[1])
	}
}

func (c *callChecker) pattern(n ast.Node) {
	literal, ok := n.(*ast.StringNode)
	if !ok {
		return
	}
	if _, message := compile(literal.Value); message != "" {
		c.fail(spanOf(n.Location()), message, "")
	}
}

func (c *callChecker) fail(at span, message, hint string) {
	if fault := newError(c.source, at, message, hint); c.err == nil ||
		fault.Line < c.err.Line || fault.Line == c.err.Line && fault.Column < c.err.Column {
		c.err = fault
	}
}

// Source returns the expression's text.
func (x *Expression) Source() string { return x.source }

// References returns the top-level names the expression uses as columns, in order of appearance,
// each once.
func (x *Expression) References() []string {
	callees := callees{}
	ast.Walk(&x.root, callees)
	c := &collector{callees: callees}
	ast.Walk(&x.root, c)
	return c.names
}

// callees are the nodes that name functions.
type callees map[ast.Node]bool

// Visit notes a call's callee.
func (c callees) Visit(n *ast.Node) {
	if call, ok := (*n).(*ast.CallNode); ok {
		c[call.Callee] = true
	}
}

// collector gathers the names of columns.
type collector struct {
	names   []string
	callees callees
}

// Visit notes identifiers, col('name') and $env['name'].
func (c *collector) Visit(n *ast.Node) {
	switch n := (*n).(type) {
	case *ast.IdentifierNode:
		if !c.callees[n] && !isNullWord(n.Value) && n.Value != "$env" {
			c.add(n.Value)
		}
	case *ast.CallNode:
		callee, ok := n.Callee.(*ast.IdentifierNode)
		if ok && callee.Value == "col" && len(n.Arguments) == 1 {
			c.addLiteral(n.Arguments[0])
		}
	case *ast.MemberNode:
		if of, ok := n.Node.(*ast.IdentifierNode); ok && of.Value == "$env" {
			c.addLiteral(n.Property)
		}
	}
}

func (c *collector) add(name string) {
	if !slices.Contains(c.names, name) {
		c.names = append(c.names, name)
	}
}

func (c *collector) addLiteral(n ast.Node) {
	if name, ok := n.(*ast.StringNode); ok {
		c.add(name.Value)
	}
}

func isNullWord(name string) bool { return name == "null" || name == "NULL" }

// scan refuses, token by token, what would nest too deeply and what other languages write
// differently; the parser's own message for those would not help.
func scan(source string) *Error {
	tokens, err := lexer.Lex(file.NewSource(source))
	if err != nil {
		return syntaxError(source, err)
	}
	prefixOperators := []string{"!", "not", "-", "+"}
	nesting, prefixes, branches := 0, 0, 0
	for i, token := range tokens {
		if token.Kind == lexer.Bracket {
			if strings.Contains("([{", token.Value) {
				nesting++
			} else {
				nesting--
			}
		}
		prefixes++
		if !token.Is(lexer.Operator) || !slices.Contains(prefixOperators, token.Value) {
			prefixes = 0
		}
		if token.Is(lexer.Operator, "?") || token.Is(lexer.Operator, "**") ||
			token.Is(lexer.Operator, "^") || token.Is(lexer.Operator, "if") {
			branches++
		}
		if nesting+prefixes > maxNesting || branches > maxBranches {
			return newError(source, spanOf(token.Location),
				fmt.Sprintf("expression nests deeper than %d", maxNesting), "")
		}
		var next lexer.Token
		if i+1 < len(tokens) {
			next = tokens[i+1]
		}
		if calledIf(tokens[i:]) {
			return newError(source, spanOf(token.Location), "\"if\" is not a function",
				"use condition ? a : b, or if condition {a} else {b}")
		}
		if message, hint := foreign(token, next); message != "" {
			return newError(source, spanOf(token.Location), message, hint)
		}
	}
	return nil
}

// foreign recognises spellings of other languages.
func foreign(token, next lexer.Token) (message, hint string) {
	adjacent := token.To == next.From
	switch {
	case token.Is(lexer.Operator, "let"):
		return "let is not supported", "write the value out, or compute it as a column first"
	case token.Is(lexer.Operator, ";"):
		return "an expression is one value; \";\" is not supported", ""
	case token.Is(lexer.Operator, "="):
		return "\"=\" does not compare", "use \"==\""
	case token.Is(lexer.Operator, "<") && next.Is(lexer.Operator, ">") && adjacent:
		return "\"<>\" is not an operator", "use \"!=\""
	case token.Is(lexer.Operator, "&"):
		return "\"&\" is not an operator", "use \"&&\" or \"and\""
	case token.Is(lexer.Operator, "::"):
		return "\"::\" is not an operator", castHint
	case token.Is(lexer.Bracket, "(") && next.Is(lexer.Operator, "*"):
		return "\"*\" is not a value", "an expression sees one row at a time; there are no aggregates"
	case token.Kind == lexer.Identifier:
		return keyword(token, next)
	}
	return "", ""
}

const castHint = "convert with int(x), float(x), decimal(x, precision, scale), to_string(x), date(x) " +
	"or timestamp(x)"

// keyword recognises SQL's words where an operator is due: a name directly followed by a value.
func keyword(token, next lexer.Token) (message, hint string) {
	word := strings.ToUpper(token.Value)
	negated := word == "IS" && next.Is(lexer.Operator, "not")
	switch {
	case next.Kind == lexer.EOF, next.Kind == lexer.Operator && !negated:
		return "", ""
	case next.Kind == lexer.Bracket && !slices.Contains([]string{"AND", "OR", "NOT", "IN"}, word):
		return "", "" // a function of that name
	}
	hint, ok := map[string]string{
		"AND": "use \"and\" or \"&&\"", "OR": "use \"or\" or \"||\"", "NOT": "use \"not\" or \"!\"",
		"IN": "use \"in\" with a list: x in ['a', 'b']", "IS": "use \"== nil\" or \"!= nil\"",
		"LIKE":  "use contains, startsWith, endsWith or matches",
		"ILIKE": "use contains, startsWith, endsWith or matches over lower(x)",
		"RLIKE": "use matches", "BETWEEN": "use between(x, low, high)",
		"CASE": "use condition ? a : b", "AS": castHint,
	}[word]
	if !ok {
		return "", ""
	}
	return fmt.Sprintf("%q is not an operator here", token.Value), hint
}

// calledIf reports an if that is written as a function, if(condition, a, b).
func calledIf(tokens []lexer.Token) bool {
	if len(tokens) < 2 || !tokens[0].Is(lexer.Operator, "if") || !tokens[1].Is(lexer.Bracket, "(") {
		return false
	}
	depth := 0
	for _, token := range tokens[1:] {
		switch {
		case token.Kind == lexer.Bracket && strings.Contains("([{", token.Value):
			depth++
		case token.Kind == lexer.Bracket:
			depth--
		case depth == 1 && token.Is(lexer.Operator, ","):
			return true
		}
		if depth == 0 {
			return false
		}
	}
	return false
}

var unexpected = regexp.MustCompile(`^unexpected token \w+\((".*")\)`)

// syntaxError turns the library's error into ours.
func syntaxError(source string, err error) *Error {
	fault := &file.Error{}
	ok := errors.As(err, &fault)
	if !ok {
		return newError(source, span{0, 1}, err.Error(), "")
	}
	message, hint := fault.Message, ""
	switch {
	case strings.HasPrefix(message, "unexpected token EOF"):
		message = "the expression ends too early" + strings.TrimPrefix(message, "unexpected token EOF")
	case unexpected.MatchString(message):
		message = unexpected.ReplaceAllString(message, "unexpected $1")
	case strings.HasPrefix(message, "unrecognized character"):
		_, ch, _ := strings.Cut(message, " '")
		message = fmt.Sprintf("%q is not an operator", strings.TrimSuffix(ch, "'"))
		if ch == "~'" {
			hint = "use matches"
		}
	case strings.HasPrefix(message, "invalid float literal"):
		message, hint = "the number is beyond the range of a float64", "write decimal('...') for large exact ones"
	case strings.Contains(message, "invalid integer literal"):
		hint = "integers go to 9223372036854775807; write decimal('...') for larger ones"
	}
	return newError(source, spanOf(fault.Location), lowerFirst(message), hint)
}

func lowerFirst(s string) string {
	if s == "" {
		return s
	}
	return strings.ToLower(s[:1]) + s[1:]
}
