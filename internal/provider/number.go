package provider

import (
	"bytes"
	"hash/maphash"
	"math/big"

	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/internal/market"
)

// decimal reads a number times the field's factor at the scale of its column, 0 for whole numbers.
func (r *Rows) decimal(f *Field, c *planned, cell []byte) (decimal128.Num, bool) {
	digits, scale := int32(18), int32(0)
	if c.typ.Kind == batch.Decimal {
		digits, scale = int32(c.typ.Precision), int32(c.typ.Scale)
	}
	// A number read with more decimals, and looked at with fewer, has been multiplied.
	v, ok := batch.ParseDecimal(cell, 38, scale+c.shift)
	if !ok && f.Round {
		v, ok = rounded(cell, scale+c.shift)
	}
	return v, ok && v.FitsInPrecision(digits)
}

// rounded reads a number and rounds it half up, away from zero, at the scale.
func rounded(cell []byte, scale int32) (decimal128.Num, bool) {
	const longest = 40 // of a number that binary floating point writes
	if len(cell) > longest {
		return decimal128.Num{}, false
	}
	// An exponent of three digits is no price, and would take long to write out.
	if i := bytes.IndexAny(cell, "eE"); i >= 0 && len(cell)-i > len("e-99") {
		return decimal128.Num{}, false
	}
	exact, ok := new(big.Rat).SetString(string(cell))
	if !ok {
		return decimal128.Num{}, false
	}
	text := exact.FloatString(int(scale))
	return batch.ParseDecimal([]byte(text), 38, scale)
}

var seed = maphash.MakeSeed()

// hash tells records apart.
func hash(raw []byte) uint64 { return maphash.Bytes(seed, raw) }

// datasetOf returns a dataset that is known to be there.
func datasetOf(name string) market.Dataset {
	d, _ := market.DatasetByName(name)
	return d
}
