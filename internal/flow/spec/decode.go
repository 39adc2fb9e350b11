package spec

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

// decoder fills Go values from Values by the tags of their structs and reports every mismatch.
type decoder struct{ report *report }

// decode fills target, which keeps its value where the document says nothing.
func (d *decoder) decode(v *Value, target reflect.Value, k *key, path string) {
	if v == nil || v.missing {
		return
	}
	if target.Type() == reflect.TypeFor[*Value]() {
		target.Set(reflect.ValueOf(v))
		return
	}
	if v.Kind == KindNull && v.style == stylePlain {
		return
	}
	if k != nil && k.secret {
		d.hideAll(v)
	}
	if d.custom(v, target, path) {
		return
	}
	if target.Kind() != reflect.Pointer && target.Type() != reflect.TypeFor[time.Time]() {
		switch target.Kind() {
		case reflect.Struct:
			d.structure(v, target, path)
			return
		case reflect.Slice:
			d.slice(v, target, k, path)
			return
		case reflect.Map:
			d.mapping(v, target, k, path)
			return
		case reflect.Interface:
			d.dynamic(v, target, path)
			return
		}
		d.scalar(v, target, k, path)
		return
	}
	if target.Kind() == reflect.Pointer {
		fresh := reflect.New(target.Type().Elem())
		if !target.IsNil() {
			fresh.Elem().Set(target.Elem())
		}
		d.decode(v, fresh.Elem(), k, path)
		target.Set(fresh)
		return
	}
	d.scalar(v, target, k, path)
}

func (d *decoder) hideAll(v *Value) {
	for _, item := range v.Items {
		d.hideAll(item)
	}
	for _, pair := range v.Pairs {
		d.hideAll(pair.Value)
	}
	if v.scalar() && literalSecret(v.raw) {
		d.report.hide(v)
	}
	v.hidden = true
}

// custom decodes types that read themselves.
func (d *decoder) custom(v *Value, target reflect.Value, path string) bool {
	if !target.CanAddr() || target.Type() == reflect.TypeFor[time.Time]() {
		return false
	}
	switch reader := target.Addr().Interface().(type) {
	case treeReader:
		reader.readTree(d, v, path)
	case configReader:
		if err := reader.UnmarshalConfig(v.Any()); err != nil {
			d.report.errorf(v.Pos, path, "%v", err)
		}
	case encoding.TextUnmarshaler:
		if !v.scalar() {
			d.mismatch(v, path, "text")
		} else if err := reader.UnmarshalText([]byte(v.Text)); err != nil {
			d.report.errorf(v.Pos, path, "%v", err)
		}
	default:
		return false
	}
	return true
}

// mismatch reports a value of another kind than wanted.
func (d *decoder) mismatch(v *Value, path, want string) *Problem {
	if v.scalar() {
		return d.report.errorf(v.Pos, path, "%s is not %s", v.shown(), want)
	}
	return d.report.errorf(v.Pos, path, "want %s, got %s", want, v.Kind)
}

// shown returns the text of a scalar for messages: as written, so that a substituted secret stays
// hidden.
func (v *Value) shown() string {
	text := v.Text
	if len(v.spans) > 0 {
		text = v.raw
	}
	if v.hidden && len(v.spans) == 0 {
		return "the secret value"
	}
	text = maskValue(text, mask)
	if runes := []rune(text); len(runes) > 60 {
		text = string(runes[:60]) + "..."
	}
	return fmt.Sprintf("%q", text)
}

// structure fills a struct from a mapping.
func (d *decoder) structure(v *Value, target reflect.Value, path string) {
	s := shapeOf(target.Type())
	if v.Kind != KindMap {
		hint := "its keys: " + strings.Join(s.names(), ", ")
		d.mismatch(v, path, "a mapping").Hint = hint
		return
	}
	d.fields(v, target, &s, path)
}

// fields fills the fields of a struct and reports unknown and missing keys.
func (d *decoder) fields(v *Value, target reflect.Value, s *shape, path string) {
	if s.self != nil {
		target.FieldByIndex(s.self).Set(reflect.ValueOf(v))
	}
	set := map[string]string{}
	for _, pair := range v.Pairs {
		k := s.find(pair.Key)
		if k == nil {
			d.report.errorf(pair.KeyPos, join(path, pair.Key), "unknown key %q", pair.Key).Hint = didYouMean(pair.Key, s.names())
			continue
		}
		if other, ok := set[k.name]; ok {
			d.report.errorf(pair.KeyPos, join(path, pair.Key), "%s and %s are the same key", other, pair.Key)
			continue
		}
		set[k.name] = pair.Key
		if pair.Value.Kind == KindNull && k.required && !pair.Value.missing {
			d.report.errorf(pair.KeyPos, join(path, pair.Key), "the key has no value").Hint = k.hint()
			continue
		}
		if k.required && k.kind.Kind() == reflect.String && pair.Value.blank() {
			d.report.errorf(pair.Value.Pos, join(path, pair.Key), "the value is empty").Hint = k.hint()
			continue
		}
		d.decode(pair.Value, target.FieldByIndex(k.index), k, join(path, pair.Key))
	}
	for i := range s.keys {
		if k := &s.keys[i]; k.required && set[k.name] == "" {
			d.report.errorf(v.Pos, path, "%s is missing", k.name).Hint = k.hint()
		}
	}
}

// blank reports a scalar of white space only.
func (v *Value) blank() bool {
	return v.scalar() && !v.missing && strings.TrimSpace(v.Text) == ""
}

// hint tells what a key wants.
func (k *key) hint() string {
	hint := k.name + ": " + kindName(k.kind)
	switch {
	case k.example != "":
		hint = k.name + ": " + k.example
	case len(k.enum) > 0:
		hint = k.name + ": " + strings.Join(k.enum, " | ")
	}
	if k.doc != "" {
		hint += " (" + k.doc + ")"
	}
	return hint
}

func (d *decoder) slice(v *Value, target reflect.Value, k *key, path string) {
	element := target.Type().Elem()
	if keyed(element) {
		d.ordered(v, target, path)
		return
	}
	if v.Kind != KindList {
		hint := ""
		if v.scalar() && !v.hidden {
			hint = "write a list: [" + strings.Trim(v.shown(), `"`) + "]"
		}
		d.mismatch(v, path, "a list").Hint = hint
		return
	}
	fresh := reflect.MakeSlice(target.Type(), len(v.Items), len(v.Items))
	for i, item := range v.Items {
		d.decode(item, fresh.Index(i), k.element(), fmt.Sprintf("%s[%d]", path, i))
	}
	target.Set(fresh)
}

// element returns the rules that a list or mapping hands to its elements.
func (k *key) element() *key {
	if k == nil {
		return nil
	}
	return &key{name: k.name, enum: k.enum, secret: k.secret, min: k.min, max: k.max}
}

// ordered fills a slice of structs from a mapping, in the order of the document.
func (d *decoder) ordered(v *Value, target reflect.Value, path string) {
	if v.Kind != KindMap {
		d.mismatch(v, path, "a mapping").Hint = "write one line per entry: name: value"
		return
	}
	fresh := reflect.MakeSlice(target.Type(), len(v.Pairs), len(v.Pairs))
	for i, pair := range v.Pairs {
		entry := fresh.Index(i)
		if entry.Kind() == reflect.Pointer {
			entry.Set(reflect.New(entry.Type().Elem()))
			entry = entry.Elem()
		}
		d.entry(pair, entry, join(path, pair.Key))
	}
	target.Set(fresh)
}

// entry fills one struct of an ordered mapping.
func (d *decoder) entry(pair Pair, entry reflect.Value, path string) {
	s := shapeOf(entry.Type())
	name := &Value{Kind: KindString, Text: pair.Key, raw: pair.Key, Pos: pair.KeyPos, style: styleDouble}
	d.decode(name, entry.FieldByIndex(s.key), nil, path)
	if s.value != nil && (len(s.keys) == 0 || pair.Value.Kind != KindMap) {
		if pair.Value.Kind == KindNull && entry.FieldByIndex(s.value).Kind() == reflect.String {
			d.report.errorf(pair.KeyPos, path, "the key has no value")
		}
		d.decode(pair.Value, entry.FieldByIndex(s.value), nil, path)
		return
	}
	if pair.Value.Kind != KindMap {
		at := pair.Value.Pos
		if pair.Value.Kind == KindNull {
			at = pair.KeyPos
		}
		d.report.errorf(at, path, "want a mapping, got %s", pair.Value.Kind).Hint = "its keys: " + strings.Join(s.names(), ", ")
		return
	}
	d.fields(pair.Value, entry, &s, path)
}

func (d *decoder) mapping(v *Value, target reflect.Value, k *key, path string) {
	if v.Kind != KindMap {
		d.mismatch(v, path, "a mapping")
		return
	}
	fresh := reflect.MakeMapWithSize(target.Type(), len(v.Pairs))
	for _, pair := range v.Pairs {
		element := reflect.New(target.Type().Elem()).Elem()
		d.decode(pair.Value, element, k.element(), join(path, pair.Key))
		fresh.SetMapIndex(reflect.ValueOf(pair.Key).Convert(target.Type().Key()), element)
	}
	target.Set(fresh)
}

func (d *decoder) dynamic(v *Value, target reflect.Value, path string) {
	value := reflect.ValueOf(v.Any())
	if !value.Type().AssignableTo(target.Type()) {
		d.report.errorf(v.Pos, path, "%s cannot stand here", v.Kind)
		return
	}
	target.Set(value)
}

// clone returns a deep copy of a config's defaults, so that nodes never share them.
func clone(v reflect.Value) reflect.Value {
	fresh := reflect.New(v.Type()).Elem()
	fresh.Set(v)
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			fresh.Set(reflect.New(v.Type().Elem()))
			fresh.Elem().Set(clone(v.Elem()))
		}
	case reflect.Slice:
		if !v.IsNil() {
			fresh.Set(reflect.MakeSlice(v.Type(), v.Len(), v.Len()))
			for i := range v.Len() {
				fresh.Index(i).Set(clone(v.Index(i)))
			}
		}
	case reflect.Map:
		if !v.IsNil() {
			fresh.Set(reflect.MakeMapWithSize(v.Type(), v.Len()))
			for _, name := range v.MapKeys() {
				fresh.SetMapIndex(name, clone(v.MapIndex(name)))
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fresh.Field(i).Set(clone(v.Field(i)))
			}
		}
	}
	return fresh
}

func sorted(names []string) []string {
	slices.Sort(names)
	return names
}
