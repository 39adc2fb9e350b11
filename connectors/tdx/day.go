package tdx

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"path"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/market"
)

// recordBytes is one day.
const recordBytes = 32

// day is one file, decoded.
type day struct {
	rows     *batch.Batch // with the place of each row
	records  []int32      // of each row, from 0
	rejected []refused    // by record
	total    int          // records, one that is cut off included
}

type refused struct {
	record int
	connector.Rejected
}

// decode reads a file. name says its symbol, shown where its rows are.
func decode(shown string, symbol market.Symbol, digits int, data []byte) *day {
	whole := len(data) / recordBytes
	d := &day{total: whole, records: make([]int32, 0, whole)}
	dates, volumes := make([]int32, 0, whole), make([]int64, 0, whole)
	var prices [4][]decimal128.Num
	for i := range prices {
		prices[i] = make([]decimal128.Num, 0, whole)
	}
	amounts := make([]decimal128.Num, 0, whole)
	unit := int64(1)
	for range market.PriceScale - digits {
		unit *= 10
	}
	last := int32(math.MinInt32)
	for i := range whole {
		raw := data[i*recordBytes : (i+1)*recordBytes : (i+1)*recordBytes]
		date, reason := dateOf(binary.LittleEndian.Uint32(raw))
		amount, ok := amountOf(math.Float32frombits(binary.LittleEndian.Uint32(raw[20:])))
		switch {
		case reason == "" && date <= last:
			reason = fmt.Sprintf("date: %s does not follow %s", market.Date(date), market.Date(last))
		case reason == "" && !ok:
			reason = "amount: it is no amount of money"
		}
		if reason != "" {
			d.refuse(shown, i, reason+": copy the file again, or have the terminal load this instrument anew", raw)
			continue
		}
		last = date
		dates = append(dates, date)
		for k := range prices {
			v := int64(binary.LittleEndian.Uint32(raw[4+4*k:])) * unit
			prices[k] = append(prices[k], decimal128.FromI64(v))
		}
		amounts = append(amounts, decimal128.FromI64(amount))
		volumes = append(volumes, int64(binary.LittleEndian.Uint32(raw[24:])))
		d.records = append(d.records, int32(i))
	}
	if rest := len(data) % recordBytes; rest > 0 {
		d.total++
		d.refuse(shown, whole, fmt.Sprintf("the file ends within the record, after %d of its %d bytes: "+
			"copy the file again", rest, recordBytes), data[whole*recordBytes:])
	}
	columns := []*batch.Column{repeated(symbol.String(), len(dates)), batch.FixedColumn(batch.Of(batch.Date), dates, nil)}
	for _, p := range prices {
		columns = append(columns, batch.FixedColumn(priceType, p, nil))
	}
	columns = append(columns, batch.FixedColumn(batch.Of(batch.Int64), volumes, nil), batch.FixedColumn(priceType, amounts, nil))
	origin := (&batch.Origin{Name: shown, Record: 1}).Gather(d.records)
	d.rows = batch.New(schema, columns, len(dates)).WithOrigin(origin)
	return d
}

func (d *day) refuse(shown string, record int, reason string, raw []byte) {
	text := hex.EncodeToString(raw)
	if len(raw) == recordBytes {
		word := func(at int) uint32 { return binary.LittleEndian.Uint32(raw[at:]) }
		text = fmt.Sprintf("date=%d open=%d high=%d low=%d close=%d amount=%g volume=%d", word(0), word(4), word(8),
			word(12), word(16), math.Float32frombits(word(20)), word(24))
	}
	d.rejected = append(d.rejected, refused{record, connector.Rejected{
		Place: batch.Place{Name: shown, Record: int64(record) + 1}, Reason: reason, Record: text,
	}})
}

// dateOf reads 20240102.
func dateOf(v uint32) (date int32, reason string) {
	var text [len("20240102")]byte
	rest := v
	for i := range text {
		text[len(text)-1-i] = byte('0' + rest%10)
		rest /= 10
	}
	date, ok := batch.ParseDate(text[:])
	if !ok || rest > 0 {
		return 0, fmt.Sprintf("date: %d is no day as 20240102", v)
	}
	return date, ""
}

// amountOf returns an amount in 1/10000, exactly: a product of 24 and 14 bits fits a double.
func amountOf(v float32) (int64, bool) {
	const one, most = 10_000, 1e18
	scaled := float64(v) * one
	if !(scaled >= 0 && scaled < most) {
		return 0, false
	}
	return int64(math.Round(scaled)), true
}

// repeated is a column of one text.
func repeated(text string, rows int) *batch.Column {
	offsets := make([]int32, rows+1)
	for i := range offsets {
		offsets[i] = int32(i * len(text))
	}
	return batch.TextColumn(batch.Of(batch.String), offsets, []byte(strings.Repeat(text, rows)), nil)
}

// symbolOf reads the name of a file, as sh600000.day.
func symbolOf(name string) (market.Symbol, error) {
	stem, _, _ := strings.Cut(path.Base(name), ".")
	symbol, err := market.Sina.Parse(stem, market.Unknown)
	china := []market.MIC{market.XSHG, market.XSHE, market.BJSE}
	if err != nil || !slices.Contains(china, symbol.MIC) {
		return market.Symbol{}, fmt.Errorf("%s: its name says no symbol; want one as sh600000.day, sz000001.day or "+
			"bj430047.day", name)
	}
	return symbol, nil
}

// digitsOf is how many decimals a terminal keeps of the prices of an instrument.
func digitsOf(s market.Symbol) int {
	const usual, fine = 2, 3
	prefixes := map[market.MIC][]string{
		market.XSHG: {"5", "1", "01", "02", "900"},
		market.XSHE: {"15", "16", "18", "10", "11", "12", "13", "14"},
	}[s.MIC]
	for _, p := range prefixes {
		if strings.HasPrefix(s.Code, p) {
			return fine
		}
	}
	return usual
}
