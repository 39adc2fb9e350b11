package filesink

import (
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"
)

// PartFiles tells the plan which files a folder gets, as a pattern with one *; "" for a single file.
// suffix is that of the parts before compression.
func (c *SinkConfig) PartFiles(suffix string) string {
	if c.TargetFile() != "" {
		return ""
	}
	return filepath.Join(c.Path, "part-*"+suffix+compressedSuffix(c.compression()))
}

// Glob tells the plan which files are read, "" where path is no pattern.
func (c *SourceConfig) Glob() string { return Glob(c.Path) }

// Glob returns path where it is a pattern, else "".
func Glob(path string) string {
	if strings.ContainsAny(path, wildcards) {
		return path
	}
	return ""
}

// Overlaps reports whether some file matches both a glob of a source and files, which is a name or
// what PartFiles returns; real makes paths of one file equal.
func Overlaps(glob, files string, real func(path string) string) bool {
	folder, rest := splitPattern(filepath.ToSlash(glob))
	dir, name := filepath.ToSlash(real(filepath.Dir(files))), filepath.Base(files)
	base := strings.TrimSuffix(filepath.ToSlash(real(folder)), "/")
	if dir != base && !strings.HasPrefix(dir, base+"/") {
		return false
	}
	var path []string
	if below := strings.Trim(dir[len(base):], "/"); below != "" {
		path = strings.Split(below, "/")
	}
	return matchPath(strings.Split(rest, "/"), append(path, name))
}

// matchPath matches the elements of a glob against those of a path, as Expand does.
func matchPath(glob, path []string) bool {
	if glob[0] == "**" {
		if len(glob) == 1 {
			glob = []string{"**", "*"}
		}
		return matchPath(glob[1:], path) ||
			len(path) > 1 && !strings.HasPrefix(path[0], ".") && matchPath(glob, path[1:])
	}
	hidden := strings.HasPrefix(path[0], ".") && !strings.HasPrefix(glob[0], ".")
	if hidden || (len(glob) == 1) != (len(path) == 1) {
		return false
	}
	if len(path) > 1 {
		matched, _ := filepath.Match(glob[0], path[0])
		return matched && matchPath(glob[1:], path[1:])
	}
	return common(pieces(glob[0]), path[0])
}

// pieces cuts a pattern into its wildcards, classes and characters.
func pieces(pattern string) []string {
	var out []string
	for pattern != "" {
		_, n := utf8.DecodeRuneInString(pattern)
		switch {
		case pattern[0] == '\\' && len(pattern) > n:
			_, escaped := utf8.DecodeRuneInString(pattern[n:])
			n += escaped
		case pattern[0] == '[':
			n = len(pattern)
			for end := 2; end < len(pattern); end++ {
				if pattern[end] == ']' && pattern[end-1] != '\\' {
					n = end + 1
					break
				}
			}
		}
		out = append(out, pattern[:n])
		pattern = pattern[n:]
	}
	return out
}

// common reports whether some text matches a pattern and name, in which each * is any text.
func common(pattern []string, name string) bool {
	// reached[i]: the pieces before i match what was read of name.
	reached := make([]bool, len(pattern)+1)
	reached[0] = true
	spread := func() {
		for i, piece := range pattern {
			reached[i+1] = reached[i+1] || reached[i] && piece == "*"
		}
	}
	spread()
	for _, ch := range name {
		if ch == '*' {
			first := slices.Index(reached, true)
			for i := first; i >= 0 && i < len(reached); i++ {
				reached[i] = true
			}
			continue
		}
		next := make([]bool, len(reached))
		for i, piece := range pattern {
			switch matched, _ := filepath.Match(piece, string(ch)); {
			case !reached[i] || !matched:
			case piece == "*":
				next[i] = true
			default:
				next[i+1] = true
			}
		}
		reached = next
		spread()
	}
	return reached[len(pattern)]
}
