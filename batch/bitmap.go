package batch

import (
	"encoding/binary"
	"math/bits"
)

// Bitmap holds one bit a row, least significant bit first, as Arrow does.
type Bitmap []byte

// NewBitmap returns a bitmap of n zero bits.
func NewBitmap(n int) Bitmap { return make(Bitmap, (n+7)/8) }

// NewBitmapSet returns a bitmap of n one bits.
func NewBitmapSet(n int) Bitmap {
	b := make(Bitmap, (n+7)/8)
	for i := range b {
		b[i] = 0xff
	}
	return b
}

// Get reports whether bit i is set.
func (b Bitmap) Get(i int) bool { return b[i>>3]&(1<<(i&7)) != 0 }

// Set sets bit i.
func (b Bitmap) Set(i int) { b[i>>3] |= 1 << (i & 7) }

// Clear clears bit i.
func (b Bitmap) Clear(i int) { b[i>>3] &^= 1 << (i & 7) }

// Count returns how many of the first n bits are set.
func (b Bitmap) Count(n int) int {
	count, i := 0, 0
	for ; i+64 <= n; i += 64 {
		count += bits.OnesCount64(binary.LittleEndian.Uint64(b[i>>3:]))
	}
	for ; i < n; i++ {
		if b.Get(i) {
			count++
		}
	}
	return count
}

// truncate returns the first n bits, with zeros behind them.
func (b Bitmap) truncate(n int) Bitmap {
	b = b[:(n+7)/8]
	if n&7 != 0 {
		b[n>>3] &= 1<<(n&7) - 1
	}
	return b
}

// And returns the bits set in both bitmaps of n bits; nil stands for all ones.
func And(x, y Bitmap, n int) Bitmap {
	switch {
	case x == nil:
		return y
	case y == nil:
		return x
	}
	out := NewBitmap(n)
	for i := range out {
		out[i] = x[i] & y[i]
	}
	return out
}
