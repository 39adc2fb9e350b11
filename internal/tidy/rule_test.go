package tidy

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// grow builds a tree from file texts; Go files are parsed, all are visible as text.
func grow(t *testing.T, files map[string]string) *Tree {
	t.Helper()
	tree := &Tree{texts: map[string][]byte{}, files: map[string]bool{".": true}}
	for name, text := range files {
		tree.texts[name] = []byte(text)
		tree.files[name] = true
	}
	if err := tree.parse(); err != nil {
		t.Fatal(err)
	}
	return tree
}

// expect checks that each wanted fragment is in exactly one finding and that no finding is left.
func expect(t *testing.T, found []Finding, want ...string) {
	t.Helper()
	if len(found) != len(want) {
		t.Errorf("got %d findings %v, want %d %q", len(found), found, len(want), want)
	}
	for _, fragment := range want {
		hits := 0
		for _, f := range found {
			if strings.Contains(f.String(), fragment) {
				hits++
			}
		}
		if hits != 1 {
			t.Errorf("%q is in %d findings, want 1: %v", fragment, hits, found)
		}
	}
}

// imports returns a Go file of package p with the imports given, as paths or module-relative.
func imports(paths ...string) string {
	var text strings.Builder
	text.WriteString("package p\n")
	for _, p := range paths {
		fmt.Fprintf(&text, "import _ %q\n", strings.Replace(p, "~", modulePath+"/", 1))
	}
	return text.String()
}

func TestFloorRules(t *testing.T) {
	house, err := ParseHouse(`
# a comment
0 low
0 low2            low
1 mid/*           # patterns
1 mid/special     mid/other
2 connectors/*    !internal internal/allowed low
0 internal/allowed
0 internal/denied
2 liar            up
3 up
test testing/env
1 suite           testing/env
client example.org/driver mid/other
unsafe mid/...
`)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		path    string
		imports []string
		want    string
	}{
		"down":                   {"mid/a/x.go", []string{"~low"}, ""},
		"same floor unlisted":    {"mid/a/x.go", []string{"~mid/b"}, "same floor (1)"},
		"same floor listed":      {"mid/special/x.go", []string{"~mid/other"}, ""},
		"up":                     {"low/x.go", []string{"~mid/a"}, "import goes up: floor 0"},
		"up though listed":       {"liar/x.go", []string{"~up"}, "listed or not"},
		"unknown importer":       {"new/x.go", []string{"fmt"}, "package has no floor"},
		"unknown target":         {"up/x.go", []string{"~new"}, "new has no floor"},
		"test file is exempt":    {"low/x_test.go", []string{"~up", "~testing/env"}, ""},
		"bench is exempt":        {"bench/x.go", []string{"~up"}, ""},
		"connector allowed":      {"connectors/a/x.go", []string{"~internal/allowed"}, ""},
		"connector denied":       {"connectors/a/x.go", []string{"~internal/denied"}, "connector.Env"},
		"connector imports peer": {"connectors/a/x.go", []string{"~connectors/b"}, "same floor (2)"},
		"test package":           {"up/x.go", []string{"~testing/env"}, "for test files only"},
		"test package listed":    {"suite/x.go", []string{"~testing/env"}, ""},
		"client at home":         {"mid/other/x.go", []string{"example.org/driver/v2"}, ""},
		"client elsewhere":       {"mid/a/x.go", []string{"example.org/driver/v2"}, "belongs to mid/other"},
		"client's namesake":      {"mid/a/x.go", []string{"example.org/driverless"}, ""},
		"unsafe listed":          {"mid/a/x.go", []string{"unsafe"}, ""},
		"unsafe elsewhere":       {"low/x.go", []string{"unsafe"}, "use plain Go"},
	} {
		t.Run(name, func(t *testing.T) {
			found := house.Floors(grow(t, map[string]string{test.path: imports(test.imports...)}))
			if test.want == "" {
				expect(t, found)
			} else {
				expect(t, found, test.want)
			}
		})
	}
}

func TestParseHouseRefusesMalformedLines(t *testing.T) {
	for _, text := range []string{"0", "x batch", "-1 batch", "client module"} {
		if _, err := ParseHouse("0 batch\n" + text); err == nil || !strings.Contains(err.Error(), "line 2") {
			t.Errorf("ParseHouse(%q): got error %v, want one that names line 2", text, err)
		}
	}
}

// function returns a function of the given number of lines.
func function(name string, lines int) string {
	return "func " + name + "() {\n" + strings.Repeat("\t_ = 1\n", lines-2) + "}\n"
}

func TestLengthRules(t *testing.T) {
	table := "func TestTable(t int) {\n\t_ = []int{\n" + strings.Repeat("\t\t1,\n", 200) + "\t}\n}\n"
	found := Lengths(grow(t, map[string]string{
		"a/fit.go":        "package a\n" + function("fit", 70),
		"a/over.go":       "package a\n" + function("over", 71),
		"a/literal.go":    "package a\nvar f = " + strings.Replace(function("", 71), "func ", "func", 1),
		"a/table.go":      "package a\n" + table,
		"a/table_test.go": "package a\n" + table,
		"a/over_test.go":  "package a\n" + function("overTest", 71),
		"a/over_gen.go":   "package a\n" + function("generated", 71),
		"b/soft.go":       "package b\n" + strings.Repeat("\n", 600),
		"b/hard.go":       "package b\n" + strings.Repeat("\n", 900),
		"b/fit_test.go":   "package b\n" + strings.Repeat("\n", 1499),
		"b/hard_test.go":  "package b\n" + strings.Repeat("\n", 1500),
	}))
	expect(t, found, "over has 71", "function literal has 71", "a/table.go:2: TestTable has 204",
		"overTest has 71", "b/soft.go:1: file has 601", "b/hard.go:1: file has 901",
		"b/hard_test.go:1: file has 1501")
	for _, f := range found {
		if soft := f.Path == "b/soft.go"; f.Soft != soft {
			t.Errorf("%v: soft is %v, want %v", f, f.Soft, soft)
		}
	}
}

func TestBanRules(t *testing.T) {
	for name, test := range map[string]struct {
		path, text string
		want       []string
	}{
		"init":           {"a/x.go", "package a\nfunc init() {}", []string{"a/x.go:2: init()"}},
		"init method":    {"a/x.go", "package a\ntype t int\nfunc (t) init() {}", nil},
		"sleep":          {"a/x_test.go", "package a\nimport \"time\"\nfunc f() { time.Sleep(1) }", []string{"synctest"}},
		"sleep as value": {"a/x.go", "package a\nimport \"time\"\nvar f = time.Sleep", []string{"synctest"}},
		"sleep renamed":  {"a/x.go", "package a\nimport t \"time\"\nfunc f() { t.Sleep(1) }", []string{"t.Sleep"}},
		"sleep in bench": {"bench/a/x.go", "package a\nimport \"time\"\nfunc f() { time.Sleep(1) }", nil},
		"other Sleep":    {"a/x.go", "package a\nimport \"a/clock\"\nfunc f() { clock.Sleep(1) }", nil},
		"context":        {"a/x.go", "package a\nimport \"context\"\nvar c = context.TODO()", []string{"caller's context"}},
		"print":          {"a/x.go", "package a\nimport \"fmt\"\nfunc f() { fmt.Println(1) }", []string{"slog"}},
		"print in cli":   {"internal/cli/x.go", "package cli\nimport \"fmt\"\nfunc f() { fmt.Println(1) }", nil},
		"print example":  {"a/x_test.go", "package a\nimport \"fmt\"\nfunc ExampleF() { fmt.Println(1) }", nil},
		"print in test":  {"a/x_test.go", "package a\nimport \"fmt\"\nfunc TestF() { fmt.Println(1) }", []string{"slog"}},
		"builtin print":  {"a/x.go", "package a\nfunc f() { println(1) }", []string{"println"}},
		"exit":           {"a/x.go", "package a\nimport \"os\"\nfunc f() { os.Exit(1) }", []string{"return an error"}},
		"exit in main":   {"cmd/a/x.go", "package a\nimport \"os\"\nfunc f() { os.Exit(1) }", nil},
		"panic err":      {"a/x.go", "package a\nfunc f(err error) { panic(err) }", []string{"panic with an error"}},
		"panic new":      {"a/x.go", "package a\nimport \"errors\"\nfunc f() { panic(errors.New(\"x\")) }", []string{"panic with"}},
		"panic bug":      {"a/x.go", "package a\nfunc f() { panic(\"batch: selection out of order\") }", nil},
		"error wording":  {"a/x.go", "package a\nimport \"fmt\"\nvar e = fmt.Errorf(\"failed to open\")", []string{"operation and object"}},
		"package name":   {"a/x.go", "package utils", []string{"package utils"}},
		"folder name":    {"helpers/x.go", "package main", []string{"package main"}},
		"import log":     {"a/x.go", "package a\nimport \"log\"", []string{"use log/slog"}},
		"import slog":    {"a/x.go", "package a\nimport \"log/slog\"", nil},
		"import testify": {"a/x_test.go", "package a\nimport \"github.com/stretchr/testify/require\"", []string{"go-cmp"}},
		"fixme":          {"a/x.go", "package a\n// FIX" + "ME later", []string{"a/x.go:2: FIX"}},
		"todo":           {"a/x.go", "package a\n// TO" + "DO: later", []string{"TO" + "DO(owner)"}},
		"todo owned":     {"a/x.go", "package a\n// TO" + "DO(ann): drop when the server is 16", nil},
		"todo in string": {"a/x.go", "package a\nvar s = \"TO" + "DO\"", nil},
	} {
		t.Run(name, func(t *testing.T) {
			expect(t, Bans(grow(t, map[string]string{test.path: test.text})), test.want...)
		})
	}
}

func TestCommentRules(t *testing.T) {
	tree := grow(t, map[string]string{
		"good/x.go":      "// Package good is.\npackage good",
		"none/x.go":      "package none",
		"twice/x.go":     "// Package twice is.\npackage twice",
		"twice/y.go":     "// Package twice is too.\npackage twice",
		"long/x.go":      strings.Repeat("// Line.\n", 26) + "package long",
		"only/x_test.go": "package only",
	})
	expect(t, PackageComments(tree), "none:0", "twice:0", "comment has 26 lines")

	public := grow(t, map[string]string{
		"batch/x.go": `package batch
// Good is documented.
type Good struct{}
type Bare struct{}
// Get returns it.
func (*Good) Get() {}
func (g Good) Bare() {}
// Returns the wrong thing.
func Wrong() {}
func (b hidden[T]) Exported() {}
type hidden[T any] struct{}
`,
		"connector/x.go":        "package connector",
		"connector/x_test.go":   "package connector_test\nfunc ExampleSource() {}",
		"internal/ring/ring.go": "package ring\nfunc Exported() {}",
	})
	expect(t, PublicDocs(public), "x.go:4: exported Bare", "x.go:7: exported Bare",
		"comment of Wrong", "batch:0: no runnable example")
}

func TestInvariantRules(t *testing.T) {
	const tagged = "package a\n// invar" + "iant: ack after  commit.\nfunc f() {}"
	expect(t, Invariants(grow(t, map[string]string{"a/a.go": tagged})), "ack after commit")
	expect(t, Invariants(grow(t, map[string]string{
		"a/a.go":      tagged,
		"b/b.go":      "package b\n// invar" + "iant: ack after commit",
		"c/c_test.go": "package c\n// invar" + "iant: ack after commit, by Ack and restart",
	})))
	expect(t, Invariants(grow(t, map[string]string{
		"a/a.go":      tagged,
		"c/c_test.go": "package c\n// ack after commit",
	})), "ack after commit")
}

func TestTextRules(t *testing.T) {
	root := filepath.Join(t.TempDir(), "clones", "here")
	beside := filepath.Join(filepath.Dir(root), "data")
	for _, dir := range []string{root, beside} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	home := "/ho" + "me/ann/x"
	tree := grow(t, map[string]string{
		"README.md":     "[good](docs/page.md#part) [web](https://example.org/a/b) [here](#x)\n[bad](docs/none.md)",
		"docs/page.md":  "up [to](../README.md), `" + home + "`",
		"run.sh":        "#!/usr/bin/env bash\nDATA=" + beside + "\nOUT=/tmp/out URL=http:/" + home,
		"elsewhere.txt": filepath.Dir(root) + "/absent",
	})
	expect(t, Links(tree), "README.md:2: link to docs/none.md")
	expect(t, MachinePaths(tree, root), "docs/page.md:1: ", "run.sh:2: ")
}

func TestStaleDocs(t *testing.T) {
	folder := t.TempDir()
	for name, text := range map[string]string{"same.md": "1", "other.md": "1", "old.md": "1", "image.png": ""} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	found, err := StaleDocs(folder, map[string][]byte{
		"same.md": []byte("1"), "other.md": []byte("2"), "new.md": []byte("1"),
	})
	if err != nil {
		t.Fatal(err)
	}
	expect(t, found, "other.md:0: page is not current", "old.md:0: page is not generated",
		"new.md:0: page is missing")
}

func TestLoadNamesTheBrokenFile(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{"bad.go": "package", "bin/x.go": "package", "testdata/x.go": "package"} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Load(root); err == nil || !strings.Contains(err.Error(), "parse bad.go") {
		t.Fatalf("Load: got error %v, want one that names bad.go", err)
	}
	if err := os.Remove(filepath.Join(root, "bad.go")); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(root); err != nil {
		t.Fatalf("Load without the broken file: %v", err)
	}
}
