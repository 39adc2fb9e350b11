package spec

import (
	"encoding/json"
	"fmt"
	"reflect"
)

// DecodeMap fills target, a pointer to a config struct holding the defaults, from a config that is
// not in a document of its own, such as the lookup inside an enrich node.
func DecodeMap(config map[string]any, target any) []Problem {
	text, err := json.Marshal(config)
	if err != nil {
		return []Problem{{Severity: Error, Message: fmt.Sprintf("config: %v", err)}}
	}
	r := &report{file: "config"}
	root := parseTree(newSource("config", string(text)), r)
	if root != nil {
		d := &decoder{report: r}
		d.decode(root, reflect.ValueOf(target).Elem(), nil, "")
	}
	return r.problems()
}
