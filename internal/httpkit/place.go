package httpkit

import (
	"io"
	"net/url"
	"strings"
)

// SameOrigin reports whether two URLs lead to the same server.
func SameOrigin(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && strings.EqualFold(a.Hostname(), b.Hostname()) && port(a) == port(b)
}

func port(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "https":
		return "443"
	}
	return "80"
}

// Place names a URL in messages: without user and query, which may hold secrets.
func Place(u *url.URL) string { return u.Scheme + "://" + u.Host + u.Path }

// Secrets are never printed, also when a server repeats them.
type Secrets []string

// Keep notes secrets; what is shorter stands in any text.
func (s *Secrets) Keep(values ...string) {
	const shortest = 4
	for _, value := range values {
		if len(value) >= shortest {
			*s = append(*s, value)
		}
	}
}

// Excerpt is the beginning of an answer for people, without secrets that the server repeats.
func (s Secrets) Excerpt(body io.Reader) string {
	const shown, read = 300, 4 << 10                  // a secret is found though it ends beyond what is shown
	data, _ := io.ReadAll(io.LimitReader(body, read)) // what there is will do
	text := s.Hide(string(data))
	return text[:min(len(text), shown)]
}

// Hide puts *** in place of secrets.
func (s Secrets) Hide(text string) string {
	for _, secret := range s {
		text = strings.ReplaceAll(text, secret, "***")
	}
	return text
}
