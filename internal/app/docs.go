package app

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/flow/op"
	"github.com/tapeline/tapeline/internal/flow/spec"
	"github.com/tapeline/tapeline/internal/ingest"
)

// Docs returns the reference pages made from the code, by path below the documentation folder.
func (p *Parts) Docs() map[string]string {
	pages := map[string]string{
		"workflow.md":      spec.Markdown(p),
		"operators.md":     op.Markdown(p.Operators),
		"sync-settings.md": ingest.Reference(),
	}
	for _, name := range p.Connectors.Names() {
		page, _ := p.ConnectorPage(name)
		pages["connectors/"+name+".md"] = page
	}
	return pages
}

// WriteDocs writes the reference pages below dir.
func (p *Parts) WriteDocs(dir string) error {
	for name, page := range p.Docs() {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(page), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// ConnectorPage returns a connector's reference page in Markdown.
func (p *Parts) ConnectorPage(name string) (string, bool) {
	c, ok := p.Connectors.Get(name)
	if !ok {
		return "", false
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n%s\n\n%s\n", c.Name, c.Summary, strings.TrimSpace(c.Doc))
	if len(c.Suffixes)+len(c.Schemes) > 0 {
		fmt.Fprintf(&b, "\n`tapeline copy` uses it for: %s\n",
			"`"+strings.Join(append(append([]string{}, c.Suffixes...), c.Schemes...), "`, `")+"`")
	}
	if c.Source != nil {
		fmt.Fprintf(&b, "\n## Source\n\n%s\n%s", sourceAbilities(c.Source.Capabilities),
			spec.Table(c.Source.Config))
	}
	if c.Sink != nil {
		fmt.Fprintf(&b, "\n## Sink\n\n%s\n%s", sinkAbilities(c.Sink.Capabilities), spec.Table(c.Sink.Config))
	}
	if c.Lookup != nil {
		fmt.Fprintf(&b, "\n## Lookup\n\n%s", spec.Table(c.Lookup.Config))
	}
	return b.String(), true
}

func sourceAbilities(c connector.SourceCapabilities) string {
	return table(
		"ends by itself", c.Bounded, "continues exactly after a stop", c.Resumable,
		"read in parallel parts", c.ParallelReads, "only new rows in the next run", c.Incremental,
		"delivers upserts and deletes", c.Operations)
}

func sinkAbilities(c connector.SinkCapabilities) string {
	return table(
		"transactions", c.Transactions, "commits the checkpoint with the data", c.Decides,
		"upsert by key", c.Upsert, "follows schema changes", c.SchemaEvolution,
		"several writers", c.Parallel, "visible only when committed", c.Staged)
}

func table(pairs ...any) string {
	var b strings.Builder
	b.WriteString("| ability | |\n|---|---|\n")
	for i := 0; i < len(pairs); i += 2 {
		answer := "no"
		if pairs[i+1].(bool) {
			answer = "yes"
		}
		fmt.Fprintf(&b, "| %s | %s |\n", pairs[i], answer)
	}
	return b.String()
}

// Description is a connector for programs.
type Description struct {
	Name     string            `json:"name"`
	Version  string            `json:"version"`
	Summary  string            `json:"summary"`
	Suffixes []string          `json:"suffixes,omitempty"`
	Schemes  []string          `json:"schemes,omitempty"`
	Source   []connector.Field `json:"source,omitempty"`
	Sink     []connector.Field `json:"sink,omitempty"`
	Lookup   []connector.Field `json:"lookup,omitempty"`
}

// Describe returns all connectors, by name.
func Describe(p *Parts) []Description {
	var out []Description
	for _, name := range p.Connectors.Names() {
		c, _ := p.Connectors.Get(name)
		d := Description{
			Name: c.Name, Version: c.Version, Summary: c.Summary,
			Suffixes: c.Suffixes, Schemes: c.Schemes,
		}
		if c.Source != nil {
			d.Source = connector.Fields(c.Source.Config)
		}
		if c.Sink != nil {
			d.Sink = connector.Fields(c.Sink.Config)
		}
		if c.Lookup != nil {
			d.Lookup = connector.Fields(c.Lookup.Config)
		}
		out = append(out, d)
	}
	return out
}
