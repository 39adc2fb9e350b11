package tidy

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Finding is one breach of a rule: where it is and what to write instead.
type Finding struct {
	Path string // slash-separated, relative to the root of the repository
	Line int    // 1-based; 0 when the whole file or folder is meant
	Text string // what is wrong and its replacement
	Soft bool   // a warning: logged, never a failure
}

// String formats the finding as path:line: text.
func (f Finding) String() string {
	return fmt.Sprintf("%s:%d: %s", f.Path, f.Line, f.Text)
}

// source is one parsed Go file.
type source struct {
	path      string // slash-separated, relative to the root
	text      []byte
	file      *ast.File
	positions *token.FileSet
}

// dir returns the folder of the file, "." for the root.
func (s *source) dir() string { return path.Dir(s.path) }

// test reports whether the file is compiled for tests only.
func (s *source) test() bool { return strings.HasSuffix(s.path, "_test.go") }

// generated reports whether a tool wrote the file.
func (s *source) generated() bool {
	return strings.HasSuffix(s.path, "_gen.go") || ast.IsGenerated(s.file)
}

// line returns the 1-based line of a position.
func (s *source) line(pos token.Pos) int { return s.positions.Position(pos).Line }

// find builds a finding at a position of the file.
func (s *source) find(pos token.Pos, format string, args ...any) Finding {
	return Finding{Path: s.path, Line: s.line(pos), Text: fmt.Sprintf(format, args...)}
}

// imports maps each import's local name to its path.
func (s *source) imports() map[string]string {
	names := make(map[string]string, len(s.file.Imports))
	for _, spec := range s.file.Imports {
		target, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue // the parser has accepted it, so this cannot name a package
		}
		name := path.Base(target)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		names[name] = target
	}
	return names
}

// Tree is the repository as the rules see it.
type Tree struct {
	sources []*source
	texts   map[string][]byte // every other text file, by path
	files   map[string]bool   // every path that exists, folders included
}

// Load reads the repository below root: Go files parsed with comments, other text files as bytes.
// Folders that hold no source (.git, bin, run state, bench output) and testdata's Go files are
// left out. An unparsable Go file is an error that names it.
func Load(root string) (*Tree, error) {
	tree := &Tree{texts: map[string][]byte{}, files: map[string]bool{".": true}}
	var names []string
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			if os.IsNotExist(err) {
				return nil // removed while we walk
			}
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if entry.IsDir() && skipFolder(rel) {
			return filepath.SkipDir
		}
		tree.files[rel] = true
		if entry.Type().IsRegular() {
			names = append(names, rel)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("walk repository: %w", err)
	}
	return tree, tree.read(root, names)
}

// skipFolder reports whether a folder holds nothing that is committed.
func skipFolder(rel string) bool {
	switch rel {
	case "bin", "bench/out":
		return true
	}
	base := path.Base(rel)
	return base == ".git" || base == ".tapeline"
}

// read fills the tree from the named files, on all cores.
func (t *Tree) read(root string, names []string) error {
	const maxTextBytes = 1 << 20 // a larger file is data, not text of ours
	var (
		mu    sync.Mutex
		first error
		wait  sync.WaitGroup
	)

	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	for _, name := range names {
		slots <- struct{}{}
		wait.Go(func() {
			defer func() { <-slots }()
			text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
			mu.Lock()
			defer mu.Unlock()
			switch {
			case os.IsNotExist(err):
			case err != nil:
				first = err
			case len(text) <= maxTextBytes && !bytes.Contains(text[:min(len(text), 8000)], []byte{0}):
				t.texts[name] = text
			}
		})
	}
	wait.Wait()
	if first != nil {
		return fmt.Errorf("read repository: %w", first)
	}
	return t.parse()
}

// parse turns the Go files among the texts into sources, on all cores.
func (t *Tree) parse() error {
	var names []string
	for name := range t.texts {
		if strings.HasSuffix(name, ".go") && !strings.Contains("/"+name, "/testdata/") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	t.sources = make([]*source, len(names))
	problems := make([]error, len(names))
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	var wait sync.WaitGroup
	for i, name := range names {
		slots <- struct{}{}
		wait.Go(func() {
			defer func() { <-slots }()
			t.sources[i], problems[i] = parse(name, t.texts[name])
		})
	}
	wait.Wait()
	for _, err := range problems {
		if err != nil {
			return err
		}
	}
	return nil
}

// parse parses one Go file with its comments.
func parse(name string, text []byte) (*source, error) {
	positions := token.NewFileSet()
	file, err := parser.ParseFile(positions, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, fmt.Errorf("parse %s: %w", name, err)
	}
	return &source{path: name, text: text, file: file, positions: positions}, nil
}

// packages groups the sources by folder.
func (t *Tree) packages() map[string][]*source {
	byDir := map[string][]*source{}
	for _, s := range t.sources {
		byDir[s.dir()] = append(byDir[s.dir()], s)
	}
	return byDir
}

// matchFolder reports whether a folder matches a pattern: "a/b" itself, "a/*" one element below,
// "a/..." a and everything below.
func matchFolder(pattern, dir string) bool {
	if base, ok := strings.CutSuffix(pattern, "/..."); ok {
		return dir == base || strings.HasPrefix(dir, base+"/")
	}
	matched, err := path.Match(pattern, dir)
	return err == nil && matched
}

// matchAny reports whether a folder matches one of the patterns.
func matchAny(patterns []string, dir string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matchFolder(p, dir) })
}
