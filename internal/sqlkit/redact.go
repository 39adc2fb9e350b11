package sqlkit

import (
	"errors"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// Redact returns err with the passwords in its text replaced by ***, and errors.Is and As intact. A
// password is found where an address or a setting holds it, however it is escaped there; elsewhere
// only when it is too long to be a word of the text by chance.
func Redact(err error, passwords ...string) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	clean := text
	for _, password := range passwords {
		if password != "" {
			clean = redactText(clean, password)
		}
	}
	if clean == text {
		return err
	}
	return &redacted{text: clean, err: err}
}

func redactText(text, password string) string {
	const unmistakable = 12
	spellings := []string{
		password, url.PathEscape(password), url.QueryEscape(password),
		url.UserPassword("", password).String()[len(":"):],
		strings.NewReplacer(`\`, `\\`, `'`, `\'`, ` `, `\ `).Replace(password),
		strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(password),
	}
	slices.SortFunc(spellings, func(a, b string) int { return len(b) - len(a) })
	for _, spelling := range slices.Compact(spellings) {
		if len(spelling) >= unmistakable {
			text = strings.ReplaceAll(text, spelling, "***")
			continue
		}
		quoted := regexp.QuoteMeta(spelling)
		text = regexp.MustCompile(`:`+quoted+`@`).ReplaceAllLiteralString(text, ":***@")
		text = regexp.MustCompile(`(?i)((?:password|passwd|pwd)\s*[=:]\s*['"]?)`+quoted+`(['"\s&;,)]|$)`).
			ReplaceAllString(text, "$1***$2")
	}
	return text
}

// redacted hides its cause's text; only its identity stays reachable.
type redacted struct {
	text string
	err  error
}

func (r *redacted) Error() string { return r.text }

func (r *redacted) Is(target error) bool { return errors.Is(r.err, target) }

func (r *redacted) As(target any) bool { return errors.As(r.err, target) }
