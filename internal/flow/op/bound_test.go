package op

import (
	"testing"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/fault"
)

// TestRememberedKeysAreBounded: dedupe and unique fail rather than hold more than max_keys or forget
// one, and a window that fits goes on for ever.
func TestRememberedKeysAreBounded(t *testing.T) {
	const most = 1000
	whole := deduped(t, func(c *DedupeConfig) { c.MaxKeys = most })
	unique := made(t, Validate(), Env{}, func(c *ValidateConfig) {
		c.Rules, c.MaxKeys = []Rule{{Column: "n", Unique: true}}, most
	})
	for name, operator := range map[string]Operator{"dedupe": whole, "unique": unique} {
		apply(t, operator, numbers(t, 0, most))
		apply(t, operator, numbers(t, 0, most)) // nothing new
		_, err := tryApply(operator, numbers(t, most, most+1))
		fails(t, err, "1000 keys are remembered, as many as max_keys allows")
		if fault.ClassOf(err) != connector.Permanent {
			t.Errorf("%s: class %s would be tried again", name, fault.ClassOf(err))
		}
	}
	window := deduped(t, func(c *DedupeConfig) { c.MaxKeys, c.WindowRows = most, most-1 })
	wide := deduped(t, func(c *DedupeConfig) { c.MaxKeys, c.WindowRows = most, 2*most })
	for from := 0; from < 50*most; from += most {
		apply(t, window, numbers(t, from, from+most))
		if window.keys.count > most+most/2+1 {
			t.Fatalf("%d keys are held", window.keys.count)
		}
	}
	_, err := tryApply(wide, numbers(t, 0, 2*most))
	fails(t, err, "as many as max_keys allows")
}

// TestMemoryOfKeys holds the figures that the page states.
func TestMemoryOfKeys(t *testing.T) {
	const keys, size = 1 << 20, 8 + 5
	d := deduped(t, func(*DedupeConfig) {})
	least, most := 1<<62, 0
	for from := 0; from < keys; from += keys / 64 {
		apply(t, d, numbers(t, from, from+keys/64))
		each := d.StateBytes() / (from + keys/64)
		least, most = min(least, each), max(most, each)
	}
	t.Logf("%d to %d bytes a key", least, most)
	if least < size+7 || most > size+15 {
		t.Errorf("%d to %d bytes a key, the page says %d and 7 to 15", least, most, size)
	}
}

// TestKeysKeepTheirTypes: 7 of an int32 column is not the key of 7 of an int64 column.
func TestKeysKeepTheirTypes(t *testing.T) {
	for name, operator := range map[string]Operator{
		"dedupe": deduped(t, func(c *DedupeConfig) { c.Key = []string{"k"} }),
		"unique": validated(t, Rule{Column: "k", Unique: true}),
	} {
		apply(t, operator, dense(t, "k int32", []any{int64(7)}))
		_, err := operator.Bind(schemaOf(t, "v string; k int64"))
		fails(t, err, "column k is int64, and was int32 in the rows that are remembered (cast the column")
		if _, err := operator.Bind(schemaOf(t, "v string; k int32")); err != nil {
			t.Errorf("%s: another column was added: %v", name, err)
		}
		state, err := operator.(Stateful).Snapshot(true)
		if err == nil {
			err = operator.(Stateful).Restore(state, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
		_, err = operator.Bind(schemaOf(t, "k string"))
		fails(t, err, "was int32")
	}
}
