package spec

import (
	"fmt"
	"os"
	"reflect"
	"strings"
)

// Config fills target, a pointer to a config struct holding the defaults, from files of settings
// that are no workflows, later ones over earlier ones, and from environment variables over them all.
// A variable is named after the path of its key: PREFIX_SYNC_BATCH_SIZE is sync.batch_size. Problems
// are those of documents: all at once, with place and nearest key.
func Config(files []string, prefix string, target any, options Options) []Problem {
	value := reflect.ValueOf(target).Elem()
	var problems []Problem
	for _, file := range files {
		r := &report{file: file}
		if root := readConfig(file, r, options); root != nil {
			(&decoder{report: r}).decode(root, value, nil, "")
		}
		problems = append(problems, r.problems()...)
	}
	r := &report{file: "environment"}
	root := &Value{Kind: KindMap, nodes: 1}
	root = fromEnvironment(root, value.Type(), environment{prefix, options, r}, "")
	(&decoder{report: r}).decode(root, value, nil, "")
	return append(problems, r.problems()...)
}

func readConfig(file string, r *report, options Options) *Value {
	data, err := os.ReadFile(file)
	if err != nil {
		r.errorf(Pos{}, "", "read: %v", err)
		return nil
	}
	root := parseTree(newSource(file, strings.TrimPrefix(string(data), "\uFEFF")), r)
	if root != nil {
		(&substitution{report: r, options: options, done: map[*Value]bool{}}).walk(root, "")
	}
	return root
}

type environment struct {
	prefix  string
	options Options
	report  *report
}

// fromEnvironment sets every key of a struct, and of structs inside it, that has a variable.
func fromEnvironment(root *Value, t reflect.Type, env environment, path string) *Value {
	s := shapeOf(t)
	for i := range s.keys {
		k := &s.keys[i]
		at := join(path, k.name)
		if k.kind.Kind() == reflect.Struct && kindName(k.kind) == "mapping" {
			root = fromEnvironment(root, k.kind, env, at)
			continue
		}
		name := env.prefix + "_" + strings.ToUpper(strings.ReplaceAll(at, ".", "_"))
		text, ok := env.options.lookup()(name)
		if !ok || text == "" {
			continue
		}
		if k.kind.Kind() == reflect.Slice && !strings.HasPrefix(text, "[") {
			text = fmt.Sprintf("[%s]", text)
		}
		root = set(root, at, newSource(name, text), env.report)
	}
	return root
}
