package op

import "testing"

func TestAlign(t *testing.T) {
	target := schemaOf(t, "id int64; s string; more date")
	out := apply(t, Align(target), lazy(t, "id int32; s string", "7|x"))
	same(t, "aligned", lines(t, out, 0), `{"id":7,"s":"x","more":null}`)
}
