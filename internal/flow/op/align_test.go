package op

import "testing"

func TestMergeAndAlign(t *testing.T) {
	a, b := schemaOf(t, "id int32; s string"), schemaOf(t, "more date; id int64")
	merged, ok := Merge(a, b)
	if want := schemaOf(t, "id int64; s string; more date"); !ok || !merged.Equal(want) {
		t.Fatalf("merged (%s), %t", merged, ok)
	}
	if !Fits(a, merged) || !Fits(b, merged) || Fits(merged, a) {
		t.Error("the parts fit the whole, and not the other way round")
	}
	out := apply(t, Align(merged), lazy(t, "id int32; s string", "7|x"))
	same(t, "aligned", lines(t, out, 0), `{"id":7,"s":"x","more":null}`)
	if merged, ok := Merge(a, schemaOf(t, "s date")); ok {
		t.Errorf("string and date merged to (%s)", merged)
	}
}
