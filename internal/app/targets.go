package app

import (
	"fmt"
	"path/filepath"
	"slices"

	"github.com/tapeline/tapeline/internal/flow/spec"
)

// sharedTargets finds sinks that would replace each other's file.
func sharedTargets(d *spec.Document) []spec.Problem {
	var problems []spec.Problem
	owner := map[string]string{}
	nodes := d.Nodes()
	if d.DeadLetter != nil {
		nodes = append(slices.Clone(nodes), d.DeadLetter)
	}
	for _, n := range nodes {
		target, ok := n.Config.(interface{ TargetFile() string })
		if !ok || n.Kind != spec.Destination || target.TargetFile() == "" {
			continue
		}
		path := realPath(target.TargetFile())
		if first, taken := owner[path]; taken {
			problem := n.Problem("path", -1, fmt.Sprintf("%s and %s write the same file %s", first, n.ID, path))
			problem.Hint = "give each a file of its own, name a folder (with a final /), or union their inputs"
			problems = append(problems, problem)
			continue
		}
		owner[path] = n.ID
	}
	return problems
}

// realPath makes paths of one file equal: absolute, clean, and without links as far as it exists.
func realPath(path string) string {
	if whole, err := filepath.Abs(path); err == nil {
		path = whole
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	if folder, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
		return filepath.Join(folder, filepath.Base(path))
	}
	return filepath.Clean(path)
}
