package spec

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// maxSecretBytes is the largest secret file read.
const maxSecretBytes = 64 << 10

// substitution replaces ${NAME}, ${NAME:-default} and ${file:/path} in the scalar values of a
// document. A result stays one scalar: it is typed anew when plain, but never parsed as YAML.
type substitution struct {
	report  *report
	options Options
	done    map[*Value]bool
}

func (s *substitution) walk(v *Value, path string) {
	if s.done[v] {
		return
	}
	s.done[v] = true
	switch v.Kind {
	case KindList:
		for i, item := range v.Items {
			s.walk(item, fmt.Sprintf("%s[%d]", path, i))
		}
	case KindMap:
		for _, pair := range v.Pairs {
			s.walk(pair.Value, join(path, pair.Key))
		}
	default:
		if strings.Contains(v.Text, "${") {
			s.scalar(v, path)
		}
	}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func (s *substitution) scalar(v *Value, path string) {
	var out strings.Builder
	raw := v.raw
	replaced := false
	for at := 0; at < len(raw); {
		next := strings.Index(raw[at:], "${")
		if next < 0 {
			out.WriteString(raw[at:])
			break
		}
		start := at + next
		if start > at && raw[start-1] == '$' { // $${ is a written ${
			out.WriteString(raw[at : start-1])
			from := out.Len()
			out.WriteString("${")
			v.spans = append(v.spans, span{start - 1, start + 2, from, out.Len()})
			at = start + 2
			continue
		}
		out.WriteString(raw[at:start])
		end := strings.IndexByte(raw[start:], '}')
		if end < 0 {
			s.report.errorf(v.At(start), path, "${ without a closing }").Hint = "write $${ for the two characters themselves"
			return
		}
		at = start + end + 1
		text, ok := s.reference(v, raw[start+2:at-1], path, v.place(start))
		if !ok {
			v.missing = true
			text = raw[start:at]
		}
		from := out.Len()
		out.WriteString(text)
		v.spans = append(v.spans, span{start, at, from, out.Len()})
		replaced = true
	}
	v.Text = out.String()
	if v.style == stylePlain && v.Kind == KindString && replaced {
		if v.Kind = resolve(v.Text); v.Kind == KindNull {
			v.Kind = KindString // a variable never makes a key absent
		}
	}
}

// place returns the position of a byte of the text as written.
func (v *Value) place(rawOffset int) Pos {
	written := *v
	written.spans = nil
	return written.At(rawOffset)
}

// reference resolves what stands between ${ and }.
func (s *substitution) reference(v *Value, text, path string, at Pos) (string, bool) {
	if name, ok := strings.CutPrefix(text, "file:"); ok {
		v.hidden = true
		return s.secretFile(name, path, at)
	}
	name, fallback, hasFallback := strings.Cut(text, ":-")
	if !variableName.MatchString(name) {
		s.report.errorf(at, path, "${%s} does not name a variable", maskLine(text)).Hint = "write ${NAME}, ${NAME:-default} or ${file:/path}, and $${ for a written ${"
		return "", false
	}
	if strings.Contains(fallback, "${") {
		s.report.errorf(at, path, "the default of ${%s} cannot hold another variable", name)
		return "", false
	}
	value, ok := s.options.lookup()(name)
	switch {
	case ok && (value != "" || !hasFallback):
		return value, true
	case hasFallback:
		return fallback, true
	}
	severity := Error
	if s.options.AllowMissing {
		severity = Warning
	}
	s.report.add(severity, at, path, "environment variable "+name+" is not set").Hint = fmt.Sprintf("set %s, or write a default: ${%s:-value}", name, name)
	return "", false
}

// secretFile reads the text of a file without the line end at its close.
func (s *substitution) secretFile(name, path string, at Pos) (string, bool) {
	if !filepath.IsAbs(name) {
		name = filepath.Join(filepath.Dir(s.report.file), name)
	}
	data, err := s.options.readFile(name)
	switch {
	case err != nil:
		severity := Error
		if s.options.AllowMissing {
			severity = Warning
		}
		s.report.add(severity, at, path, fmt.Sprintf("secret file: %v", err))
		return "", false
	case len(data) > maxSecretBytes:
		s.report.errorf(at, path, "secret file %s has more than %d bytes", name, maxSecretBytes)
		return "", false
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r"), true
}

func (o Options) lookup() func(string) (string, bool) {
	if o.Lookup != nil {
		return o.Lookup
	}
	return os.LookupEnv
}

// readFile reads at most one byte more than a secret file may have.
func (o Options) readFile(name string) ([]byte, error) {
	if o.ReadFile != nil {
		return o.ReadFile(name)
	}
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxSecretBytes {
		return nil, fmt.Errorf("%s: not a regular file of at most %d bytes", name, maxSecretBytes)
	}
	return os.ReadFile(name)
}
