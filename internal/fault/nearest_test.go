package fault_test

import (
	"strings"
	"testing"

	"github.com/tapeline/tapeline/internal/fault"
)

func TestNearest(t *testing.T) {
	t.Parallel()
	known := []string{"postgres", "parquet", "csv", "json"}
	for word, want := range map[string]string{
		"postgress": "postgres", "Postgres": "postgres", "cvs": "csv", "jsn": "json", "parket": "parquet",
		"kafka": "", "": "", "x": "", strings.Repeat("p", 100): "",
	} {
		if got := fault.Nearest(word, known); got != want {
			t.Errorf("%s: got %q, want %q", word, got, want)
		}
	}
}
