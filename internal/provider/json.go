package provider

import (
	"bytes"
	"fmt"
	"iter"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/codec/json"
	"github.com/tapeline/tapeline/connector"
)

// Value is the text of one JSON value in a Document: nothing is copied or converted before it is
// asked for, so that numbers keep all their digits. nil is a value that is not there.
type Value []byte

// Document checks that text is one JSON value and returns it. Text that is not, such as a page for
// people or a body that was cut, is a Transient error with the beginning of the text.
func Document(text []byte) (Value, error) {
	if !json.Valid(text) {
		return nil, &connector.Error{
			Op: "read an answer", Class: connector.Transient, Code: "provider_malformed",
			Err: fmt.Errorf("it is no JSON, or was cut: %d bytes, %q", len(text), clip(text)),
		}
	}
	return Value(bytes.TrimSpace(text)), nil
}

// clip shortens text for messages.
func clip(text []byte) []byte {
	const most = 80
	return text[:min(len(text), most)]
}

// Null reports whether the value is null or not there.
func (v Value) Null() bool { return len(v) == 0 || v[0] == 'n' }

// Member returns a member of an object; nil when it has none of the name, or is no object.
func (v Value) Member(name string) Value {
	for key, value := range v.Members() {
		if key == name {
			return value
		}
	}
	return nil
}

// Members yields the members of an object, and nothing of what is none.
func (v Value) Members() iter.Seq2[string, Value] {
	return func(yield func(string, Value) bool) {
		for key, value := range v.children('{') {
			if !yield(string(key.Text()), value) {
				return
			}
		}
	}
}

// Elements yields the elements of an array, and nothing of what is none.
func (v Value) Elements() iter.Seq[Value] {
	return func(yield func(Value) bool) {
		for _, value := range v.children('[') {
			if !yield(value) {
				return
			}
		}
	}
}

// First returns the first element of an array; nil when there is none.
func (v Value) First() Value {
	var first Value
	v.children('[')(func(_, element Value) bool {
		first = element
		return false
	})
	return first
}

// Cells appends the texts of an array's elements, as Text returns them, to dst.
func (v Value) Cells(dst [][]byte) [][]byte {
	for element := range v.Elements() {
		dst = append(dst, element.Text())
	}
	return dst
}

// children yields the values of an array, or the names and values of an object.
func (v Value) children(open byte) iter.Seq2[Value, Value] {
	return func(yield func(Value, Value) bool) {
		if len(v) == 0 || v[0] != open {
			return
		}
		for at := blank(v, 1); v[at] != ']' && v[at] != '}'; {
			var name Value
			if open == '{' {
				end := skip(v, at)
				name = v[at:end]
				at = blank(v, blank(v, end)+1) // over the colon
			}
			end := skip(v, at)
			if !yield(name, v[at:end:end]) {
				return
			}
			if at = blank(v, end); v[at] == ',' {
				at = blank(v, at+1)
			}
		}
	}
}

// Text returns what a string says, and the text of a number or of true and false; nil for null, for
// arrays and for objects.
func (v Value) Text() []byte {
	if v.Null() || v[0] == '[' || v[0] == '{' {
		return nil
	}
	if v[0] != '"' {
		return v
	}
	inside := v[1 : len(v)-1]
	if bytes.IndexByte(inside, '\\') < 0 {
		return inside
	}
	return batch.AppendUnescapedJSON(make([]byte, 0, len(inside)), inside)
}

// Int returns a whole number, written as number or as string.
func (v Value) Int() (int64, bool) { return batch.ParseInt(v.Text()) }

func blank(v Value, at int) int {
	for v[at] == ' ' || v[at] == '\n' || v[at] == '\t' || v[at] == '\r' {
		at++
	}
	return at
}

// skip returns the end of the value at at; the text has been checked.
func skip(v Value, at int) int {
	depth := 0
	for {
		switch v[at] {
		case '"':
			for at++; v[at] != '"'; at++ {
				if v[at] == '\\' {
					at++
				}
			}
		case '[', '{':
			depth++
		case ']', '}':
			depth--
		default:
			if depth == 0 {
				return literal(v, at)
			}
		}
		if at++; depth == 0 {
			return at
		}
	}
}

// literal returns the end of the number or word at at.
func literal(v Value, at int) int {
	for at < len(v) && bytes.IndexByte([]byte(",]} \n\t\r"), v[at]) < 0 {
		at++
	}
	return at
}
