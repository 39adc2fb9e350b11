package http

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tapeline/tapeline/connector"
)

// Deliveries that are decoded together have the rows they have alone.
func TestMergedDeliveriesHaveNoFurtherRows(t *testing.T) {
	t.Parallel()
	made, err := newReceiver(connector.Env{}, &SourceConfig{Format: "lines", Column: "line", Path: "/"})
	if err != nil {
		t.Fatal(err)
	}
	s := made.(*receiver)
	var taken []*delivery
	for _, body := range []string{"a\n", "b", "c\r\n\n", "d\n"} {
		taken = append(taken, &delivery{body: []byte(body), done: make(chan int, 1)})
	}
	s.decode(taken)
	dense, _ := s.open.batch.Dense()
	var got []string
	for row := range dense.Len() {
		got = append(got, string(dense.Column(0).Bytes(row)))
	}
	if diff := cmp.Diff([]string{"a", "b", "c", "", "d"}, got); diff != "" {
		t.Error(diff)
	}
}
