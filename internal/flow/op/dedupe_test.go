package op

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tapeline/tapeline/batch"
)

func deduped(t testing.TB, configure func(*DedupeConfig)) *dedupe {
	t.Helper()
	return made(t, Dedupe(), Env{}, configure).(*dedupe)
}

func TestDedupeKeepsTheFirst(t *testing.T) {
	d := deduped(t, func(c *DedupeConfig) { c.Key = []string{"k"} })
	out := apply(t, d, lazy(t, "k int64; v string", "1|a", "01|b", "|c", "2|d", "|e", "x|f"))
	same(t, "rows", lines(t, out, 0), `{"k":1,"v":"a"}`, `{"k":null,"v":"c"}`, `{"k":2,"v":"d"}`)
	same(t, "refused", refusals(out), `6 k: "x" is not a value of type int64`)
	in := lazy(t, "k int64; v string", "3|a", "2|b", "3|c", "4|d").Select([]int32{1, 2, 3})
	same(t, "next batch", lines(t, apply(t, d, in), 0), `{"k":3,"v":"c"}`, `{"k":4,"v":"d"}`)
	all := deduped(t, func(*DedupeConfig) {})
	out = apply(t, all, dense(t, "k int64; v string", []any{int64(1), "a"}, []any{int64(1), "a"}, []any{int64(1), nil}))
	same(t, "all columns", lines(t, out, 0), `{"k":1,"v":"a"}`, `{"k":1,"v":null}`)
}

func TestDedupeLetsChangesPass(t *testing.T) {
	d := deduped(t, func(c *DedupeConfig) { c.Key = []string{"k"} })
	out := apply(t, d, operations(lazy(t, "k int64", "1", "1", "1", "1"), "~-++"))
	same(t, "rows", lines(t, out, 0), `~{"k":1}`, `-{"k":1}`, `+{"k":1}`)
}

func TestDedupeWindows(t *testing.T) {
	rows := deduped(t, func(c *DedupeConfig) { c.WindowRows = 2 })
	out := apply(t, rows, numbersOf(t, 1, 1, 2, 3, 1, 1))
	same(t, "rows", lines(t, out, 0), `{"n":1}`, `{"n":2}`, `{"n":3}`, `{"n":1}`)

	timed := deduped(t, func(c *DedupeConfig) { c.Key, c.Window, c.Time = []string{"k"}, time.Minute, "t" })
	out = apply(t, timed, dense(t, "k int64; t timestamp(s,UTC)",
		[]any{int64(1), "2024-01-01T00:00:00Z"}, []any{int64(1), "2024-01-01T00:01:00Z"},
		[]any{int64(1), "2024-01-01T00:01:01Z"}, []any{int64(1), nil},
		[]any{int64(2), "2023-01-01T00:00:00Z"}, []any{int64(2), "2023-01-01T00:00:00Z"}))
	same(t, "time", lines(t, out, 0), `{"k":1,"t":"2024-01-01T00:00:00Z"}`, `{"k":1,"t":"2024-01-01T00:01:01Z"}`,
		`{"k":2,"t":"2023-01-01T00:00:00Z"}`, `{"k":2,"t":"2023-01-01T00:00:00Z"}`)
	for part, configure := range map[string]func(*DedupeConfig){
		"go together": func(c *DedupeConfig) { c.Window = time.Second },
		"either":      func(c *DedupeConfig) { c.Window, c.Time, c.WindowRows = time.Second, "t", 1 },
		"below 0":     func(c *DedupeConfig) { c.WindowRows = -1 },
	} {
		_, err := tryMake(Dedupe(), Env{}, configure)
		fails(t, err, part)
	}
	_, err := timed.Bind(schemaOf(t, "k int64; t int64"))
	fails(t, err, "t is int64, not a timestamp or date")
}

func numbersOf(t testing.TB, values ...int64) *batch.Batch {
	t.Helper()
	return batch.New(schemaOf(t, "n int64"), []*batch.Column{
		batch.FixedColumn(batch.Of(batch.Int64), values, nil),
	}, len(values))
}

func TestDedupeWindowDoesNotGrow(t *testing.T) {
	d := deduped(t, func(c *DedupeConfig) { c.WindowRows = 1000 })
	var first int
	for round := range 60 {
		apply(t, d, numbers(t, round*10000, (round+1)*10000))
		if round == 5 {
			first = d.StateBytes()
		}
	}
	if got := d.StateBytes(); got > 2*first || first == 0 {
		t.Errorf("state grew from %d to %d bytes at a fixed window", first, got)
	}
	// The same keys come again and again, each time after they were forgotten.
	for range 60 {
		apply(t, d, numbers(t, 0, 10000))
	}
	if got := d.StateBytes(); got > 2*first {
		t.Errorf("state grew to %d bytes on keys that return", got)
	}
}

// TestDedupeIncrements is the acceptance of the state: what a checkpoint writes after a change of
// 1 % of a million keys, and what base and increments restore to.
// invariant: an increment holds the keys added since the last snapshot, and nothing else
func TestDedupeIncrements(t *testing.T) {
	const keys, change = 1_000_000, 10_000
	d := deduped(t, func(*DedupeConfig) {})
	for from := 0; from < keys; from += 50_000 {
		apply(t, d, numbers(t, from, from+50_000))
	}
	base, err := d.Snapshot(true)
	if err != nil {
		t.Fatal(err)
	}
	// Half of what comes is known already and must not be written again.
	apply(t, d, numbers(t, keys-change, keys+change))
	increment, err := d.Snapshot(false)
	if err != nil {
		t.Fatal(err)
	}
	const logical = change * 8 // an int64 key
	t.Logf("base %d bytes, increment %d bytes, %.2f x the change, state %d bytes", len(base),
		len(increment), float64(len(increment))/logical, d.StateBytes())
	if len(increment) > 3*logical {
		t.Errorf("increment has %d bytes for a change of %d", len(increment), logical)
	}
	empty, err := d.Snapshot(false)
	if err != nil || len(empty) > 32 {
		t.Errorf("an increment without change has %d bytes, error %v", len(empty), err)
	}
	restored := deduped(t, func(*DedupeConfig) {})
	if err := restored.Restore(base, [][]byte{increment, empty}); err != nil {
		t.Fatal(err)
	}
	out := apply(t, restored, numbers(t, keys+change-3, keys+change+2))
	same(t, "after restore", lines(t, out, 0), `{"n":1010000}`, `{"n":1010001}`)
	out = apply(t, restored, numbers(t, 0, keys))
	if len(out.Parts) > 0 {
		t.Errorf("%d of the million keys were lost", out.Parts[0].Batch.Len())
	}
	if restored.keys.count != keys+change+2 {
		t.Errorf("%d keys", restored.keys.count)
	}
}

// TestKeySetAgainstMap drives the set and a map with snapshots, restarts and a moving window.
func TestKeySetAgainstMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		window := int64(rapid.SampledFrom([]int{0, 3, 50}).Draw(t, "window"))
		set := newKeySet(window > 0)
		twin := map[string]int64{}
		var snapshots [][]byte
		for now := range int64(rapid.IntRange(1, 400).Draw(t, "steps")) {
			if rapid.IntRange(0, 30).Draw(t, "action") == 0 {
				w := stateWriter{}
				set.write(&w, len(snapshots) == 0)
				snapshots = append(snapshots, w.data)
				set = newKeySet(window > 0)
				for _, data := range snapshots {
					r := stateReader{data: data}
					if err := set.read(&r); err != nil {
						t.Fatal(err)
					}
				}
				set.finish()
			}
			key := fmt.Sprint("key", rapid.IntRange(0, 60).Draw(t, "key"))
			if window > 0 {
				set.forget(now - window)
			}
			stamp, known := twin[key]
			want := !known || window > 0 && stamp < now-window
			got, err := set.add([]byte(key), now)
			if err != nil || got != want {
				t.Fatalf("step %d: %s is new %t (%v), want %t", now, key, got, err, want)
			}
			if want {
				twin[key] = now
			}
		}
	})
}

func TestDedupeRefusesOtherState(t *testing.T) {
	plain := deduped(t, func(*DedupeConfig) {})
	apply(t, plain, numbers(t, 0, 10))
	state, err := plain.Snapshot(true)
	if err != nil {
		t.Fatal(err)
	}
	windowed := deduped(t, func(c *DedupeConfig) { c.WindowRows = 5 })
	fails(t, windowed.Restore(state, nil), `state has a window by ""`)
	fails(t, plain.Restore([]byte{9}, nil), "version 9")
	for cut := range state {
		if err := plain.Restore(state[:cut], nil); err == nil {
			t.Fatalf("state cut to %d of %d bytes was read", cut, len(state))
		}
	}
	damaged := bytes.Clone(state)
	damaged[len(damaged)-1]++ // another key belongs to another group
	fails(t, plain.Restore(damaged, nil), "state is damaged")
}

func FuzzDedupeRestore(f *testing.F) {
	for _, window := range []int64{0, 100} {
		d := deduped(f, func(c *DedupeConfig) { c.WindowRows = window })
		apply(f, d, numbers(f, 0, 20))
		state, _ := d.Snapshot(true)
		f.Add(state, window > 0)
	}
	f.Fuzz(func(t *testing.T, data []byte, windowed bool) {
		config := func(c *DedupeConfig) {
			if windowed {
				c.WindowRows = 100
			}
		}
		d := deduped(t, config)
		if d.Restore(data, nil) != nil {
			return
		}
		again, err := d.Snapshot(true)
		if err != nil {
			t.Fatal(err)
		}
		second := deduped(t, config)
		if err := second.Restore(again, nil); err != nil {
			t.Fatalf("own state: %v", err)
		}
		if second.keys.count != d.keys.count {
			t.Fatalf("%d keys became %d", d.keys.count, second.keys.count)
		}
	})
}

func TestGroupsAreStable(t *testing.T) {
	// Stored state depends on these numbers: a change needs a new version of the encoding.
	var got []int
	for _, key := range []string{"", "a", "abcdefgh", "abcdefghi"} {
		got = append(got, groupOf([]byte(key)))
	}
	if want := []int{47, 33, 35, 38}; !slices.Equal(got, want) {
		t.Errorf("groups %v, want %v", got, want)
	}
	counts := make([]int, keyGroups)
	for i := range 64_000 {
		counts[groupOf(binary.LittleEndian.AppendUint64(nil, uint64(i)))]++
	}
	if low, high := slices.Min(counts), slices.Max(counts); low < 850 || high > 1150 {
		t.Errorf("groups hold %d to %d of 64000 keys", low, high)
	}
}
