package intake

import (
	"fmt"
	"math/big"
	"strings"

	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"github.com/tapeline/tapeline/batch"
)

// reading is how the cells of one column are read.
type reading struct {
	field batch.Field // of the dataset
	unit  int64       // numbers are multiplied by it
	round bool        // to the field's digits
}

// column reads a file's column as the dataset's type, exactly. Rows that do not read are returned.
func (r reading) column(c *batch.Column) (*batch.Column, []batch.RowError) {
	if r.unit == 1 && !c.Lazy() && c.Type().Equal(r.field.Type) {
		return c, nil
	}
	var bad []batch.RowError
	if r.unit == 1 && c.Lazy() {
		typed, refused := c.As(r.field.Type).Typed(nil)
		if len(refused) == 0 {
			return typed, nil
		}
	}
	a := batch.NewAppender(r.field.Type)
	text := c
	if c.Lazy() {
		text, bad = c.As(batch.Of(batch.String)).Typed(nil)
	}
	var scratch []byte
	for row := range text.Len() {
		if text.IsNull(row) {
			a.Null()
			continue
		}
		scratch = batch.AppendText(scratch[:0], text, row)
		if reason := r.cell(a, scratch); reason != "" {
			a.Null()
			bad = append(bad, batch.RowError{Row: row, Reason: reason})
		}
	}
	return a.Column(), bad
}

// cell reads one text, or says why it does not read.
func (r reading) cell(a *batch.Appender, text []byte) (reason string) {
	shown := strings.TrimSpace(string(text))
	switch r.field.Type.Kind {
	case batch.Date:
		day := shown
		// A moment at midnight is the day.
		if cut := strings.IndexAny(day, "T "); cut > 0 && strings.Trim(day[cut:], "T 0:.Z+") == "" {
			day = day[:cut]
		}
		if days, ok := batch.ParseDate([]byte(padded(day))); ok {
			a.Int(int64(days))
			return ""
		}
		return fmt.Sprintf("%q is no day as 2024-01-02", shown)
	case batch.Bool:
		if v, ok := batch.ParseBool([]byte(strings.TrimSuffix(shown, ".0"))); ok {
			a.Bool(v)
			return ""
		}
		return fmt.Sprintf("%q is neither 1 nor 0", shown)
	case batch.Int64:
		n, reason := r.number(shown, 0, 18)
		if reason == "" {
			a.Int(int64(n.LowBits()))
		}
		return reason
	case batch.Decimal:
		n, reason := r.number(shown, int(r.field.Type.Scale), int(r.field.Type.Precision))
		if reason == "" {
			a.Decimal(n)
		}
		return reason
	}
	a.Bytes(text)
	return ""
}

// padded writes 2024/1/2 as 2024/01/02.
func padded(day string) string {
	for _, separator := range []string{"-", "/", "."} {
		part := strings.Split(day, separator)
		if len(part) != 3 || len(part[0]) != 4 {
			continue
		}
		for i := range part[1:] {
			if len(part[1+i]) == 1 {
				part[1+i] = "0" + part[1+i]
			}
		}
		return strings.Join(part, "-")
	}
	return day
}

// number reads a number times the unit at a scale.
func (r reading) number(text string, scale, precision int) (n decimal128.Num, reason string) {
	v, ok := new(big.Rat).SetString(text)
	const longest = 64 // an exponent must not become a number of a million digits
	if !ok || len(text) > longest || strings.ContainsAny(text, "/_xXbBoOpP") || exponent(text) {
		return n, fmt.Sprintf("%q is no number", text)
	}
	v.Mul(v, new(big.Rat).SetInt64(r.unit))
	v.Mul(v, new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil)))
	whole, rest := new(big.Int).QuoRem(v.Num(), v.Denom(), new(big.Int))
	if rest.Sign() != 0 {
		if !r.round {
			return n, fmt.Sprintf("%s has more than %d digits behind the point; --round takes it", text, scale)
		}
		if rest.Abs(rest).Lsh(rest, 1).Cmp(v.Denom()) >= 0 {
			whole.Add(whole, big.NewInt(int64(v.Sign())))
		}
	}
	most := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(precision)), nil)
	if new(big.Int).Abs(whole).Cmp(most) >= 0 {
		return n, fmt.Sprintf("%s has more than %d digits", text, precision)
	}
	return decimal128.FromBigInt(whole), ""
}

// exponent reports an exponent too large for any number of ours.
func exponent(text string) bool {
	at := strings.IndexAny(text, "eE")
	return at >= 0 && len(strings.TrimLeft(text[at+1:], "+-0")) > 2
}
