package tidy

import (
	_ "embed"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

//go:embed floors.txt
var floors string

// repository loads this repository once for all tests.
var repository = sync.OnceValues(func() (*Tree, error) { return Load(filepath.Join("..", "..")) })

func load(t *testing.T) *Tree {
	t.Helper()
	tree, err := repository()
	if err != nil {
		t.Fatal(err)
	}
	if !tree.files["internal/tidy/tidy_test.go"] {
		t.Fatal("the tree loaded is not this repository")
	}
	return tree
}

// report fails t with the findings in order of place, and logs the soft ones.
func report(t *testing.T, found []Finding) {
	t.Helper()
	slices.SortFunc(found, func(a, b Finding) int {
		if a.Path != b.Path {
			return strings.Compare(a.Path, b.Path)
		}
		return a.Line - b.Line
	})
	for _, f := range found {
		if f.Soft {
			t.Log(f)
			continue
		}
		t.Error(f)
	}
}

func TestFloors(t *testing.T) {
	house, err := ParseHouse(floors)
	if err != nil {
		t.Fatal(err)
	}
	report(t, house.Floors(load(t)))
}

func TestLengths(t *testing.T)         { report(t, Lengths(load(t))) }
func TestBans(t *testing.T)            { report(t, Bans(load(t))) }
func TestPackageComments(t *testing.T) { report(t, PackageComments(load(t))) }
func TestPublicDocs(t *testing.T)      { report(t, PublicDocs(load(t))) }
func TestInvariants(t *testing.T)      { report(t, Invariants(load(t))) }
func TestLinks(t *testing.T)           { report(t, Links(load(t))) }

func TestMachinePaths(t *testing.T) {
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	report(t, MachinePaths(load(t), filepath.Dir(filepath.Dir(here))))
}
