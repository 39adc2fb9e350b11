package expr

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/tapeline/tapeline/batch"
)

// jsonKind is what a JSON value is, by its first byte.
type jsonKind uint8

const (
	jsonNull jsonKind = iota
	jsonText
	jsonOther // number, true, false
	jsonNested
)

// jsonScalar returns the text of a JSON value: a string's content, anything else as written.
func jsonScalar(text []byte) ([]byte, jsonKind) {
	text = bytes.TrimSpace(text)
	switch {
	case len(text) == 0 || string(text) == "null":
		return nil, jsonNull
	case text[0] == '"' && len(text) >= 2:
		inner := text[1 : len(text)-1]
		if bytes.IndexByte(inner, '\\') < 0 {
			return inner, jsonText
		}
		return batch.AppendUnescapedJSON(nil, inner), jsonText
	case text[0] == '{' || text[0] == '[':
		return text, jsonNested
	}
	return text, jsonOther
}

func skipBlank(text []byte) []byte { return bytes.TrimLeft(text, " \t\r\n") }

// jsonToken cuts the JSON value at the start of text. It checks only what it needs to find the
// end; ok is false when there is none.
func jsonToken(text []byte) (token, rest []byte, ok bool) {
	if len(text) == 0 {
		return nil, nil, false
	}
	switch text[0] {
	case '"':
		for i := 1; i < len(text); i++ {
			switch text[i] {
			case '\\':
				i++
			case '"':
				return text[:i+1], text[i+1:], true
			}
		}
		return nil, nil, false
	case '{', '[':
		return jsonNestedToken(text)
	}
	i := 0
	for i < len(text) && !strings.ContainsRune(",]} \t\r\n:", rune(text[i])) {
		i++
	}
	return text[:i], text[i:], i > 0
}

func jsonNestedToken(text []byte) (token, rest []byte, ok bool) {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			s, _, ok := jsonToken(text[i:])
			if !ok {
				return nil, nil, false
			}
			i += len(s) - 1
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return text[:i+1], text[i+1:], true
			}
		}
	}
	return nil, nil, false
}

// jsonWalk calls visit for the members of an object or the elements of an array (key nil) until it
// returns false; ok is false for text that is neither.
func jsonWalk(text []byte, visit func(key, token []byte) bool) (ok bool) {
	text = bytes.TrimSpace(text)
	if len(text) < 2 || text[0] != '{' && text[0] != '[' {
		return false
	}
	object := text[0] == '{'
	text = skipBlank(text[1:])
	for len(text) > 0 && text[0] != '}' && text[0] != ']' {
		var key, token []byte
		if object {
			if key, text, ok = jsonToken(text); !ok || key[0] != '"' {
				return false
			}
			text = skipBlank(text)
			if len(text) == 0 || text[0] != ':' {
				return false
			}
			text = skipBlank(text[1:])
		}
		if token, text, ok = jsonToken(text); !ok {
			return false
		}
		if !visit(key, token) {
			return true
		}
		text = skipBlank(text)
		if len(text) > 0 && text[0] == ',' {
			text = skipBlank(text[1:])
		}
	}
	return true
}

// jsonMember returns a member of an object.
func jsonMember(text []byte, name string) (member []byte, ok bool) {
	jsonWalk(text, func(key, token []byte) bool {
		if key == nil {
			return false
		}
		inner, _ := jsonScalar(key)
		if string(inner) == name {
			member, ok = token, true
			return false
		}
		return true
	})
	return member, ok
}

// jsonElement returns an element of an array; a negative index counts from the end.
func jsonElement(text []byte, index int64) (element []byte, ok bool) {
	if index < 0 {
		index += jsonLength(text)
	}
	i := int64(0)
	jsonWalk(text, func(key, token []byte) bool {
		if key != nil {
			return false
		}
		if i == index {
			element, ok = token, true
			return false
		}
		i++
		return true
	})
	return element, ok && index >= 0
}

// jsonLength counts members or elements; 0 for a scalar.
func jsonLength(text []byte) int64 {
	n := int64(0)
	jsonWalk(text, func(_, _ []byte) bool {
		n++
		return true
	})
	return n
}

// jsonStep is one step of a path.
type jsonStep struct {
	name  string
	index int64
	named bool
}

// parsePath reads $.a.b[0]['c d'].
func parsePath(path string) ([]jsonStep, error) {
	rest, ok := strings.CutPrefix(path, "$")
	if !ok {
		return nil, fmt.Errorf("path %q must begin with $, as in $.name or $[0]", path)
	}
	var steps []jsonStep
	for rest != "" {
		switch rest[0] {
		case '.':
			end := strings.IndexAny(rest[1:], ".[")
			if end < 0 {
				end = len(rest) - 1
			}
			if end == 0 {
				return nil, fmt.Errorf("path %q has an empty name", path)
			}
			steps = append(steps, jsonStep{name: rest[1 : end+1], named: true})
			rest = rest[end+1:]
		case '[':
			step, after, err := pathBracket(rest)
			if err != nil {
				return nil, fmt.Errorf("path %q: %w", path, err)
			}
			steps = append(steps, step)
			rest = after
		default:
			return nil, fmt.Errorf("path %q: %q is neither .name nor [index]", path, rest)
		}
	}
	return steps, nil
}

func pathBracket(text string) (jsonStep, string, error) {
	if len(text) > 2 && (text[1] == '\'' || text[1] == '"') {
		closing := string(text[1]) + "]"
		end := strings.Index(text[2:], closing)
		if end < 0 {
			return jsonStep{}, "", fmt.Errorf("missing %s", closing)
		}
		return jsonStep{name: text[2 : 2+end], named: true}, text[2+end+2:], nil
	}
	end := strings.IndexByte(text, ']')
	if end < 0 {
		return jsonStep{}, "", fmt.Errorf("missing ]")
	}
	index, err := strconv.ParseInt(text[1:end], 10, 64)
	if err != nil {
		return jsonStep{}, "", fmt.Errorf("%q is not an index", text[1:end])
	}
	return jsonStep{index: index}, text[end+1:], nil
}

// follow walks a path; ok is false where it leads nowhere.
func follow(text []byte, steps []jsonStep) ([]byte, bool) {
	for _, step := range steps {
		var ok bool
		if step.named {
			text, ok = jsonMember(text, step.name)
		} else {
			text, ok = jsonElement(text, step.index)
		}
		if !ok {
			return nil, false
		}
	}
	return text, true
}

const groupJSON = "JSON"

func jsonFunctions() []entry {
	define := func(signature, doc string, bind func(c *call) *node, examples ...Example) entry {
		return entry{
			Function: Function{Group: groupJSON, Signature: signature, Doc: doc, Examples: examples},
			bind:     bind,
		}
	}
	run := func(typ batch.Kind, run function) func(c *call) *node {
		return func(c *call) *node { return c.node(batch.Of(typ), run) }
	}
	hidden := func(e entry) entry {
		e.hidden = true
		return e
	}
	return []entry{
		define("json_get(x: json, path: string) -> json",
			"The part of a JSON value a path leads to, NULL where there is none. A path is $ followed by "+
				".name, ['name'] and [index]. x.name and x[0] do the same for JSON columns.",
			bindPath(batch.JSON), Example{`json_get('{"a": {"b": [1, 2]}}', '$.a.b')`, "[1, 2]"}),
		define("json_value(x: json, path?: string) -> string",
			"As json_get, as text: a string's content, a number as written; NULL for null, objects and "+
				"arrays.", bindPath(batch.String), Example{`json_value('{"a": "x"}', '$.a')`, "x"}),
		define("json_length(x: json, path?: string) -> int64",
			"The number of elements of an array or members of an object, 0 for other values.",
			bindPath(batch.Int64), Example{"json_length('[1, 2, 3]')", "3"}),
		define("to_json(x: any) -> json", "The value as JSON.", bindToJSON,
			Example{"to_json('a\"b')", `"a\"b"`}, Example{"to_json(nil)", "null"}),
		define("parse_json(text: string) -> json",
			"The text as JSON; text that is not JSON fails the row.",
			run(batch.JSON, func(_ *frame, a []value) (value, string) {
				if !json.Valid(a[0].text) {
					return nullValue(), "the text is not JSON"
				}
				return a[0], ""
			}), Example{`parse_json('{"a": 5}').a`, "5"}),
		define("try_parse_json(text: string) -> json", "As parse_json, but NULL for other text.",
			run(batch.JSON, func(_ *frame, a []value) (value, string) {
				return value{text: a[0].text, null: !json.Valid(a[0].text)}, ""
			}), Example{"try_parse_json('{')", "NULL"}),
		hidden(define("json_member(x: json, name: string) -> json", "", run(batch.JSON,
			func(_ *frame, a []value) (value, string) {
				text, ok := jsonMember(a[0].text, string(a[1].text))
				return presentJSON(text, ok), ""
			}))),
		hidden(define("json_element(x: json, index: int) -> json", "", run(batch.JSON,
			func(_ *frame, a []value) (value, string) {
				text, ok := jsonElement(a[0].text, a[1].int())
				return presentJSON(text, ok), ""
			}))),
	}
}

// presentJSON is NULL for what is missing or null.
func presentJSON(text []byte, ok bool) value {
	return value{text: text, null: !ok || string(text) == "null"}
}

func bindToJSON(c *call) *node {
	typ := c.args[0].typ
	n := &node{
		op: opCall, name: "to_json", typ: batch.Of(batch.JSON), args: c.args, at: c.at,
		run: func(f *frame, a []value) (value, string) {
			if a[0].null || typ.Kind == batch.Null {
				return stringValue("null"), ""
			}
			start := len(f.arena)
			f.arena = renderJSON(f.arena, typ, a[0])
			return textValue(f.arena[start:]), ""
		},
	}
	return c.folded(n)
}

// bindPath binds json_get (JSON), json_value (String) and json_length (Int64).
func bindPath(kind batch.Kind) func(c *call) *node {
	return func(c *call) *node {
		var steps []jsonStep
		if len(c.args) > 1 {
			path, ok := c.constantText(1)
			if !ok {
				return c.null(c.at)
			}
			var err error
			if steps, err = parsePath(path); err != nil {
				return c.fail(c.args[1].at, "", "%s", err)
			}
			c.args = c.args[:1]
		}
		return c.node(batch.Of(kind), func(_ *frame, a []value) (value, string) {
			text, ok := follow(a[0].text, steps)
			if !ok {
				return nullValue(), ""
			}
			switch kind {
			case batch.JSON:
				return presentJSON(text, true), ""
			case batch.Int64:
				return intValue(jsonLength(text)), ""
			}
			out, found := jsonScalar(text)
			return value{text: out, null: found == jsonNull || found == jsonNested}, ""
		})
	}
}
