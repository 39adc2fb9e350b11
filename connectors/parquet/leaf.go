package parquet

import (
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/schema"

	"github.com/tapeline/tapeline/batch"
)

// Bounds of what one column may hold in one batch. Damaged or hostile files claim more.
const (
	maxLevels    = 1 << 25
	maxTextBytes = 1 << 29
)

// leaf reads one primitive column, chunk by chunk.
type leaf interface {
	// open continues with the column chunk of another row group, which has so many levels.
	open(chunk file.ColumnChunkReader, levels int64) error
	// load makes the next rows of the row group the current ones.
	load(rows int) error
	// levels returns definition and repetition levels of the current rows; nil when the column
	// has none.
	levels() (defs, reps []int16)
	// column returns the current values as slots rows, of which the valid ones have a value.
	column(typ batch.Type, slots int, valid batch.Bitmap) (*batch.Column, error)
	// count returns how many current values there are.
	count() int
}

// levels keeps the levels of current rows and, for repeated columns, what was read beyond them.
type levels struct {
	descr      *schema.Column
	defs, reps []int16
	current    int   // levels of the current rows
	filled     int   // levels read
	left       int64 // levels of the chunk that were not read
}

func (l *levels) get() (defs, reps []int16) {
	if l.descr.MaxDefinitionLevel() > 0 {
		defs = l.defs[:l.current]
	}
	if l.descr.MaxRepetitionLevel() > 0 {
		reps = l.reps[:l.current]
	}
	return defs, reps
}

// drop forgets the current levels.
func (l *levels) drop() {
	if l.descr.MaxRepetitionLevel() > 0 {
		copy(l.reps, l.reps[l.current:l.filled])
	}
	if l.descr.MaxDefinitionLevel() > 0 {
		copy(l.defs, l.defs[l.current:l.filled])
	}
	l.filled -= l.current
	l.current = 0
}

// room returns where the next n levels go.
func (l *levels) room(n int) (defs, reps []int16, err error) {
	if l.filled+n > maxLevels {
		return nil, nil, fmt.Errorf("column %s: more than %d elements in the rows of one batch",
			l.descr.Path(), maxLevels)
	}
	if l.descr.MaxDefinitionLevel() > 0 {
		l.defs = grow(l.defs, l.filled+n)
		defs = l.defs[l.filled : l.filled+n]
	}
	if l.descr.MaxRepetitionLevel() > 0 {
		l.reps = grow(l.reps, l.filled+n)
		reps = l.reps[l.filled : l.filled+n]
	}
	return defs, reps, nil
}

// grow returns s with at least n elements, its old ones kept.
func grow[T any](s []T, n int) []T {
	if n <= len(s) {
		return s
	}
	if n <= cap(s) {
		return s[:n]
	}
	out := make([]T, n, max(n, 2*cap(s)))
	copy(out, s)
	return out
}

// start begins a chunk of n levels.
func (l *levels) start(n int64) { l.current, l.filled, l.left = 0, 0, n }

// fill reads levels by read until rows rows are there, and makes them current. A row of a repeated
// column ends where the next begins, so one level too many is read unless the chunk ends.
func (l *levels) fill(rows int, read func(n int, defs, reps []int16) (int, error)) error {
	repeated := l.descr.MaxRepetitionLevel() > 0
	started, at := 0, 0 // rows that began in reps[:at]
	for {
		if !repeated {
			started, at = l.filled, l.filled
		}
		for ; repeated && at < l.filled; at++ {
			if l.reps[at] != 0 {
				continue
			}
			if started == rows {
				l.current = at
				return nil
			}
			started++
		}
		if !repeated && started == rows {
			l.current = rows
			return nil
		}
		want := rows - started
		if repeated {
			want = max(want, 1024)
		}
		want = int(min(int64(want), l.left))
		defs, reps, err := l.room(want)
		if err != nil {
			return err
		}
		n := 0
		if want > 0 { // arrow-go reads on behind the last page
			n, err = read(want, defs, reps)
		}
		l.filled += n
		l.left -= int64(n)
		switch {
		case err != nil:
			return fmt.Errorf("column %s: %w", l.descr.Path(), err)
		case n == 0 && repeated && started == rows:
			l.current = l.filled
			return nil
		case n == 0:
			return fmt.Errorf("column %s ends after %d of %d rows", l.descr.Path(), started, rows)
		}
	}
}

// values counts the values among the current levels.
func (l *levels) values() int {
	most := l.descr.MaxDefinitionLevel()
	if most == 0 {
		return l.current
	}
	n := 0
	for _, def := range l.defs[:l.current] {
		if def == most {
			n++
		}
	}
	return n
}

// fixedReader is the part of arrow-go's typed column readers that a fixedLeaf needs.
type fixedReader[T any] interface {
	ReadBatch(n int64, values []T, defs, reps []int16) (levels int64, read int, err error)
}

// fixedLeaf reads values that stand by themselves.
type fixedLeaf[T any] struct {
	level   levels
	reader  fixedReader[T]
	err     func() error
	values  []T // current ones, then those read ahead
	current int
	filled  int
	check   func(values []T) error // nil: all are values of the type
	build   func(values []T, typ batch.Type, slots int, valid batch.Bitmap) *batch.Column
}

func (l *fixedLeaf[T]) open(chunk file.ColumnChunkReader, levels int64) error {
	reader, ok := chunk.(fixedReader[T])
	if !ok {
		return fmt.Errorf("column %s: stored as %s", l.level.descr.Path(), chunk.Type())
	}
	l.reader, l.err = reader, failure(chunk)
	l.level.start(levels)
	l.current, l.filled = 0, 0
	return nil
}

func (l *fixedLeaf[T]) load(rows int) error {
	l.level.drop()
	// The old values may be a batch's memory by now.
	values := make([]T, max(rows, l.filled-l.current))
	l.filled = copy(values, l.values[l.current:l.filled])
	l.values, l.current = values, 0
	err := l.level.fill(rows, func(n int, defs, reps []int16) (int, error) {
		l.values = grow(l.values, l.filled+n)
		got, read, err := l.reader.ReadBatch(int64(n), l.values[l.filled:l.filled+n], defs, reps)
		l.filled += read
		if err == nil {
			err = l.err()
		}
		return int(got), err
	})
	l.current = l.level.values()
	if err == nil && l.current > l.filled {
		err = fmt.Errorf("column %s: %d values for %d levels", l.level.descr.Path(), l.filled, l.current)
	}
	return err
}

func (l *fixedLeaf[T]) levels() (defs, reps []int16) { return l.level.get() }

func (l *fixedLeaf[T]) count() int { return l.current }

func (l *fixedLeaf[T]) column(typ batch.Type, slots int, valid batch.Bitmap) (*batch.Column, error) {
	values := l.values[:l.current:l.current]
	if l.check != nil {
		if err := l.check(values); err != nil {
			return nil, fmt.Errorf("column %s: %w", l.level.descr.Path(), err)
		}
	}
	return l.build(values, typ, slots, valid), nil
}

// failure returns what made a chunk's reader stop early; its end is none.
func failure(chunk file.ColumnChunkReader) func() error {
	return func() error {
		if err := chunk.Err(); !errors.Is(err, io.EOF) {
			return err
		}
		return nil
	}
}

// textReader is the part of arrow-go's byte array readers that a textLeaf needs.
type textReader[T ~[]byte] interface {
	ReadBatchInPage(n int64, values []T, defs, reps []int16) (levels int64, read int, err error)
	HasNext() bool
}

// textLeaf reads byte arrays, which lie in a page only until the next one is read.
type textLeaf[T ~[]byte] struct {
	level   levels
	reader  textReader[T]
	err     func() error
	scratch []T
	text    []byte
	ends    []int32 // of each value in text
	current int     // values
	build   func(v texts, typ batch.Type, slots int, valid batch.Bitmap) (*batch.Column, error)
}

func (l *textLeaf[T]) open(chunk file.ColumnChunkReader, levels int64) error {
	reader, ok := chunk.(textReader[T])
	if !ok {
		return fmt.Errorf("column %s: stored as %s", l.level.descr.Path(), chunk.Type())
	}
	l.reader, l.err = reader, failure(chunk)
	l.level.start(levels)
	l.current = 0
	l.text, l.ends = nil, nil
	return nil
}

func (l *textLeaf[T]) load(rows int) error {
	l.level.drop()
	l.dropValues(rows)
	err := l.level.fill(rows, func(n int, defs, reps []int16) (int, error) {
		if !l.reader.HasNext() {
			return 0, l.err()
		}
		l.scratch = grow(l.scratch, n)
		got, read, err := l.reader.ReadBatchInPage(int64(n), l.scratch[:n], defs, reps)
		if err == nil {
			err = l.err()
		}
		if err != nil {
			return int(got), err
		}
		return int(got), l.take(l.scratch[:read])
	})
	l.current = l.level.values()
	if err == nil && l.current > len(l.ends) {
		err = fmt.Errorf("column %s: %d values for %d levels", l.level.descr.Path(), len(l.ends), l.current)
	}
	return err
}

// dropValues starts new memory with the values read ahead: the old may be a batch's by now.
func (l *textLeaf[T]) dropValues(rows int) {
	start := int32(0)
	if l.current > 0 {
		start = l.ends[l.current-1]
	}
	ends := make([]int32, 0, max(rows, len(l.ends)-l.current))
	for _, end := range l.ends[l.current:] {
		ends = append(ends, end-start)
	}
	text := make([]byte, 0, max(cap(l.text)/2, len(l.text)))
	l.text = append(text, l.text[start:]...)
	l.ends, l.current = ends, 0
}

func (l *textLeaf[T]) take(values []T) error {
	size := 0
	for _, v := range values {
		size += len(v)
	}
	if len(l.text)+size > maxTextBytes {
		return fmt.Errorf("more than %d bytes in the rows of one batch: lower its size", maxTextBytes)
	}
	for _, v := range values {
		l.text = append(l.text, v...)
		l.ends = append(l.ends, int32(len(l.text)))
	}
	return nil
}

func (l *textLeaf[T]) levels() (defs, reps []int16) { return l.level.get() }

func (l *textLeaf[T]) count() int { return l.current }

func (l *textLeaf[T]) column(typ batch.Type, slots int, valid batch.Bitmap) (*batch.Column, error) {
	end := 0
	if l.current > 0 {
		end = int(l.ends[l.current-1])
	}
	v := texts{text: l.text[:end:end], ends: l.ends[:l.current:l.current]}
	c, err := l.build(v, typ, slots, valid)
	if err != nil {
		return nil, fmt.Errorf("column %s: %w", l.level.descr.Path(), err)
	}
	return c, nil
}

// newLeaf returns the reader of a column that is delivered as typ.
func newLeaf(descr *schema.Column, typ batch.Type) (leaf, error) {
	level := levels{descr: descr}
	switch descr.PhysicalType() {
	case parquet.Types.Boolean:
		return &fixedLeaf[bool]{level: level, build: buildBool}, nil
	case parquet.Types.Int32:
		return &fixedLeaf[int32]{level: level, build: buildInt32}, nil
	case parquet.Types.Int64:
		return &fixedLeaf[int64]{level: level, build: buildInt64}, nil
	case parquet.Types.Int96:
		return &fixedLeaf[parquet.Int96]{level: level, check: checkInt96, build: buildInt96}, nil
	case parquet.Types.Float:
		return &fixedLeaf[float32]{level: level, build: buildFixed[float32]}, nil
	case parquet.Types.Double:
		return &fixedLeaf[float64]{level: level, build: buildFixed[float64]}, nil
	case parquet.Types.ByteArray:
		return &textLeaf[parquet.ByteArray]{level: level, build: buildText(descr, typ)}, nil
	case parquet.Types.FixedLenByteArray:
		if descr.TypeLength() < 0 || descr.TypeLength() > math.MaxInt16 {
			return nil, fmt.Errorf("column %s: %d bytes a value", descr.Path(), descr.TypeLength())
		}
		return &textLeaf[parquet.FixedLenByteArray]{level: level, build: buildText(descr, typ)}, nil
	}
	return nil, fmt.Errorf("column %s: physical type %s is not known", descr.Path(), descr.PhysicalType())
}
