package json

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
)

// skipLoose returns the end of the value at i by its brackets and quotes alone, so that a record
// that is not JSON can be left out; ok false: it does not end in b.
func skipLoose(b []byte, i int) (end int, ok bool) {
	depth := 0
	for i < len(b) {
		switch b[i] {
		case '"':
			if i = skipLooseString(b, i+1); i < 0 {
				return len(b), false
			}
		case '{', '[':
			depth++
			i++
		case '}', ']':
			if depth == 0 {
				return i, true
			}
			depth--
			i++
		case ',', ' ', '\t', '\n', '\r':
			if depth == 0 {
				return i, true
			}
			i++
			continue
		default:
			i++
			continue
		}
		if depth == 0 {
			return i, true
		}
	}
	return len(b), depth == 0
}

// skipLooseString returns the end of the string whose inside begins at i, -1 when it has none.
func skipLooseString(b []byte, i int) int {
	for {
		at := bytes.IndexByte(b[i:], '"')
		if at < 0 {
			return -1
		}
		at += i
		slashes := 0
		for k := at - 1; k >= i && b[k] == '\\'; k-- {
			slashes++
		}
		if i = at + 1; slashes&1 == 0 {
			return i
		}
	}
}

// CutElements returns the length of the longest beginning of data that is at most rows elements of
// an array, each but the last followed by a comma. The last elements of an array, with what
// follows its closing bracket, are one piece, known by atEOF: nothing follows data.
func CutElements(data []byte, atEOF bool, rows int) int {
	i := skipSpace(data, 0)
	if i < len(data) && data[i] == ',' {
		i = skipSpace(data, i+1)
	}
	last := 0
	for range rows {
		end, ok := skipLoose(data, i)
		next := skipSpace(data, end)
		if !ok || next >= len(data) || data[next] != ',' {
			if atEOF {
				return len(data)
			}
			return last
		}
		last = end
		i = skipSpace(data, next+1)
	}
	return last
}

// CutValues returns the length of the longest beginning of data that is at most rows values with
// blanks between them.
func CutValues(data []byte, atEOF bool, rows int) int {
	last := 0
	for i := skipSpace(data, 0); i < len(data) && rows > 0; rows-- {
		end, ok := skipLoose(data, i)
		if !ok || end == i || end == len(data) && !endsValue(data[i], 'x') {
			break
		}
		last, i = end, skipSpace(data, end)
	}
	if atEOF && rows > 0 {
		return len(data)
	}
	return last
}

// ArrayStart returns the offset after the opening bracket of the array that path names: "" or "$"
// for the text itself, "$.data.items" for members of members. ok false: text ends before that.
func ArrayStart(text []byte, path string) (start int, ok bool, err error) {
	path = strings.TrimPrefix(strings.TrimPrefix(path, "$"), ".")
	i := skipSpace(text, 0)
	for path != "" {
		var name string
		name, path, _ = strings.Cut(path, ".")
		if i, ok, err = findMember(text, i, name); err != nil || !ok {
			return 0, ok, err
		}
	}
	if i >= len(text) {
		return 0, false, nil
	}
	if text[i] != '[' {
		return 0, false, fmt.Errorf("%s where the array of records is expected", found(text[i]))
	}
	i = skipSpace(text, i+1)
	if i >= len(text) {
		return 0, false, nil
	}
	if text[i] == ',' {
		return 0, false, errors.New("a comma before the first element of the array")
	}
	return i, true, nil
}

// found names what a byte begins.
func found(first byte) string {
	if strings.IndexByte(`{["tfn-0123456789`, first) < 0 {
		return fmt.Sprintf("%q", first)
	}
	return kindOf(first)
}

// findMember returns where the value of a member of the object at text[i] begins.
func findMember(text []byte, i int, name string) (at int, ok bool, err error) {
	if i >= len(text) {
		return 0, false, nil
	}
	if text[i] != '{' {
		return 0, false, fmt.Errorf("%s where an object with member %q is expected", found(text[i]), name)
	}
	for i = skipSpace(text, i+1); i < len(text); i = skipSpace(text, i+1) {
		if text[i] == '}' {
			return 0, false, fmt.Errorf("no member %q", name)
		}
		value, why := skipKey(text, i)
		if why == endsEarly || value >= len(text) {
			return 0, false, nil
		}
		if why != valid {
			return 0, false, fmt.Errorf("before member %q: %s", name, why)
		}
		keyEnd, _, _ := skipString(text, i+1)
		if string(batch.AppendUnescapedJSON(nil, text[i+1:keyEnd-1])) == name {
			return value, true, nil
		}
		end, ok := skipLoose(text, value)
		if i = skipSpace(text, end); !ok || i >= len(text) {
			return 0, false, nil
		}
		switch text[i] {
		case ',':
		case '}':
			i--
		default:
			return 0, false, fmt.Errorf("before member %q: %s", name, wantCommaOrBrace)
		}
	}
	return 0, false, nil
}

// passValues reads the records of the layouts Values and Elements.
func (d *Decoder) passValues(block Block, p *pass) error {
	data := block.Data
	elements := d.reader.options.Layout == Elements
	line, counted := 0, 0
	i := skipSpace(data, 0)
	comma := elements && i < len(data) && data[i] == ','
	if comma {
		i = skipSpace(data, i+1)
	}
	for i < len(data) {
		if elements && data[i] == ']' && !comma {
			return d.passTail(block, i+1)
		}
		line += bytes.Count(data[counted:i], []byte{'\n'})
		counted = i
		next, why := d.row(data, i, p, int32(line))
		if why == valid && next < len(data) && !endsValue(data[i], data[next]) {
			why = trailing
		}
		if why == valid {
			p.rows++
		} else {
			end, ok := skipLoose(data, i)
			if !ok || end == i {
				return d.broken(block, next, why)
			}
			column := next - 1 - bytes.LastIndexByte(data[:next], '\n')
			d.reject(block, p, data[i:end], column, int32(line), why)
			next = end
		}
		i = skipSpace(data, next)
		if !elements || i >= len(data) || data[i] == ']' {
			comma = false
			continue
		}
		if data[i] != ',' {
			return d.broken(block, i, wantCommaOrBracket)
		}
		comma = true
		i = skipSpace(data, i+1)
	}
	if elements && (block.Last || comma) {
		return d.broken(block, len(data), endsEarly)
	}
	return nil
}

// endsValue reports whether next may follow a value that begins with first: brackets and quotes
// end a value, numbers and literals need a blank, comma or bracket after them.
func endsValue(first, next byte) bool {
	switch first {
	case '{', '[', '"':
		return true
	}
	return next <= ' ' || next == ',' || next == ']'
}

// passTail looks at what follows the array.
func (d *Decoder) passTail(block Block, i int) error {
	if i = skipSpace(block.Data, i); i < len(block.Data) && !d.reader.options.Enclosed {
		return d.broken(block, i, trailing)
	}
	return nil
}

func (d *Decoder) broken(block Block, i int, why reason) error {
	return &connector.Error{
		Op: "decode " + block.position(i), Class: connector.Data,
		Err: fmt.Errorf("no JSON: %s; the records after it cannot be told apart", why),
	}
}

// eachRecord calls f with the text of each record of a block that can be told apart, until f
// returns false.
func eachRecord(block Block, layout Layout, f func(text []byte) bool) {
	data := block.Data
	if layout == Lines {
		for len(data) > 0 {
			line, rest, _ := bytes.Cut(data, []byte{'\n'})
			if line = bytes.TrimSpace(line); len(line) > 0 && !f(line) {
				return
			}
			data = rest
		}
		return
	}
	for i := skipSpace(data, 0); i < len(data); i = skipSpace(data, i) {
		if layout == Elements && data[i] == ',' {
			i++
			continue
		}
		end, ok := skipLoose(data, i)
		if !ok || end == i || !f(data[i:end]) {
			return
		}
		i = end
	}
}

// Sniff tells from the beginning of a file how its records follow each other: an array that more
// records follow is one of several lines of arrays; a value that goes over several lines is one of
// several such values.
func Sniff(head []byte) Layout {
	i := skipSpace(head, 0)
	if i >= len(head) {
		return Lines
	}
	end, why := skipValue(head, i)
	next := skipSpace(head, end)
	switch {
	case why != valid && head[i] == '[':
		// An array that is longer than the head, or damaged.
		if line := bytes.IndexByte(head[i:], '\n'); line > 0 && Valid(head[i:i+line]) {
			return Lines
		}
		return Elements
	case why == valid && head[i] == '[' && next >= len(head):
		return Elements
	case why == valid && bytes.IndexByte(head[i:end], '\n') >= 0:
		return Values
	case why == endsEarly && bytes.IndexByte(head[i:end], '\n') >= 0:
		return Values
	}
	return Lines
}
