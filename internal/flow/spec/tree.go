package spec

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Kind is the kind of a Value under the YAML 1.2 core schema.
type Kind uint8

// The kinds of values.
const (
	KindNull Kind = iota
	KindBool
	KindInt
	KindFloat
	KindString
	KindList
	KindMap
)

// String names the kind for people.
func (k Kind) String() string {
	return [...]string{"nothing", "a boolean", "a number", "a number", "text", "a list", "a mapping"}[k]
}

// style is how a scalar is written.
type style uint8

const (
	stylePlain style = iota
	styleSingle
	styleDouble
	styleLiteral
	styleFolded
)

// Value is one value of a document: a scalar, a list or a mapping. Aliases share Values, so a
// Value is never altered once the document is parsed.
type Value struct {
	Kind  Kind
	Text  string // of a scalar, after substitution
	Items []*Value
	Pairs []Pair
	Pos   Pos

	style   style
	raw     string // Text as written, before substitution
	spans   []span // substituted parts, in order
	missing bool   // a variable in it is not set
	hidden  bool   // text of a secret file
	nodes   int    // itself and all below, aliases expanded
	bytes   int    // of text, likewise
	depth   int
}

// Pair is one entry of a mapping.
type Pair struct {
	Key    string
	KeyPos Pos
	Value  *Value
}

// span says that raw[rawFrom:rawTo] became Text[from:to].
type span struct{ rawFrom, rawTo, from, to int }

// Pos is a place in a document: line and column count from 1, the column in characters. The zero
// Pos is no place.
type Pos struct {
	Line, Column int

	source *source
}

// source is one text that values come from: the document or a --set argument.
type source struct {
	name  string
	text  string
	lines []int // byte offset of each line
}

func newSource(name, text string) *source {
	s := &source{name: name, text: text, lines: []int{0}}
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '\n', text[i] == '\r' && (i+1 == len(text) || text[i+1] != '\n'):
			s.lines = append(s.lines, i+1)
		}
	}
	return s
}

// line returns the text of a line without its end.
func (s *source) line(number int) string {
	if number < 1 || number > len(s.lines) {
		return ""
	}
	end := len(s.text)
	if number < len(s.lines) {
		end = s.lines[number]
	}
	return strings.TrimRight(s.text[s.lines[number-1]:end], "\r\n")
}

// offset returns the byte offset of a place.
func (s *source) offset(p Pos) int {
	line := s.line(p.Line)
	at := 0
	for range p.Column - 1 {
		if at >= len(line) {
			break
		}
		_, n := utf8.DecodeRuneInString(line[at:])
		at += n
	}
	if p.Line < 1 || p.Line > len(s.lines) {
		return len(s.text)
	}
	return s.lines[p.Line-1] + at
}

// pos returns the place of a byte offset.
func (s *source) pos(offset int) Pos {
	low, high := 0, len(s.lines)
	for high-low > 1 {
		if middle := (low + high) / 2; s.lines[middle] <= offset {
			low = middle
		} else {
			high = middle
		}
	}
	offset = min(max(offset, s.lines[low]), len(s.text))
	column := utf8.RuneCountInString(s.text[s.lines[low]:offset]) + 1
	return Pos{Line: low + 1, Column: column, source: s}
}

// Get returns the value of a key of a mapping, nil when there is none.
func (v *Value) Get(key string) *Value {
	if v == nil {
		return nil
	}
	for i := range v.Pairs {
		if v.Pairs[i].Key == key {
			return v.Pairs[i].Value
		}
	}
	return nil
}

func (v *Value) scalar() bool { return v.Kind < KindList }

// Any returns the value as nil, bool, int64, uint64, float64, string, []any or map[string]any. An
// integer beyond 64 bits is returned as its text, so that no digit is lost.
func (v *Value) Any() any {
	switch v.Kind {
	case KindNull:
		return nil
	case KindBool:
		return strings.EqualFold(v.Text, "true")
	case KindInt:
		return integerAny(v.Text)
	case KindFloat:
		number, _ := parseFloat(v.Text)
		return number
	case KindList:
		list := make([]any, len(v.Items))
		for i, item := range v.Items {
			list[i] = item.Any()
		}
		return list
	case KindMap:
		mapping := make(map[string]any, len(v.Pairs))
		for _, pair := range v.Pairs {
			mapping[pair.Key] = pair.Value.Any()
		}
		return mapping
	default:
		return v.Text
	}
}

func integerAny(text string) any {
	if number, err := parseInt(text); err == nil {
		return number
	}
	if number, err := strconv.ParseUint(text, 10, 64); err == nil {
		return number
	}
	return text
}

var (
	coreInt   = regexp.MustCompile(`^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$`)
	coreFloat = regexp.MustCompile(
		`^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$`)
)

// resolve returns the kind of a plain scalar under the YAML 1.2 core schema.
func resolve(text string) Kind {
	switch text {
	case "", "~", "null", "Null", "NULL":
		return KindNull
	case "true", "True", "TRUE", "false", "False", "FALSE":
		return KindBool
	}
	switch {
	case coreInt.MatchString(text):
		return KindInt
	case coreFloat.MatchString(text):
		return KindFloat
	}
	return KindString
}

// parseInt reads a YAML 1.2 core integer.
func parseInt(text string) (int64, error) {
	if !coreInt.MatchString(text) {
		return 0, strconv.ErrSyntax
	}
	switch {
	case strings.HasPrefix(text, "0o"):
		return strconv.ParseInt(text[2:], 8, 64)
	case strings.HasPrefix(text, "0x"):
		return strconv.ParseInt(text[2:], 16, 64)
	}
	return strconv.ParseInt(text, 10, 64)
}

// parseFloat reads a YAML 1.2 core number.
func parseFloat(text string) (float64, error) {
	switch strings.ToLower(text) {
	case ".inf", "+.inf":
		return math.Inf(1), nil
	case "-.inf":
		return math.Inf(-1), nil
	case ".nan":
		return math.NaN(), nil
	}
	if number, err := parseInt(text); err == nil {
		return float64(number), nil
	}
	if !coreFloat.MatchString(text) && !coreInt.MatchString(text) {
		return 0, strconv.ErrSyntax
	}
	return strconv.ParseFloat(text, 64)
}
