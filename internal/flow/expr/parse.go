package expr

import (
	"errors"
	"fmt"
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
	return &Expression{source: source, root: tree.Node}, nil
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
	case token.Kind == lexer.Identifier && next.Kind != lexer.Operator && next.Kind != lexer.EOF:
		return keyword(token, next)
	}
	return "", ""
}

// keyword recognises SQL's words where an operator is due: a name directly followed by a value.
func keyword(token, next lexer.Token) (message, hint string) {
	if next.Kind == lexer.Bracket && next.Value != "(" && token.Value != "IN" {
		return "", ""
	}
	instead := map[string]string{
		"AND": "use \"and\" or \"&&\"", "OR": "use \"or\" or \"||\"", "NOT": "use \"not\" or \"!\"",
		"IN": "use \"in\" with a list: x in ['a', 'b']", "LIKE": "use contains, startsWith, " +
			"endsWith or matches", "IS": "use \"== nil\" or \"!= nil\"",
		"is": "use \"== nil\" or \"!= nil\"", "like": "use contains, startsWith, endsWith or matches",
		"BETWEEN": "use between(x, low, high)", "CASE": "use condition ? a : b",
	}
	if hint, ok := instead[token.Value]; ok {
		return fmt.Sprintf("%q is not an operator here", token.Value), hint
	}
	return "", ""
}

// syntaxError turns the library's error into ours.
func syntaxError(source string, err error) *Error {
	fault := &file.Error{}
	ok := errors.As(err, &fault)
	if !ok {
		return newError(source, span{0, 1}, err.Error(), "")
	}
	message := fault.Message
	if rest, ok := strings.CutPrefix(message, "unexpected token EOF"); ok {
		message = "the expression ends too early" + rest
	}
	hint := ""
	if strings.Contains(message, "invalid integer literal") {
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
