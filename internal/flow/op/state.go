package op

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// errState is wrapped by all that is wrong with the bytes of a state.
var errState = errors.New("state is damaged")

// stateWriter encodes an operator's state: variable-length integers and length-prefixed bytes,
// after a version.
type stateWriter struct{ data []byte }

func (w *stateWriter) uint(v uint64) { w.data = binary.AppendUvarint(w.data, v) }

func (w *stateWriter) int(v int64) { w.data = binary.AppendVarint(w.data, v) }

func (w *stateWriter) bytes(v []byte) {
	w.uint(uint64(len(v)))
	w.data = append(w.data, v...)
}

func (w *stateWriter) text(v string) {
	w.uint(uint64(len(v)))
	w.data = append(w.data, v...)
}

// stateReader is the inverse; the first fault sticks and later reads give zero values.
type stateReader struct {
	data []byte
	err  error
}

func (r *stateReader) fail(what string) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s, %d bytes before its end", errState, what, len(r.data))
	}
	r.data = nil
}

func (r *stateReader) uint() uint64 {
	v, n := binary.Uvarint(r.data)
	if n <= 0 {
		r.fail("number is cut off")
		return 0
	}
	r.data = r.data[n:]
	return v
}

func (r *stateReader) int() int64 {
	v, n := binary.Varint(r.data)
	if n <= 0 {
		r.fail("number is cut off")
		return 0
	}
	r.data = r.data[n:]
	return v
}

// bytes returns a part of the data, not a copy.
func (r *stateReader) bytes() []byte {
	n := r.uint()
	if n > uint64(len(r.data)) {
		r.fail("bytes are cut off")
		return nil
	}
	out := r.data[:n:n]
	r.data = r.data[n:]
	return out
}

func (r *stateReader) text() string { return string(r.bytes()) }

// count reads a number of entries of at least minimum bytes each.
func (r *stateReader) count(minimum int) int {
	n := r.uint()
	if n > uint64(len(r.data)/minimum) {
		r.fail("more entries than bytes")
		return 0
	}
	return int(n)
}

// version checks the version at the start.
func (r *stateReader) version(want uint64) error {
	if got := r.uint(); r.err == nil && got != want {
		r.err = fmt.Errorf("state of version %d; this binary reads version %d", got, want)
	}
	return r.err
}

// end returns the first fault, or one when bytes are left.
func (r *stateReader) end() error {
	if r.err == nil && len(r.data) > 0 {
		r.fail("unknown bytes")
	}
	return r.err
}

// latest returns the newest snapshot of an operator whose snapshots are always whole.
func latest(base []byte, increments [][]byte) []byte {
	if n := len(increments); n > 0 {
		return increments[n-1]
	}
	return base
}

const counterState = 1 // version of the encoding of counter

// counter is the state of operators that only count rows.
type counter struct{ rows uint64 }

// Snapshot returns the count.
func (c *counter) Snapshot(bool) ([]byte, error) {
	w := stateWriter{}
	w.uint(counterState)
	w.uint(c.rows)
	return w.data, nil
}

// Restore sets the count.
func (c *counter) Restore(base []byte, increments [][]byte) error {
	r := stateReader{data: latest(base, increments)}
	if err := r.version(counterState); err != nil {
		return err
	}
	rows := r.uint()
	if err := r.end(); err != nil {
		return err
	}
	c.rows = rows
	return nil
}

// StateBytes is the size of the count.
func (c *counter) StateBytes() int { return 8 }
