package app

import (
	"fmt"
	"path/filepath"
	"slices"

	"github.com/tapeline/tapeline/internal/filesink"
	"github.com/tapeline/tapeline/internal/flow/spec"
)

// nodesOf returns all nodes, the one for dead letters included.
func nodesOf(d *spec.Document) []*spec.Node {
	if d.DeadLetter == nil {
		return d.Nodes()
	}
	return append(slices.Clone(d.Nodes()), d.DeadLetter)
}

// ownInputs finds sources that would read what a sink of the workflow writes: after a checkpoint or
// in the next run its rows would come in again.
func ownInputs(d *spec.Document) []spec.Problem {
	var problems []spec.Problem
	for _, source := range d.Nodes() {
		reader, ok := source.Config.(interface{ Glob() string })
		if !ok || source.Kind != spec.Source || reader.Glob() == "" {
			continue
		}
		for _, sink := range nodesOf(d) {
			if sink.Kind != spec.Destination {
				continue
			}
			files := ""
			if one, ok := sink.Config.(interface{ TargetFile() string }); ok {
				files = one.TargetFile()
			}
			if parts, ok := sink.Config.(interface{ PartFiles() string }); ok && files == "" {
				files = parts.PartFiles()
			}
			if files == "" || !filesink.Overlaps(reader.Glob(), files, realPath) {
				continue
			}
			problem := source.Problem("path", -1, fmt.Sprintf("%s finds what %s writes: %s", source.ID, sink.ID, files))
			problem.Hint = "write to a folder that path does not reach, or narrow path"
			problems = append(problems, problem)
		}
	}
	return problems
}

// sharedTargets finds sinks that would replace each other's file.
func sharedTargets(d *spec.Document) []spec.Problem {
	var problems []spec.Problem
	owner := map[string]string{}
	for _, n := range nodesOf(d) {
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
