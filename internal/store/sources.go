package store

import (
	"cmp"
	"slices"
)

// Knower is a source that said something of a dataset, at one frequency.
type Knower struct{ Freq, Source string }

// Knowers returns whose coverage of a dataset the store keeps, sorted.
func (v *View) Knowers(dataset string) []Knower {
	c := v.store.covers
	c.mu.RLock()
	defer c.mu.RUnlock()
	var list []Knower
	for key := range c.byKey {
		if key.dataset == dataset {
			list = append(list, Knower{key.freq, key.source})
		}
	}
	slices.SortFunc(list, func(a, b Knower) int {
		return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.Freq, b.Freq))
	})
	return list
}
