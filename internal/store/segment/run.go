package segment

import (
	"slices"

	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"github.com/tapeline/tapeline/batch"
)

// Run is rows From..To-1 of a block.
type Run struct {
	Block    *Block
	From, To int
}

// Len returns the number of rows.
func (r Run) Len() int { return r.To - r.From }

// Whole returns all rows of a block as a run.
func (b *Block) Whole() Run { return Run{b, 0, b.rows} }

// RunsLen returns the number of rows of runs.
func RunsLen(runs []Run) int {
	n := 0
	for _, r := range runs {
		n += r.To - r.From
	}
	return n
}

// SplitRuns parts the first n rows, or all there are, from the others. Both share memory with the runs,
// which must not be used any more.
func SplitRuns(runs []Run, n int) (head, rest []Run) {
	for i := range runs {
		r := &runs[i]
		if n < r.Len() {
			head, rest = runs[:i:i], runs[i:]
			if n > 0 {
				head = append(head, Run{r.Block, r.From, r.From + n})
				r.From += n
			}
			return head, rest
		}
		n -= r.Len()
	}
	return runs, nil
}

// RunsOf returns runs of ascending rows of a block.
func (b *Block) RunsOf(rows []int32) []Run {
	var out []Run
	for i := 0; i < len(rows); {
		end := i + 1
		for end < len(rows) && rows[end] == rows[end-1]+1 {
			end++
		}
		out = append(out, Run{b, int(rows[i]), int(rows[i]) + end - i})
		i = end
	}
	return out
}

// AppendRuns appends the rows of runs of blocks of an equal schema that hold this one's columns.
func (b *Block) AppendRuns(runs []Run) {
	for i := range b.Vectors {
		if b.Has(i) {
			b.Vectors[i].appendRuns(b.schema.kinds[i], b.rows, i, runs)
		}
	}
	b.rows += RunsLen(runs)
}

// Gather returns the rows of runs of one column: the vector of the one block that they are all of,
// which must not be altered, or into, to which it appends them.
func Gather(into *Vector, column int, runs []Run) *Vector {
	if len(runs) == 1 && runs[0].From == 0 && runs[0].To == runs[0].Block.rows {
		return &runs[0].Block.Vectors[column]
	}
	into.reset()
	if len(runs) > 0 {
		into.appendRuns(runs[0].Block.schema.kinds[column], 0, column, runs)
	}
	return into
}

// appendRuns appends a column of runs to the at rows that are there.
func (v *Vector) appendRuns(k kind, at, column int, runs []Run) {
	n := RunsLen(runs)
	switch k {
	case kindBool:
		v.Bits = appendRunBits(v.Bits, at, n, runs, func(b *Block) batch.Bitmap { return b.Vectors[column].Bits })
	case kindInt32:
		v.Int32s = appendRunValues(v.Int32s, n, runs, func(b *Block) []int32 { return b.Vectors[column].Int32s })
	case kindInt64:
		v.Int64s = appendRunValues(v.Int64s, n, runs, func(b *Block) []int64 { return b.Vectors[column].Int64s })
	case kindFloat:
		v.Floats = appendRunValues(v.Floats, n, runs, func(b *Block) []float64 { return b.Vectors[column].Floats })
	case kindWide:
		v.Wide = appendRunValues(v.Wide, n, runs, func(b *Block) []decimal128.Num { return b.Vectors[column].Wide })
	case kindText:
		v.Offsets = slices.Grow(v.Offsets, n+1)
		for _, r := range runs {
			if r.From < r.To {
				v.appendText(&r.Block.Vectors[column], r.From, r.To)
			}
		}
	}
	nulls := slices.ContainsFunc(runs, func(r Run) bool { return len(r.Block.Vectors[column].Valid) > 0 })
	switch {
	case nulls:
		if len(v.Valid) == 0 {
			v.Valid = appendSet(v.Valid, 0, at)
		}
		v.Valid = appendRunBits(v.Valid, at, n, runs, func(b *Block) batch.Bitmap { return b.Vectors[column].Valid })
	case len(v.Valid) > 0:
		v.Valid = appendSet(v.Valid, at, n)
	}
}

func appendRunValues[T any](dst []T, n int, runs []Run, of func(*Block) []T) []T {
	const padding = 8 // so that a page can be decoded into it later without growing it
	dst = slices.Grow(dst, n+padding)
	for _, r := range runs {
		if r.To == r.From+1 {
			dst = append(dst, of(r.Block)[r.From])
		} else {
			dst = append(dst, of(r.Block)[r.From:r.To]...)
		}
	}
	return dst
}

// appendRunBits appends bits; an empty bitmap is all ones.
func appendRunBits(dst batch.Bitmap, at, n int, runs []Run, of func(*Block) batch.Bitmap) batch.Bitmap {
	dst = growBits(dst, at, n)
	for _, r := range runs {
		source := of(r.Block)
		switch {
		case len(source) == 0:
			setBits(dst, at, r.To-r.From)
		case r.To == r.From+1:
			if source.Get(r.From) {
				dst.Set(at)
			}
		default:
			copyBits(dst, at, source, r.From, r.To-r.From)
		}
		at += r.To - r.From
	}
	return dst
}

// AppendZeros appends n rows with NULL, or zero where a column is required, in the given columns.
// Who fills columns one by one ends with SetLen.
func (b *Block) AppendZeros(columns []int, n int) {
	for _, i := range columns {
		if b.schema.columns[i].Nullable {
			b.Vectors[i].appendNulls(b.schema.kinds[i], b.rows, n)
		} else {
			b.Vectors[i].appendZeros(b.schema.kinds[i], b.rows, n)
		}
	}
}

// appendNulls appends n NULLs to the at rows that are there.
func (v *Vector) appendNulls(k kind, at, n int) {
	if n == 0 {
		return
	}
	v.appendZeros(k, at, n)
	if len(v.Valid) == 0 {
		v.Valid = appendSet(v.Valid, 0, at)
	}
	v.Valid = growBits(v.Valid, at, n)
}

func (v *Vector) appendZeros(k kind, at, n int) {
	switch k {
	case kindBool:
		v.Bits = growBits(v.Bits, at, n)
	case kindInt32:
		v.Int32s = appendSame(v.Int32s, 0, n)
	case kindInt64:
		v.Int64s = appendSame(v.Int64s, 0, n)
	case kindFloat:
		v.Floats = appendSame(v.Floats, 0, n)
	case kindWide:
		v.Wide = appendSame(v.Wide, decimal128.Num{}, n)
	case kindText:
		if len(v.Offsets) == 0 {
			v.Offsets = append(v.Offsets, 0)
		}
		v.Offsets = appendSame(v.Offsets, int32(len(v.Bytes)), n)
	}
}

// Equal reports whether row i of a column holds the same as row j of another block's: NULL equals
// NULL, floats are compared by their bits.
func (b *Block) Equal(column, i int, o *Block, j int) bool {
	x, y := &b.Vectors[column], &o.Vectors[column]
	if x.Null(i) || y.Null(j) {
		return x.Null(i) && y.Null(j)
	}
	return equalAt(b.schema.kinds[column], x, i, y, j)
}
