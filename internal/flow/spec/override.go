package spec

import (
	"slices"
	"strconv"
	"strings"
)

// override applies --set arguments (sources.a.config.path=x.csv, inputs[0]=b) to the tree. Text
// that starts with [ or { is YAML; all other text is one plain scalar.
func override(root *Value, sets []string, r *report) *Value {
	for _, argument := range sets {
		path, text, ok := strings.Cut(argument, "=")
		s := newSource("--set "+path, text)
		if keys := splitPath(path); !ok || slices.Contains(keys, "") {
			at := Pos{Line: 1, Column: 1, source: s}
			r.errorf(at, "", "--set %s: write PATH=VALUE", path).Hint = "for example --set sources.input.config.path=data.csv"
			continue
		}
		root = set(root, path, s, r)
	}
	return root
}

// set returns root with the value that the source's text spells at path.
func set(root *Value, path string, s *source, r *report) *Value {
	text := s.text
	value := &Value{
		Kind: resolve(text), Text: text, raw: text, Pos: Pos{Line: 1, Column: 1, source: s}, nodes: 1,
	}
	if text == "" {
		value.Kind = KindString
	}
	if strings.HasPrefix(text, "[") || strings.HasPrefix(text, "{") {
		if value = parseTree(s, r); value == nil {
			return root
		}
	}
	return assign(root, splitPath(path), value, r)
}

// splitPath splits a.b[1].c into its keys; \. is a dot inside a key.
func splitPath(path string) []string {
	const dot = "\x00"
	path = strings.ReplaceAll(path, `\.`, dot)
	path = strings.ReplaceAll(strings.ReplaceAll(path, "]", ""), "[", ".")
	keys := strings.Split(path, ".")
	for i := range keys {
		keys[i] = strings.ReplaceAll(keys[i], dot, ".")
	}
	return keys
}

// assign returns v with the value at keys replaced; everything on the way is copied, since aliases
// share values.
func assign(v *Value, keys []string, value *Value, r *report) *Value {
	if len(keys) == 0 {
		return value
	}
	if v == nil || v.Kind == KindNull {
		v = &Value{Kind: KindMap, Pos: value.Pos, nodes: 1}
	}
	changed := *v
	switch v.Kind {
	case KindMap:
		changed.Pairs = slices.Clone(v.Pairs)
		for i := range changed.Pairs {
			if changed.Pairs[i].Key == keys[0] {
				changed.Pairs[i].Value = assign(changed.Pairs[i].Value, keys[1:], value, r)
				return &changed
			}
		}
		changed.Pairs = append(changed.Pairs, Pair{
			Key: keys[0], KeyPos: value.Pos, Value: assign(nil, keys[1:], value, r),
		})
	case KindList:
		changed.Items = slices.Clone(v.Items)
		i, err := strconv.Atoi(keys[0])
		if err != nil || i < 0 || i >= len(v.Items) {
			r.errorf(value.Pos, "", "%s: %q is no index of a list of %d items",
				value.Pos.source.name, keys[0], len(v.Items))
			return v
		}
		changed.Items[i] = assign(changed.Items[i], keys[1:], value, r)
	default:
		r.errorf(value.Pos, "", "%s: nothing stands below %s", value.Pos.source.name, v.Kind)
		return v
	}
	return &changed
}
