package sim

import "strconv"

// kdataColumn names a column of k-data.
type kdataColumn uint8

const (
	columnDate kdataColumn = iota
	columnTime
	columnCode
	columnOpen
	columnHigh
	columnLow
	columnClose
	columnPreclose
	columnVolume
	columnAmount
	columnAdjust
	columnTurn
	columnStatus
	columnChange
	columnPE
	columnPS
	columnPCF
	columnPB
	columnST
)

// kdataNames returns the vendor's names, in the order of the constants.
func kdataNames() []string {
	return []string{
		"date", "time", "code", "open", "high", "low", "close", "preclose", "volume", "amount", "adjustflag",
		"turn", "tradestatus", "pctChg", "peTTM", "psTTM", "pcfNcfTTM", "pbMRQ", "isST",
	}
}

// DailyFields are the columns of daily bars in the vendor's order.
const DailyFields = "date,code,open,high,low,close,preclose,volume,amount,adjustflag,turn,tradestatus," +
	"pctChg,peTTM,psTTM,pcfNcfTTM,pbMRQ,isST"

// kdataColumns returns the columns allowed at a frequency; nil for an unknown one.
func kdataColumns(frequency string) []kdataColumn {
	switch frequency {
	case "d":
		return []kdataColumn{
			columnDate, columnCode, columnOpen, columnHigh, columnLow, columnClose, columnPreclose, columnVolume,
			columnAmount, columnAdjust, columnTurn, columnStatus, columnChange, columnPE, columnPS, columnPCF,
			columnPB, columnST,
		}
	case "w", "m":
		return []kdataColumn{
			columnDate, columnCode, columnOpen, columnHigh, columnLow, columnClose, columnVolume, columnAmount,
			columnAdjust, columnTurn, columnChange,
		}
	case "5", "15", "30", "60":
		return []kdataColumn{
			columnDate, columnTime, columnCode, columnOpen, columnHigh, columnLow, columnClose, columnVolume,
			columnAmount, columnAdjust,
		}
	}
	return nil
}

// bars says how the bars of one code are written.
type barStyle struct {
	code     string
	adjust   string // the vendor's flag: 1 backward, 2 forward, 3 none
	decimals int    // of raw prices
	clock    string // of a minute bar: hhmmssSSS
	factor   int64  // of prices, 1e-6; 0: raw
	dates    dateText
}

// appendValue appends one value of a bar as the vendor writes it.
func (s *barStyle) appendValue(dst []byte, c kdataColumn, b *Bar) []byte {
	switch c {
	case columnDate:
		return append(dst, s.dates.of(b.Date)...)
	case columnTime:
		day := s.dates.of(b.Date)
		dst = append(append(append(dst, day[:4]...), day[5:7]...), day[8:]...)
		return append(dst, s.clock...)
	case columnCode:
		return append(dst, s.code...)
	case columnOpen:
		return s.appendPrice(dst, b.Open)
	case columnHigh:
		return s.appendPrice(dst, b.High)
	case columnLow:
		return s.appendPrice(dst, b.Low)
	case columnClose:
		return s.appendPrice(dst, b.Close)
	case columnPreclose:
		return s.appendPrice(dst, b.Preclose)
	case columnAdjust:
		return append(dst, s.adjust...)
	case columnStatus:
		return appendFlag(dst, b.Trading)
	case columnST:
		return appendFlag(dst, b.ST)
	}
	return appendFigure(dst, c, b)
}

// appendFigure appends a value that may be empty.
func appendFigure(dst []byte, c kdataColumn, b *Bar) []byte {
	value, bit, decimals := b.Volume, ColumnVolume, 0
	switch c {
	case columnAmount:
		value, bit, decimals = b.Amount, ColumnAmount, priceDecimals
	case columnTurn:
		value, bit, decimals = b.Turn, ColumnTurn, ratioDecimals
	case columnChange:
		value, bit, decimals = b.Change, ColumnChange, ratioDecimals
	case columnPE:
		value, bit, decimals = b.PE, ColumnPE, ratioDecimals
	case columnPS:
		value, bit, decimals = b.PS, ColumnPS, ratioDecimals
	case columnPCF:
		value, bit, decimals = b.PCF, ColumnPCF, ratioDecimals
	case columnPB:
		value, bit, decimals = b.PB, ColumnPB, ratioDecimals
	}
	if b.Empty&bit != 0 {
		return dst
	}
	return appendFixed(dst, value, decimals, decimals)
}

// appendPrice appends a price: raw with the decimals of the vendor, adjusted as price times factor,
// which has exactly ten decimals.
func (s *barStyle) appendPrice(dst []byte, price int64) []byte {
	if s.factor == 0 {
		return appendFixed(dst, price, priceDecimals, s.decimals)
	}
	return appendFixed(dst, price*s.factor, servedDecimals, servedDecimals)
}

func appendFlag(dst []byte, on bool) []byte {
	if on {
		return append(dst, '1')
	}
	return append(dst, '0')
}

// power returns ten to the number of decimals.
func power(decimals int) uint64 {
	switch decimals {
	case 0:
		return 1
	case priceDecimals:
		return 1e4
	case ratioDecimals:
		return 1e6
	case servedDecimals:
		return 1e10
	}
	return 10 * power(decimals-1)
}

// pairs are the texts of 0 to 99, one behind the other.
const pairs = "0001020304050607080910111213141516171819" + "2021222324252627282930313233343536373839" +
	"4041424344454647484950515253545556575859" + "6061626364656667686970717273747576777879" +
	"8081828384858687888990919293949596979899"

// appendFixed appends value/10^scale with that many decimals: scale, or at most ten more.
func appendFixed(dst []byte, value int64, scale, decimals int) []byte {
	size := uint64(value)
	if value < 0 {
		dst, size = append(dst, '-'), -size
	}
	var fraction [20]byte
	at := scale
	if at%2 == 1 {
		at--
		fraction[at] = byte('0' + size%10)
		size /= 10
	}
	for ; at > 0; at -= 2 {
		pair := size % 100 * 2
		size /= 100
		fraction[at-2], fraction[at-1] = pairs[pair], pairs[pair+1]
	}
	dst = strconv.AppendUint(dst, size, 10)
	if decimals == 0 {
		return dst
	}
	const zeros = "0000000000"
	dst = append(append(dst, '.'), fraction[:scale]...)
	return append(dst, zeros[:decimals-scale]...)
}

// dateText holds the texts of the days of a calendar, so that no row formats its own.
type dateText struct {
	from Date
	text string // ten characters a day
}

func newDateText(c *Calendar) dateText {
	t := dateText{from: c.From()}
	buffer := make([]byte, 0, 10*(int(c.To()-c.From())+1))
	for day := c.From(); day <= c.To(); day++ {
		buffer = append(buffer, day.String()...)
	}
	t.text = string(buffer)
	return t
}

// of returns the text of a day of the calendar.
func (t dateText) of(day Date) string {
	i := 10 * int(day-t.from)
	return t.text[i : i+10]
}
