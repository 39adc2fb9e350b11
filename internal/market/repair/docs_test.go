package repair_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tapeline/tapeline/internal/market/repair"
	"github.com/tapeline/tapeline/internal/testenv"
)

// TestDocs: the page names every rule as the code does.
func TestDocs(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(testenv.Root(), "docs", "repair.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, rule := range repair.Rules() {
		if line := "| `" + rule[0] + "` | " + rule[1] + " |"; !strings.Contains(string(page), line) {
			t.Errorf("docs/repair.md lacks the line\n%s", line)
		}
	}
}
