package segment

import (
	"bytes"
	"cmp"
	"fmt"
	"strings"
)

// Key is the leading values of a key, one for each column, or fewer.
type Key []Value

// Value is one value of a key: Text for String columns, Int for others.
type Value struct {
	Int  int64  `json:"i,omitempty"`
	Text string `json:"t,omitempty"`
}

// String returns the values with commas between.
func (k Key) String() string {
	var b strings.Builder
	for i, v := range k {
		if i > 0 {
			b.WriteByte(',')
		}
		if v.Text != "" {
			b.WriteString(v.Text)
		} else {
			fmt.Fprint(&b, v.Int)
		}
	}
	return b.String()
}

// key returns the key of a row.
func (b *Block) key(row int) Key {
	out := make(Key, b.schema.key)
	for i := range out {
		switch v := &b.Vectors[i]; b.schema.kinds[i] {
		case kindInt32:
			out[i].Int = int64(v.Int32s[row])
		case kindInt64:
			out[i].Int = v.Int64s[row]
		default: // of a key's kinds
			out[i].Text = string(v.Text(row))
		}
	}
	return out
}

// compareValue orders a row of a vector against a value of a key.
func compareValue(k kind, v *Vector, row int, value Value) int {
	switch k {
	case kindInt32:
		return cmp.Compare(int64(v.Int32s[row]), value.Int)
	case kindInt64:
		return cmp.Compare(v.Int64s[row], value.Int)
	default: // of a key's kinds
		return bytes.Compare(v.Text(row), []byte(value.Text))
	}
}

// CompareKey orders a row of a block that holds its key against a key, of which as many leading
// columns count as it has values.
func CompareKey(b *Block, row int, key Key) int {
	for i, value := range key {
		if order := compareValue(b.schema.kinds[i], &b.Vectors[i], row, value); order != 0 {
			return order
		}
	}
	return 0
}

// unsorted returns the first row whose key is less than that of the row before, or 0.
func (b *Block) unsorted() int {
	if k := b.schema.kinds; b.schema.key == 2 && k[0] == kindInt32 && k[1] == kindInt32 && b.rows > 0 {
		first, second := b.Vectors[0].Int32s[:b.rows], b.Vectors[1].Int32s[:b.rows]
		before := pairOf(first[0], second[0])
		for row, x := range first {
			pair := pairOf(x, second[row])
			if pair < before {
				return row
			}
			before = pair
		}
		return 0
	}
	for row := 1; row < b.rows; row++ {
		if CompareKeys(b, row-1, b, row) > 0 {
			return row
		}
	}
	return 0
}

// pairOf orders as two numbers do, the first counting more.
func pairOf(first, second int32) int64 { return int64(first)<<32 + int64(second) }
