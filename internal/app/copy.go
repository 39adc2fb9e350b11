package app

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/flow/expr"
	"github.com/tapeline/tapeline/internal/flow/spec"
)

// Copy describes `tapeline copy`.
type Copy struct {
	From, To         string // URLs or paths
	FromType, ToType string // connectors; "" finds them
	Where            string // filter condition; "" keeps all
	Select           []string
	Set              map[string]any // settings of the sink, over those of its URL
	SourceSet        map[string]any // settings of the source
}

// Flow is the YAML text of a list or mapping that a setting is given as.
type Flow string

// Document returns the workflow that does the copy, as YAML text. Its name depends on both ends, so
// that repeating an interrupted copy takes it up again.
func (p *Parts) Document(c Copy) (string, error) {
	return p.document(c, inFull)
}

// Printable is Document with variables in the place of passwords and other secrets.
func (p *Parts) Printable(c Copy) (string, error) {
	return p.document(c, func(typ, name string, value any) any {
		secrets := p.secrets(typ)
		instead := "${" + strings.ToUpper(name) + "}"
		if !secrets[name] || strings.Contains(name, "connection") {
			instead = "${PASSWORD}"
		}
		text, ok := value.(string)
		if !ok {
			if !secrets[name] {
				return nil
			}
			return instead // a list or mapping of a secret key
		}
		if printed := spec.WithoutSecret(name, text, secrets[name], instead); printed != text {
			return printed
		}
		return nil
	})
}

// secrets are the config keys of a connector that are marked secret.
func (p *Parts) secrets(typ string) map[string]bool {
	out := map[string]bool{}
	c, _ := p.Connectors.Get(typ)
	for _, config := range []any{sourceConfig(c), sinkConfig(c)} {
		if config == nil {
			continue
		}
		for _, f := range connector.Fields(config) {
			out[f.Key] = out[f.Key] || hasSecret(f)
		}
	}
	return out
}

// hasSecret reports whether a field or one within it is marked secret.
func hasSecret(f connector.Field) bool {
	return f.Secret || slices.ContainsFunc(f.Fields, hasSecret)
}

func sourceConfig(c connector.Connector) any {
	if c.Source == nil {
		return nil
	}
	return c.Source.Config
}

func sinkConfig(c connector.Connector) any {
	if c.Sink == nil {
		return nil
	}
	return c.Sink.Config
}

// inFull hides nothing.
func inFull(string, string, any) any { return nil }

// printer returns what stands for a value that must not be inFull, nil for one that may.
type printer func(typ, name string, value any) any

func (p *Parts) document(c Copy, hidden printer) (string, error) {
	from, err := p.Locate(spec.Source, c.From, c.FromType)
	if err != nil {
		return "", err
	}
	to, err := p.Locate(spec.Destination, c.To, c.ToType)
	if err != nil {
		return "", err
	}
	if c.Where != "" {
		if _, err := expr.Parse(c.Where); err != nil {
			return "", fmt.Errorf("--where: %w", err)
		}
	}
	for _, set := range []map[string]any{c.SourceSet, c.Set} {
		if err := checkFlows(set); err != nil {
			return "", err
		}
	}
	maps.Copy(from.Config, c.SourceSet)
	maps.Copy(to.Config, c.Set)
	p.nameTable(from, to)
	sum := fnv.New32a()
	fmt.Fprintf(sum, "%s\n%s\n%s\n%v\n%v\n%v", c.From, c.To, c.Where, c.Select, c.Set, c.SourceSet)
	var b strings.Builder
	fmt.Fprintf(&b, "name: copy-%08x\nsources:\n", sum.Sum32())
	writeNode(&b, "source", from.Type, "", from.Config, hidden)
	last := "source"
	if c.Where != "" || len(c.Select) > 0 {
		b.WriteString("transformations:\n")
	}
	if c.Where != "" {
		writeNode(&b, "where", "filter", last, map[string]any{"condition": c.Where}, hidden)
		last = "where"
	}
	if len(c.Select) > 0 {
		writeNode(&b, "select", "select", last, map[string]any{"columns": c.Select}, hidden)
		last = "select"
	}
	b.WriteString("destinations:\n")
	writeNode(&b, "sink", to.Type, last, to.Config, hidden)
	return b.String(), nil
}

// checkFlows refuses text that would not stay within its setting.
func checkFlows(set map[string]any) error {
	for key, value := range set {
		flow, ok := value.(Flow)
		if !ok {
			continue
		}
		var tree any
		if err := yaml.Unmarshal([]byte(flow), &tree); err != nil || strings.ContainsAny(string(flow), "\r\n") {
			return fmt.Errorf("setting %s: %s is no list or mapping in one line of YAML", key, flow)
		}
	}
	return nil
}

// nameTable names the table of a target without one after the table or file it comes from.
func (p *Parts) nameTable(from, to Location) {
	c, _ := p.Connectors.Get(to.Type)
	if !key(reflect.ValueOf(c.Sink.Config), "table").IsValid() || to.Config["table"] != nil {
		return
	}
	name, _ := from.Config["table"].(string)
	if path, ok := from.Config["path"].(string); ok && name == "" {
		name, _, _ = strings.Cut(filepath.Base(path), ".")
	}
	if tableName.MatchString(name) {
		to.Config["table"] = name
	}
}

// tableName is what a table may be called without asking; a glob or "-" is no name.
var tableName = regexp.MustCompile(`^[\p{L}_][\p{L}\p{N}_-]*$`)

// Explain words the problems of a copy's document by its two ends and flags, as nobody has seen the
// document.
func (c Copy) Explain(problems []spec.Problem) string {
	var lines []string
	for _, problem := range problems {
		line := problem.Message
		if address := c.withoutTable(problem); address != "" {
			line += fmt.Sprintf("; write it as %s?table=NAME", redacted(address))
			problem.Hint = ""
		}
		for place, name := range map[string]string{
			"sources.source": "source", "destinations.sink": "sink",
			"transformations.where.config.condition": "--where", "transformations.select": "--select",
		} {
			if rest, ok := strings.CutPrefix(problem.Path, place); ok {
				setting := strings.TrimPrefix(strings.TrimPrefix(rest, ".config"), ".")
				if setting != "" {
					setting += ": "
				}
				line = name + ": " + setting + line
			}
		}
		if problem.Hint != "" {
			line += " (" + problem.Hint + ")"
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// withoutTable returns the address that a problem misses the table of.
func (c Copy) withoutTable(problem spec.Problem) string {
	if !strings.HasPrefix(problem.Message, "table is missing") && !strings.HasSuffix(problem.Path, ".config.table") {
		return ""
	}
	address := c.To
	if strings.HasPrefix(problem.Path, string(spec.Source)) {
		address = c.From
	}
	if strings.Contains(address, "?") {
		return ""
	}
	return address
}

// writeNode writes one node; values are YAML, or JSON, which is YAML.
func writeNode(b *strings.Builder, id, typ, input string, config map[string]any, hidden printer) {
	fmt.Fprintf(b, "  %s:\n    type: %s\n", id, typ)
	if input != "" {
		fmt.Fprintf(b, "    inputs: [%s]\n", input)
	}
	b.WriteString("    config:\n")
	keys := make([]string, 0, len(config))
	for key := range config {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		if instead := hidden(typ, key, config[key]); instead != nil {
			fmt.Fprintf(b, "      %s: %q\n", key, instead)
			continue
		}
		var text strings.Builder
		if flow, ok := config[key].(Flow); ok {
			text.WriteString(string(flow))
		} else {
			encoder := json.NewEncoder(&text)
			encoder.SetEscapeHTML(false)
			_ = encoder.Encode(config[key]) // scalars, lists and maps of them always encode
		}
		// A dollar sign begins a substitution in documents.
		value := strings.ReplaceAll(strings.TrimSpace(text.String()), "${", "$${")
		fmt.Fprintf(b, "      %s: %s\n", key, value)
	}
}
