// Package spec reads workflow documents: YAML text to checked nodes, with a position for every
// value and all problems at once.
//
// Path of one value: Parse -> syntax.go:guard (caps on tokens) -> builder.value (own tree, aliases
// shared, expanded size counted) -> override (--set) -> substitute (${ENV}, ${file:}) -> decoder
// (struct tags: yaml, alias, doc, required, enum, min, max, secret) -> Document.check -> Problems.
//
// Invariants: the caps on bytes, depth and expanded nodes hold before anything is decoded; no
// input makes Parse panic; a substituted value never becomes structure; secrets appear neither in
// problems and their excerpts nor in Redacted.
//
// YAML is 1.2 core: yes, no, on and off are text; 017 is 17; 1_000 is text.
//
// The package knows node types only through a Catalogue; it knows no connector, no operator, no
// expression and no plan.
package spec
