package tidy

import (
	"go/ast"
	"go/token"
	"path"
	"regexp"
	"strings"
)

// bannedCall is a function that code outside the folders named may not call.
type bannedCall struct {
	pkg, prefix string // import path; start of the function's name
	except      []string
	tests       bool // banned in test files too
	instead     string
}

// printing lists the folders that talk to a person.
func printing() []string { return []string{"internal/cli", "cmd/...", "scripts/...", "bench/..."} }

// bannedCalls returns the table of calls that have a replacement.
func bannedCalls() []bannedCall {
	return []bannedCall{
		{
			pkg: "time", prefix: "Sleep", except: []string{"internal/testenv", "bench/..."}, tests: true,
			instead: "wait for a signal, a timer in a select, or testing/synctest",
		},
		{
			pkg: "context", prefix: "TODO", tests: true,
			instead: "take the caller's context, or context.Background in main and tests",
		},
		{
			pkg: "fmt", prefix: "Print", except: printing(), tests: true,
			instead: "log with slog, or return the text; only the command line prints",
		},
		{
			pkg: "os", prefix: "Exit", except: printing(),
			instead: "return an error; only the command line ends the process",
		},
	}
}

// bannedImports maps an import to what to use instead.
func bannedImports() map[string]string {
	return map[string]string{
		"log":                         "log/slog",
		"io/ioutil":                   "io and os",
		"github.com/stretchr/testify": "the standard library and go-cmp",
		"github.com/golang/mock":      "a fake with function fields",
		"go.uber.org/mock":            "a fake with function fields",
		"github.com/pkg/errors":       "fmt.Errorf with %w",
	}
}

// bannedPackage matches package names that say nothing about what they provide.
var bannedPackage = regexp.MustCompile(`^(utils?|commons?|helpers?|types?|models?|base|misc|shared)$`)

// Bans checks names, imports, calls and marks that the house does without.
func Bans(t *Tree) []Finding {
	var found []Finding
	for _, s := range t.sources {
		name := strings.TrimSuffix(s.file.Name.Name, "_test")
		if bannedPackage.MatchString(name) || bannedPackage.MatchString(path.Base(s.dir())) {
			found = append(found, s.find(s.file.Name.Pos(),
				"package %s: name a package for what it provides", name))
		}
		for _, spec := range s.file.Imports {
			for target, instead := range bannedImports() {
				if got := importPath(spec); got == target || strings.HasPrefix(got, target+"/") &&
					strings.Contains(target, ".") {
					found = append(found, s.find(spec.Pos(), "import of %s: use %s", got, instead))
				}
			}
		}
		found = append(found, bannedFunctions(s)...)
		found = append(found, bannedMarks(s)...)
	}
	return found
}

// bannedFunctions checks the declarations and calls of one file.
func bannedFunctions(s *source) []Finding {
	var found []Finding
	imports := s.imports()
	calls := bannedCalls()
	for _, declared := range s.file.Decls {
		function, isFunction := declared.(*ast.FuncDecl)
		if isFunction && function.Recv == nil && function.Name.Name == "init" {
			found = append(found, s.find(function.Pos(),
				"init(): build the value in a constructor and pass it; registries are values"))
		}
		example := isFunction && s.test() && strings.HasPrefix(function.Name.Name, "Example")
		ast.Inspect(declared, func(node ast.Node) bool {
			switch n := node.(type) {
			case *ast.SelectorExpr:
				found = append(found, checkSelector(s, n, imports, calls, example)...)
			case *ast.CallExpr:
				found = append(found, checkCall(s, n, imports)...)
			}
			return true
		})
	}
	return found
}

// checkSelector checks a reference such as time.Sleep against the table of banned calls.
func checkSelector(s *source, selector *ast.SelectorExpr, imports map[string]string,
	calls []bannedCall, example bool,
) []Finding {
	owner, ok := selector.X.(*ast.Ident)
	if !ok {
		return nil
	}
	target, ok := imports[owner.Name]
	if !ok {
		return nil
	}
	for _, ban := range calls {
		if target != ban.pkg || !strings.HasPrefix(selector.Sel.Name, ban.prefix) {
			continue
		}
		if matchAny(ban.except, s.dir()) || s.test() && !ban.tests || example && ban.pkg == "fmt" {
			continue
		}
		return []Finding{s.find(selector.Pos(), "%s.%s: %s", owner.Name, selector.Sel.Name, ban.instead)}
	}
	return nil
}

// checkCall checks panics on errors, the print builtins and the wording of errors.
func checkCall(s *source, call *ast.CallExpr, imports map[string]string) []Finding {
	if name, ok := call.Fun.(*ast.Ident); ok {
		switch {
		case name.Name == "panic" && !s.test() && len(call.Args) == 1 && isError(call.Args[0], imports):
			return []Finding{s.find(call.Pos(),
				"panic with an error: return it; a panic is for a bug, never for input, disk or network")}
		case name.Name == "print" || name.Name == "println":
			return []Finding{s.find(call.Pos(), "%s: log with slog, or return the text", name.Name)}
		}
	}
	if !makesError(call, imports) || len(call.Args) == 0 || s.test() {
		return nil
	}
	text, ok := call.Args[0].(*ast.BasicLit)
	if !ok || text.Kind != token.STRING {
		return nil
	}
	words := strings.ToLower(strings.Trim(text.Value, "\"`"))
	for _, opening := range []string{"failed to", "error ", "could not", "unable to"} {
		if strings.HasPrefix(words, opening) {
			return []Finding{s.find(text.Pos(),
				"error text begins with %q: write operation and object, as in \"open segment 7: %%w\"",
				strings.TrimSpace(opening))}
		}
	}
	return nil
}

// isError reports whether an expression looks like an error value: err, someErr, or a new error.
func isError(value ast.Expr, imports map[string]string) bool {
	switch v := value.(type) {
	case *ast.Ident:
		return v.Name == "err" || strings.HasSuffix(v.Name, "Err")
	case *ast.CallExpr:
		return makesError(v, imports)
	}
	return false
}

// makesError reports whether a call is fmt.Errorf or errors.New.
func makesError(call *ast.CallExpr, imports map[string]string) bool {
	selector, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	owner, ok := selector.X.(*ast.Ident)
	if !ok {
		return false
	}
	return imports[owner.Name] == "fmt" && selector.Sel.Name == "Errorf" ||
		imports[owner.Name] == "errors" && selector.Sel.Name == "New"
}

var (
	undone = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X|HACK)\b(\([a-z][\w-]*\): \S+)?`)
	owned  = regexp.MustCompile(`^TO` + `DO\(`)
)

// bannedMarks checks comments for work left undone.
func bannedMarks(s *source) []Finding {
	var found []Finding
	for _, group := range s.file.Comments {
		for _, comment := range group.List {
			for _, match := range undone.FindAllString(comment.Text, -1) {
				if !owned.MatchString(match) {
					found = append(found, s.find(comment.Pos(), "%s: do it, or write TO"+
						"DO(owner): what, and on which condition", match))
				}
			}
		}
	}
	return found
}
