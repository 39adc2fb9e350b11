package tidy

import (
	"bufio"
	"fmt"
	"go/ast"
	"slices"
	"strconv"
	"strings"
)

// modulePath is the import path of the repository's root package.
const modulePath = "github.com/tapeline/tapeline"

// testFloor marks a package that only test files, and packages that list it, may import.
const testFloor = -1

// room is one line of floors.txt that describes packages.
type room struct {
	floor      int
	pattern    string
	allowed    []string // same-floor packages it may import; exceptions when noInternal
	noInternal bool     // may import internal/ only where listed
}

// client is one line of floors.txt that binds an outside module to the folders that may use it.
type client struct {
	module  string
	folders []string
}

// House is the parsed floors.txt: who may import whom.
type House struct {
	rooms   []room
	clients []client
	unsafe  []string // folders that may import unsafe
}

// ParseHouse reads floors.txt. The format stands at the top of that file. A malformed line is an
// error that gives its number.
func ParseHouse(text string) (*House, error) {
	house := &House{}
	lines := bufio.NewScanner(strings.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line, _, _ := strings.Cut(lines.Text(), "#")
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		if err := house.parseLine(fields); err != nil {
			return nil, fmt.Errorf("floors.txt line %d: %w", n, err)
		}
	}
	return house, lines.Err()
}

// parseLine adds one line's fields.
func (h *House) parseLine(fields []string) error {
	if len(fields) < 2 {
		return fmt.Errorf("%q needs at least two fields", fields[0])
	}
	switch fields[0] {
	case "client":
		if len(fields) < 3 {
			return fmt.Errorf("client %s names no folder", fields[1])
		}
		h.clients = append(h.clients, client{module: fields[1], folders: fields[2:]})
		return nil
	case "unsafe":
		h.unsafe = append(h.unsafe, fields[1:]...)
		return nil
	case "test":
		h.rooms = append(h.rooms, room{floor: testFloor, pattern: fields[1], allowed: fields[2:]})
		return nil
	}
	floor, err := strconv.Atoi(fields[0])
	if err != nil || floor < 0 {
		return fmt.Errorf("%q is neither a floor number nor client, test or unsafe", fields[0])
	}
	r := room{floor: floor, pattern: fields[1]}
	for _, word := range fields[2:] {
		if word == "!internal" {
			r.noInternal = true
			continue
		}
		r.allowed = append(r.allowed, word)
	}
	h.rooms = append(h.rooms, r)
	return nil
}

// find returns the line for a folder: an exact one first, else the longest pattern.
func (h *House) find(dir string) (room, bool) {
	var best room
	found := false
	for _, r := range h.rooms {
		if r.pattern == dir {
			return r, true
		}
		if matchFolder(r.pattern, dir) && (!found || len(r.pattern) > len(best.pattern)) {
			best, found = r, true
		}
	}
	return best, found
}

// Floors checks that every package has a floor and that imports go down only. Test files and
// bench/ are exempt.
func (h *House) Floors(t *Tree) []Finding {
	var found []Finding
	for dir, sources := range t.packages() {
		if matchFolder("bench/...", dir) || !slices.ContainsFunc(sources, notTest) {
			continue
		}
		own, ok := h.find(dir)
		if !ok {
			found = append(found, Finding{Path: dir, Text: "package has no floor: add a line to " +
				"internal/tidy/floors.txt (docs/ARCHITECTURE.md says what each floor may know)"})
			continue
		}
		for _, s := range sources {
			if !s.test() {
				found = append(found, h.checkImports(s, own)...)
			}
		}
	}
	return found
}

func notTest(s *source) bool { return !s.test() }

// checkImports checks the imports of one file that stands on the floor given.
func (h *House) checkImports(s *source, own room) []Finding {
	var found []Finding
	for _, spec := range s.file.Imports {
		target := importPath(spec)
		if problem := h.checkImport(s.dir(), own, target); problem != "" {
			found = append(found, s.find(spec.Pos(), "%s", problem))
		}
	}
	return found
}

// checkImport returns what is wrong with the import of target, or "".
func (h *House) checkImport(dir string, own room, target string) string {
	if target == "unsafe" && !matchAny(h.unsafe, dir) {
		return "unsafe is allowed in " + strings.Join(h.unsafe, ", ") + " only: use plain Go here"
	}
	for _, c := range h.clients {
		if (target == c.module || strings.HasPrefix(target, c.module+"/")) && !matchAny(c.folders, dir) {
			return fmt.Sprintf("%s belongs to %s: go through that package, or widen its client line "+
				"in floors.txt with a reason", c.module, strings.Join(c.folders, ", "))
		}
	}
	rel, ours := relative(target)
	if !ours {
		return ""
	}
	other, ok := h.find(rel)
	switch {
	case !ok:
		return rel + " has no floor: add a line to internal/tidy/floors.txt"
	case matchAny(own.allowed, rel):
		if other.floor > own.floor {
			return fmt.Sprintf("import goes up: floor %d may not import %s (floor %d), listed or not",
				own.floor, rel, other.floor)
		}
		return ""
	case other.floor == testFloor:
		return rel + " is for test files only"
	case own.noInternal && strings.HasPrefix(rel, "internal/"):
		return fmt.Sprintf("%s may not import %s: it gets what it may use through connector.Env",
			own.pattern, rel)
	case other.floor > own.floor:
		return fmt.Sprintf("import goes up: floor %d may not import %s (floor %d); take a function "+
			"or a small interface instead", own.floor, rel, other.floor)
	case other.floor == own.floor:
		return fmt.Sprintf("%s is on the same floor (%d): list it in floors.txt with a reason, or "+
			"move what is shared down", rel, own.floor)
	}
	return ""
}

// importPath returns the path of an import.
func importPath(spec *ast.ImportSpec) string {
	return strings.Trim(spec.Path.Value, "\"`")
}

// relative returns the folder of an import of this module.
func relative(target string) (string, bool) {
	if target == modulePath {
		return ".", true
	}
	return strings.CutPrefix(target, modulePath+"/")
}
