package batch

import (
	"encoding/json"
	"unicode/utf16"
	"unicode/utf8"
)

// validJSON reports whether text is one JSON value in UTF-8.
func validJSON(text []byte) bool { return utf8.Valid(text) && json.Valid(text) }

// AppendUnescapedJSON appends the text of a JSON string's inside (without its quotes). Escapes
// are expected to be valid; a lone surrogate becomes U+FFFD, an unknown escape stays as it is.
func AppendUnescapedJSON(dst, inner []byte) []byte {
	for i := 0; i < len(inner); i++ {
		ch := inner[i]
		if ch != '\\' || i+1 >= len(inner) {
			dst = append(dst, ch)
			continue
		}
		i++
		switch inner[i] {
		case 'n':
			dst = append(dst, '\n')
		case 't':
			dst = append(dst, '\t')
		case 'r':
			dst = append(dst, '\r')
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case '"', '\\', '/':
			dst = append(dst, inner[i])
		case 'u':
			r, used := unicodeEscape(inner[i-1:])
			dst = utf8.AppendRune(dst, r)
			i += used - 2
		default:
			dst = append(dst, '\\', inner[i])
		}
	}
	return dst
}

// unicodeEscape reads \uXXXX, or a surrogate pair of two, at the start of b.
func unicodeEscape(b []byte) (r rune, used int) {
	first, ok := hex4(b)
	if !ok {
		return utf8.RuneError, 2
	}
	if !utf16.IsSurrogate(first) {
		return first, 6
	}
	if len(b) >= 12 && b[6] == '\\' && b[7] == 'u' {
		if second, ok := hex4(b[6:]); ok {
			if r := utf16.DecodeRune(first, second); r != utf8.RuneError {
				return r, 12
			}
		}
	}
	return utf8.RuneError, 6
}

func hex4(b []byte) (rune, bool) {
	if len(b) < 6 {
		return 0, false
	}
	var r rune
	for _, ch := range b[2:6] {
		r <<= 4
		switch {
		case ch >= '0' && ch <= '9':
			r |= rune(ch - '0')
		case ch >= 'a' && ch <= 'f':
			r |= rune(ch-'a') + 10
		case ch >= 'A' && ch <= 'F':
			r |= rune(ch-'A') + 10
		default:
			return 0, false
		}
	}
	return r, true
}

const hexDigits = "0123456789abcdef"

// AppendJSONString appends text as a JSON string with its quotes; bytes that are not UTF-8 become
// U+FFFD.
func AppendJSONString[T ~string | ~[]byte](dst []byte, text T) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(text); {
		ch := text[i]
		if ch >= 0x20 && ch != '"' && ch != '\\' && ch < utf8.RuneSelf {
			i++
			continue
		}
		if ch >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(string(text[i:min(i+4, len(text))]))
			if r != utf8.RuneError || size > 1 {
				i += size
				continue
			}
			dst = append(append(dst, text[start:i]...), "\ufffd"...)
			i++
			start = i
			continue
		}
		dst = append(dst, text[start:i]...)
		switch ch {
		case '"', '\\':
			dst = append(dst, '\\', ch)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[ch>>4], hexDigits[ch&15])
		}
		i++
		start = i
	}
	return append(append(dst, text[start:]...), '"')
}
