package tidy

import (
	"bytes"
	"go/ast"
	"go/token"
)

// Limits in lines.
const (
	maxFunctionLines = 70
	softFileLines    = 600
	maxFileLines     = 900
	maxTestFileLines = 1500
)

// Lengths checks the length of functions and files. Generated files are exempt. In test files
// the lines of a composite literal (a table of cases) do not count towards the function.
func Lengths(t *Tree) []Finding {
	var found []Finding
	for _, s := range t.sources {
		if s.generated() {
			continue
		}
		found = append(found, functionLengths(s)...)
		found = append(found, fileLength(s)...)
	}
	return found
}

// fileLength checks one file.
func fileLength(s *source) []Finding {
	lines := bytes.Count(s.text, []byte("\n"))
	limit := maxFileLines
	if s.test() {
		limit = maxTestFileLines
	}
	switch {
	case lines > limit:
		return []Finding{s.find(s.file.Package, "file has %d lines, the limit is %d: split it by "+
			"the reader's question, not by size", lines, limit)}
	case lines > softFileLines && !s.test():
		f := s.find(s.file.Package, "file has %d lines, over %d a split is wanted", lines, softFileLines)
		f.Soft = true
		return []Finding{f}
	}
	return nil
}

// functionLengths checks the functions of one file.
func functionLengths(s *source) []Finding {
	var found []Finding
	ast.Inspect(s.file, func(node ast.Node) bool {
		var name string
		switch f := node.(type) {
		case *ast.FuncDecl:
			name = f.Name.Name
		case *ast.FuncLit: // reached only outside declarations
			name = "function literal"
		default:
			return true
		}
		lines := s.span(node)
		if s.test() {
			lines -= s.tableLines(node)
		}
		if lines > maxFunctionLines {
			found = append(found, s.find(node.Pos(), "%s has %d lines, the limit is %d: name its "+
				"steps as functions", name, lines, maxFunctionLines))
		}
		return false
	})
	return found
}

// span counts the lines from the first to the last of a node.
func (s *source) span(node ast.Node) int {
	start := node.Pos()
	if f, ok := node.(*ast.FuncDecl); ok {
		start = f.Type.Func
	}
	return s.line(node.End()-token.Pos(1)) - s.line(start) + 1
}

// tableLines counts the lines inside the outermost composite literals of a node.
func (s *source) tableLines(node ast.Node) int {
	lines := 0
	ast.Inspect(node, func(inner ast.Node) bool {
		if literal, ok := inner.(*ast.CompositeLit); ok {
			lines += max(0, s.span(literal)-2)
			return false
		}
		return true
	})
	return lines
}
