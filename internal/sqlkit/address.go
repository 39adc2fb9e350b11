package sqlkit

import (
	"errors"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

var addressScheme = regexp.MustCompile(`^[a-z]+://`)

// SplitAddress makes a config of an address given to copy: settings behind its question mark that
// are config keys become those, all else stays in connection_string, letter by letter where it is no
// URL. whole reports whether a text that is no URL can be a connection string, so that a question mark
// in its password is not taken for the one of the settings.
func SplitAddress(text string, whole func(string) bool, more ...string) (map[string]any, error) {
	keys := append([]string{"table", "query", "where", "mode", "schema"}, more...)
	if addressScheme.MatchString(text) {
		return splitURL(text, keys)
	}
	config := map[string]any{"connection_string": text}
	for i := range len(text) {
		if text[i] != '?' || !whole(text[:i]) {
			continue
		}
		var rest []string
		for part := range strings.SplitSeq(text[i+1:], "&") {
			key, value, _ := strings.Cut(part, "=")
			value, err := url.QueryUnescape(value)
			if err != nil || !addSetting(config, keys, key, value) {
				rest = append(rest, part)
			}
		}
		if len(config) == 1 {
			continue
		}
		config["connection_string"] = text[:i]
		if len(rest) > 0 {
			config["connection_string"] = text[:i+1] + strings.Join(rest, "&")
		}
		return config, nil
	}
	return config, nil
}

func splitURL(text string, keys []string) (map[string]any, error) {
	escaped := errors.New("not a URL: in a password write # as %23, / as %2F, ? as %3F, % as %25, " +
		"a blank as %20")
	parsed, err := url.Parse(text)
	if err != nil {
		return nil, escaped
	}
	// A password that holds one of them ends the server's name before the @.
	if parsed.Fragment != "" || parsed.User == nil && strings.Contains(parsed.Path, "@") {
		return nil, escaped
	}
	config := map[string]any{}
	query := parsed.Query()
	for key := range query {
		if parsed.User == nil && strings.Contains(key, "@") {
			return nil, escaped
		}
		if addSetting(config, keys, key, query.Get(key)) {
			query.Del(key)
		}
	}
	parsed.RawQuery = query.Encode()
	config["connection_string"] = parsed.String()
	return config, nil
}

// addSetting adds a config key, false when it is none.
func addSetting(config map[string]any, keys []string, key, value string) bool {
	switch {
	case key == "key", key == "columns":
		config[key] = strings.Split(value, ",")
	case slices.Contains(keys, key):
		config[key] = value
	default:
		return false
	}
	return true
}
