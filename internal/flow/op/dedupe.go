package op

import (
	"errors"
	"fmt"
	"time"

	"github.com/tapeline/tapeline/batch"
)

// DedupeConfig configures dedupe.
type DedupeConfig struct {
	Key        []string      `yaml:"key" doc:"columns that tell rows apart; none: all columns"`
	WindowRows int64         `yaml:"window_rows" min:"0" doc:"a key is forgotten this many rows after it was kept; 0: never"`
	Window     time.Duration `yaml:"window" min:"0" doc:"a key is forgotten when rows come whose time is this much later; needs time; 0: never"`
	Time       string        `yaml:"time" doc:"timestamp or date column that window is measured on"`
	MaxKeys    int64         `yaml:"max_keys" min:"0" resume:"ignore" doc:"keys to remember at once; one more fails the run; 0: as many as memory holds"`
}

// Dedupe keeps the first row of each key.
func Dedupe() Spec {
	return newSpec(Spec{
		Name:    "dedupe",
		Summary: "Keeps the first row of each key.",
		Doc: "A row passes when no earlier row had its key. NULL is a value like others; " +
			"values are compared in the column's type, so `1` and `01` of an int64 column are one " +
			"key; a type that changes in mid-run fails it, as the keys of before would compare to none. " +
			"Keys are kept in full, exactly, and survive a restart. A checkpoint writes only the keys " +
			"that are new since the last.\n\n" + continues +
			"Memory: a key takes its own size, 5 bytes for each of its columns and 7 to 15 more, with a " +
			"window up to 10 more. `max_keys` bounds how many there are: the run fails rather than " +
			"forget one. The memory of keys that a window has forgotten is used again once they are as " +
			"many as those it holds.\n\n" +
			"Give a window where keys never end. With `window` the time of the newest row so far " +
			"counts, not the clock, so a rerun gives the same rows; a row older than the window " +
			"passes unless its key is known; a row whose time is NULL counts as the newest time.\n\n" +
			"Inserts are compared. An upsert or a delete passes unchanged and is not remembered: it " +
			"changes a row that is there, so it repeats its key by intent.",
		Ordered: true, Continues: true,
	}, DedupeConfig{MaxKeys: defaultMaxKeys}, newDedupe)
}

// continues is what operators that remember rows tell about runs.
const continues = "What is remembered is that of the run. After a finished run, where all sources before " +
	"the node read incrementally and go on, so does it: a repetition does not pass because it comes in " +
	"the next run. Where a source starts anew, it starts empty.\n\n"

type dedupe struct {
	config DedupeConfig
	keys   *keySet
	types  keyTypes
	rows   int64 // rows seen
	newest int64 // largest time seen, in nanoseconds
}

var _ Stateful = (*dedupe)(nil)

func newDedupe(_ Env, config *DedupeConfig) (Operator, error) {
	switch {
	case config.WindowRows < 0 || config.Window < 0:
		return nil, &ConfigError{"window", errors.New("is below 0")}
	case config.WindowRows > 0 && config.Window > 0:
		return nil, &ConfigError{"window", errors.New("set either window or window_rows")}
	case (config.Window > 0) != (config.Time != ""):
		return nil, &ConfigError{"time", errors.New("window and time go together")}
	}
	d := &dedupe{config: *config}
	d.reset()
	return d, nil
}

func (d *dedupe) reset() {
	d.keys = newKeySet(d.config.WindowRows > 0 || d.config.Window > 0)
	d.keys.most = int(d.config.MaxKeys)
	d.types = nil
	d.rows, d.newest = 0, 0
}

// Bind finds the key columns.
func (d *dedupe) Bind(in *batch.Schema) (Bound, error) {
	names := d.config.Key
	if len(names) == 0 {
		names = in.Names()
	}
	at, err := positionsOf("key", in, names)
	if err != nil {
		return nil, err
	}
	if err := d.types.see("key", in, at); err != nil {
		return nil, err
	}
	b := &boundDedupe{dedupe: d, key: at, time: -1}
	if d.config.Time == "" {
		return b, nil
	}
	b.time = in.Index(d.config.Time)
	if b.time < 0 {
		return nil, &ConfigError{"time", fmt.Errorf("no column %q", d.config.Time)}
	}
	if t := in.Field(b.time).Type; t.Kind != batch.Timestamp && t.Kind != batch.Date {
		return nil, &ConfigError{"time", fmt.Errorf("column %s is %s, not a timestamp or date",
			d.config.Time, t)}
	}
	return b, nil
}

type boundDedupe struct {
	*dedupe
	key     []int
	time    int
	columns []*batch.Column
	scratch []byte
}

// Apply narrows the batch to the rows with new keys.
func (d *boundDedupe) Apply(b *batch.Batch, out *Output) error {
	b = typedAll(b, d.key, out)
	if d.time >= 0 {
		b = typedAll(b, []int{d.time}, out)
	}
	d.columns = d.columns[:0]
	for _, at := range d.key {
		d.columns = append(d.columns, b.Column(at))
	}
	kept := make([]int32, 0, b.Len())
	for i := range b.Len() {
		row := b.Row(i)
		stamp := d.stamp(b, row)
		if b.Operation(row) != batch.Insert {
			kept = append(kept, int32(row))
			continue
		}
		d.scratch = batch.AppendKey(d.scratch[:0], d.columns, row)
		fresh, err := d.keys.add(d.scratch, stamp)
		if err != nil {
			return fmt.Errorf("dedupe: %w", err)
		}
		if fresh {
			kept = append(kept, int32(row))
		}
	}
	if len(kept) < b.Len() {
		b = b.Select(kept)
	}
	out.Emit(b)
	return nil
}

// stamp counts a row, moves the window and returns the row's place in it.
func (d *boundDedupe) stamp(b *batch.Batch, row int) int64 {
	d.rows++
	switch {
	case d.config.WindowRows > 0:
		d.keys.forget(d.rows - d.config.WindowRows)
		return d.rows
	case d.time < 0:
		return 0
	}
	c := b.Column(d.time)
	if c.IsNull(row) {
		return d.newest
	}
	stamp := nanoseconds(c, row)
	if stamp > d.newest || d.newest == 0 {
		d.newest = stamp
		d.keys.forget(stamp - int64(d.config.Window))
	}
	return stamp
}

// nanoseconds reads a date or timestamp as Unix nanoseconds, cut at the ends of int64.
func nanoseconds(c *batch.Column, row int) int64 {
	v, factor := c.Int(row), int64(1e9)*secondsPerDay
	if c.Type().Kind == batch.Timestamp {
		factor = int64(1e9) / c.Type().Unit.PerSecond()
	}
	const most = 1 << 62
	return max(min(v, most/factor), -most/factor) * factor
}

const dedupeState = 2 // version of the state's encoding

// Snapshot returns the keys added since the last Snapshot, or all.
func (d *dedupe) Snapshot(base bool) ([]byte, error) {
	w := stateWriter{}
	w.uint(dedupeState)
	w.uint(uint64(d.rows))
	w.int(d.newest)
	w.text(d.window())
	d.types.write(&w)
	d.keys.write(&w, base)
	return w.data, nil
}

// window names what stamps mean: state of another window cannot be read.
func (d *dedupe) window() string {
	switch {
	case d.config.WindowRows > 0:
		return "rows"
	case d.config.Window > 0:
		return "time"
	}
	return ""
}

// Restore replaces the keys.
func (d *dedupe) Restore(base []byte, increments [][]byte) error {
	d.reset()
	if base != nil {
		increments = append([][]byte{base}, increments...)
	}
	for _, data := range increments {
		r := stateReader{data: data}
		if err := r.version(dedupeState); err != nil {
			return err
		}
		rows, newest, window := r.uint(), r.int(), r.text()
		if r.err == nil && window != d.window() {
			return fmt.Errorf("state has a window by %q, the node one by %q", window, d.window())
		}
		d.types = readKeyTypes(&r)
		if err := d.keys.read(&r); err != nil {
			return err
		}
		if err := r.end(); err != nil {
			return err
		}
		d.rows, d.newest = int64(rows), newest
	}
	d.keys.finish()
	return nil
}

// StateBytes is the memory of the keys.
func (d *dedupe) StateBytes() int { return d.keys.bytes() }
