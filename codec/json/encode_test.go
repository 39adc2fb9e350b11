package json

import (
	"math"
	"strings"
	"testing"

	"github.com/tapeline/tapeline/batch"
)

// textBatch returns a batch of lazy text cells, one row a line, cells between |.
func textBatch(t *testing.T, text string, columns ...string) *batch.Batch {
	t.Helper()
	schema := schemaOf(t, columns...)
	spans := &batch.Spans{
		Data: []byte(text), Stride: len(columns) + 1, Step: 1, Gap: 1, Syntax: batch.Quoted,
		Quote: '"', Escape: '"', Nulls: []string{""},
	}
	at := uint32(0)
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
		spans.Offsets = append(spans.Offsets, at)
		for cell := range strings.SplitSeq(line, "|") {
			at += uint32(len(cell)) + 1
			spans.Offsets = append(spans.Offsets, at)
		}
	}
	var lazy []*batch.Column
	for i, f := range schema.Fields() {
		lazy = append(lazy, batch.LazyColumn(f.Type, spans, i))
	}
	return batch.New(schema, lazy, spans.Rows())
}

func TestLazyTextIsCopiedOnlyWhenItIsJSON(t *testing.T) {
	b := textBatch(t, strings.Join([]string{
		`1|1.50|1.5|x|true|{"a":1}|2024-01-01`,
		`+2|.5|007.10|say ""hi""|TRUE|[1|2024-01-01`,
		`007|-0|1e2|"q ""x"" \	"|no|"[1, 2]"|2024-01-01`,
		`||||||`,
		`x|1|1|y|true|1|2024-01-01`,
		"1|1|1|\xff|true|1|2024-01-01",
		`1|1|1.999|z|f|1|2024-01-01`,
	}, "\n")+"\n", "i int64", "f float64", "d decimal(9,2)", "s string", "b bool", "j json", "t date")
	want := `{"i":1,"f":1.50,"d":1.5,"s":"x","b":true,"j":{"a":1},"t":"2024-01-01"}
{"i":7,"f":-0,"d":1e2,"s":"q \"x\" \\\t","b":false,"j":[1, 2],"t":"2024-01-01"}
{"i":null,"f":null,"d":null,"s":null,"b":null,"j":null,"t":null}
{"i":1,"f":1,"d":1.999,"s":"z","b":false,"j":1,"t":"2024-01-01"}
! row 1, column j: "[1" is not JSON
! row 4, column i: "x" is not a value of type int64
! row 5, column s: "\xff" is not UTF-8; set the encoding of its source
`
	if got := encode(t, b, EncodeOptions{}); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	omitted := encode(t, b.Select([]int32{3, 6}), EncodeOptions{OmitNull: true, Separator: ","})
	if want := ",{}\n" + `,{"i":1,"f":1,"d":1.999,"s":"z","b":false,"j":1,"t":"2024-01-01"}` + "\n"; omitted != want {
		t.Errorf("got\n%swant\n%s", omitted, want)
	}
}

func TestTokensAreWrittenAsTheirColumnsType(t *testing.T) {
	schema := schemaOf(t, "i int64", "s string", "b bool", "l list<int64>", "j json")
	text := `{"i":"12","s":5,"b":"yes","l":[ 1 ],"j":"x"}
{"i":1,"s":"\u00e9\"","b":false,"l":null}
{"i":true,"s":"a","b":false,"l":1}
{"i":3,"s":{"k":"v"},"b":true,"l":[]}
`
	want := `{"i":12,"s":"5","b":true,"l":[ 1 ],"j":"x"}
{"i":1,"s":"\u00e9\"","b":false,"l":null,"j":null}
{"i":3,"s":"{\"k\":\"v\"}","b":true,"l":[],"j":null}
! row 2, column i: "true" is not a value of type int64
`
	if got := encode(t, decode(t, Options{Schema: schema}, text).Batch, EncodeOptions{}); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestRecordsStayOnOneLine(t *testing.T) {
	schema := schemaOf(t, "l list<json>", "j json", "s string")
	b := decode(t, Options{Schema: schema, Layout: Values}, "{\"l\":[\n {\"a\":\"x\\n \\\\\"},\r\n1 ],"+
		"\"j\":{ \"b\" :\n2},\"s\":[\n]}").Batch
	want := `{"l":[{"a":"x\n \\"},1],"j":{"b":2},"s":"[\n]"}` + "\n"
	dense, _ := b.Dense()
	for _, b := range []*batch.Batch{b, dense} {
		if got := encode(t, b, EncodeOptions{}); got != want {
			t.Errorf("got\n%swant\n%s", got, want)
		}
	}
}

func TestDenseValues(t *testing.T) {
	schema := schemaOf(t, "i int64", "f float64", "d decimal(38,20)", "b bool", "s string",
		"t timestamp(ms,UTC)", "l list<struct<x:int8>>", "x binary")
	builder := batch.NewBuilder(schema)
	for _, row := range [][]any{
		{math.MinInt64, 0.1, "-0.00000000000000000001", true, "tab\t\"日本\"\\", "2024-01-01T00:00:00Z", []any{map[string]any{"x": 1}}, "hi"},
		{nil, math.NaN(), nil, nil, nil, nil, nil, nil},
	} {
		for i, v := range row {
			if err := builder.Column(i).Any(v); err != nil {
				t.Fatal(err)
			}
		}
	}
	b, err := builder.Batch()
	if err != nil {
		t.Fatal(err)
	}
	want := `{"i":-9223372036854775808,"f":0.1,"d":-0.00000000000000000001,"b":true,"s":"tab\t\"日本\"\\",` +
		`"t":"2024-01-01T00:00:00.000Z","l":[{"x":1}],"x":"aGk="}
{"i":null,"f":null,"d":null,"b":null,"s":null,"t":null,"l":null,"x":null}
`
	if got := encode(t, b, EncodeOptions{}); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	twice := batch.New(schemaOf(t, "a int64", "a int64"),
		[]*batch.Column{batch.NullColumn(batch.Of(batch.Int64), 1), batch.NullColumn(batch.Of(batch.Int64), 1)}, 1)
	if _, _, err := NewEncoder(EncodeOptions{}).Append(nil, twice); err == nil {
		t.Error("two columns of one name were written")
	}
}

// A source may call JSON what is none: SQLite declares, and does not look.
func TestDenseJSONIsJSON(t *testing.T) {
	builder := batch.NewBuilder(schemaOf(t, "j json"))
	for _, text := range []string{`{"a": 1}`, "hello", "1\n", "1 2", "\"\xff\""} {
		builder.Column(0).Text(text)
	}
	b, err := builder.Batch()
	if err != nil {
		t.Fatal(err)
	}
	want := `{"j":{"a": 1}}
{"j":1}
! row 1, column j: "hello" is not JSON
! row 3, column j: "1 2" is not JSON
! row 4, column j: "\"\xff\"" is not JSON
`
	if got := encode(t, b, EncodeOptions{}); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func FuzzString(f *testing.F) {
	f.Add("plain")
	f.Add("a \"quoted\" \\ text\n with \x01 and 日本語 of some length \xff")
	f.Fuzz(func(t *testing.T, text string) {
		got, ok := appendString(nil, []byte(text))
		if want := string(batch.AppendJSONString(nil, text)); ok != validUTF8(text) || ok && string(got) != want {
			t.Errorf("%q written as %s (%t), want %s", text, got, ok, want)
		}
	})
}
