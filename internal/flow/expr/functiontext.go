package expr

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"unicode/utf8"

	"github.com/tapeline/tapeline/batch"
)

const groupText = "Text"

// maxTextBytes bounds what repeat and padding build for one row.
const maxTextBytes = 1 << 20

// text makes an entry from a signature, a description, a run and examples.
func textEntry(signature, doc string, run function, examples ...Example) entry {
	return entry{
		Function: Function{Group: groupText, Signature: signature, Doc: doc, Examples: examples},
		run:      run,
	}
}

// textFunctions work on characters (Unicode code points), positions count from 1 as in SQL.
func textFunctions() []entry {
	out := append(shapeFunctions(), partsFunctions()...)
	concat := textEntry("concat(values...: any) -> string",
		"The texts of all values one after the other; NULL counts as empty.", runConcat,
		Example{"concat('a', nil, 1)", "a1"})
	concat.bind = bindConcat
	concat.seesNull = true
	length := textEntry("length(x: any) -> int64",
		"The characters of a text, the bytes of a binary, the elements of a list or map. "+
			"len(x) is the same.", nil, Example{"length('añb')", "3"})
	length.bind = bindLength
	out = append(out, concat, length)
	for test := startsWith; test <= endsWith; test++ {
		name := [...]string{startsWith: "starts_with", endsWith: "ends_with"}[test]
		e := textEntry(name+"(text: string, part: string) -> bool",
			"Whether the text does; text "+textTestNames[test]+" part is the same.", nil,
			Example{name + "('abab', 'ab')", "true"})
		e.bind = func(c *call) *node { return c.textTest(test, c.args[0], c.args[1], c.at) }
		out = append(out, e)
	}
	return out
}

// shapeFunctions change a text as a whole.
func shapeFunctions() []entry {
	return []entry{
		textEntry("upper(text: string) -> string", "All letters in upper case.",
			func(f *frame, a []value) (value, string) { return f.upper(a[0].text), "" },
			Example{"upper('abc')", "ABC"}),
		textEntry("lower(text: string) -> string", "All letters in lower case.",
			func(f *frame, a []value) (value, string) { return f.lower(a[0].text), "" },
			Example{"lower('ÄBC')", "äbc"}),
		textEntry("trim(text: string, characters?: string) -> string",
			"Without white space, or the given characters, at both ends.", runTrim(true, true),
			Example{"trim('  a ')", "a"}, Example{"trim('--a-', '-')", "a"}),
		textEntry("ltrim(text: string, characters?: string) -> string",
			"As trim, at the start only.", runTrim(true, false), Example{"ltrim('00120', '0')", "120"}),
		textEntry("rtrim(text: string, characters?: string) -> string",
			"As trim, at the end only.", runTrim(false, true), Example{"rtrim('a.b..', '.')", "a.b"}),
		textEntry("replace(text: string, old: string, new: string) -> string",
			"Every occurrence of old replaced by new.", runReplace,
			Example{"replace('a-b-c', '-', '')", "abc"}),
		textEntry("lpad(text: string, length: int, fill?: string) -> string",
			"Filled at the start up to length characters (with blanks by default), or cut to them.",
			runPad(true), Example{"lpad('7', 3, '0')", "007"}),
		textEntry("rpad(text: string, length: int, fill?: string) -> string",
			"As lpad, at the end.", runPad(false), Example{"rpad('ab', 4, '.')", "ab.."}),
		textEntry("reverse(text: string) -> string", "The characters in reverse.", runReverse,
			Example{"reverse('abc')", "cba"}),
		textEntry("repeat_text(text: string, n: int) -> string",
			"The text n times, up to 1 MiB. repeat(text, n) is the same.", runRepeat,
			Example{"repeat('ab', 3)", "ababab"}),
		textEntry("initcap(text: string) -> string", "Each word with a capital first letter.", runInitcap,
			Example{"initcap('new york')", "New York"}),
		textEntry("hex(x: bytes) -> string", "The bytes in hexadecimal.",
			func(f *frame, a []value) (value, string) {
				start := len(f.arena)
				f.arena = hex.AppendEncode(f.arena, a[0].text)
				return textValue(f.arena[start:]), ""
			}, Example{"hex('az')", "617a"}),
		textEntry("base64_encode(x: bytes) -> string", "The bytes in base64.",
			func(f *frame, a []value) (value, string) {
				start := len(f.arena)
				f.arena = base64.StdEncoding.AppendEncode(f.arena, a[0].text)
				return textValue(f.arena[start:]), ""
			}, Example{"base64_encode('hi')", "aGk="}),
		textEntry("base64_decode(text: string) -> binary", "The bytes a base64 text stands for.",
			runBase64, Example{"to_string(base64_decode('aGk='))", "hi"}),
		textEntry("url_decode(text: string) -> string", "The text with %xx and + decoded.", runURLDecode,
			Example{"url_decode('a%20b')", "a b"}),
	}
}

// partsFunctions find and cut parts of a text.
func partsFunctions() []entry {
	return []entry{
		textEntry("substr(text: string, start: int, length?: int) -> string",
			"Characters from position start (from 1; negative counts from the end), at most length.",
			runSubstr, Example{"substr('abcdef', 2, 3)", "bcd"}, Example{"substr('abcdef', -2)", "ef"}),
		textEntry("left(text: string, n: int) -> string", "The first n characters.",
			func(_ *frame, a []value) (value, string) {
				return textValue(characters(a[0].text, 0, int(clampInt(a[1].int())))), ""
			}, Example{"left('abcdef', 2)", "ab"}),
		textEntry("right(text: string, n: int) -> string", "The last n characters.", runRight,
			Example{"right('abcdef', 2)", "ef"}),
		textEntry("position(text: string, part: string) -> int64",
			"The position of the first occurrence of part, from 1; 0 when there is none.",
			func(_ *frame, a []value) (value, string) {
				i := bytes.Index(a[0].text, a[1].text)
				return intValue(int64(utf8.RuneCount(a[0].text[:max(i, 0)]) + bit(i >= 0))), ""
			}, Example{"position('abc', 'c')", "3"}),
		textEntry("split_part(text: string, separator: string, n: int) -> string",
			"Part n of the text cut at each separator, from 1 (negative from the end); empty when there "+
				"is none.", runSplitPart, Example{"split_part('a/b/c', '/', 2)", "b"}),
		textEntry("split(text: string, separator: string) -> list<string>",
			"The list of parts of the text cut at each separator.", runSplit,
			Example{"to_json(split('a,b', ','))", `["a","b"]`}),
	}
}

func bindConcat(c *call) *node {
	for i, arg := range c.args {
		if arg.typ.Kind != batch.String {
			c.args[i] = (&call{binder: c.binder, entry: c.entry, args: []*node{arg}, at: arg.at}).
				convert(batch.Of(batch.String), false)
		}
	}
	return c.node(batch.Of(batch.String), c.entry.run)
}

func runConcat(f *frame, args []value) (value, string) {
	start := len(f.arena)
	for _, arg := range args {
		if !arg.null {
			f.arena = append(f.arena, arg.text...)
		}
	}
	return textValue(f.arena[start:]), ""
}

func bindLength(c *call) *node {
	x := c.args[0]
	switch {
	case x.typ.Kind == batch.List || x.typ.Kind == batch.Map:
		return c.node(batch.Of(batch.Int64), func(_ *frame, a []value) (value, string) {
			return intValue(int64(a[0].length())), ""
		})
	case x.typ.Kind == batch.Binary:
		return c.node(batch.Of(batch.Int64), func(_ *frame, a []value) (value, string) {
			return intValue(int64(len(a[0].text))), ""
		})
	case x.typ.Text() || x.typ.Kind == batch.Null:
		c.args[0] = c.coerce(x, batch.Of(batch.String))
		return c.node(batch.Of(batch.Int64), func(_ *frame, a []value) (value, string) {
			return intValue(int64(utf8.RuneCount(a[0].text))), ""
		})
	}
	return c.fail(x.at, "", "length takes a text, binary, list or map, this is %s", x.typ)
}

// upper and lower change ASCII in place of a copy and leave the rest to unicode.
func (f *frame) upper(text []byte) value {
	start := len(f.arena)
	f.arena = append(f.arena, text...)
	for i, ch := range f.arena[start:] {
		if ch >= utf8.RuneSelf {
			f.arena = f.arena[:start]
			return f.mapped(text, upperCase)
		}
		if ch-'a' <= 'z'-'a' {
			f.arena[start+i] = ch - ('a' - 'A')
		}
	}
	return textValue(f.arena[start:])
}

func (f *frame) lower(text []byte) value {
	start := len(f.arena)
	f.arena = append(f.arena, text...)
	for i, ch := range f.arena[start:] {
		if ch >= utf8.RuneSelf {
			f.arena = f.arena[:start]
			return f.mapped(text, lowerCase)
		}
		if ch-'A' <= 'Z'-'A' {
			f.arena[start+i] = ch + ('a' - 'A')
		}
	}
	return textValue(f.arena[start:])
}

// mapped appends a copy changed letter by letter.
func (f *frame) mapped(text []byte, change func(rune) rune) value {
	start := len(f.arena)
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRune(text[i:])
		f.arena = utf8.AppendRune(f.arena, change(r))
		i += size
	}
	return textValue(f.arena[start:])
}

func runTrim(start, end bool) function {
	return func(_ *frame, a []value) (value, string) {
		text := a[0].text
		inSet := isBlank
		if len(a) > 1 {
			set := string(a[1].text)
			inSet = func(r rune) bool { return runeIn(set, r) }
		}
		if start {
			text = bytes.TrimLeftFunc(text, inSet)
		}
		if end {
			text = bytes.TrimRightFunc(text, inSet)
		}
		return textValue(text), ""
	}
}

func runeIn(set string, r rune) bool {
	for _, s := range set {
		if s == r {
			return true
		}
	}
	return false
}

func clampInt(v int64) int64 { return max(0, min(v, 1<<31)) }

// characters returns count characters after the first skip ones.
func characters(text []byte, skip, count int) []byte {
	for ; skip > 0 && len(text) > 0; skip-- {
		_, size := utf8.DecodeRune(text)
		text = text[size:]
	}
	end := 0
	for ; count > 0 && end < len(text); count-- {
		_, size := utf8.DecodeRune(text[end:])
		end += size
	}
	return text[:end]
}

func runSubstr(_ *frame, a []value) (value, string) {
	start, count := a[1].int(), int64(1<<31)
	if len(a) > 2 {
		count = clampInt(a[2].int())
	}
	switch {
	case start < 0:
		start = max(0, int64(utf8.RuneCount(a[0].text))+start)
	case start > 0:
		start--
	}
	return textValue(characters(a[0].text, int(clampInt(start)), int(count))), ""
}

func runRight(_ *frame, a []value) (value, string) {
	n := int64(utf8.RuneCount(a[0].text))
	return textValue(characters(a[0].text, int(n-min(n, clampInt(a[1].int()))), 1<<31)), ""
}

func runReplace(f *frame, a []value) (value, string) {
	text, old := a[0].text, a[1].text
	if len(old) == 0 {
		return a[0], ""
	}
	start := len(f.arena)
	for {
		i := bytes.Index(text, old)
		if i < 0 {
			f.arena = append(f.arena, text...)
			return textValue(f.arena[start:]), ""
		}
		f.arena = append(append(f.arena, text[:i]...), a[2].text...)
		text = text[i+len(old):]
		if len(f.arena)-start > 64*maxTextBytes {
			return nullValue(), "the text is too long"
		}
	}
}

func runPad(atStart bool) function {
	return func(f *frame, a []value) (value, string) {
		wanted := clampInt(a[1].int())
		fill := []byte(" ")
		if len(a) > 2 {
			fill = a[2].text
		}
		missing := int(wanted) - utf8.RuneCount(a[0].text)
		if missing <= 0 || len(fill) == 0 {
			return textValue(characters(a[0].text, 0, int(wanted))), ""
		}
		if missing > maxTextBytes/4 {
			return nullValue(), "the text is too long"
		}
		start := len(f.arena)
		if !atStart {
			f.arena = append(f.arena, a[0].text...)
		}
		each := utf8.RuneCount(fill)
		for ; missing >= each; missing -= each {
			f.arena = append(f.arena, fill...)
		}
		f.arena = append(f.arena, characters(fill, 0, missing)...)
		if atStart {
			f.arena = append(f.arena, a[0].text...)
		}
		return textValue(f.arena[start:]), ""
	}
}

func runReverse(f *frame, a []value) (value, string) {
	start := len(f.arena)
	for text := a[0].text; len(text) > 0; {
		_, size := utf8.DecodeLastRune(text)
		f.arena = append(f.arena, text[len(text)-size:]...)
		text = text[:len(text)-size]
	}
	return textValue(f.arena[start:]), ""
}

func runRepeat(f *frame, a []value) (value, string) {
	n := clampInt(a[1].int())
	if n*int64(len(a[0].text)) > maxTextBytes {
		return nullValue(), "the text is too long"
	}
	start := len(f.arena)
	for range n {
		f.arena = append(f.arena, a[0].text...)
	}
	return textValue(f.arena[start:]), ""
}

func runInitcap(f *frame, a []value) (value, string) {
	inWord := false
	return f.mapped(a[0].text, func(r rune) rune {
		first := !inWord
		inWord = isWord(r)
		if first {
			return upperCase(r)
		}
		return lowerCase(r)
	}), ""
}

func runSplitPart(_ *frame, a []value) (value, string) {
	text, separator, n := a[0].text, a[1].text, a[2].int()
	if len(separator) == 0 {
		return nullValue(), "the separator is empty"
	}
	if n < 0 {
		n += int64(bytes.Count(text, separator)) + 2
	}
	if n <= 0 {
		return textValue(nil), ""
	}
	for ; n > 1; n-- {
		i := bytes.Index(text, separator)
		if i < 0 {
			return textValue(nil), ""
		}
		text = text[i+len(separator):]
	}
	if i := bytes.Index(text, separator); i >= 0 {
		text = text[:i]
	}
	return textValue(text), ""
}

func runSplit(_ *frame, a []value) (value, string) {
	if len(a[1].text) == 0 {
		return nullValue(), "the separator is empty"
	}
	parts := bytes.Split(a[0].text, a[1].text)
	list := make([]value, len(parts))
	for i, p := range parts {
		list[i] = textValue(p)
	}
	return listValue(list), ""
}

func runBase64(f *frame, a []value) (value, string) {
	start := len(f.arena)
	decoded, err := base64.StdEncoding.AppendDecode(f.arena, a[0].text)
	if err != nil {
		return nullValue(), "the text is not base64"
	}
	f.arena = decoded
	return textValue(decoded[start:]), ""
}

func runURLDecode(_ *frame, a []value) (value, string) {
	text, err := url.QueryUnescape(string(a[0].text))
	if err != nil || !utf8.ValidString(text) {
		return nullValue(), "the text is not URL-encoded"
	}
	return stringValue(text), ""
}
