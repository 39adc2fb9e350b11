package spec

import (
	"regexp"
	"strings"
)

const mask = "***"

var (
	urlPassword = regexp.MustCompile(`(?i)([a-z][a-z0-9+.\-]*://[^\s:/@"']*:)([^\s"']*)(@)`)
	dsnPassword = regexp.MustCompile(
		`(?i)((?:\b|%20)(?:password|passwd|pwd|secret|token|api_?key|access_?key)=)('[^']*'|"[^"]*"|[^\s;&"',]+)()`)
	// user:password@tcp(host), as MySQL drivers write it.
	mysqlPassword = regexp.MustCompile(`([\w.\-]+:)([^\s"'@]+)(@(?:tcp|unix)\()`)
	reference     = regexp.MustCompile(`\$\{[^}]*\}`)
	secretLine    = regexp.MustCompile(`(?i)^(\s*(?:-\s+)?["']?(?:[\w\-]*[_\-])?` + secretWords +
		`["']?\s*:\s+)(.+)$`)
	secretName = regexp.MustCompile(`(?i)^(?:[\w\-]*[_\-])?` + secretWords + `$`)
)

const secretWords = `(?:password|passwd|passphrase|secret|secret_?key|token|api_?key|access_?key|` +
	`private_?key|credentials?|authorization)`

// literalSecret reports whether the text of a secret says more than a reference to it.
func literalSecret(raw string) bool {
	return strings.TrimSpace(reference.ReplaceAllStringFunc(raw, func(ref string) string {
		_, fallback, _ := strings.Cut(ref, ":-")
		return strings.TrimSuffix(fallback, "}")
	})) != ""
}

// WithoutSecret returns the text of a config value for printing. Passwords inside URLs and connection
// strings become instead; so does all of a value whose key is marked secret or named like one, unless
// it is a connection string.
func WithoutSecret(name, text string, marked bool, instead string) string {
	masked := maskPasswords(text, func(string) string { return instead })
	connection := strings.Contains(name, "connection") || name == "url" || name == "dsn"
	if (marked || secretName.MatchString(name)) && !connection && literalSecret(text) {
		return instead
	}
	return masked
}

// maskText hides passwords inside URLs and key=value connection strings.
func maskText(text string) string {
	return maskPasswords(text, func(string) string { return mask })
}

// maskLine hides passwords in a line of a document without moving its columns.
func maskLine(line string) string {
	stars := func(secret string) string { return strings.Repeat("*", len([]rune(secret))) }
	line = maskPasswords(line, stars)
	if m := secretLine.FindStringSubmatch(line); m != nil && literalSecret(m[2]) &&
		!strings.HasPrefix(m[2], "${") {
		return m[1] + stars(m[2])
	}
	return line
}

func maskPasswords(text string, hide func(string) string) string {
	for _, pattern := range []*regexp.Regexp{urlPassword, dsnPassword, mysqlPassword} {
		text = pattern.ReplaceAllStringFunc(text, func(found string) string {
			m := pattern.FindStringSubmatch(found)
			if !literalSecret(m[2]) {
				return found
			}
			return m[1] + hide(m[2]) + m[3]
		})
	}
	return text
}
