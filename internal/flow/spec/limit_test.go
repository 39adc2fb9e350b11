package spec_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tapeline/tapeline/internal/flow/spec"
)

func laughs(levels, width int) string {
	var b strings.Builder
	b.WriteString("name: laughs\na0: &a0 [ha]\n")
	for i := 1; i <= levels; i++ {
		item := fmt.Sprintf("*a%d, ", i-1)
		fmt.Fprintf(&b, "a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(item, width), ", "))
	}
	return b.String()
}

func merges(count int) string {
	var b strings.Builder
	b.WriteString("base: &b {")
	for i := range 4000 {
		fmt.Fprintf(&b, "k%d: 1, ", i)
	}
	b.WriteString("}\n")
	for i := range count {
		fmt.Fprintf(&b, "m%d: {<<: *b}\n", i)
	}
	return b.String()
}

// TestLimits gives documents beyond each cap: they are refused with the cap named, soon.
func TestLimits(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 100_000)
	keys := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "k%d: v\n", i)
		}
		return b.String()
	}
	for name, test := range map[string]struct{ text, want string }{
		"billion laughs":   {laughs(9, 9), "keys and values when aliases are expanded"},
		"quadratic blowup": {"a: &a " + long + "\nb: [" + strings.Repeat("*a,", 5000) + "]", "bytes when aliases"},
		"merge bomb":       {merges(2000), "keys and values when aliases are expanded"},
		"bytes":            {"a: " + strings.Repeat("x", spec.MaxBytes), "at most 1048576 are read"},
		"nodes":            {"a: [" + strings.Repeat("1,", spec.MaxNodes+1) + "]", "more than 100000 keys and values"},
		"keys":             {keys(spec.MaxKeys + 1), "a mapping with more than 5000 keys"},
		"flow keys":        {"{" + strings.Repeat("a: 1, ", spec.MaxKeys+1) + "}", "more than 5000 keys"},
		"flow depth":       {strings.Repeat("[", 500_000), "nested deeper"},
		"map depth":        {strings.Repeat("{a: ", 200_000), "nested deeper"},
		"dashes":           {strings.Repeat("- ", 500_000), "nested deeper"},
		"questions":        {strings.Repeat("? ", 500_000), "nested deeper"},
		"tags":             {strings.Repeat("!a ", 300_000), "nested deeper"},
		"anchors":          {strings.Repeat("&a ", 300_000), "nested deeper"},
		"alias depth":      {deepAliases(200), "nested deeper than 100 levels when aliases"},
		"indentation":      {staircase(300), "nested deeper"},
		"documents":        {strings.Repeat("---\na\n", 100_000), "more than one YAML document"},
		"colons":           {strings.Repeat("a: ", 300_000), ""},
		"not UTF-8":        {"name: \xff\xfe", "not UTF-8"},
		"NUL":              {"name: a\x00b", "control character 0x00"},
		"UTF-16":           {"\xff\xfen\x00a\x00", "not UTF-8"},
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			_, problems := spec.Parse("wf.yaml", []byte(test.text), spec.Options{Catalogue: testCatalogue()})
			if !spec.Failed(problems) {
				t.Fatal("accepted")
			}
			if !strings.Contains(problems[0].Message, test.want) {
				t.Errorf("got %s, want %q", problems[0].Message, test.want)
			}
			if took := time.Since(start); took > 20*time.Second {
				t.Errorf("took %v", took)
			} else {
				t.Logf("%v: %.100s", took.Round(time.Millisecond), problems[0].Message)
			}
		})
	}
}

func deepAliases(levels int) string {
	var b strings.Builder
	b.WriteString("a0: &a0 [x]\n")
	for i := 1; i <= levels; i++ {
		fmt.Fprintf(&b, "a%d: &a%d [*a%d]\n", i, i, i-1)
	}
	return b.String()
}

func staircase(levels int) string {
	var b strings.Builder
	for i := range levels {
		b.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return b.String()
}

// TestLargeDocument reads a document just within the caps.
func TestLargeDocument(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("name: large\nsources: {s: {type: generate}}\ntransformations:\n")
	for i := range 4000 {
		from := "s"
		if i > 0 {
			from = fmt.Sprintf("n%d", i-1)
		}
		fmt.Fprintf(&b, "  n%d:\n    type: filter\n    inputs: [%s]\n    config:\n      condition: x > %d\n", i, from, i)
	}
	b.WriteString("destinations: {d: {type: discard, inputs: [n3999]}}\n")
	start := time.Now()
	document, problems := spec.Parse("wf.yaml", []byte(b.String()), spec.Options{Catalogue: testCatalogue()})
	if len(problems) > 0 {
		t.Fatal(problems[0])
	}
	if got := len(document.Nodes()); got != 4002 {
		t.Errorf("got %d nodes", got)
	}
	t.Logf("%d bytes, 4002 nodes in %v", b.Len(), time.Since(start))
}
