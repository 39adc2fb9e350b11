package spec

import (
	"strings"
	"unicode/utf8"
)

// At returns the place in the document of the byte at offset in v.Text, through quotes, escapes,
// folded lines and substituted variables. Of a substituted part it returns the start of `${`.
func (v *Value) At(offset int) Pos {
	s := v.Pos.source
	if s == nil || !v.scalar() {
		return v.Pos
	}
	offset = v.rawOffset(offset)
	if v.style == styleLiteral || v.style == styleFolded {
		return s.pos(s.blockOffset(v, offset))
	}
	return s.pos(s.flowOffset(v, offset))
}

// rawOffset turns an offset in Text into one in raw.
func (v *Value) rawOffset(offset int) int {
	shift := 0
	for _, part := range v.spans {
		if offset < part.from {
			break
		}
		if offset < part.to {
			return part.rawFrom
		}
		shift = part.rawTo - part.to
	}
	return min(max(offset+shift, 0), len(v.raw))
}

// flowOffset walks a plain or quoted scalar until target bytes of its text have been produced.
func (s *source) flowOffset(v *Value, target int) int {
	at, out := s.offset(v.Pos), 0
	if v.style != stylePlain {
		at++
	}
	for at < len(s.text) && out < target {
		rest := s.text[at:]
		if blank := len(rest) - len(strings.TrimLeft(rest, " \t")); blank < len(rest) &&
			(rest[blank] == '\n' || rest[blank] == '\r') {
			skip, made := fold(rest)
			at, out = at+skip, out+made
			continue
		}
		switch {
		case v.style == styleSingle && strings.HasPrefix(rest, "''"):
			at, out = at+2, out+1
		case v.style == styleDouble && rest[0] == '\\' && len(rest) > 1:
			skip, made := escape(rest)
			at, out = at+skip, out+made
		default:
			_, n := utf8.DecodeRuneInString(rest)
			at, out = at+n, out+n
		}
	}
	return at
}

// fold returns the length of a line break with the white space around it, and the bytes it makes.
func fold(rest string) (skip, made int) {
	skip = len(rest) - len(strings.TrimLeft(rest, " \t\r\n"))
	breaks := strings.Count(strings.ReplaceAll(rest[:skip], "\r\n", "\n"), "\n")
	return skip, max(breaks-1, 1)
}

// escape returns the length of an escape sequence and the bytes it makes.
func escape(rest string) (skip, made int) {
	size := map[byte]int{'x': 2, 'u': 4, 'U': 8}[rest[1]]
	switch {
	case size > 0:
		code := rune(0)
		for _, digit := range rest[2:min(2+size, len(rest))] {
			code = code<<4 | rune(strings.IndexRune("0123456789abcdef", digit|0x20)&15)
		}
		return min(2+size, len(rest)), max(utf8.RuneLen(code), 1)
	case rest[1] == '\n' || rest[1] == '\r':
		return 1 + len(rest[1:]) - len(strings.TrimLeft(rest[1:], " \t\r\n")), 0
	case rest[1] == 'N' || rest[1] == '_':
		return 2, 2
	case rest[1] == 'L' || rest[1] == 'P':
		return 2, 3
	}
	return 2, 1
}

// blockOffset finds a byte of a literal or folded block scalar.
func (s *source) blockOffset(v *Value, target int) int {
	number := v.Pos.Line + 1
	for number < len(s.lines) && strings.TrimSpace(s.line(number)) == "" {
		number++
	}
	content := strings.TrimLeft(v.raw, "\n")
	target -= len(v.raw) - len(content)
	indent := max(leading(s.line(number))-leading(content), 0)
	for ; number <= len(s.lines); number++ {
		line := s.line(number)
		size := max(len(line)-indent, 0)
		if target <= size || number == len(s.lines) {
			return s.lines[number-1] + min(indent+max(target, 0), len(line))
		}
		target -= size + 1
		if v.style == styleFolded && size > 0 && s.foldsAfter(number) {
			target++ // the break before blank lines makes no byte
		}
	}
	return len(s.text)
}

// foldsAfter says whether a blank line follows.
func (s *source) foldsAfter(number int) bool {
	return number < len(s.lines) && strings.TrimSpace(s.line(number+1)) == ""
}

func leading(line string) int { return len(line) - len(strings.TrimLeft(line, " ")) }
