package spec

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Severity says whether a problem keeps a document from running.
type Severity string

// The severities.
const (
	Error   Severity = "error"
	Warning Severity = "warning"
)

// Problem is one finding about a document, complete for printing. It never shows a secret.
type Problem struct {
	File     string   `json:"file"`
	Line     int      `json:"line"`   // from 1; 0 when the problem has no place
	Column   int      `json:"column"` // in characters, from 1
	Severity Severity `json:"severity"`
	Path     string   `json:"path,omitempty"` // sources.a.config.path
	Message  string   `json:"message"`
	Hint     string   `json:"hint,omitempty"`
	Excerpt  string   `json:"excerpt,omitempty"` // the line, and a caret line below it
}

// String returns the problem as file:line:column: severity: path: message, with the excerpt and
// the hint on lines of their own.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
	}
	fmt.Fprintf(&b, ": %s: ", p.Severity)
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	b.WriteString(p.Message)
	if p.Excerpt != "" {
		b.WriteString("\n" + p.Excerpt)
	}
	if p.Hint != "" {
		b.WriteString("\n  hint: " + p.Hint)
	}
	return b.String()
}

// Failed reports whether one of the problems is an error.
func Failed(problems []Problem) bool {
	return slices.ContainsFunc(problems, func(p Problem) bool { return p.Severity == Error })
}

// Merge returns the problems of one document that were found at different times, in the order of
// the text. Of the second list those are left out that an error of the first explains: one at the
// same place, or within the value they are about.
func Merge(first, then []Problem) []Problem {
	all := slices.Clone(first)
	for _, p := range then {
		known := slices.ContainsFunc(first, func(o Problem) bool {
			same := o.Line > 0 && o.File == p.File && o.Line == p.Line && o.Column == p.Column
			return o.Severity == Error && (same || strings.HasPrefix(o.Path, p.Path+"."))
		})
		if !known {
			all = append(all, p)
		}
	}
	slices.SortStableFunc(all, func(a, b Problem) int {
		if a.File != b.File {
			return 0 // the document before the --set arguments, as Parse returned them
		}
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return all
}

// maxProblems bounds what one document can report.
const maxProblems = 200

// report collects the findings of one document. Excerpts are made last, when it is known which
// parts of the text are secret.
type report struct {
	file     string
	findings []finding
	secrets  []region
	cut      int
}

type finding struct {
	pos     Pos
	problem Problem
}

// region is a secret part of a source, in bytes.
type region struct {
	source   *source
	from, to int
}

func (r *report) add(severity Severity, at Pos, path, message string) *Problem {
	if len(r.findings) >= maxProblems {
		r.cut++
		return &Problem{}
	}
	r.findings = append(r.findings, finding{pos: at, problem: Problem{
		File: r.file, Severity: severity, Path: path, Message: message,
	}})
	return &r.findings[len(r.findings)-1].problem
}

func (r *report) errorf(at Pos, path, format string, args ...any) *Problem {
	return r.add(Error, at, path, fmt.Sprintf(format, args...))
}

func (r *report) warnf(at Pos, path, format string, args ...any) *Problem {
	return r.add(Warning, at, path, fmt.Sprintf(format, args...))
}

// hide marks the text of a value as secret.
func (r *report) hide(v *Value) {
	s := v.Pos.source
	if s == nil || !v.scalar() || v.raw == "" {
		return
	}
	from, to := s.offset(v.Pos), s.offset(v.At(len(v.Text)))
	r.secrets = append(r.secrets, region{source: s, from: from, to: to})
}

// problems returns all findings in the order of the text, with excerpts.
func (r *report) problems() []Problem {
	slices.SortStableFunc(r.findings, func(a, b finding) int {
		return cmp.Or(
			cmp.Compare(r.rank(a), r.rank(b)),
			cmp.Compare(a.pos.Line, b.pos.Line), cmp.Compare(a.pos.Column, b.pos.Column))
	})
	var list []Problem
	for _, f := range r.findings {
		p := r.finish(f)
		if !slices.Contains(list, p) {
			list = append(list, p)
		}
	}
	if r.cut > 0 {
		list = append(list, Problem{
			File: r.file, Severity: Error,
			Message: fmt.Sprintf("and %d more problems", r.cut),
		})
	}
	return list
}

// rank puts the document before the --set arguments.
func (r *report) rank(f finding) string {
	if f.pos.source == nil || f.pos.source.name == r.file {
		return ""
	}
	return f.pos.source.name
}

// finish fills place and excerpt of a finding.
func (r *report) finish(f finding) Problem {
	p := f.problem
	s := f.pos.source
	if s == nil || f.pos.Line < 1 {
		return p
	}
	p.File, p.Line, p.Column = s.name, f.pos.Line, f.pos.Column
	p.Excerpt = excerpt(r.masked(s, p.Line), p.Line, p.Column)
	return p
}

// masked returns a line with every secret part replaced by as many asterisks.
func (r *report) masked(s *source, number int) string {
	if number > len(s.lines) {
		return ""
	}
	line, start := []byte(s.line(number)), s.lines[number-1]
	for _, hidden := range r.secrets {
		if hidden.source != s {
			continue
		}
		text := s.text[start : start+len(line)]
		from, to := max(hidden.from-start, 0), min(hidden.to-start, len(line))
		for from < to && (text[from] == ' ' || text[from] == '"' || text[from] == '\'') {
			from++
		}
		for i := from; i < to; i++ {
			line[i] = '*'
		}
	}
	return maskLine(string(line))
}

const excerptColumns = 96 // longest part of a line shown

// excerpt returns the line with its number and a caret under the column.
func excerpt(line string, number, column int) string {
	runes := []rune(strings.ToValidUTF8(line, "\uFFFD"))
	for i, ch := range runes {
		if ch < ' ' {
			runes[i] = ' '
		}
	}
	from := 0
	if column > excerptColumns-8 {
		from = column - excerptColumns/2
	}
	from = min(from, len(runes))
	to := min(from+excerptColumns, len(runes))
	if from > 0 {
		runes[from] = '…'
	}
	if to < len(runes) {
		runes[to-1] = '…'
	}
	shown := string(runes[from:to])
	label := fmt.Sprintf("%5d | ", number)
	caret := strings.Repeat(" ", utf8.RuneCountInString(label)-2) + "| " +
		cells(runes[from:min(max(column-1, from), len(runes))])
	return label + strings.TrimRight(shown, " ") + "\n" + caret + "^"
}

// cells returns as much white space as the runes take on a terminal.
func cells(runes []rune) string {
	width := 0
	for _, ch := range runes {
		width++
		if wide(ch) {
			width++
		}
	}
	return strings.Repeat(" ", width)
}

// wide reports runes that take two cells: CJK, Hangul, full-width forms and emoji.
func wide(ch rune) bool {
	return ch >= 0x1100 && ch <= 0x115f || ch >= 0x2e80 && ch <= 0xa4cf ||
		ch >= 0xac00 && ch <= 0xd7a3 || ch >= 0xf900 && ch <= 0xfaff ||
		ch >= 0xfe30 && ch <= 0xfe6f || ch >= 0xff00 && ch <= 0xff60 ||
		ch >= 0x1f300 && ch <= 0x1f64f || ch >= 0x20000 && ch <= 0x3fffd
}
