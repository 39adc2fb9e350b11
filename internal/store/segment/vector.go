package segment

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/tapeline/tapeline/batch"
)

// bitmapBytes returns the bytes of a bitmap of rows bits.
func bitmapBytes(rows int) int { return (rows + 7) / 8 }

// check compares a vector filled by hand with what its column may hold.
func (v *Vector) check(c Column, k kind, rows int) error {
	var n int
	switch k {
	case kindBool:
		n = len(v.Bits)
		if n == bitmapBytes(rows) {
			n = rows
		}
	case kindInt32:
		n = len(v.Int32s)
	case kindInt64:
		n = len(v.Int64s)
	case kindFloat:
		n = len(v.Floats)
	case kindWide:
		n = len(v.Wide)
	case kindText:
		n = max(len(v.Offsets)-1, 0)
		if n > 0 && (!slices.IsSorted(v.Offsets) || v.Offsets[0] < 0 || int(v.Offsets[n]) > len(v.Bytes)) {
			return errors.New("its offsets do not ascend within its bytes")
		}
	}
	if n != rows {
		return fmt.Errorf("holds %d rows of %d", n, rows)
	}
	if len(v.Valid) == 0 {
		return nil
	}
	if len(v.Valid) < bitmapBytes(rows) {
		return fmt.Errorf("its validity holds %d rows of %d", 8*len(v.Valid), rows)
	}
	if nulls := rows - v.Valid.Count(rows); nulls > 0 && !c.Nullable {
		return fmt.Errorf("has %d NULLs but is required", nulls)
	}
	return nil
}

// appendRange appends rows from..to-1 of a source to the at rows that are there.
func (v *Vector) appendRange(k kind, at int, source *Vector, from, to int) {
	n := to - from
	if n == 0 {
		return
	}
	switch k {
	case kindBool:
		v.Bits = appendBits(v.Bits, at, source.Bits, from, n)
	case kindInt32:
		v.Int32s = append(v.Int32s, source.Int32s[from:to]...)
	case kindInt64:
		v.Int64s = append(v.Int64s, source.Int64s[from:to]...)
	case kindFloat:
		v.Floats = append(v.Floats, source.Floats[from:to]...)
	case kindWide:
		v.Wide = append(v.Wide, source.Wide[from:to]...)
	case kindText:
		v.appendText(source, from, to)
	}
	switch {
	case len(source.Valid) > 0:
		if len(v.Valid) == 0 {
			v.Valid = appendSet(v.Valid, 0, at)
		}
		v.Valid = appendBits(v.Valid, at, source.Valid, from, n)
	case len(v.Valid) > 0:
		v.Valid = appendSet(v.Valid, at, n)
	}
}

func (v *Vector) appendText(source *Vector, from, to int) {
	if len(v.Offsets) == 0 {
		v.Offsets = append(v.Offsets, 0)
	}
	first := source.Offsets[from]
	shift := int32(len(v.Bytes)) - first
	v.Bytes = append(v.Bytes, source.Bytes[first:source.Offsets[to]]...)
	for _, end := range source.Offsets[from+1 : to+1] {
		v.Offsets = append(v.Offsets, end+shift)
	}
}

// appendBits appends n bits of source from a bit on to a bitmap that holds at bits.
func appendBits(dst batch.Bitmap, at int, source batch.Bitmap, from, n int) batch.Bitmap {
	dst = growBits(dst, at, n)
	copyBits(dst, at, source, from, n)
	return dst
}

// copyBits sets n bits of dst, which are zero, from a bit on.
func copyBits(dst batch.Bitmap, at int, source batch.Bitmap, from, n int) {
	for ; n > 0 && at&7 != 0; at, from, n = at+1, from+1, n-1 {
		if source.Get(from) {
			dst.Set(at)
		}
	}
	if n == 0 {
		return
	}
	shift := from & 7
	first, whole := from>>3, n>>3
	if shift == 0 {
		copy(dst[at>>3:], source[first:first+whole])
	} else {
		for i := range whole {
			dst[at>>3+i] = source[first+i]>>shift | source[first+i+1]<<(8-shift)
		}
	}
	for i := whole << 3; i < n; i++ {
		if source.Get(from + i) {
			dst.Set(at + i)
		}
	}
}

// appendSet appends n ones to a bitmap that holds at bits.
func appendSet(dst batch.Bitmap, at, n int) batch.Bitmap {
	dst = growBits(dst, at, n)
	setBits(dst, at, n)
	return dst
}

// setBits sets n bits from a bit on.
func setBits(dst batch.Bitmap, at, n int) {
	i, end := at, at+n
	for ; i < end && i&7 != 0; i++ {
		dst.Set(i)
	}
	for ; i+8 <= end; i += 8 {
		dst[i>>3] = 0xff
	}
	for ; i < end; i++ {
		dst.Set(i)
	}
}

// equalBits reports whether bits from..to-1 are all the same.
func equalBits(b batch.Bitmap, from, to int) bool {
	first := b.Get(from)
	whole := byte(0)
	if first {
		whole = 0xff
	}
	for i := from; i < to; {
		switch {
		case i&7 == 0 && to-i >= 8:
			if b[i>>3] != whole {
				return false
			}
			i += 8
		case b.Get(i) != first:
			return false
		default:
			i++
		}
	}
	return true
}

// growBits makes room for n more bits, all zero.
func growBits(dst batch.Bitmap, at, n int) batch.Bitmap {
	dst = trimBits(dst, at)
	size := bitmapBytes(at + n)
	dst = slices.Grow(dst, size-len(dst))
	clear(dst[len(dst):size])
	return dst[:size]
}

// trimBits cuts a bitmap to n bits, with zeros behind them in the last byte.
func trimBits(b batch.Bitmap, n int) batch.Bitmap {
	b = b[:bitmapBytes(n)]
	if n&7 != 0 {
		b[n>>3] &= 1<<(n&7) - 1
	}
	return b
}

func compareAt(k kind, x *Vector, i int, y *Vector, j int) int {
	switch k {
	case kindInt32:
		return cmp.Compare(x.Int32s[i], y.Int32s[j])
	case kindInt64:
		return cmp.Compare(x.Int64s[i], y.Int64s[j])
	default: // of a key's kinds
		return bytes.Compare(x.Text(i), y.Text(j))
	}
}

// equalAt reports whether two values that are not NULL are the same, floats by their bits.
func equalAt(k kind, x *Vector, i int, y *Vector, j int) bool {
	switch k {
	case kindBool:
		return x.Bits.Get(i) == y.Bits.Get(j)
	case kindFloat:
		return math.Float64bits(x.Floats[i]) == math.Float64bits(y.Floats[j])
	case kindWide:
		return x.Wide[i] == y.Wide[j]
	default:
		return compareAt(k, x, i, y, j) == 0
	}
}

// appendRows appends the given rows less shift of a source to the at rows that are there. Runs of
// rows go at once.
func (v *Vector) appendRows(k kind, at int, source *Vector, rows []int32, shift int) {
	switch {
	case k == kindInt32 && len(source.Valid)+len(v.Valid) == 0:
		for _, row := range rows {
			v.Int32s = append(v.Int32s, source.Int32s[int(row)-shift])
		}
		return
	case k == kindInt64 && len(source.Valid)+len(v.Valid) == 0:
		for _, row := range rows {
			v.Int64s = append(v.Int64s, source.Int64s[int(row)-shift])
		}
		return
	}
	for i := 0; i < len(rows); {
		end := i + 1
		for end < len(rows) && rows[end] == rows[end-1]+1 {
			end++
		}
		from := int(rows[i]) - shift
		v.appendRange(k, at+i, source, from, from+end-i)
		i = end
	}
}
