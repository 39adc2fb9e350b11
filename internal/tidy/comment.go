package tidy

import (
	"go/ast"
	"slices"
	"strings"
)

// maxPackageCommentLines bounds a package comment: what, path, invariants, what it must not know.
const maxPackageCommentLines = 25

// publicPatterns names the folders whose exported names are a promise to other modules.
func publicPatterns() []string { return []string{".", "batch", "connector", "connector/conntest"} }

// examplePatterns names the packages that must show a runnable example.
func examplePatterns() []string { return []string{"batch", "connector"} }

// PackageComments checks that every package has exactly one comment, of at most 25 lines.
func PackageComments(t *Tree) []Finding {
	var found []Finding
	for dir, sources := range t.packages() {
		if !slices.ContainsFunc(sources, notTest) {
			continue
		}
		comments := 0
		for _, s := range sources {
			if s.test() || s.file.Doc == nil {
				continue
			}
			comments++
			if lines := s.span(s.file.Doc); lines > maxPackageCommentLines {
				found = append(found, s.find(s.file.Doc.Pos(), "package comment has %d lines, the limit "+
					"is %d: the rest belongs to docs/", lines, maxPackageCommentLines))
			}
		}
		switch {
		case comments == 0:
			found = append(found, Finding{Path: dir, Text: "no package comment: add doc.go with what it " +
				"is, the path of one item, its invariants and what it must not know"})
		case comments > 1:
			found = append(found, Finding{Path: dir, Text: "more than one package comment: keep doc.go's"})
		}
	}
	return found
}

// PublicDocs checks that exported names of public packages carry a comment that begins with the
// name, and that the packages a connector's author meets first show a runnable example.
func PublicDocs(t *Tree) []Finding {
	var found []Finding
	for dir, sources := range t.packages() {
		if !matchAny(publicPatterns(), dir) || !slices.ContainsFunc(sources, notTest) {
			continue
		}
		example := false
		for _, s := range sources {
			if s.test() {
				example = example || hasExample(s)
				continue
			}
			for _, declared := range s.file.Decls {
				found = append(found, undocumented(s, declared)...)
			}
		}
		if !example && matchAny(examplePatterns(), dir) {
			found = append(found, Finding{Path: dir, Text: "no runnable example: add func Example... " +
				"to example_test.go"})
		}
	}
	return found
}

func hasExample(s *source) bool {
	return slices.ContainsFunc(s.file.Decls, func(declared ast.Decl) bool {
		function, ok := declared.(*ast.FuncDecl)
		return ok && function.Recv == nil && strings.HasPrefix(function.Name.Name, "Example")
	})
}

// undocumented checks one top-level declaration of a public package.
func undocumented(s *source, declared ast.Decl) []Finding {
	switch d := declared.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && exportedReceiver(d) {
			return checkDoc(s, d.Name, d.Doc)
		}
	case *ast.GenDecl:
		var found []Finding
		for _, spec := range d.Specs {
			if named, ok := spec.(*ast.TypeSpec); ok && named.Name.IsExported() {
				doc := named.Doc
				if doc == nil {
					doc = d.Doc
				}
				found = append(found, checkDoc(s, named.Name, doc)...)
			}
		}
		return found
	}
	return nil
}

// exportedReceiver reports whether a function is plain or a method of an exported type.
func exportedReceiver(f *ast.FuncDecl) bool {
	if f.Recv == nil {
		return true
	}
	receiver := f.Recv.List[0].Type
	for {
		switch r := receiver.(type) {
		case *ast.StarExpr:
			receiver = r.X
		case *ast.IndexExpr:
			receiver = r.X
		case *ast.IndexListExpr:
			receiver = r.X
		case *ast.Ident:
			return r.IsExported()
		default:
			return false
		}
	}
}

// checkDoc checks that a comment exists and begins with the name.
func checkDoc(s *source, name *ast.Ident, doc *ast.CommentGroup) []Finding {
	if doc == nil {
		return []Finding{s.find(name.Pos(), "exported %s has no comment", name.Name)}
	}
	text := strings.TrimSpace(doc.Text())
	for _, article := range []string{"A ", "An ", "The "} {
		text = strings.TrimPrefix(text, article)
	}
	if !strings.HasPrefix(text, name.Name) {
		return []Finding{s.find(name.Pos(), "comment of %s should begin with its name", name.Name)}
	}
	return nil
}
