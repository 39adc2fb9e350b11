package spec

import (
	"net/url"
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
	// The same where they are the whole text; a backslash or quotes keep blanks in a setting.
	urlScheme    = regexp.MustCompile(`(?i)^[a-z][a-z0-9+.\-]*://`)
	wholeDSN     = regexp.MustCompile(`(?s)^([^:@/=\s]*:)(.*)(@(?:(?:tcp|unix)(?:\([^)]*\))?)?/.*)$`)
	wholeSetting = regexp.MustCompile(`(?is)(\b(?:password|passwd|pwd)\s*=\s*)` +
		`('(?:[^'\\]|\\.)*(?:'|$)|(?:[^\s'\\]|\\.)(?:[^\s\\]|\\.)*)()`)
	reference  = regexp.MustCompile(`\$\{[^}]*\}`)
	secretLine = regexp.MustCompile(`(?i)^(\s*(?:-\s+)?["']?(?:[\w\-]*[_\-])?` + secretWords +
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
	masked := maskValue(text, instead)
	connection := strings.Contains(name, "connection") || name == "url" || name == "dsn"
	if (marked || secretName.MatchString(name)) && !connection && literalSecret(text) {
		return instead
	}
	return masked
}

// maskValue hides the passwords of a value that is an address or a connection string as a whole, where
// they may hold blanks, quotes and signs that end one in running text.
func maskValue(text, instead string) string {
	hide := func(string) string { return instead }
	switch scheme := urlScheme.FindString(text); {
	case scheme != "":
		rest := text[len(scheme):]
		authority := rest
		if end := strings.IndexAny(rest, "/?#"); end >= 0 {
			authority = rest[:end]
		}
		if _, err := url.Parse(text); err != nil && !strings.Contains(authority, "@") {
			authority = rest // the password holds what should be escaped
		}
		user, password, found := strings.Cut(authority[:max(0, strings.LastIndex(authority, "@"))], ":")
		if found && literalSecret(password) {
			text = scheme + user + ":" + instead + rest[len(user)+1+len(password):]
		}
	case wholeDSN.MatchString(text):
		text = maskPattern(text, wholeDSN, hide)
	default:
		text = maskPattern(text, wholeSetting, hide)
	}
	return maskPasswords(text, hide)
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
		text = maskPattern(text, pattern, hide)
	}
	return text
}

// maskPattern hides the second group of what the pattern finds.
func maskPattern(text string, pattern *regexp.Regexp, hide func(string) string) string {
	return pattern.ReplaceAllStringFunc(text, func(found string) string {
		m := pattern.FindStringSubmatch(found)
		if !literalSecret(m[2]) {
			return found
		}
		return m[1] + hide(m[2]) + m[3]
	})
}
