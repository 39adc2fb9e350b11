package csv

import (
	"bytes"
	stdcsv "encoding/csv"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// rowsOf parses data in blocks of at most size bytes and returns the cells as text, nil for NULL,
// and the rejected records as "line: reason".
func rowsOf(t interface{ Helper() }, d Dialect, columns int, ragged Ragged, data string, size int) ([][]any, []string) {
	t.Helper()
	var rows [][]any
	var rejected []string
	cutter, parser := NewCutter(d, columns), NewParser(d, columns, ragged)
	var offsets []uint32
	line := 1
	for rest := []byte(data); len(rest) > 0; {
		window := size
		end := 0
		for end == 0 {
			atEOF := window >= len(rest)
			end = cutter.Cut(rest[:min(window, len(rest))], atEOF)
			window *= 2
		}
		result := parser.Parse(rest[:end:end], offsets)
		offsets = result.Spans.Offsets
		for row := range result.Spans.Rows() {
			cells := make([]any, columns)
			for i := range cells {
				if text, null, _ := result.Spans.Text(row, i, nil); !null {
					cells[i] = string(text)
				}
			}
			rows = append(rows, cells)
		}
		for _, r := range result.Rejected {
			rejected = append(rejected, fmt.Sprintf("%d: %s", int64(line)+r.Line, r.Reason))
		}
		line += bytes.Count(rest[:end], []byte{d.newline()})
		rest = rest[end:]
	}
	return rows, rejected
}

func TestParse(t *testing.T) {
	t.Parallel()
	rfc := NewDialect()
	with := func(change func(d *Dialect)) Dialect {
		d := NewDialect()
		change(&d)
		return d
	}
	backslash := with(func(d *Dialect) { d.Escape = '\\' })
	cases := []struct {
		name     string
		dialect  Dialect
		ragged   Ragged
		text     string
		want     [][]any
		rejected []string
	}{
		{"plain", rfc, Reject, "1,2\n3,4\n", [][]any{{"1", "2"}, {"3", "4"}}, nil},
		{"no final newline", rfc, Reject, "1,2\n3,4", [][]any{{"1", "2"}, {"3", "4"}}, nil},
		{"crlf", rfc, Reject, "1,2\r\n3,4\r\n", [][]any{{"1", "2"}, {"3", "4"}}, nil},
		{"cr at the end", rfc, Reject, "1,2\r\n3,4\r", [][]any{{"1", "2"}, {"3", "4"}}, nil},
		{"null and empty", rfc, Reject, ",\"\"\n", [][]any{{nil, ""}}, nil},
		{"quotes", rfc, Reject, "\"a,\"\"b\"\"\nc\",2\n", [][]any{{"a,\"b\"\nc", "2"}}, nil},
		{"empty lines", rfc, Reject, "\n1,2\n\r\n\n3,4\n\n", [][]any{{"1", "2"}, {"3", "4"}}, nil},
		{
			"ragged", rfc, Reject, "1\n1,2\n1,2,3\n",
			[][]any{{"1", "2"}},
			[]string{"1: 1 cells, want 2", "3: 3 cells, want 2"},
		},
		{"pad", rfc, Pad, "1\n1,2\n1,2,3\n", [][]any{{"1", nil}, {"1", "2"}}, []string{"3: 3 cells, want 2"}},
		{"fit", rfc, Fit, "1\n1,2\n1,2,3\n", [][]any{{"1", nil}, {"1", "2"}, {"1", "2"}}, nil},
		{"quote within text", rfc, Reject, "5\" pipe,a\"b\"\n", [][]any{{`5" pipe`, `a"b"`}}, nil},
		{"lone quote within quotes", rfc, Reject, "\"a \"b\" c\",2\n", [][]any{{`a "b" c`, "2"}}, nil},
		{"quote that opens nothing", rfc, Reject, "\"a,\"b\"\n1,2\n", [][]any{{`"a`, "b"}, {"1", "2"}}, nil},
		{"quote never closed", rfc, Reject, "\"a,b\n1,2\n3,4\n", [][]any{{`"a`, "b"}, {"1", "2"}, {"3", "4"}}, nil},
		{"text after the quote", rfc, Reject, "\"a\"x,2\n", [][]any{{`"a"x`, "2"}}, nil},
		{"semicolon", with(func(d *Dialect) { d.Delimiter = ";" }), Reject, "1,5;2\n", [][]any{{"1,5", "2"}}, nil},
		{"two bytes", with(func(d *Dialect) { d.Delimiter = "||" }), Reject, "a|b||\"c||d\"\n", [][]any{{"a|b", "c||d"}}, nil},
		{"unicode", with(func(d *Dialect) { d.Delimiter = "→" }), Reject, "a→b\n", [][]any{{"a", "b"}}, nil},
		{"return", with(func(d *Dialect) { d.Return = true }), Reject, "1,a\nb\r3,4\r", [][]any{{"1", "a\nb"}, {"3", "4"}}, nil},
		{"comment", with(func(d *Dialect) { d.Comment = '#' }), Reject, "# a,\"b\n1,#2\n#\n", [][]any{{"1", "#2"}}, nil},
		{"trim", with(func(d *Dialect) { d.Trim = true }), Reject, " 1 , \" a\" \n", [][]any{{"1", " a"}}, nil},
		{"null words", with(func(d *Dialect) { d.Nulls = []string{"NULL", "NA"} }), Reject, "NULL,\n\"NA\",NA\n", [][]any{{nil, ""}, {"NA", nil}}, nil},
		{"backslash", backslash, Reject, "\"a\\\"b\",c\\,d\n\"\\\\\",C:\\x\n", [][]any{{`a"b`, "c,d"}, {`\`, `C:\x`}}, nil},
		{"escaped line end", backslash, Reject, "a,b\\\nc\n1,2\n", [][]any{{"a", "b\nc"}, {"1", "2"}}, nil},
		{
			"doubled quotes escape nothing", backslash, Reject, "\"a\"\"b\",2\n\"c\\\"d\",4\n",
			[][]any{{`a""b`, "2"}, {`c"d`, "4"}},
			nil,
		},
		{"no quote", with(func(d *Dialect) { d.Quote, d.Escape = 0, 0 }), Reject, "\"a,b\"\n", [][]any{{`"a`, `b"`}}, nil},
	}
	for _, c := range cases {
		for _, size := range []int{1, 3, 1 << 20} {
			got, rejected := rowsOf(t, c.dialect, 2, c.ragged, c.text, size)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%s in blocks of %d: %s", c.name, size, diff)
			}
			if diff := cmp.Diff(c.rejected, rejected); diff != "" {
				t.Errorf("%s in blocks of %d, rejected: %s", c.name, size, diff)
			}
		}
	}
}

func TestParseLines(t *testing.T) {
	t.Parallel()
	data := []byte("1,2\n\"a\nb\",3\n\n4,5\n6\n7,\"8\"x\n")
	result := NewParser(NewDialect(), 2, Reject).Parse(data, nil)
	if diff := cmp.Diff([]int32{0, 1, 4, 6}, result.Lines); diff != "" {
		t.Errorf("lines: %s", diff)
	}
	if len(result.Rejected) != 1 || result.Rejected[0].Line != 5 {
		t.Errorf("rejected %+v, want line 5", result.Rejected)
	}
}

// text draws CSV-like text with every special byte near every other.
func text(t *rapid.T) string {
	pieces := rapid.SliceOfN(rapid.SampledFrom([]string{
		",", ",", "\n", "\r\n", "\"", "\"\"", "a", "bb", "\"x\"", "\"y\nz\"", " ", "\r", "long text without end",
	}), 0, 40).Draw(t, "pieces")
	return strings.Join(pieces, "")
}

// TestCutIndependentOfBlocks checks that rows do not depend on where blocks end.
func TestCutIndependentOfBlocks(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		data, columns := text(t), rapid.IntRange(1, 3).Draw(t, "columns")
		d := NewDialect()
		d.Trim, d.Return = rapid.Bool().Draw(t, "trim"), rapid.Bool().Draw(t, "return")
		d.Escape = rapid.SampledFrom([]byte{'"', 'a'}).Draw(t, "escape")
		d.Comment = rapid.SampledFrom([]byte{0, 'b'}).Draw(t, "comment")
		d.Delimiter = rapid.SampledFrom([]string{",", ",,"}).Draw(t, "delimiter")
		want, wantRejected := rowsOf(t, d, columns, Reject, data, 1<<20)
		size := rapid.IntRange(1, 20).Draw(t, "size")
		got, gotRejected := rowsOf(t, d, columns, Reject, data, size)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%q in blocks of %d: %s", data, size, diff)
		}
		if diff := cmp.Diff(wantRejected, gotRejected); diff != "" {
			t.Fatalf("%q in blocks of %d, rejected: %s", data, size, diff)
		}
	})
}

// TestScanEqualsReader checks the fast path against the careful reader.
func TestScanEqualsReader(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		data, columns := text(t), rapid.IntRange(1, 3).Draw(t, "columns")
		fast, fastRejected := rowsOf(t, NewDialect(), columns, Fit, data, 1<<20)
		// A comment byte that begins no line forces the careful reader.
		careful := NewDialect()
		careful.Comment = 'b'
		if strings.HasPrefix(data, "b") || strings.Contains(data, "\nb") || !strings.Contains(data, "b") {
			t.Skip()
		}
		slow, slowRejected := rowsOf(t, careful, columns, Fit, data, 1<<20)
		if diff := cmp.Diff(slow, fast); diff != "" {
			t.Fatalf("%q: %s", data, diff)
		}
		if diff := cmp.Diff(slowRejected, fastRejected); diff != "" {
			t.Fatalf("%q, rejected: %s", data, diff)
		}
	})
}

// oracle reads with encoding/csv; ok false when it refuses the text or reads it differently by
// design: we accept stray quotes, and an empty line is a row of one column.
func oracle(data []byte) (rows [][]string, columns int, ok bool) {
	r := stdcsv.NewReader(bytes.NewReader(data))
	rows, err := r.ReadAll()
	if err != nil || len(rows) == 0 || len(rows[0]) < 2 {
		return nil, 0, false
	}
	return rows, len(rows[0]), true
}

func checkOracle(t *testing.T, data []byte, size int) {
	t.Helper()
	want, columns, ok := oracle(data)
	if !ok || bytes.Contains(data, []byte("\r")) {
		return // encoding/csv drops the \r of \r\n within quotes
	}
	rows, rejected := rowsOf(t, NewDialect(), columns, Reject, string(data), size)
	got := make([][]string, len(rows))
	for i, row := range rows {
		for _, value := range row {
			text, _ := value.(string)
			got[i] = append(got[i], text)
		}
	}
	if len(rejected) > 0 {
		t.Fatalf("%q: rejected %v", data, rejected)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("%q: %s", data, diff)
	}
}

func TestOracle(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(5, 6))
	pieces := []string{",", ",", ",", "\n", "\"\"", "a", "bb ", "\"x,\"\"\"", "\"y\nz\"", ""}
	for range 20_000 {
		var b strings.Builder
		for range r.IntN(20) {
			b.WriteString(pieces[r.IntN(len(pieces))])
		}
		checkOracle(t, []byte(b.String()), 1+r.IntN(16))
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("a,b\n1,\"x\"\"y\"\n"), 4)
	f.Add([]byte("a,\"b\n1,2"), 1)
	f.Fuzz(func(t *testing.T, data []byte, size int) {
		if size < 1 || size > 1<<20 || len(data) > 1<<16 {
			t.Skip() // bounds of the test, not of the parser
		}
		checkOracle(t, data, size)
		for _, ragged := range []Ragged{Reject, Fit} {
			whole, _ := rowsOf(t, NewDialect(), 3, ragged, string(data), 1<<20)
			parts, _ := rowsOf(t, NewDialect(), 3, ragged, string(data), size)
			if diff := cmp.Diff(whole, parts); diff != "" {
				t.Fatalf("%q in blocks of %d: %s", data, size, diff)
			}
		}
	})
}

func FuzzSniff(f *testing.F) {
	f.Add([]byte("a;b\n1;2\n"), true)
	f.Add([]byte("x\n\n\"a\n"), false)
	f.Fuzz(func(t *testing.T, data []byte, whole bool) {
		if len(data) > 1<<14 {
			t.Skip() // a sample is small
		}
		d, preface := Sniff(Given{Dialect: NewDialect()}, data, whole)
		if problems := d.Validate(); len(problems) > 0 {
			t.Fatalf("%q: %v", data, problems)
		}
		names, length, ok := preface.Names(d, data, true)
		if !ok || length > len(data) {
			t.Fatalf("%q: names %q, length %d, ok %t", data, names, length, ok)
		}
		if len(names) == 0 {
			return
		}
		spans := NewParser(d, len(names), Fit).Parse(data[length:], nil).Spans
		if got := len(InferTypes(spans, len(names), 100, true)); got != len(names) {
			t.Fatalf("%d types for %d names", got, len(names))
		}
	})
}

// naiveNames is UniqueNames by looking at every name before.
func naiveNames(names []string) []string {
	out := make([]string, len(names))
	for i, name := range names {
		if name == "" {
			name = fmt.Sprintf("column_%d", i+1)
		}
		unique := name
		for n := 2; slices.Contains(out[:i], unique) || unique != name && slices.Contains(names, unique); n++ {
			unique = fmt.Sprintf("%s_%d", name, n)
		}
		out[i] = unique
	}
	return out
}

func TestUniqueNames(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		some := rapid.SampledFrom([]string{"", "a", "b", "a_2", "a_3", "a_2_2", "column_1", "column_2", "column_1_2"})
		names := rapid.SliceOfN(some, 0, 12).Draw(t, "names")
		if got, want := UniqueNames(names), naiveNames(names); !slices.Equal(got, want) {
			t.Fatalf("%q: got %q, want %q", names, got, want)
		}
	})
	// Comparing each with all before would take hours.
	names := slices.Repeat([]string{"a"}, 200_000)
	if got := UniqueNames(names); got[0] != "a" || got[len(got)-1] != "a_200000" {
		t.Errorf("200,000 equal names end in %q", got[len(got)-1])
	}
}

// What is known is not guessed over, and guesses take it into account.
func TestSniffKeepsWhatIsGiven(t *testing.T) {
	t.Parallel()
	d := NewDialect()
	d.Comment = '#'
	got, preface := Sniff(Given{Dialect: d}, []byte("# a;b;c\n# d;e;f\nid,qty\n1,2\n3,4\n"), true)
	if got.Delimiter != "," || got.Comment != '#' || !preface.Header || preface.Columns != 2 {
		t.Errorf("with comments: %+v, %+v", got, preface)
	}
	d = NewDialect()
	d.Delimiter = ";"
	got, preface = Sniff(Given{Dialect: d, KeepDelimiter: true}, []byte("a,b;c,d\n1,5;2,5\n3,5;4,5\n"), true)
	if got.Delimiter != ";" || !preface.Header || preface.Columns != 2 {
		t.Errorf("with a delimiter: %+v, %+v", got, preface)
	}
}
