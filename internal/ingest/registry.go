package ingest

import (
	"fmt"
	"strings"
	"time"

	"github.com/tapeline/tapeline/internal/fault"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/provider"
)

// Maker makes one provider.
type Maker struct {
	market.Provider

	// Make returns the provider as the settings want it.
	Make func(c Config, around Around) (Provider, error)
}

// Around is what a provider finds where it is made.
type Around struct {
	Budgets provider.BudgetStore // keeps what is spent; nil forgets it
	Now     func() time.Time     // nil: time.Now
}

// Registry is the providers a sync may ask.
type Registry []Maker

// Find returns the maker of a provider by its name.
func (r Registry) Find(name string) (Maker, error) {
	var names []string
	for _, m := range r {
		if m.Name == name {
			return m, nil
		}
		names = append(names, m.Name)
	}
	hint := ""
	if near := fault.Nearest(name, names); near != "" {
		hint = "; did you mean " + near + "?"
	}
	return Maker{}, fmt.Errorf("there is no provider %q, only %s%s", name, strings.Join(names, ", "), hint)
}
