package lines

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tapeline/tapeline/batch"
)

func field(name string, kind batch.Kind) batch.Field {
	return batch.Field{Name: name, Type: batch.Of(kind), Nullable: true}
}

func decode(t *testing.T, options Options, text string) (rows []string, result Result) {
	t.Helper()
	format, err := NewFormat(options)
	if err != nil {
		t.Fatal(err)
	}
	result = format.Decode(Block{Data: []byte(text), Name: "f", Line: 10, Lines: strings.Count(text, "\n")})
	dense, bad := result.Batch.Dense()
	for i := range dense.Rows() {
		var row []any
		for _, c := range dense.Columns() {
			row = append(row, c.Value(i))
		}
		rows = append(rows, strings.TrimSuffix(fmt.Sprintln(row...), "\n"))
	}
	for _, e := range bad {
		rows = append(rows, "! "+e.Error())
	}
	for _, r := range result.Rejected {
		rows = append(rows, fmt.Sprintf("rejected %s %s <- %s", r.Place, r.Reason, r.Record))
	}
	return rows, result
}

func TestDecode(t *testing.T) {
	for name, test := range map[string]struct {
		options Options
		text    string
		want    []string
	}{
		"plain": {
			Options{Text: field("line", batch.String)},
			"a\r\n\nb \r\nlast",
			[]string{"a", "", "b ", "last"},
		},
		"file and number": {
			Options{Text: field("line", batch.String), File: "file", Number: "n"},
			"a\nb\n",
			[]string{"a f 10", "b f 11"},
		},
		"prefix": {
			Options{
				Text: field("m", batch.JSON), ValidJSON: func(text []byte) bool { return text[0] == '{' },
				Prefix: Prefix{Width: 2, Field: field("t", batch.Int64), Separator: " "}, Number: "n",
			},
			"12 {}\n1 {}\nxy {\"a\":1}\n13 x\n14 {}\n",
			[]string{
				"12 {} 10", "14 {} 14", `! row 1, column t: "xy" is not a value of type int64`,
				`rejected f:11 the line has no 2 bytes and " " before its text <- 1 {}`,
				"rejected f:13 column m is not JSON <- 13 x",
			},
		},
		"pattern": {
			Options{
				Pattern: regexp.MustCompile(`^(?P<who>\w+)(?: (?P<age>\d+))?$`),
				Types:   map[string]batch.Type{"age": batch.Of(batch.Int64)},
			},
			"ada 36\nbob\n??\n",
			[]string{"ada 36", "bob <nil>", "rejected f:12 the line does not match the pattern <- ??"},
		},
	} {
		got, _ := decode(t, test.options, test.text)
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestOptionsThatExcludeEachOther(t *testing.T) {
	pattern := regexp.MustCompile(`(?P<a>.)`)
	for want, options := range map[string]Options{
		"exclude each other": {Pattern: pattern, Prefix: Prefix{Width: 1}},
		"names no group":     {Pattern: regexp.MustCompile(`(.)`)},
		"types.b":            {Pattern: pattern, Types: map[string]batch.Type{"b": {}}},
		"two columns":        {Text: field("a", batch.String), File: "a"},
	} {
		if _, err := NewFormat(options); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

func TestEncode(t *testing.T) {
	options := Options{
		Text: field("m", batch.String), Prefix: Prefix{Width: 2, Field: field("t", batch.Int64), Separator: " "},
	}
	_, result := decode(t, options, "12 ab\nxy cd\n13 ef\n")
	out, bad, err := NewEncoder("{{{t}} = {m}!").Append(nil, result.Batch)
	if err != nil || len(bad) != 1 || bad[0].Row != 1 {
		t.Errorf("%v, %v", err, bad)
	}
	if want := "{12} = ab!\n{13} = ef!\n"; string(out) != want {
		t.Errorf("got %q, want %q", out, want)
	}
	for template, want := range map[string]string{
		"": "2 columns", "{x}": `no column "x"`, "{t": "{{ for a brace", "{t}\n": "line feed",
	} {
		if _, _, err := NewEncoder(template).Append(nil, result.Batch); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", template, err, want)
		}
	}
	schema := batch.NewSchema(field("s", batch.String))
	column := batch.TextColumn(batch.Of(batch.String), []int32{0, 3, 4}, []byte("a\nbc"), nil)
	out, bad, err = NewEncoder("").Append(nil, batch.New(schema, []*batch.Column{column}, 2))
	if err != nil || len(bad) != 1 || string(out) != "c\n" {
		t.Errorf("%v, %v, %q", err, bad, out)
	}
}

// FuzzRoundTrip writes lines as they were read.
func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte("a\nb\r\n\n\nc"))
	f.Fuzz(func(t *testing.T, text []byte) {
		format, err := NewFormat(Options{Text: field("line", batch.String)})
		if err != nil {
			t.Fatal(err)
		}
		result := format.Decode(Block{Data: text})
		out, bad, err := NewEncoder("").Append(nil, result.Batch)
		if err != nil || len(bad) > 0 {
			t.Fatal(err, bad)
		}
		var want []byte
		for line := range bytes.Lines(text) {
			line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
			want = append(append(want, line...), '\n')
		}
		if !bytes.Equal(out, want) {
			t.Errorf("%q became %q, want %q", text, out, want)
		}
	})
}

func BenchmarkDecodePrefix(b *testing.B) {
	line := "1723075199999999999 " + strings.Repeat("x", 180) + "\n"
	data := []byte(strings.Repeat(line, 5000))
	format, err := NewFormat(Options{
		Text: field("m", batch.String), Prefix: Prefix{Width: 19, Field: field("t", batch.Int64), Separator: " "},
	})
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		result := format.Decode(Block{Data: data, Lines: 5000})
		if result.Batch.Rows() != 5000 {
			b.Fatal(result.Batch.Rows())
		}
		result.Release()
	}
}
