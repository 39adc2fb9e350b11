package app

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/fault"
	"github.com/tapeline/tapeline/internal/flow/spec"
)

// Location is one end of a copy: a connector and its config.
type Location struct {
	Type   string
	Config map[string]any
}

// Locate finds the connector for a URL or path by scheme, by a "type:" prefix, or by file suffix,
// and makes its config. forced names the connector instead; "" finds it.
func (p *Parts) Locate(kind spec.NodeKind, address, forced string) (Location, error) {
	name := forced
	if name == "" {
		found, rest, err := p.recognise(kind, address)
		if err != nil {
			return Location{}, err
		}
		name, address = found, rest
	}
	if format, ok := streamed(name, address); ok {
		name, address = "stdio", format
	}
	c, ok := p.Connectors.Get(name)
	if !ok || kind == spec.Source && c.Source == nil || kind == spec.Destination && c.Sink == nil {
		if near := fault.Nearest(name, p.Names(kind)); near != "" {
			return Location{}, fmt.Errorf("no connector %q that can be a %s; did you mean %q?", name, kind.Noun(), near)
		}
		return Location{}, fmt.Errorf("no connector %q that can be a %s; there are %s",
			name, kind.Noun(), strings.Join(p.Names(kind), ", "))
	}
	config := map[string]any{"path": address}
	if c.FromURL != nil {
		made, err := c.FromURL(address)
		if err != nil {
			return Location{}, fmt.Errorf("%s %s: %w", kind.Noun(), redacted(address), err)
		}
		config = made
	}
	if kind == spec.Source {
		for key, value := range c.CopySource {
			if _, given := config[key]; !given {
				config[key] = value
			}
		}
	}
	return Location{Type: name, Config: config}, nil
}

// streamed returns the format of standard input or output that "-" of a file format means.
func streamed(name, address string) (format string, ok bool) {
	format, ok = map[string]string{"csv": "csv", "json": "ndjson", "ndjson": "ndjson", "lines": "lines"}[name]
	return format, ok && address == "-"
}

// recognise returns the connector of an address, and the address without a "type:" prefix.
func (p *Parts) recognise(kind spec.NodeKind, address string) (name, rest string, err error) {
	if scheme, _, ok := strings.Cut(address, "://"); ok && urlScheme.MatchString(scheme) {
		for _, name := range p.Names(kind) {
			c, _ := p.Connectors.Get(name)
			if slices.Contains(c.Schemes, scheme) {
				return name, address, nil
			}
		}
		return "", "", fmt.Errorf("no connector for %s:// URLs can be a %s", scheme, kind.Noun())
	}
	if prefix, rest, ok := strings.Cut(address, ":"); ok {
		_, known := p.Find(kind, prefix)
		if _, stream := streamed(prefix, rest); known || stream {
			return prefix, rest, nil
		}
	}
	if address == "-" {
		return "stdio", address, nil
	}
	for _, name := range p.Names(kind) {
		c, _ := p.Connectors.Get(name)
		if matchesSuffix(c, address) {
			return name, address, nil
		}
	}
	return "", "", fmt.Errorf("cannot tell the format of %s %q; name it as in csv:%s, the formats are %s",
		kind.Noun(), redacted(address), redacted(address), strings.Join(p.Names(kind), ", "))
}

var urlScheme = regexp.MustCompile(`^[a-z][a-z0-9+.-]*$`)

// matchesSuffix compares the suffix of a path, without compression and query.
func matchesSuffix(c connector.Connector, address string) bool {
	path, _, _ := strings.Cut(address, "?")
	for _, compression := range []string{".gz", ".zst", ".zstd"} {
		path = strings.TrimSuffix(path, compression)
	}
	return slices.Contains(c.Suffixes, strings.ToLower(filepath.Ext(path)))
}

// redacted hides the password in an address, however it is spelled: rather more than the password
// where the address is none.
func redacted(address string) string {
	hidden := spec.WithoutSecret("url", address, false, "***")
	if hidden != address {
		return loosePassword.ReplaceAllString(hidden, "$1$2")
	}
	if from, to := strings.Index(hidden, ":"), strings.LastIndex(hidden, "@"); from >= 0 && from < to {
		if rest, ok := strings.CutPrefix(hidden[from:], "://"); ok {
			from += len("://") + max(0, strings.Index(rest, ":"))
		}
		hidden = hidden[:from+1] + "***" + hidden[to:]
	}
	return hidden
}

// loosePassword is what follows a hidden password that lacks its quotes, as far as the next setting.
var loosePassword = regexp.MustCompile(`(\*\*\*)(?:\s+[^\s=]+)+(\s|$)`)
