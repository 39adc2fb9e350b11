package expr

import (
	"fmt"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"

	"github.com/tapeline/tapeline/internal/fault"
)

// Error is a fault in an expression's text, with its place.
type Error struct {
	Message string // what is wrong
	Hint    string // what to write instead; "" when unknown
	Line    int    // from 1
	Column  int    // in characters, from 1
	Width   int    // characters marked by the caret, at least 1
	Excerpt string // the source line
}

// Error returns message, place, the source line with carets under the fault, and the hint.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s at %d:%d\n  %s\n  ", e.Message, e.Line, e.Column, e.Excerpt)
	for i, ch := range []rune(e.Excerpt) {
		if i >= e.Column-1 {
			break
		}
		if ch != '\t' {
			ch = ' '
		}
		b.WriteRune(ch)
	}
	b.WriteString(strings.Repeat("^", e.Width))
	if e.Hint != "" {
		b.WriteString("\n" + e.Hint)
	}
	return b.String()
}

// span is a range of characters in the source.
type span struct{ from, to int }

func spanOf(l file.Location) span { return span{l.From, l.To} }

// newError returns an Error for a span of the source.
func newError(source string, at span, message, hint string) *Error {
	text := []rune(source)
	at.from = max(0, min(at.from, len(text)))
	line, start := 1, 0
	for i, ch := range text[:at.from] {
		if ch == '\n' {
			line, start = line+1, i+1
		}
	}
	end := start
	for end < len(text) && text[end] != '\n' {
		end++
	}
	width := max(1, min(at.to, end)-at.from)
	return &Error{
		Message: message, Hint: hint, Line: line, Column: at.from - start + 1,
		Width: width, Excerpt: string(text[start:end]),
	}
}

// spanOfNode returns the characters a tree was written with, as far as its nodes tell.
func spanOfNode(n ast.Node) span {
	s := span{-1, -1}
	add := func(o span) {
		if o.to <= 0 && o.from <= 0 {
			return
		}
		if s.from < 0 || o.from < s.from {
			s.from = o.from
		}
		s.to = max(s.to, o.to)
	}
	var walk func(n ast.Node, depth int)
	walk = func(n ast.Node, depth int) {
		if n == nil || depth > 50 {
			return
		}
		switch n := n.(type) {
		case *ast.BinaryNode:
			walk(n.Left, depth+1)
			add(spanOf(n.Location()))
			walk(n.Right, depth+1)
		case *ast.UnaryNode:
			add(spanOf(n.Location()))
			walk(n.Node, depth+1)
		case *ast.MemberNode:
			walk(n.Node, depth+1)
			walk(n.Property, depth+1)
		case *ast.ChainNode:
			walk(n.Node, depth+1)
		case *ast.ConditionalNode:
			walk(n.Cond, depth+1)
			walk(n.Exp1, depth+1)
			walk(n.Exp2, depth+1)
		case *ast.PredicateNode:
			walk(n.Node, depth+1)
		default:
			add(spanOf(n.Location()))
		}
	}
	walk(n, 0)
	if s.from < 0 {
		return span{0, 1}
	}
	return s
}

func didYouMean(name string, candidates []string) string {
	if best := fault.Nearest(name, candidates); best != "" {
		return fmt.Sprintf("did you mean %q?", best)
	}
	return ""
}
