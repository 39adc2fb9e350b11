package conntest

import (
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/vfs"
)

// soon is how long a call that must return soon may take; tests of the suite itself wait less.
func soon(t testing.TB) time.Duration {
	if impatient, ok := t.(interface{ patience() time.Duration }); ok {
		return impatient.patience()
	}
	return 10 * time.Second
}

// settings returns a fresh config struct: given a pointer to one as it is, given a map the defaults
// with the map's values over them, as a document would set them.
func settings(t testing.TB, defaults, given any) any {
	t.Helper()
	out := reflect.New(reflect.TypeOf(defaults).Elem())
	if given == nil {
		given = map[string]any{}
	}
	values, ok := given.(map[string]any)
	if !ok {
		if reflect.TypeOf(given) != out.Type() {
			t.Fatalf("config is %T, want %s or map[string]any", given, out.Type())
		}
		out.Elem().Set(reflect.ValueOf(given).Elem())
		return out.Interface()
	}
	out.Elem().Set(reflect.ValueOf(defaults).Elem())
	for key, value := range values {
		if err := set(out.Elem(), key, value); err != nil {
			t.Fatalf("config: %v", err)
		}
	}
	return out.Interface()
}

// set fills the field with that yaml key, embedded structs included.
func set(structure reflect.Value, key string, value any) error {
	for i := range structure.NumField() {
		field := structure.Type().Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		switch {
		case field.Anonymous && field.Type.Kind() == reflect.Struct:
			if set(structure.Field(i), key, value) == nil {
				return nil
			}
		case name == key:
			if err := assign(structure.Field(i), reflect.ValueOf(value)); err != nil {
				return fmt.Errorf("%s: %w", key, err)
			}
			return nil
		}
	}
	return fmt.Errorf("no key %q", key)
}

func assign(field, value reflect.Value) error {
	if value.Kind() == reflect.Interface {
		value = value.Elem()
	}
	switch {
	case !value.IsValid():
		field.SetZero()
	case value.Type().AssignableTo(field.Type()):
		field.Set(value)
	case field.Kind() == reflect.Pointer:
		field.Set(reflect.New(field.Type().Elem()))
		return assign(field.Elem(), value)
	case field.Type() == reflect.TypeFor[time.Duration]() && value.Kind() == reflect.String:
		d, err := time.ParseDuration(value.String())
		field.SetInt(int64(d))
		return err
	case field.Kind() == reflect.Struct && value.Kind() == reflect.Map:
		for _, key := range value.MapKeys() {
			if err := set(field, key.String(), value.MapIndex(key).Interface()); err != nil {
				return err
			}
		}
	case field.Kind() == reflect.Slice && value.Kind() == reflect.Slice:
		field.Set(reflect.MakeSlice(field.Type(), value.Len(), value.Len()))
		for i := range value.Len() {
			if err := assign(field.Index(i), value.Index(i)); err != nil {
				return err
			}
		}
	case field.Kind() == value.Kind() || field.CanInt() && value.CanInt() ||
		field.CanFloat() && value.CanInt() || field.CanFloat() && value.CanFloat():
		field.Set(value.Convert(field.Type()))
	default:
		return fmt.Errorf("%s is not a %s", value.Type(), field.Type())
	}
	return nil
}

// environment is what the engine gives a connector, over the real file system.
func environment(t testing.TB, budget *connector.Budget) connector.Env {
	return connector.Env{
		Log: slog.New(slog.DiscardHandler), Workflow: "conntest", Run: runID, Node: "node",
		Dir: t.TempDir(), FS: vfs.OS{}, Budget: budget,
	}
}

// check is one promise and how it is tested. skip says why it does not apply, "" when it does.
type check struct {
	name string
	skip string
	run  func(t testing.TB)
}

// perform runs the checks as subtests and counts their goroutines.
func perform(t *testing.T, checks []check) {
	t.Helper()
	var open []string
	for _, c := range checks {
		if c.skip != "" {
			open = append(open, c.name+" ("+c.skip+")")
			continue
		}
		t.Run(c.name, func(t *testing.T) { c.run(t) })
	}
	if len(open) > 0 {
		t.Logf("not checked: %s", strings.Join(open, ", "))
	}
}

// leaks returns a function that reports goroutines begun since.
func leaks(t testing.TB) func() {
	t.Helper()
	before := goleak.IgnoreCurrent()
	return func() {
		t.Helper()
		if err := goleak.Find(before); err != nil {
			t.Errorf("goroutines are left behind: %v", err)
		}
	}
}

// within fails the check when f does not return in time.
func within(t testing.TB, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	timer := time.NewTimer(soon(t))
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		t.Fatalf("%s does not return within %s", what, soon(t))
	}
}

// describe checks what a connector says of itself.
func describe(t testing.TB, c connector.Connector, config any) {
	t.Helper()
	if _, err := connector.NewRegistry(c); err != nil {
		t.Errorf("the registry refuses it: %v", err)
	}
	if c.Version == "" || c.Summary == "" || c.Doc == "" {
		t.Errorf("version %q, summary %q and doc (%d bytes) must all be given",
			c.Version, c.Summary, len(c.Doc))
	}
	for _, f := range connector.Fields(config) {
		documented(t, "", f)
	}
}

func documented(t testing.TB, path string, f connector.Field) {
	t.Helper()
	if f.Doc == "" && f.Key != "" {
		t.Errorf("config key %s%s has no doc tag", path, f.Key)
	}
	for _, member := range f.Fields {
		documented(t, path+f.Key+".", member)
	}
}
