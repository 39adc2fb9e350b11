package json

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tapeline/tapeline/batch"
)

// schemaOf builds a schema from "name type" pairs.
func schemaOf(t testing.TB, columns ...string) *batch.Schema {
	t.Helper()
	var fields []batch.Field
	for _, column := range columns {
		name, typ, _ := strings.Cut(column, " ")
		parsed, err := batch.ParseType(typ)
		if err != nil {
			t.Fatal(err)
		}
		fields = append(fields, batch.Field{Name: name, Type: parsed, Nullable: true})
	}
	return batch.NewSchema(fields...)
}

func decode(t testing.TB, options Options, text string) Result {
	t.Helper()
	reader, err := NewReader(options)
	if err != nil {
		t.Fatal(err)
	}
	result, err := reader.NewDecoder().Decode(Block{Data: []byte(text), Name: "f", Line: 1, Last: true})
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// rows returns the values of a batch read as their types; errors stand in place of their rows.
func rows(b *batch.Batch) [][]any {
	dense := b
	failed := map[int]any{}
	for i := range b.Columns() {
		typed, errs := dense.Typed(i)
		dense = typed
		for _, e := range errs {
			failed[e.Row] = e.Error()
		}
	}
	var out [][]any
	for i := range dense.Rows() {
		if reason, ok := failed[i]; ok {
			out = append(out, []any{reason})
			continue
		}
		var row []any
		for _, c := range dense.Columns() {
			v := c.Value(i)
			if d, ok := v.(batch.DecimalValue); ok {
				v = d.String()
			}
			row = append(row, v)
		}
		out = append(out, row)
	}
	return out
}

func encode(t testing.TB, b *batch.Batch, options EncodeOptions) string {
	t.Helper()
	options.Newline = true
	out, bad, err := NewEncoder(options).Append(nil, b)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range bad {
		out = append(out, ("! " + e.Error() + "\n")...)
	}
	return string(out)
}

const mixedLines = `{"id":1,"name":"ada","tags":["x","y"],"at":{"x":1,"y":2.5}}
{"name":"b\u00e9\n","id":2,"tags":[],"at":{"y":1}}

{ "id" : 3 , "extra" : {"deep":[1]} , "at":null}
{"id":4,"id":5,"name":null}
`

func TestInferredTypes(t *testing.T) {
	for text, want := range map[string]string{
		`{"a":1}`: "a int64", `{"a":1}` + "\n" + `{"a":1.5}`: "a float64", `{"a":9223372036854775808}`: "a decimal(38,0)",
		`{"a":9007199254740993}{"a":1.5}`: "a json", `{"a":"x"}{"b":true}{"a":null}`: "a string, b bool",
		`{"a":[]}`: "a list<json>", `{"a":[1]}{"a":[2.5,null]}`: "a list<float64>", `{"a":null}`: "a json",
		`{"a":{"b":{"c":"x"}}}`: "a struct<b:struct<c:string>>", `{"a":{}}`: "a json", `{"a":1}{"a":"x"}`: "a json",
		`[1,"x"]`: "value list<json>", `1 2 3`: "value int64", `{"a":1} 7`: "a int64", `{"a":1} 7 "x"`: "value json", ``: "",
		`{"a":1` + strings.Repeat("0", 40) + `}`: "a json", `{"a":123456789012345678901234567890}{"a":1}`: "a decimal(38,0)",
		strings.Repeat(`{"a":`, 20) + "1" + strings.Repeat("}", 20): "a " + strings.Repeat("struct<a:", 15) + "json" +
			strings.Repeat(">", 15),
	} {
		schema, _ := Infer(Block{Data: []byte(text)}, Values, 1000)
		if got := schema.String(); got != want {
			t.Errorf("%s: inferred %q, want %q", text, got, want)
		}
	}
}

func TestDecodeLines(t *testing.T) {
	schema, whole := Infer(Block{Data: []byte(mixedLines)}, Lines, 2)
	want := "id int64, name string, tags list<string>, at struct<x:int64,y:float64>"
	if got := schema.String(); whole || got != want {
		t.Fatalf("inferred %q, whole %t", got, whole)
	}
	result := decode(t, Options{Schema: schema, Extra: Ignore}, mixedLines)
	diff := cmp.Diff([][]any{
		{int64(1), "ada", []any{"x", "y"}, map[string]any{"x": int64(1), "y": 2.5}},
		{int64(2), "bé\n", []any{}, map[string]any{"x": nil, "y": 1.0}},
		{int64(3), nil, nil, nil},
		{int64(5), nil, nil, nil},
	}, rows(result.Batch))
	if diff != "" {
		t.Error(diff)
	}
	if got := result.Batch.Origin().At(2).String(); got != "f:4" {
		t.Errorf("third row is from %s, want f:4", got)
	}
	got := encode(t, result.Batch, EncodeOptions{})
	if want := `{"id":2,"name":"b\u00e9\n","tags":[],"at":{"y":1}}`; strings.Split(got, "\n")[1] != want {
		t.Errorf("second row written as %s", strings.Split(got, "\n")[1])
	}
}

func TestBadRecordsAreRejectedAlone(t *testing.T) {
	text := "{\"a\":1}\n{\"a\":01}\r\n{\"a\":2} x\n[1]\n{\"a\":3}\n{\"a\":\"\xff\"}\n" +
		"{\"a\":tru}\n{\"a\"\n{'a':1}\n{\"a\":4,}\n{\"a\":5}"
	result := decode(t, Options{Schema: schemaOf(t, "a int64"), Extra: Ignore}, text)
	if diff := cmp.Diff([][]any{{int64(1)}, {int64(3)}, {int64(5)}}, rows(result.Batch)); diff != "" {
		t.Error(diff)
	}
	var got []string
	for _, r := range result.Rejected {
		got = append(got, fmt.Sprintf("%s %s <- %s", r.Place, r.Reason, r.Record))
	}
	want := []string{
		`f:2 no JSON at column 7: ',' or '}' is expected <- {"a":01}`,
		`f:3 no JSON at column 9: text after the value <- {"a":2} x`,
		`f:4 the record is an array, want an object <- [1]`,
		"f:6 no JSON at column 7: not UTF-8 <- {\"a\":\"\xff\"}",
		`f:7 no JSON at column 6: not true, false or null <- {"a":tru}`,
		`f:8 no JSON at column 5: ends in the middle of a value <- {"a"`,
		`f:9 no JSON at column 2: a member name is expected <- {'a':1}`,
		`f:10 no JSON at column 8: a member name is expected <- {"a":4,}`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got := result.Batch.Origin().At(2).String(); got != "f:11" {
		t.Errorf("third row is from %s, want f:11", got)
	}
}

func TestExtraMembers(t *testing.T) {
	text := "{\"a\":1}\n{\"a\":2,\"b\":[1],\"c\\u0064\":\"x\"}\n{\"a\":3}\n"
	for name, test := range map[string]struct {
		extra    Extra
		schema   string
		rows     [][]any
		rejected int
	}{
		"ignore":  {Ignore, "a int64", [][]any{{int64(1)}, {int64(2)}, {int64(3)}}, 0},
		"error":   {Refuse, "a int64", [][]any{{int64(1)}, {int64(3)}}, 1},
		"capture": {Capture, "a int64, _extra json", [][]any{{int64(1), nil}, {int64(2), `{"b":[1],"c\u0064":"x"}`}, {int64(3), nil}}, 0},
		"evolve":  {Evolve, "a int64, b list<int64>, cd string", [][]any{{int64(1), nil, nil}, {int64(2), []any{int64(1)}, "x"}, {int64(3), nil, nil}}, 0},
	} {
		result := decode(t, Options{Schema: schemaOf(t, "a int64"), Extra: test.extra}, text)
		if got := result.Batch.Schema().String(); got != test.schema {
			t.Errorf("%s: schema %q, want %q", name, got, test.schema)
		}
		if diff := cmp.Diff(test.rows, rows(result.Batch)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if len(result.Rejected) != test.rejected {
			t.Errorf("%s: rejected %v", name, result.Rejected)
		}
	}
}

func TestEvolvedSchemaIsSharedAndOnlyGrows(t *testing.T) {
	reader, err := NewReader(Options{Schema: schemaOf(t, "a int64")})
	if err != nil {
		t.Fatal(err)
	}
	first, second := reader.NewDecoder(), reader.NewDecoder()
	var schemas []string
	for i, text := range []string{`{"a":1}`, `{"b":1}`, `{"a":2}`, `{"c":"x","b":2}`, `{"b":3}`} {
		d := first
		if i%2 == 1 {
			d = second
		}
		result, err := d.Decode(Block{Data: []byte(text)})
		if err != nil {
			t.Fatal(err)
		}
		schemas = append(schemas, result.Batch.Schema().String())
	}
	grown, last := "a int64, b int64", "a int64, b int64, c string"
	if diff := cmp.Diff([]string{"a int64", grown, grown, last, last}, schemas); diff != "" {
		t.Error(diff)
	}
	var wide strings.Builder
	for i := range MaxFields + 5 {
		fmt.Fprintf(&wide, "{\"m%d\":%d}\n", i, i)
	}
	result, err := first.Decode(Block{Data: []byte(wide.String())})
	if err != nil {
		t.Fatal(err)
	}
	if got := result.Batch.Schema().Len(); got != MaxFields || len(result.Rejected) != 8 {
		t.Errorf("%d columns, %d rejected, want %d and 8", got, len(result.Rejected), MaxFields)
	}
	result, err = first.Decode(Block{Data: []byte(`{"a":1}` + "\n" + `{"never":1}`)})
	if err != nil || result.Batch.Rows() != 1 || len(result.Rejected) != 1 {
		t.Errorf("after the limit: %v, %d rows, %v", err, result.Batch.Rows(), result.Rejected)
	}
}

func TestMembersInAnyOrder(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var text strings.Builder
	var want [][]any
	for range 2000 {
		row := make([]any, 6)
		var members []string
		for _, k := range random.Perm(6) {
			if random.IntN(4) > 0 {
				row[k] = int64(random.IntN(1000))
				members = append(members, fmt.Sprintf("%q:%d", string(rune('a'+k)), row[k]))
			}
		}
		want = append(want, row)
		text.WriteString("{" + strings.Join(members, ",") + "}\n")
	}
	schema := schemaOf(t, "a int64", "b int64", "c int64", "d int64", "e int64", "f int64")
	if diff := cmp.Diff(want, rows(decode(t, Options{Schema: schema}, text.String()).Batch)); diff != "" {
		t.Error(diff)
	}
}

func TestNestedCellsThatDoNotFit(t *testing.T) {
	schema := schemaOf(t, "v struct<a:int64,b:list<int8>,c:map<string,decimal(5,2)>>")
	lines := map[string]any{
		`{"v":{"a":1,"b":[1,-128],"c":{"x":1.5,"y":null}}}`: map[string]any{
			"a": int64(1), "b": []any{int64(1), int64(-128)},
			"c": map[string]any{"x": batch.DecimalValue{}, "y": nil},
		},
		`{"v":{"b":[1,128]}}`:     `row 0, column v: "128" is not a value of type int8`,
		`{"v":{"a":"x"}}`:         `row 0, column v: "x" is not a value of type int64`,
		`{"v":{"a":1,"d":2}}`:     `row 0, column v: member "d" is not in ` + schema.Field(0).Type.String(),
		`{"v":{"a":1,"a":2}}`:     `row 0, column v: member "a" stands twice`,
		`{"v":[1]}`:               `row 0, column v: [1] is not a value of type ` + schema.Field(0).Type.String(),
		`{"v":{"c":{"x":1.555}}}`: `row 0, column v: "1.555" is not a value of type decimal(5,2)`,
	}
	for line, want := range lines {
		got := rows(decode(t, Options{Schema: schema}, line).Batch)[0][0]
		ignoreDecimals := cmp.Comparer(func(a, b batch.DecimalValue) bool { return true })
		if diff := cmp.Diff(want, got, ignoreDecimals); diff != "" {
			t.Errorf("%s: %s", line, diff)
		}
	}
	typed, bad := decode(t, Options{Schema: schema}, "{\"v\":{\"a\":7}}\n{\"v\":1}\n{}\n").Batch.Typed(0)
	if c := typed.Column(0); len(bad) != 1 || c.IsNull(0) || !c.IsNull(1) || !c.IsNull(2) {
		t.Errorf("errors %v, nulls %t %t %t", bad, c.IsNull(0), c.IsNull(1), c.IsNull(2))
	}
	selected, bad := decode(t, Options{Schema: schema}, "{\"v\":1}\n{\"v\":{\"a\":7}}\n").Batch.
		Select([]int32{1}).Typed(0)
	if got := selected.Column(0).Value(1).(map[string]any)["a"]; len(bad) > 0 || got != int64(7) {
		t.Errorf("under a selection: %v, %v", bad, got)
	}
}

func TestArraysAndValues(t *testing.T) {
	options := Options{Schema: schemaOf(t, "a int64"), Layout: Elements}
	for text, want := range map[string]string{
		`{"a":1} , {"a":2}]`:               "[[1] [2]]",
		"{\"a\":1},\n{\"a\":x},{\"a\":2}]": "[[1] [2]] rejected f:2",
		`]`:                                "[]",
		`, {"a":1} ] `:                     "[[1]]",
		`{"a":1}] x`:                       "no JSON: text after the value",
		`{"a":1}`:                          "no JSON: ends in the middle of a value",
		`{"a":1},]`:                        "no JSON: a value is expected",
		`{"a":1} {"a":2}]`:                 "no JSON: ',' or ']' is expected",
		`{"a":[1}]`:                        "no JSON: ends in the middle of a value",
	} {
		reader, err := NewReader(options)
		if err != nil {
			t.Fatal(err)
		}
		result, err := reader.NewDecoder().Decode(Block{Data: []byte(text), Name: "f", Line: 1, Last: true})
		got := ""
		if err != nil {
			got = err.Error()
		} else {
			got = fmt.Sprint(rows(result.Batch))
			var gotSb310 strings.Builder
			for _, r := range result.Rejected {
				gotSb310.WriteString(" rejected " + r.Place.String())
			}
			got += gotSb310.String()
		}
		if !strings.Contains(got, want) || strings.Contains(got, "rejected") != strings.Contains(want, "rejected") {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
	options.Layout = Values
	result := decode(t, options, " {\"a\":1}{\"a\":\n2}\n\n{\"a\":3} ")
	if got := fmt.Sprint(rows(result.Batch)); got != "[[1] [2] [3]]" {
		t.Errorf("values: %s", got)
	}
	if got := result.Batch.Origin().At(2).String(); got != "f:4" {
		t.Errorf("third value is from %s, want f:4", got)
	}
}

// TestCutsDoNotMatter reads an array in pieces as a file source does and wants what it holds.
func TestCutsDoNotMatter(t *testing.T) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	blank := func() string { return []string{"", " ", "\n", "\r\n\t"}[random.IntN(4)] }
	for range 300 {
		var elements []string
		for range random.IntN(20) {
			elements = append(elements, []string{
				`1`, `"a,]\""`, `{"a":[1,{"b":"}"}]}`, `[]`, `null`, `[[[","]]]`, `-1.5e3`, `"\\"`,
			}[random.IntN(8)])
		}
		var text strings.Builder
		for i, element := range elements {
			if i > 0 {
				text.WriteString(",")
			}
			text.WriteString(blank() + element + blank())
		}
		text.WriteString("]" + blank())
		var got []string
		data := []byte(text.String())
		for window := 1; len(data) > 0; {
			view := data[:min(window, len(data))]
			atEOF := len(view) == len(data)
			n := CutElements(view, atEOF, 1+random.IntN(5))
			if n == 0 {
				window *= 2
				continue
			}
			options := Options{Schema: schemaOf(t, "value json"), Whole: true, Layout: Elements}
			reader, err := NewReader(options)
			if err != nil {
				t.Fatal(err)
			}
			result, err := reader.NewDecoder().Decode(Block{Data: data[:n], Last: n == len(data)})
			if err != nil {
				t.Fatalf("seed %d: %q in %q: %v", seed, data[:n], text.String(), err)
			}
			for _, row := range rows(result.Batch) {
				if row[0] == nil {
					row[0] = "null"
				}
				got = append(got, row[0].(string))
			}
			data, window = data[n:], 1+random.IntN(30)
		}
		want := elements
		if len(want) != len(got) {
			t.Fatalf("seed %d: %d elements of %q, want %d", seed, len(got), text.String(), len(want))
		}
		for i := range want {
			if strings.HasPrefix(want[i], `"`) {
				want[i] = `"` + want[i][1:]
			}
			if want[i] != got[i] {
				t.Fatalf("seed %d: element %d of %q is %q, want %q", seed, i, text.String(), got[i], want[i])
			}
		}
	}
}

func TestArrayStart(t *testing.T) {
	for text, want := range map[string]string{
		`[1]`: "1 true <nil>", ` [ 1]`: "3 true <nil>", ``: "0 false <nil>", `[`: "0 false <nil>",
		`[,1]`: "0 false a comma before the first element of the array", `{}`: "0 false an object where the array of records is expected",
	} {
		start, ok, err := ArrayStart([]byte(text), "")
		if got := fmt.Sprint(start, ok, err); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	const doc = `{"x":{"items":1},"data":{"n":[{"items":[0]}],"items":[7]},"rest":1}`
	for path, want := range map[string]string{
		"$.data.items": "7", "data.items": "7", "$.data.n": `{"items"`, "$.x.items": "a number where the array",
		"$.gone": `no member "gone"`, "$.rest.a": `a number where an object with member "a"`,
	} {
		start, ok, err := ArrayStart([]byte(doc), path)
		got := fmt.Sprint(err)
		if ok {
			got = doc[start:]
		}
		if !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
		for n := range len(doc) {
			if _, early, _ := ArrayStart([]byte(doc[:n]), path); early && n < start {
				t.Errorf("%s found in the first %d bytes", path, n)
			}
		}
	}
}

// wide is a number beyond the integers that a float64 holds.
type wide struct {
	text   string
	approx float64
	float  bool // spelled with a point or an exponent: as many digits as a float64 has are kept
}

// Equal compares as exactly as both are spelled.
func (w wide) Equal(other wide) bool {
	if w.float || other.float {
		return w.approx == other.approx
	}
	return w.text == other.text
}

// plain makes numbers comparable however they are spelled.
func plain(v any) any {
	switch v := v.(type) {
	case json.Number:
		f, err := strconv.ParseFloat(string(v), 64)
		if err != nil {
			return string(v)
		}
		if math.Abs(f) >= 1<<53 {
			return wide{string(v), f, strings.ContainsAny(string(v), ".eE")}
		}
		if f == math.Trunc(f) {
			return int64(f)
		}
		return f
	case []any:
		for i := range v {
			v[i] = plain(v[i])
		}
	case map[string]any:
		for name, member := range v {
			if v[name] = plain(member); v[name] == nil {
				delete(v, name)
			}
		}
	}
	return v
}

func parse(t *testing.T, line string) any {
	decoder := json.NewDecoder(strings.NewReader(line))
	decoder.UseNumber()
	var v any
	if err := decoder.Decode(&v); err != nil {
		t.Fatalf("standard library reads %q: %v", line, err)
	}
	return plain(v)
}

// FuzzDecode holds the codec against encoding/json: which lines are records, and what they say
// after a round trip through lazy and through typed columns.
func FuzzDecode(f *testing.F) {
	f.Add(mixedLines)
	f.Add("{\"a\":1.50,\"b\":[1,2.5]}\n{\"a\":12345678901234567890}\n{\"a\":\"\\ud800\"}\n")
	f.Add(strings.Join(seeds(), "\n"))
	f.Add("{")
	f.Fuzz(func(t *testing.T, text string) {
		schema, whole := Infer(Block{Data: []byte(text)}, Lines, 1<<20)
		reader, err := NewReader(Options{Schema: schema, Whole: whole})
		if err != nil {
			t.Fatal(err)
		}
		result, err := reader.NewDecoder().Decode(Block{Data: []byte(text)})
		if err != nil {
			t.Fatal(err)
		}
		var want []any
		rejected := 0
		for line := range strings.SplitSeq(text, "\n") {
			line = strings.Trim(line, " \t\r")
			switch {
			case line == "":
			case !oracle(line), !whole && line[0] != '{':
				rejected++
			case whole:
				want = append(want, plain(map[string]any{"value": parse(t, line)}))
			default:
				want = append(want, parse(t, line))
			}
		}
		if len(result.Rejected) != rejected || result.Batch.Rows() != len(want) {
			t.Fatalf("%d rows and %d rejected of %q, want %d and %d", result.Batch.Rows(),
				len(result.Rejected), text, len(want), rejected)
		}
		compare(t, result.Batch, want)
		dense, bad := result.Batch.Dense()
		for _, b := range slices.Backward(bad) {
			known := strings.Contains(b.Reason, "stands twice") ||
				strings.Contains(b.Reason, "float64") // beyond its range
			if !known {
				t.Fatalf("%q: %v", text, b)
			}
		}
		if len(bad) == 0 {
			compare(t, dense, want)
		}
	})
}

func compare(t *testing.T, b *batch.Batch, want []any) {
	var got []any
	for line := range strings.SplitSeq(strings.TrimSuffix(encode(t, b, EncodeOptions{}), "\n"), "\n") {
		if line != "" {
			got = append(got, parse(t, line))
		}
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Fatal(diff)
	}
}
