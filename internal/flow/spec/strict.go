package spec

import (
	"strings"

	"github.com/goccy/go-yaml/token"
)

// strict finds what YAML 1.2 forbids and the library lets pass. It returns the place and a
// message, "" when the token is right. The nesting is that before the token is taken.
func (n *nesting) strict(tk *token.Token, s *source) (Pos, string) {
	at := tokenPos(tk, s)
	if at.Line != n.cached {
		n.cached, n.text = at.Line, []rune(s.line(at.Line))
	}
	line := n.text
	parent := 0
	if len(n.levels) > 0 {
		parent = n.levels[len(n.levels)-1].column
	}
	switch tk.Type {
	case token.CommentType:
		if before := at.Column - 2; before >= 0 && before+1 < len(line) && line[before+1] == '#' &&
			line[before] != ' ' && line[before] != '\t' {
			return at, "a comment needs a space before #"
		}
		return at, ""
	case token.StringType:
		if tk.Value == "-" && !n.skip {
			return at, "a single - is no value"
		}
	case token.SingleQuoteType, token.DoubleQuoteType:
		if shallow(tk.Origin, parent) {
			return at, "the lines of this text must be indented deeper than what it belongs to"
		}
	case token.SequenceEntryType, token.MappingKeyType:
		if len(n.flow) == 0 && tabbed(line, n.indicatorBefore(tk), at.Column) {
			return at, "a tab cannot indent"
		}
	case token.MappingValueType:
		if from := n.indicatorBefore(tk); len(n.flow) == 0 && from > 0 {
			text := from
			for text < at.Column-1 && text < len(line) && (line[text] == ' ' || line[text] == '\t') {
				text++
			}
			if tabbed(line, from, text+1) && text < at.Column-1 {
				return at, "a tab cannot indent"
			}
		}
	}
	closing := tk.Type == token.SequenceEndType || tk.Type == token.MappingEndType
	if len(n.flow) > 0 && !closing && tk.Position.Line != n.line && at.Column <= parent {
		return at, "the lines inside brackets must be indented deeper than what they belong to"
	}
	return at, ""
}

// indicatorBefore returns the column of the last - or ? of the token's line, 0 for none.
func (n *nesting) indicatorBefore(tk *token.Token) int {
	if tk.Position.Line != n.line {
		return 0
	}
	return n.indicator
}

// tabbed reports a tab between two columns of a line, both excluded.
func tabbed(line []rune, after, before int) bool {
	from, to := min(after, len(line)), min(max(before-1, 0), len(line))
	if from >= to {
		return false
	}
	blank := string(line[from:to])
	return strings.TrimLeft(blank, " \t") == "" && strings.Contains(blank, "\t")
}

// shallow reports whether a further line of a quoted text starts at or left of the column.
func shallow(origin string, column int) bool {
	lines := strings.Split(strings.TrimRight(origin, " \t\r\n"), "\n")
	first := 0
	for first < len(lines) && strings.TrimSpace(lines[first]) == "" {
		first++ // white space before the quote belongs to the token
	}
	for _, line := range lines[min(first+1, len(lines)):] {
		if strings.TrimSpace(line) != "" && leading(line)+1 <= column &&
			!strings.HasPrefix(strings.TrimLeft(line, " "), "\t") {
			return true
		}
	}
	return false
}
