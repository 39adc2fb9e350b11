package market

import (
	"fmt"
	"math"
	"math/bits"
	"slices"

	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"github.com/tapeline/tapeline/batch"
)

// FactorOne is a factor of 1 at FactorScale.
const FactorOne = 1_000_000

// FactorEvent is a change of an instrument's adjustment factor: on a dividend, a split, a rights
// issue.
type FactorEvent struct {
	Ex   Date  // the first day traded without the right
	Back int64 // backward factor from that day on, at FactorScale
}

// Factors are one instrument's adjustment factors over time. The zero value is a life without events.
//
// An adjusted price is raw × factor, exactly: a raw price of 4 decimals and a factor of 6 give 10
// decimals, so nothing is rounded. The backward factor of a day is that of the last event on or
// before it, 1 before the first; prices of old days stay as they are and new ones grow. The forward
// factor is back(day) / back(last event), rounded half up to 6 decimals, once; the newest prices stay
// as they are. It is always computed here: the one a provider gave is true only until the next event.
type Factors struct {
	events []FactorEvent // by date, each date once
}

// NewFactors returns the factors of one instrument's events, in any order.
func NewFactors(events []FactorEvent) (Factors, error) {
	list := slices.Clone(events)
	slices.SortFunc(list, func(a, b FactorEvent) int { return int(a.Ex) - int(b.Ex) })
	for i, e := range list {
		if e.Back <= 0 {
			return Factors{}, fmt.Errorf("factor of %s: %s is not positive", e.Ex, FormatFixed(e.Back, FactorScale))
		}
		if i > 0 && list[i-1].Ex == e.Ex {
			return Factors{}, fmt.Errorf("factor of %s: two events on one day", e.Ex)
		}
	}
	if n := len(list); n > 0 {
		for _, e := range list { // so that no quotient overflows later
			if _, ok := foreFactor(e.Back, list[n-1].Back); !ok {
				return Factors{}, fmt.Errorf("factor of %s: %s over %s does not fit 64 bits", e.Ex,
					FormatFixed(e.Back, FactorScale), FormatFixed(list[n-1].Back, FactorScale))
			}
		}
	}
	return Factors{list}, nil
}

// FactorsOf reads the events of one instrument from a dense batch of dataset adj_factor.
func FactorsOf(b *batch.Batch) (Factors, error) {
	date, back := b.Schema().Index("ex_date"), b.Schema().Index("back_factor")
	if date < 0 || back < 0 {
		return Factors{}, fmt.Errorf("factors: columns (%s), want ex_date and back_factor", b.Schema())
	}
	dates, factors := batch.Values[int32](b.Column(date)), batch.Values[decimal128.Num](b.Column(back))
	events := make([]FactorEvent, 0, b.Len())
	for i := range b.Len() {
		row := b.Row(i)
		v, ok := int64Of(factors[row])
		if !ok {
			return Factors{}, fmt.Errorf("factor of %s does not fit 64 bits", Date(dates[row]))
		}
		events = append(events, FactorEvent{Date(dates[row]), v})
	}
	return NewFactors(events)
}

// Events returns the events by date.
func (f Factors) Events() []FactorEvent { return slices.Clone(f.events) }

// Event returns the event of a day.
func (f Factors) Event(d Date) (FactorEvent, bool) {
	if i := f.index(d); i >= 0 && f.events[i].Ex == d {
		return f.events[i], true
	}
	return FactorEvent{}, false
}

// Back returns the backward factor of a day at FactorScale.
func (f Factors) Back(d Date) int64 { return f.back(f.index(d)) }

// Fore returns the forward factor of a day at FactorScale.
func (f Factors) Fore(d Date) int64 { return f.fore(f.index(d)) }

// index returns the last event on or before the day, -1 before the first.
func (f Factors) index(d Date) int {
	i, found := slices.BinarySearchFunc(f.events, d, func(e FactorEvent, d Date) int { return int(e.Ex) - int(d) })
	if !found {
		i--
	}
	return i
}

func (f Factors) back(i int) int64 {
	if i < 0 {
		return FactorOne
	}
	return f.events[i].Back
}

func (f Factors) fore(i int) int64 {
	if len(f.events) == 0 {
		return FactorOne
	}
	v, _ := foreFactor(f.back(i), f.events[len(f.events)-1].Back)
	return v
}

// foreFactor returns back / latest, rounded half up.
func foreFactor(back, latest int64) (int64, bool) { return mulDiv(back, FactorOne, latest) }

// mulDiv returns a × b / c rounded half up, of positive numbers; false when it does not fit.
func mulDiv(a, b, c int64) (int64, bool) {
	hi, lo := bits.Mul64(uint64(a), uint64(b))
	lo, carry := bits.Add64(lo, uint64(c)/2, 0)
	hi += carry
	if hi >= uint64(c) {
		return 0, false
	}
	quotient, _ := bits.Div64(hi, lo, uint64(c))
	return int64(quotient), quotient <= math.MaxInt64
}

// Adjustment is a way to make prices comparable across events.
type Adjustment uint8

// The adjustments.
const (
	Raw      Adjustment = iota
	Forward             // the newest prices stay (BaoStock's adjustflag 2)
	Backward            // the oldest prices stay (adjustflag 1)
)

// AdjustedScale is how many digits stand behind the point of an adjusted price.
const AdjustedScale = PriceScale + FactorScale

var (
	priceType    = batch.DecimalOf(18, PriceScale)
	adjustedType = batch.DecimalOf(36, AdjustedScale)
)

// Adjust returns a dense batch of one instrument's rows, by date, with its columns open, high, low,
// close and preclose adjusted, as decimal(36,10). Raw returns the batch as it is.
func (f Factors) Adjust(b *batch.Batch, how Adjustment) (*batch.Batch, error) {
	if how == Raw {
		return b, nil
	}
	date := b.Schema().Index("date")
	if date < 0 {
		return nil, fmt.Errorf("adjust: columns (%s), want date", b.Schema())
	}
	factors := f.AppendFactors(make([]int64, 0, b.Rows()), batch.Values[int32](b.Column(date)), how)
	fields, columns := slices.Clone(b.Schema().Fields()), slices.Clone(b.Columns())
	for i, field := range fields {
		switch field.Name {
		case "open", "high", "low", "close", "preclose":
		default:
			continue
		}
		if !field.Type.Equal(priceType) {
			return nil, fmt.Errorf("adjust: column %s is %s, want %s", field.Name, field.Type, priceType)
		}
		adjusted := make([]decimal128.Num, b.Rows())
		multiply(adjusted, batch.Values[decimal128.Num](columns[i]), factors)
		fields[i].Type = adjustedType
		columns[i] = batch.FixedColumn(adjustedType, adjusted, columns[i].Validity())
	}
	return b.WithColumns(batch.NewSchema(fields...), columns), nil
}

// AppendFactors appends the factor of each date. It is fast when dates ascend.
func (f Factors) AppendFactors(dst []int64, dates []int32, how Adjustment) []int64 {
	var v int64
	held := Interval{From: 1, To: 0} // the dates for which v holds
	for _, day := range dates {
		if d := Date(day); !held.Contains(d) {
			i := f.index(d)
			held = Interval{MinDate, MaxDate}
			if i >= 0 {
				held.From = f.events[i].Ex
			}
			if i+1 < len(f.events) {
				held.To = f.events[i+1].Ex - 1
			}
			switch how {
			case Forward:
				v = f.fore(i)
			case Backward:
				v = f.back(i)
			case Raw:
				v = FactorOne
			}
		}
		dst = append(dst, v)
	}
	return dst
}

// multiply sets dst to prices × factors; 18 digits times 18 digits always fit 128 bits.
func multiply(dst, prices []decimal128.Num, factors []int64) {
	for i, p := range prices {
		v := int64(p.LowBits())
		sign := v >> 63
		hi, lo := bits.Mul64(uint64((v^sign)-sign), uint64(factors[i]))
		n := decimal128.New(int64(hi), lo)
		if sign < 0 {
			n = n.Negate()
		}
		dst[i] = n
	}
}

// DeriveFactors returns the events that a series of raw closes and precloses implies, by date: an
// event is a day whose preclose is not the close before it, and its backward factor is the one before
// × close before / preclose, rounded half up to 6 decimals at each event (so a stored factor and the
// next event give the next factor, without the whole history). A preclose of 0 is not known.
func DeriveFactors(dates []Date, closes, precloses []int64) ([]FactorEvent, error) {
	var events []FactorEvent
	back := int64(FactorOne)
	for i := 1; i < len(dates); i++ {
		if dates[i] <= dates[i-1] {
			return nil, fmt.Errorf("derive factors: %s follows %s", dates[i], dates[i-1])
		}
		before, after := closes[i-1], precloses[i]
		if after == 0 || after == before {
			continue
		}
		if before <= 0 || after < 0 {
			return nil, fmt.Errorf("derive factors: close %d before %s, preclose %d: want positive prices",
				before, dates[i], after)
		}
		next, ok := mulDiv(back, before, after)
		if !ok || next == 0 {
			return nil, fmt.Errorf("derive factors: the factor of %s does not fit 64 bits", dates[i])
		}
		back = next
		events = append(events, FactorEvent{dates[i], back})
	}
	return events, nil
}

// int64Of returns a decimal's unscaled value.
func int64Of(n decimal128.Num) (int64, bool) {
	v := int64(n.LowBits())
	return v, n.HighBits() == v>>63
}
