package csv

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tapeline/tapeline/batch"
)

func TestNames(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		preface Preface
		text    string
		atEOF   bool
		want    []string
		rest    string
		ok      bool
	}{
		{"header", Preface{Header: true}, "a,\"b\"\"c\"\n1,2\n", true, []string{"a", `b"c`}, "1,2\n", true},
		{"empty and repeated", Preface{Header: true}, "a,,a,a_2\n", true, []string{"a", "column_2", "a_3", "a_2"}, "", true},
		{"none", Preface{}, "1,2\n3,4\n", true, []string{"column_1", "column_2"}, "1,2\n3,4\n", true},
		{"preamble", Preface{Header: true, SkipRows: 2}, "x\n\"\n\na,b\n1,2\n", true, []string{"a", "b"}, "1,2\n", true},
		{"stray quote", Preface{Header: true, Columns: 2}, "\"a,\"b\"\n1,2\n", true, []string{`"a`, "b"}, "1,2\n", true},
		{"cut short", Preface{Header: true}, "a,b", false, nil, "", false},
		{"only a header", Preface{Header: true}, "a,b", true, []string{"a", "b"}, "", true},
		{"nothing", Preface{Header: true}, "\n\n", true, nil, "", true},
		{"preamble cut short", Preface{Header: true, SkipRows: 3}, "a\nb\n", false, nil, "", false},
	} {
		names, length, ok := c.preface.Names(NewDialect(), []byte(c.text), c.atEOF)
		if ok != c.ok || ok && c.text[length:] != c.rest {
			t.Errorf("%s: ok %t, rest %q, want %t, %q", c.name, ok, c.text[length:], c.ok, c.rest)
		}
		if diff := cmp.Diff(c.want, names); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}

func TestWidth(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{
		"": 0, "a,b\n1,2\n1,2,3\n": 2, "title\na,b\n1,2\n": 2, "a,\"x\ny\",c\n1,2,3": 3,
	} {
		if got := Width(NewDialect(), []byte(text), 0); got != want {
			t.Errorf("%q: got %d, want %d", text, got, want)
		}
	}
}

func TestInferTypes(t *testing.T) {
	t.Parallel()
	for cells, want := range map[string]string{
		"1 -2 0":                             "int64",
		"1 2.5 1e3":                          "float64",
		"007 1":                              "string",
		"0.5 -.5 0":                          "float64",
		"+8613800000000":                     "string",
		"9223372036854775807":                "int64",
		"9223372036854775808":                "string",
		"true FALSE":                         "bool",
		"2024-02-29 1999-12-31":              "date",
		"20240229":                           "int64",
		"2024-02-30":                         "string",
		"2024-01-01T10:00:00":                "timestamp(us)",
		"2024-01-01T10:00:00Z":               "timestamp(us,UTC)",
		"2024-01-01T10:00:00.1234567+08:00":  "timestamp(ns,UTC)",
		"2024-01-01T10:00:00,1234567":        "timestamp(ns)",
		"2024-01-01T10:00 2024-01-01T10:00Z": "string",
		"1 x":                                "string",
		"0x10":                               "string",
		"NULL":                               "string",
		"NULL 5":                             "int64",
		"12345678901234567890123.5":          "float64",
		"1_000":                              "string",
	} {
		d := NewDialect()
		d.Nulls, d.Delimiter = []string{"NULL"}, ";"
		text := strings.ReplaceAll(cells, " ", "\n") + "\n"
		spans := NewParser(d, 1, Reject).Parse([]byte(text), nil).Spans
		if got := InferTypes(spans, 1, 100, false)[0].String(); got != want {
			t.Errorf("%s: got %s, want %s", cells, got, want)
		}
	}
	spans := NewParser(NewDialect(), 1, Reject).Parse([]byte("1.5\n2.25\n"), nil).Spans
	if got := InferTypes(spans, 1, 100, true)[0]; !got.Equal(batch.DecimalOf(38, 2)) {
		t.Errorf("decimal: got %s", got)
	}
}
