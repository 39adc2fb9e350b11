package spec

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
)

// Fingerprint identifies what a node does: its type, its inputs, its declared columns and the
// settings that differ from their defaults. Secrets count only as present, connection strings
// without their passwords; parallelism, resources and fields tagged resume:"ignore" do not count.
// Two fingerprints are equal when state of one node may be used by the other.
func (n *Node) Fingerprint() string {
	hash := sha256.New()
	fmt.Fprintf(hash, "%s\x00%s\x00", n.Kind, n.Type)
	for _, in := range n.Inputs {
		fmt.Fprintf(hash, "%s\x00", in)
	}
	if n.Schema != nil {
		for _, column := range n.Schema.Columns {
			fmt.Fprintf(hash, "%s\x00%s\x00", column.Name, column.Type)
		}
	}
	if n.Config != nil && n.declared.Config != nil {
		writeStruct(hash, reflect.ValueOf(n.Config).Elem(), reflect.ValueOf(n.declared.Config).Elem())
	} else if n.ConfigTree != nil {
		writeTree(hash, n.ConfigTree, false)
	}
	return hex.EncodeToString(hash.Sum(nil)[:16])
}

// writeStruct writes the keys of a config that differ from its defaults, sorted by name.
func writeStruct(w io.Writer, config, defaults reflect.Value) {
	s := shapeOf(config.Type())
	slices.SortFunc(s.keys, func(a, b key) int { return strings.Compare(a.name, b.name) })
	io.WriteString(w, "{")
	for _, part := range [][]int{s.key, s.value} {
		if part != nil {
			writeValue(w, config.FieldByIndex(part), false)
		}
	}
	for _, k := range s.keys {
		value, standard := config.FieldByIndex(k.index), defaults.FieldByIndex(k.index)
		if k.volatile || same(value, standard) {
			continue
		}
		fmt.Fprintf(w, "%q:", k.name)
		writeValue(w, value, k.secret)
	}
	io.WriteString(w, "}")
}

// same compares two values by what writeValue writes.
func same(a, b reflect.Value) bool {
	var left, right strings.Builder
	writeValue(&left, a, false)
	writeValue(&right, b, false)
	return left.String() == right.String()
}

func writeValue(w io.Writer, v reflect.Value, secret bool) {
	if v.Type() == reflect.TypeFor[*Value]() {
		if tree, _ := reflect.TypeAssert[*Value](v); tree != nil {
			writeTree(w, tree, secret)
		}
		return
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			io.WriteString(w, "null")
			return
		}
		writeValue(w, v.Elem(), secret)
	case reflect.Struct:
		if text, ok := reflect.TypeAssert[fmt.Stringer](v); ok {
			fmt.Fprintf(w, "%q,", text)
			return
		}
		writeStruct(w, v, reflect.Zero(v.Type()))
	case reflect.Slice, reflect.Array:
		io.WriteString(w, "[")
		for i := range v.Len() {
			writeValue(w, v.Index(i), secret)
		}
		io.WriteString(w, "]")
	case reflect.Map:
		names := v.MapKeys()
		slices.SortFunc(names, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		io.WriteString(w, "{")
		for _, name := range names {
			fmt.Fprintf(w, "%q:", name.String())
			writeValue(w, v.MapIndex(name), secret || secretName.MatchString(name.String()))
		}
		io.WriteString(w, "}")
	case reflect.String:
		fmt.Fprintf(w, "%q,", identity(v.String(), secret))
	default:
		fmt.Fprintf(w, "%v,", v.Interface())
	}
}

func writeTree(w io.Writer, v *Value, secret bool) {
	switch v.Kind {
	case KindList:
		io.WriteString(w, "[")
		for _, item := range v.Items {
			writeTree(w, item, secret)
		}
		io.WriteString(w, "]")
	case KindMap:
		pairs := slices.Clone(v.Pairs)
		slices.SortFunc(pairs, func(a, b Pair) int { return strings.Compare(a.Key, b.Key) })
		io.WriteString(w, "{")
		for _, pair := range pairs {
			fmt.Fprintf(w, "%q:", pair.Key)
			writeTree(w, pair.Value, secret || secretName.MatchString(pair.Key))
		}
		io.WriteString(w, "}")
	default:
		fmt.Fprintf(w, "%d%q,", v.Kind, identity(v.Text, secret || v.hidden))
	}
}

// identity is the part of a text that counts: of a connection string all but its password, of
// another secret only that it is there.
func identity(text string, secret bool) string {
	masked := maskValue(text, mask)
	if secret && text != "" && !strings.Contains(text, "://") && !strings.Contains(text, "=") &&
		masked == text {
		return mask
	}
	return masked
}
