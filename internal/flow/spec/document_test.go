package spec_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/flow/spec"
)

func mustParse(t *testing.T, text string) *spec.Document {
	t.Helper()
	document, problems := spec.Parse("wf.yaml", []byte(text), spec.Options{Catalogue: testCatalogue()})
	if spec.Failed(problems) {
		t.Fatal(problems)
	}
	return document
}

type shared struct {
	Host string `yaml:"host" required:"true" doc:"of the server"`
}

type everything struct {
	shared  `yaml:",inline"`
	Text    string            `yaml:"text"`
	Flag    *bool             `yaml:"flag"`
	Small   int8              `yaml:"small"`
	Big     uint64            `yaml:"big"`
	Ratio   float64           `yaml:"ratio"`
	Wait    time.Duration     `yaml:"wait"`
	Size    connector.Size    `yaml:"size"`
	Since   time.Time         `yaml:"since"`
	List    []string          `yaml:"list"`
	Map     map[string]int    `yaml:"map"`
	Any     any               `yaml:"any"`
	Pointer *shared           `yaml:"pointer"`
	Kept    map[string]string `yaml:"kept"`
	Level   level             `yaml:"level"`
}

// level reads itself from a word.
type level int

func (l *level) UnmarshalText(text []byte) error {
	*l = level(len(text))
	return nil
}

func TestDecode(t *testing.T) {
	t.Parallel()
	document, problems := spec.Parse("wf.yaml", []byte(`
name: a
sources:
  s:
    type: x
    config:
      host: h
      text: 1.50
      flag: "false"
      small: -128
      big: 18446744073709551615
      ratio: 1e-3
      wait: 1d
      size: 1.5KiB
      since: 2023-01-01 10:00:00
      list: [a, 2, true]
      map: {a: 1, b: 0x10}
      any: {n: 1, f: 2.5, t: x, l: [null, false, 99999999999999999999]}
      pointer: {host: p}
      level: high
destinations: {d: {type: y, inputs: s}}
`), spec.Options{})
	if spec.Failed(problems) {
		t.Fatal(problems)
	}
	got := everything{Kept: map[string]string{"k": "v"}, Text: "default"}
	if problems := document.Node("s").Decode(&got); len(problems) > 0 {
		t.Fatal(problems)
	}
	no := false
	want := everything{
		shared: shared{Host: "h"}, Text: "1.50", Flag: &no, Small: -128, Big: 1<<64 - 1, Ratio: 0.001,
		Wait: 24 * time.Hour, Size: 1536, Since: time.Date(2023, 1, 1, 10, 0, 0, 0, time.UTC),
		List: []string{"a", "2", "true"}, Map: map[string]int{"a": 1, "b": 16},
		Any: map[string]any{
			"n": int64(1), "f": 2.5, "t": "x", "l": []any{nil, false, "99999999999999999999"},
		},
		Pointer: &shared{Host: "p"}, Kept: map[string]string{"k": "v"}, Level: 4,
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(everything{}, shared{})); diff != "" {
		t.Error(diff)
	}
	var tree map[string]any
	if problems := document.Node("s").Decode(&tree); len(problems) > 0 || tree["host"] != "h" {
		t.Errorf("tree %v, problems %v", tree, problems)
	}
}

// TestDefaultsAreCopied decodes two nodes of one type: neither sees the other's values.
func TestDefaultsAreCopied(t *testing.T) {
	t.Parallel()
	document := mustParse(t, `
name: a
sources:
  a: {type: csv, config: {path: a, delimiter: ";"}}
  b: {type: csv, config: {path: b}}
destinations: {d: {type: discard, inputs: [a, b]}}`)
	if got := document.Node("b").Config.(*csvConfig); got.Delimiter != "," || !got.Header {
		t.Errorf("got %+v", got)
	}
}

// TestFingerprint changes one thing at a time and says whether old state still fits.
func TestFingerprint(t *testing.T) {
	t.Parallel()
	base := `
name: a
sources:
  s:
    type: postgres
    parallelism: 1
    config: {connection_string: "postgres://u:one@h/d", table: t, timeout: 1m}
  f: {type: csv, config: {path: a.csv, batch_size: 10}}
destinations: {d: {type: discard, inputs: [s, f]}}`
	for _, test := range []struct {
		old, new string
		node     string
		same     bool
	}{
		{"u:one@", "u:two@", "s", true},
		{"parallelism: 1", "parallelism: 8", "s", true},
		{", timeout: 1m", "", "s", true}, // the default
		{"timeout: 1m", "timeout: 60s", "s", true},
		{"batch_size: 10", "batch_size: 20", "f", true},
		{"name: a", "name: b", "s", true},
		{"@h/d", "@other/d", "s", false},
		{"table: t", "table: u", "s", false},
		{"timeout: 1m", "timeout: 2m", "s", false},
		{"a.csv", "b.csv", "f", false},
		{"type: csv", "type: json", "f", false},
		{"inputs: [s, f]", "inputs: [f]", "d", false},
	} {
		text := strings.Replace(base, test.old, test.new, 1)
		if test.new == "type: json" {
			text = strings.Replace(text, ", batch_size: 10", "", 1)
		}
		before, after := mustParse(t, base).Node(test.node), mustParse(t, text).Node(test.node)
		if got := before.Fingerprint() == after.Fingerprint(); got != test.same {
			t.Errorf("%s -> %s: same %v, want %v", test.old, test.new, got, test.same)
		}
	}
}

func TestRowsOfTests(t *testing.T) {
	t.Parallel()
	document := mustParse(t, `
name: a
sources: {s: {type: generate}}
destinations: {d: {type: discard, inputs: [s]}}
tests:
  - name: one
    given: {s: [{b: 1.50, a: null}, {b: "x"}]}
    expect: {s: []}`)
	rows := document.Tests[0].Given[0].Rows
	if len(rows) != 2 || len(rows[0]) != 2 || rows[0][0].Column != "b" ||
		rows[0][0].Value.Text != "1.50" || rows[0][0].Value.Kind != spec.KindFloat ||
		rows[0][1].Value.Kind != spec.KindNull || rows[1][0].Value.Kind != spec.KindString {
		t.Errorf("got %+v", rows)
	}
}

// TestLoad reads files, secret files beside them, and reports what cannot be read.
func TestLoad(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("secret", "s3cret\r\n")
	write("large", strings.Repeat("x", 70_000))
	text := "\uFEFFname: a\r\nsources: {s: {type: postgres, config: {connection_string: '${file:NAME}'}}}\r\n" +
		"destinations: {d: {type: discard, inputs: [s]}}\r\n"
	options := spec.Options{Catalogue: testCatalogue()}
	document, problems := spec.Load(write("a.yaml", strings.Replace(text, "NAME", "secret", 1)), options)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if got := document.Node("s").Config.(*postgresConfig).ConnectionString; got != "s3cret" {
		t.Errorf("got %q", got)
	}
	if got := string(document.Redacted()); strings.Contains(got, "s3cret") {
		t.Error(got)
	}
	for _, name := range []string{"large", ".", "absent"} {
		_, problems = spec.Load(write("b.yaml", strings.Replace(text, "NAME", name, 1)), options)
		if len(problems) != 1 || problems[0].Line != 2 {
			t.Errorf("secret file %s: %v", name, problems)
		}
	}
	if _, problems = spec.Load(filepath.Join(dir, "none.yaml"), options); !spec.Failed(problems) {
		t.Error("an absent file was read")
	}
	if _, problems = spec.Load(write("big.yaml", strings.Repeat("#", spec.MaxBytes+10)), options); !spec.Failed(problems) {
		t.Error("a file beyond the cap was read")
	}
}

func TestSizesAndDurations(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]connector.Size{
		"0": 0, "64MB": 64e6, "64 MiB": 64 << 20, "1.5GiB": 3 << 29, "10k": 10_000, "7b": 7,
	} {
		if got, err := spec.ParseSize(text); err != nil || got != want {
			t.Errorf("%s: got %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "MB", "-1", "1XB", "NaN", "1e30", "99999999TB"} {
		if got, err := spec.ParseSize(text); err == nil {
			t.Errorf("%q: got %d", text, got)
		}
	}
	for text, want := range map[string]time.Duration{"2d": 48 * time.Hour, "0": 0, "1m30s": 90 * time.Second} {
		if got, err := spec.ParseDuration(text); err != nil || got != want {
			t.Errorf("%s: got %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "5", "-1s", "1w", "999999d"} {
		if got, err := spec.ParseDuration(text); err == nil {
			t.Errorf("%q: got %v", text, got)
		}
	}
}
