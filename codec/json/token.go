package json

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// MaxDepth is how many levels of arrays and objects one record may nest.
const MaxDepth = 512

// reason says why text is not JSON; valid is none.
type reason uint8

const (
	valid reason = iota
	endsEarly
	wantValue
	wantKey
	wantColon
	wantCommaOrBrace
	wantCommaOrBracket
	badNumber
	badLiteral
	badEscape
	badControl
	badUTF8
	tooDeep
	trailing
	notObject
	unknownMember
)

// String returns the reason for people.
func (r reason) String() string {
	return [...]string{
		"valid", "ends in the middle of a value", "a value is expected", "a member name is expected",
		"':' is expected", "',' or '}' is expected", "',' or ']' is expected",
		"not a number of JSON", "not true, false or null", "unknown escape in a string",
		"control character in a string", "not UTF-8", "nested deeper than 512 levels",
		"text after the value", "not an object", "member that the schema does not name",
	}[r]
}

const (
	ones    = 0x0101010101010101
	highs   = 0x8080808080808080
	quotes  = ones * '"'
	slashes = ones * '\\'
	blanks  = ones * 0x20
)

// special marks, by the high bit of their byte, the first byte of w that is a quote, a backslash,
// a control character or not ASCII; marks above the lowest one may be wrong.
func special(w uint64) uint64 {
	return ((((w^quotes)-ones)|((w^slashes)-ones)|(w-blanks))&^w | w) & highs
}

// skipString returns the end of the string whose inside begins at i, after its closing quote, and
// whether it holds an escape.
func skipString(b []byte, i int) (end int, escaped bool, why reason) {
	for {
		for i+8 <= len(b) {
			if mark := special(binary.LittleEndian.Uint64(b[i:])); mark != 0 {
				i += bits.TrailingZeros64(mark) >> 3
				break
			}
			i += 8
		}
		if i >= len(b) {
			return len(b), escaped, endsEarly
		}
		switch ch := b[i]; {
		case ch == '"':
			return i + 1, escaped, valid
		case ch == '\\':
			escaped = true
			n := escapeLength(b[i:])
			if n == 0 {
				return i, escaped, badEscape
			}
			i += n
		case ch < 0x20:
			return i, escaped, badControl
		case ch >= utf8.RuneSelf:
			r, n := utf8.DecodeRune(b[i:])
			if r == utf8.RuneError && n <= 1 {
				return i, escaped, badUTF8
			}
			i += n
		default:
			i++
		}
	}
}

// escapeLength returns the length of the escape at the start of b, 0 when it is none of JSON's.
func escapeLength(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if len(b) < 6 {
			return 0
		}
		for _, ch := range b[2:6] {
			hex := ch >= '0' && ch <= '9' || ch >= 'a' && ch <= 'f' || ch >= 'A' && ch <= 'F'
			if !hex {
				return 0
			}
		}
		return 6
	}
	return 0
}

// skipNumber returns the end of the number at i.
func skipNumber(b []byte, i int) (end int, why reason) {
	if b[i] == '-' {
		i++
	}
	if i >= len(b) {
		return i, badNumber
	}
	switch {
	case b[i] == '0':
		i++
	case b[i] >= '1' && b[i] <= '9':
		i = skipDigits(b, i+1)
	default:
		return i, badNumber
	}
	if i < len(b) && b[i] == '.' {
		from := i + 1
		if i = skipDigits(b, from); i == from {
			return i, badNumber
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		from := i
		if i = skipDigits(b, from); i == from {
			return i, badNumber
		}
	}
	return i, valid
}

func skipDigits(b []byte, i int) int {
	for i < len(b) && b[i]-'0' <= 9 {
		i++
	}
	return i
}

// skipLiteral returns the end of true, false or null at i.
func skipLiteral(b []byte, i int) (end int, why reason) {
	rest := b[i:]
	switch {
	case len(rest) >= 4 && (string(rest[:4]) == "true" || string(rest[:4]) == "null"):
		return i + 4, valid
	case len(rest) >= 5 && string(rest[:5]) == "false":
		return i + 5, valid
	}
	return i, badLiteral
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\n' || b[i] == '\r') {
		i++
	}
	return i
}

// skipScalar returns the end of the string, number or literal at i < len(b).
func skipScalar(b []byte, i int) (end int, escaped bool, why reason) {
	switch ch := b[i]; {
	case ch == '"':
		return skipString(b, i+1)
	case ch-'0' <= 9 || ch == '-':
		end, why = skipNumber(b, i)
	case ch == 't' || ch == 'f' || ch == 'n':
		end, why = skipLiteral(b, i)
	default:
		return i, false, wantValue
	}
	return end, false, why
}

// skipValue checks the value at i against the grammar and returns its end.
func skipValue(b []byte, i int) (end int, why reason) {
	if i >= len(b) {
		return i, endsEarly
	}
	if b[i] != '{' && b[i] != '[' {
		end, _, why = skipScalar(b, i)
		return end, why
	}
	return skipNested(b, i)
}

// skipNested walks an object or array without recursion: objects holds one bit a level, set for
// objects.
func skipNested(b []byte, i int) (end int, why reason) {
	var objects [MaxDepth/64 + 1]uint64
	depth := 0
	for {
		// b[i] begins a value, i < len(b).
		opened := false
		switch b[i] {
		case '{', '[':
			if depth == MaxDepth {
				return i, tooDeep
			}
			depth++
			bit := uint64(1) << (depth & 63)
			if b[i] == '{' {
				objects[depth>>6] |= bit
			} else {
				objects[depth>>6] &^= bit
			}
			opened = true
			i++
		default:
			if i, _, why = skipScalar(b, i); why != valid {
				return i, why
			}
		}
		if i, depth, why = closeLevels(b, i, depth, opened, &objects); why != valid || depth == 0 {
			return i, why
		}
		if i >= len(b) {
			return i, endsEarly
		}
	}
}

// closeLevels goes on after a value or an opening bracket: over closing brackets, a comma and a
// member's name to the start of the next value, or to the end when depth gets 0.
func closeLevels(
	b []byte, i, depth int, opened bool, objects *[MaxDepth/64 + 1]uint64,
) (next, left int, why reason) {
	for depth > 0 {
		if i < len(b) && b[i] <= ' ' {
			i = skipSpace(b, i)
		}
		if i >= len(b) {
			return i, depth, endsEarly
		}
		object := objects[depth>>6]>>(depth&63)&1 != 0
		switch ch := b[i]; {
		case ch == '}' && object || ch == ']' && !object:
			i++
			depth--
			opened = false
			continue
		case opened:
		case ch == ',':
			i = skipSpace(b, i+1)
		case object:
			return i, depth, wantCommaOrBrace
		default:
			return i, depth, wantCommaOrBracket
		}
		if object {
			i, why = skipKey(b, i)
		}
		return i, depth, why
	}
	return i, depth, valid
}

// skipKey checks a member's name and colon and returns the start of its value.
func skipKey(b []byte, i int) (next int, why reason) {
	if i >= len(b) {
		return i, endsEarly
	}
	if b[i] != '"' {
		return i, wantKey
	}
	if i, _, why = skipString(b, i+1); why != valid {
		return i, why
	}
	if i = skipSpace(b, i); i >= len(b) {
		return i, endsEarly
	}
	if b[i] != ':' {
		return i, wantColon
	}
	return skipSpace(b, i+1), valid
}

// Valid reports whether text is exactly one JSON value, blanks around it aside.
func Valid(text []byte) bool {
	i, why := skipValue(text, skipSpace(text, 0))
	return why == valid && skipSpace(text, i) == len(text)
}
