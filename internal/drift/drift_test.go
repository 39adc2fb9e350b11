package drift

import (
	"errors"
	"strings"
	"testing"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
)

func TestWidening(t *testing.T) {
	for pair, want := range map[string]bool{
		"int32 int64": true, "int64 int32": false, "uint32 int64": true, "uint32 int32": false,
		"uint64 int64": false, "int8 uint64": false, "int64 decimal(19,0)": true,
		"int64 decimal(20,2)": false, "uint64 decimal(20,0)": true, "decimal(5,2) decimal(6,3)": true,
		"decimal(5,2) decimal(5,3)": false, "float32 float64": true, "int64 float64": false,
		"int32 float64": true, "date timestamp(s)": true, "timestamp(us) timestamp(ms)": false,
		"timestamp(ms) timestamp(us)": true, "timestamp(ms) timestamp(ms,UTC)": false,
		"json string": true, "int64 string": false, "string int64": false,
	} {
		from, to, _ := strings.Cut(pair, " ")
		x, _ := batch.ParseType(from)
		y, _ := batch.ParseType(to)
		if got := Widens(x, y); got != want {
			t.Errorf("%s: widens %t, want %t", pair, got, want)
		}
	}
}

// schemaOf reads "name type; name type?", where ? allows NULL.
func schemaOf(t testing.TB, text string) *batch.Schema {
	t.Helper()
	var fields []batch.Field
	for one := range strings.SplitSeq(text, "; ") {
		name, typ, _ := strings.Cut(one, " ")
		typ, nullable := strings.CutSuffix(typ, "?")
		parsed, err := batch.ParseType(typ)
		if err != nil {
			t.Fatal(err)
		}
		fields = append(fields, batch.Field{Name: name, Type: parsed, Nullable: nullable})
	}
	return batch.NewSchema(fields...)
}

func TestMerge(t *testing.T) {
	a, b := schemaOf(t, "id int32; s string; u date"), schemaOf(t, "more date; id int64; u date?")
	merged, ok := Merge(a, b)
	if want := schemaOf(t, "id int64; s string?; u date?; more date?"); !ok || !merged.Equal(want) {
		t.Fatalf("merged (%s), %t", merged, ok)
	}
	if !Fits(a, merged) || !Fits(b, merged) || Fits(merged, a) {
		t.Error("the parts fit the whole, and not the other way round")
	}
	if Loosens(a, merged) || Loosens(b, merged) || !Loosens(merged, a) || !Loosens(b, a) {
		t.Error("the whole takes NULLs of the parts, and not the other way round")
	}
	if merged, ok := Merge(a, schemaOf(t, "s date")); ok {
		t.Errorf("string and date merged to (%s)", merged)
	}
}

func TestFollow(t *testing.T) {
	first := schemaOf(t, "id int32; at date?; s string?")
	for name, c := range map[string]struct {
		later Later
		want  string
	}{
		"other order":    {Later{Own: schemaOf(t, "s string?; at date?; id int32")}, "id int32; at date?; s string?"},
		"one less":       {Later{Own: schemaOf(t, "s string?")}, "id int32?; at date?; s string?"},
		"one more":       {Later{Own: schemaOf(t, "new bool; id int32")}, "id int32; at date?; s string?; new bool?"},
		"own types":      {Later{Own: schemaOf(t, "id string; at timestamp(us)?")}, "id string; at timestamp(us)?; s string?"},
		"guessed types":  {Later{Own: schemaOf(t, "id string?; at timestamp(us)?"), Guessed: true}, "id int32; at timestamp(us)?; s string?"},
		"chosen columns": {Later{Own: schemaOf(t, "new bool; id int64"), Only: []string{"id"}}, "id int64; at date?; s string?"},
	} {
		got, err := Follow(first, c.later)
		if err != nil || !got.Equal(schemaOf(t, c.want)) {
			t.Errorf("%s: (%s), want (%s), error %v", name, got, c.want, err)
		}
		if got.Equal(first) && got != first {
			t.Errorf("%s: equal, and not the first one itself", name)
		}
	}
	_, err := Follow(first, Later{File: "b.csv", Own: schemaOf(t, "x int8")})
	if e, ok := errors.AsType[*connector.Error](err); !ok || e.Class != connector.Schema ||
		!strings.Contains(err.Error(), "b.csv") {
		t.Errorf("a file of other columns: %v", err)
	}
}
