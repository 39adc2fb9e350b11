package expr

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"

	"github.com/tapeline/tapeline/batch"
)

const groupRegex = "Regular expressions"

// maxRegexes bounds the patterns compiled from columns that one evaluator keeps.
const maxRegexes = 64

func isBlank(r rune) bool   { return unicode.IsSpace(r) }
func isWord(r rune) bool    { return unicode.IsLetter(r) || unicode.IsDigit(r) }
func upperCase(r rune) rune { return unicode.ToUpper(r) }
func lowerCase(r rune) rune { return unicode.ToLower(r) }

// regexFunctions use RE2 syntax, whose time is linear in the text.
func regexFunctions() []entry {
	define := func(signature, doc string, result batch.Kind, run regexRun, examples ...Example) entry {
		return entry{
			Function: Function{Group: groupRegex, Signature: signature, Doc: doc, Examples: examples},
			bind:     func(c *call) *node { return c.regex(batch.Of(result), run) },
		}
	}
	return []entry{
		define("regex_match(text: string, pattern: string) -> bool",
			"Whether the pattern matches somewhere in the text (RE2 syntax; ^ and $ anchor it). "+
				"The operator in text matches pattern does the same.", batch.Bool, runMatch,
			Example{"'ab12' matches '^[a-z]+[0-9]+$'", "true"}, Example{"regex_match('ab', '^b')", "false"}),
		define("regex_extract(text: string, pattern: string, group?: int) -> string",
			"What the first match's group captured (by default the first group, or the whole match when "+
				"there is none); NULL without a match.", batch.String, runExtract,
			Example{"regex_extract('order-4711', '([0-9]+)')", "4711"},
			Example{"regex_extract('abc', '[0-9]')", "NULL"}),
		define("regex_replace(text: string, pattern: string, new: string) -> string",
			"Every match replaced; $1 in new stands for the first group.", batch.String,
			func(f *frame, r *regexp.Regexp, a []value) (value, string) {
				return textValue(r.ReplaceAll(a[0].text, a[2].text)), ""
			}, Example{"regex_replace('a1b22', '[0-9]+', '#')", "a#b#"}),
		define("regex_count(text: string, pattern: string) -> int64",
			"The number of matches that do not overlap.", batch.Int64,
			func(_ *frame, r *regexp.Regexp, a []value) (value, string) {
				return intValue(int64(len(r.FindAllIndex(a[0].text, -1)))), ""
			}, Example{"regex_count('a1b22', '[0-9]')", "3"}),
	}
}

func runMatch(_ *frame, r *regexp.Regexp, a []value) (value, string) {
	return boolValue(r.Match(a[0].text)), ""
}

type regexRun func(f *frame, r *regexp.Regexp, args []value) (value, string)

// regex binds a function whose second argument is a pattern: a literal is compiled once.
func (c *call) regex(typ batch.Type, run regexRun) *node {
	pattern := c.args[1]
	if pattern.op != opConstant || pattern.constant.null {
		return c.node(typ, func(f *frame, args []value) (value, string) {
			r, err := f.regex(args[1].text)
			if err != nil {
				return nullValue(), err.Error()
			}
			return run(f, r, args)
		})
	}
	r, message := compile(string(pattern.constant.text))
	if message != "" {
		return c.fail(pattern.at, "", "%s", message)
	}
	return c.node(typ, func(f *frame, args []value) (value, string) { return run(f, r, args) })
}

// compile compiles a literal pattern; the message says why it does not.
func compile(pattern string) (r *regexp.Regexp, message string) {
	r, err := regexp.Compile(pattern)
	if err != nil {
		return nil, strings.Replace(err.Error(), "error parsing regexp: ", "unreadable pattern: ", 1)
	}
	return r, ""
}

// regex compiles a pattern that comes from a column.
func (f *frame) regex(pattern []byte) (*regexp.Regexp, error) {
	if r := f.regexes[string(pattern)]; r != nil {
		return r, nil
	}
	r, err := regexp.Compile(string(pattern))
	if err != nil {
		return nil, fmt.Errorf("unreadable pattern %q", pattern)
	}
	if f.regexes == nil || len(f.regexes) >= maxRegexes {
		f.regexes = map[string]*regexp.Regexp{}
	}
	f.regexes[string(pattern)] = r
	return r, nil
}

func runExtract(_ *frame, r *regexp.Regexp, a []value) (value, string) {
	group := min(1, r.NumSubexp())
	if len(a) > 2 {
		if a[2].int() < 0 || a[2].int() > int64(r.NumSubexp()) {
			return nullValue(), fmt.Sprintf("the pattern has %d groups", r.NumSubexp())
		}
		group = int(a[2].int())
	}
	at := r.FindSubmatchIndex(a[0].text)
	if at == nil || at[2*group] < 0 {
		return nullValue(), ""
	}
	return textValue(a[0].text[at[2*group]:at[2*group+1]]), ""
}
