package csv

import (
	"bytes"

	"github.com/tapeline/tapeline/batch"
)

// InferTypes returns a type for each of the columns' cells in a sample of records: int64, float64,
// bool, date, timestamp, or string where values disagree or there are none. Numbers with leading
// zeros or a plus sign, and integers beyond int64, stay strings. With decimal, numbers with a
// fraction become decimals of the largest scale in the sample instead of float64.
func InferTypes(spans *batch.Spans, columns, rows int, decimal bool) []batch.Type {
	types := make([]batch.Type, columns)
	rows = min(rows, spans.Rows())
	for i := range types {
		g := guess{may: mayInt | mayFloat | mayBool | mayDate | mayStamp | mayZoned}
		for row := 0; row < rows && g.may != 0; row++ {
			if text, null, _ := spans.Text(row, i, nil); !null {
				g.see(text)
			}
		}
		types[i] = g.typ(decimal)
	}
	return types
}

const (
	mayInt = 1 << iota
	mayFloat
	mayBool
	mayDate
	mayStamp
	mayZoned
)

// guess narrows what a column may be.
type guess struct {
	may    int
	seen   int
	scale  int // most digits after the point
	places int // most fractional digits of a second
}

func (g *guess) see(text []byte) {
	g.seen++
	if g.may&(mayInt|mayFloat) != 0 {
		g.number(text)
	}
	if g.may&mayBool != 0 && !bytes.EqualFold(text, []byte("true")) && !bytes.EqualFold(text, []byte("false")) {
		g.may &^= mayBool
	}
	if g.may&mayDate != 0 {
		// Eight digits are more often a number than a date.
		if _, ok := batch.ParseDate(text); !ok || len(text) < 10 {
			g.may &^= mayDate
		}
	}
	if g.may&(mayStamp|mayZoned) != 0 {
		g.stamp(text)
	}
}

func (g *guess) number(text []byte) {
	digits := bytes.TrimPrefix(text, []byte("-"))
	plain := len(digits) > 0 && digits[0] >= '0' && digits[0] <= '9'
	if plain && len(digits) > 1 && digits[0] == '0' && digits[1] >= '0' && digits[1] <= '9' {
		plain = false
	}
	if !plain {
		g.may &^= mayInt
		if len(digits) < 2 || digits[0] != '.' {
			g.may &^= mayFloat
			return
		}
	}
	if _, ok := batch.ParseInt(text); !ok {
		g.may &^= mayInt
		if !bytes.ContainsAny(text, ".eE") {
			g.may &^= mayFloat // too large for an exact number
		}
	}
	if _, ok := batch.ParseFloat(text); !ok {
		g.may &^= mayFloat
	}
	if point := bytes.IndexByte(text, '.'); point >= 0 {
		g.scale = max(g.scale, len(text)-point-1)
	}
}

func (g *guess) stamp(text []byte) {
	nanos := batch.TimestampOf(batch.Nanosecond, "UTC")
	if _, ok := batch.ParseTimestamp(text, nanos); !ok || len(text) < len("2006-01-02T15:04") {
		g.may &^= mayStamp | mayZoned
		return
	}
	clock := text[len("2006-01-02"):]
	if bytes.ContainsAny(clock, "Zz+-") {
		g.may &^= mayStamp
	} else {
		g.may &^= mayZoned
	}
	if point := bytes.IndexAny(clock, ".,"); point >= 0 {
		fraction := clock[point+1:]
		if end := bytes.IndexAny(fraction, "Zz+-"); end >= 0 {
			fraction = fraction[:end]
		}
		g.places = max(g.places, len(bytes.TrimSpace(fraction)))
	}
}

func (g *guess) typ(decimal bool) batch.Type {
	unit := batch.Microsecond
	if g.places > 6 {
		unit = batch.Nanosecond
	}
	switch {
	case g.seen == 0:
		return batch.Of(batch.String)
	case g.may&mayInt != 0:
		return batch.Of(batch.Int64)
	case g.may&mayFloat != 0 && decimal && g.scale <= 38:
		return batch.DecimalOf(38, g.scale)
	case g.may&mayFloat != 0:
		return batch.Of(batch.Float64)
	case g.may&mayBool != 0:
		return batch.Of(batch.Bool)
	case g.may&mayDate != 0:
		return batch.Of(batch.Date)
	case g.may&mayStamp != 0:
		return batch.TimestampOf(unit, "")
	case g.may&mayZoned != 0:
		return batch.TimestampOf(unit, "UTC")
	}
	return batch.Of(batch.String)
}
