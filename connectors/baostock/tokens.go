package baostock

import "bytes"

// tokens walks over JSON text. It checks what holds the text together; what a string or a number
// says is looked at when it is read.
type tokens struct {
	data  []byte
	at    int
	token []byte // of the last string, quotes stripped, escapes as they are
}

// blank skips white space.
func (t *tokens) blank() {
	for t.at < len(t.data) && blank(t.data[t.at]) {
		t.at++
	}
}

func blank(ch byte) bool { return ch == ' ' || ch == '\n' || ch == '\t' || ch == '\r' }

// take skips white space and the byte ch; false when another one is there.
func (t *tokens) take(ch byte) bool {
	t.blank()
	if t.at < len(t.data) && t.data[t.at] == ch {
		t.at++
		return true
	}
	return false
}

// string skips white space and a string.
func (t *tokens) string() bool {
	if !t.take('"') {
		return false
	}
	from := t.at
	for {
		n := bytes.IndexByte(t.data[t.at:], '"')
		if n < 0 {
			return false
		}
		end := t.at + n
		t.at = end + 1
		escapes := 0
		for end-escapes > from && t.data[end-escapes-1] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			t.token = t.data[from:end]
			return true
		}
	}
}

// between stands between two records that end and begin with a string, as all do that are sound.
var between = []byte(`"],["`)

// cut is record for one that another one follows directly. Records are cut at a glance: behind a
// quote that neither opens a string nor is escaped, a bracket is one, and without another bracket
// before it, it closes the record. What is between is checked when it is read.
func (t *tokens) cut(cell int) (key []byte, ok bool) {
	rest := t.data[t.at:]
	end := bytes.IndexByte(rest, ']')
	if end < 4 || end+3 > len(rest) || !bytes.HasPrefix(rest[end-1:], between) ||
		rest[0] != '[' || rest[1] != '"' || bytes.IndexByte(rest[1:end], '[') >= 0 {
		return t.record(cell)
	}
	switch rest[end-2] {
	case ',', ':', '\\', ' ', '\n', '\t', '\r':
		return t.record(cell)
	}
	if cell >= 0 {
		head := tokens{data: rest[:end+1], at: 1}
		for i := 0; i <= cell && (i == 0 || head.take(',')) && head.string(); i++ {
			if i == cell {
				key = head.token
			}
		}
	}
	t.at += end + 1
	return key, true
}

// record skips one element of the list, and returns the string in a cell of it, nil where there is
// none. ok is false when the text is no JSON.
func (t *tokens) record(cell int) (key []byte, ok bool) {
	if t.at >= len(t.data) || t.data[t.at] != '[' {
		return nil, t.value()
	}
	t.at++
	if t.take(']') {
		return nil, true
	}
	for i := 0; ; i++ {
		t.blank()
		if t.at < len(t.data) && t.data[t.at] == '"' {
			if !t.string() {
				return nil, false
			}
			if i == cell {
				key = t.token
			}
		} else if !t.value() {
			return nil, false
		}
		if !t.take(',') {
			return key, t.take(']')
		}
	}
}

// value skips any value: a string, a list, an object, or what is none of them up to its end.
func (t *tokens) value() bool {
	depth := 0
	for {
		t.blank()
		if t.at >= len(t.data) {
			return false
		}
		switch ch := t.data[t.at]; ch {
		case '"':
			if !t.string() {
				return false
			}
		case '[', '{':
			depth++
			t.at++
			continue
		case ']', '}', ',', ':':
			if depth == 0 {
				return false
			}
			if ch == ']' || ch == '}' {
				depth--
			}
			t.at++
		default:
			for t.at < len(t.data) && !ends(t.data[t.at]) {
				t.at++
			}
		}
		if depth == 0 {
			return true
		}
	}
}

// ends reports whether a byte cannot belong to a number or a word.
func ends(ch byte) bool {
	return blank(ch) || ch == ',' || ch == ']' || ch == '}' || ch == '[' || ch == '{' || ch == '"' || ch == ':'
}
