package op

import (
	"bytes"

	"github.com/tapeline/tapeline/batch"
)

// jsonWalker reads JSON text that is known to be valid into appenders.
type jsonWalker struct {
	scratch []byte
	failed  bool
}

// row appends one value; false means that some part of it did not fit and is null.
func (w *jsonWalker) row(a *batch.Appender, text []byte) bool {
	w.failed = false
	w.put(a, bytes.TrimSpace(text))
	return !w.failed
}

// member finds a struct's member by its JSON name (with quotes), -1 when there is none.
func (w *jsonWalker) member(typ batch.Type, name []byte) int {
	text, _, grown := tokenText(name, w.scratch[:0])
	w.scratch = grown
	for i := range typ.Fields {
		if typ.Fields[i].Name == string(text) {
			return i
		}
	}
	return -1
}

// put appends exactly one row, so that columns of one struct stay equally long.
func (w *jsonWalker) put(a *batch.Appender, text []byte) {
	typ := a.Type()
	switch {
	case text[0] == 'n':
		a.Null()
	case typ.Nested() && (text[0] == '[') != (typ.Kind == batch.List), typ.Nested() && text[0] != '{' &&
		text[0] != '[':
		w.failed = true
		a.Null()
	case typ.Kind == batch.List:
		eachElement(text, func(element []byte) bool { w.put(a.Element(0), element); return true })
		a.List()
	case typ.Kind == batch.Struct:
		w.putStruct(a, text)
	case typ.Kind == batch.Map:
		eachMember(text, func(name, value []byte) bool {
			w.put(a.Element(0), name)
			w.put(a.Element(1), value)
			return true
		})
		a.List()
	case typ.Kind == batch.JSON:
		a.Bytes(text)
	default:
		read, _, grown := tokenText(text, w.scratch[:0])
		w.scratch = grown
		if !putText(a, read) {
			w.failed = true
			a.Null()
		}
	}
}

// putStruct appends members in any order; a repeated one keeps the first, a missing one is null.
func (w *jsonWalker) putStruct(a *batch.Appender, text []byte) {
	typ := a.Type()
	rows := a.Len()
	eachMember(text, func(name, value []byte) bool {
		if i := w.member(typ, name); i >= 0 && a.Element(i).Len() == rows {
			w.put(a.Element(i), value)
		}
		return true
	})
	for i := range typ.Fields {
		if a.Element(i).Len() == rows {
			a.Element(i).Null()
		}
	}
	a.Struct()
}

// tokenText returns the text of a JSON scalar and whether it is null; objects and arrays are
// their JSON. Escapes are resolved into scratch.
func tokenText(raw, scratch []byte) (text []byte, null bool, grown []byte) {
	raw = bytes.TrimSpace(raw)
	switch {
	case len(raw) == 0 || raw[0] == 'n':
		return nil, true, scratch
	case raw[0] != '"':
		return raw, false, scratch
	}
	inner := raw[1 : len(raw)-1]
	if bytes.IndexByte(inner, '\\') < 0 {
		return inner, false, scratch
	}
	scratch = batch.AppendUnescapedJSON(scratch, inner)
	return scratch, false, scratch
}

// eachMember calls f with the name (quoted) and value of each member of a valid object until f
// returns false, and returns what the last f did.
func eachMember(object []byte, f func(name, value []byte) bool) bool {
	i := skipBlanks(object, 1)
	for object[i] != '}' {
		nameEnd := skipJSON(object, i)
		name := object[i:nameEnd]
		i = skipBlanks(object, skipBlanks(object, nameEnd)+1)
		end := skipJSON(object, i)
		if !f(name, object[i:end]) {
			return false
		}
		if i = skipBlanks(object, end); object[i] == ',' {
			i = skipBlanks(object, i+1)
		}
	}
	return true
}

// eachElement is eachMember for the elements of a valid array.
func eachElement(array []byte, f func(element []byte) bool) bool {
	i := skipBlanks(array, 1)
	for array[i] != ']' {
		end := skipJSON(array, i)
		if !f(array[i:end]) {
			return false
		}
		if i = skipBlanks(array, end); array[i] == ',' {
			i = skipBlanks(array, i+1)
		}
	}
	return true
}

func skipBlanks(text []byte, i int) int {
	for i < len(text) && (text[i] == ' ' || text[i] == '\t' || text[i] == '\n' || text[i] == '\r') {
		i++
	}
	return i
}

// skipJSON returns the end of the valid value that starts at i.
func skipJSON(text []byte, i int) int {
	depth := 0
	for i < len(text) {
		switch text[i] {
		case '"':
			i = skipQuoted(text, i)
			if depth == 0 {
				return i
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth <= 0 {
				return i + 1
			}
		case ',', ' ', '\t', '\n', '\r', ':':
		default:
			i = skipScalar(text, i)
			if depth == 0 {
				return i
			}
			continue
		}
		i++
	}
	return i
}

func skipScalar(text []byte, i int) int {
	for i < len(text) {
		switch text[i] {
		case ',', '}', ']', ' ', '\t', '\n', '\r', ':':
			return i
		}
		i++
	}
	return i
}

// skipQuoted returns the end of the string that starts at i, behind its closing quote.
func skipQuoted(text []byte, i int) int {
	// Strings are short as a rule: a plain loop beats a call.
	for i++; i < len(text); i++ {
		switch text[i] {
		case '"':
			return i + 1
		case '\\':
			i++
		}
	}
	return len(text)
}
