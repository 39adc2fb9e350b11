// Package tidy holds the rules of the house that a machine can check, as functions from the
// parsed source tree to findings. Its tests run them over this repository in well under a second.
//
// Path of one file: load (tree.go) -> each rule in Rules -> Finding -> a failed test that names
// file, line and what to write instead.
//
// Rules: floors and client libraries (floor.go, floors.txt), lengths (length.go), banned names,
// imports and calls (ban.go), package comments, public docs and examples (comment.go), invariant
// tags (invariant.go), machine paths and dead links in text files (text.go).
//
// Generated pages are compared by StaleDocs, called from a test of the package that generates
// them, so that this package never compiles the product.
//
// It knows only syntax: the standard library's parser, no type checker, no import of the product.
package tidy
