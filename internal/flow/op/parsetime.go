package op

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/tapeline/tapeline/batch"
)

// timeReader reads timestamps by a layout.
type timeReader struct {
	typ    batch.Type
	name   string
	layout string         // of package time; "" for the others
	epoch  batch.Unit     // of epoch layouts
	zone   *time.Location // of texts without offset
	iso    bool
}

func (p *parse) timestamp() error {
	if err := p.whole("timestamp(us,UTC)"); err != nil {
		return err
	}
	r := &timeReader{typ: p.fields[0].Type, name: p.fields[0].Name}
	if r.typ.Kind != batch.Timestamp {
		return &ConfigError{"type", fmt.Errorf("%s is not a timestamp", r.typ)}
	}
	if r.zone = zoneOf(r.typ); p.config.Zone != "" {
		zone, err := time.LoadLocation(p.config.Zone)
		if err != nil {
			return &ConfigError{"zone", err}
		}
		r.zone = zone
	}
	units := map[string]batch.Unit{
		"epoch_s": batch.Second, "epoch_ms": batch.Millisecond, "epoch_us": batch.Microsecond,
		"epoch_ns": batch.Nanosecond,
	}
	unit, epoch := units[p.config.Layout]
	switch {
	case epoch:
		r.epoch = unit
	case p.config.Layout == "" || p.config.Layout == "iso8601":
		r.iso = true
	case !strings.Contains(p.config.Layout, "%"):
		return &ConfigError{"layout", errors.New(
			"is neither iso8601, epoch_s, epoch_ms, epoch_us, epoch_ns nor a pattern such as %Y-%m-%d")}
	default:
		var err error
		if r.layout, err = layoutOf(p.config.Layout); err != nil {
			return &ConfigError{"layout", err}
		}
	}
	p.reader = r
	return nil
}

// layoutOf translates a strftime pattern into a layout of package time.
func layoutOf(pattern string) (string, error) {
	known := map[byte]string{
		'Y': "2006", 'y': "06", 'm': "01", 'd': "02", 'e': "_2", 'j': "002", 'H': "15", 'I': "03",
		'p': "PM", 'M': "04", 'S': "05", 'z': "Z0700", 'Z': "MST", 'b': "Jan", 'B': "January",
		'a': "Mon", 'A': "Monday", '%': "%", 'T': "15:04:05", 'F': "2006-01-02",
	}
	var out strings.Builder
	for i := 0; i < len(pattern); i++ {
		if pattern[i] != '%' {
			// A digit of the pattern would be taken for a part of the layout.
			if pattern[i] >= '0' && pattern[i] <= '9' {
				return "", fmt.Errorf("pattern %q: digits cannot stand for themselves", pattern)
			}
			out.WriteByte(pattern[i])
			continue
		}
		if i++; i == len(pattern) {
			return "", fmt.Errorf("pattern %q ends in %%", pattern)
		}
		if pattern[i] == 'f' {
			// Fractions of any length are read after the seconds without being asked for.
			text := strings.TrimSuffix(strings.TrimSuffix(out.String(), "."), ",")
			if !strings.HasSuffix(text, "05") {
				return "", fmt.Errorf("pattern %q: %%f follows %%S and a point", pattern)
			}
			out.Reset()
			out.WriteString(text)
			continue
		}
		part, ok := known[pattern[i]]
		if !ok {
			return "", fmt.Errorf("pattern %q: %%%c is not known", pattern, pattern[i])
		}
		out.WriteString(part)
	}
	return out.String(), nil
}

func (r *timeReader) read(c *batch.Column, rows []int32) ([]*batch.Column, []batch.RowError) {
	values := make([]int64, c.Len())
	var bad []batch.RowError
	zoned := r.typ
	if zoned.Zone == "" {
		zoned.Zone = "UTC"
	}
	var scratch []byte
	each(rows, c.Len(), func(row int) {
		var v int64
		var ok bool
		text := []byte(nil)
		if c.Type().Text() {
			text = c.Bytes(row)
		} else {
			scratch = batch.AppendText(scratch[:0], c, row)
			text = scratch
		}
		switch {
		case r.layout != "":
			v, ok = r.pattern(text)
		case r.iso:
			v, ok = r.iso8601(text, zoned)
		default:
			v, ok = r.count(text)
		}
		if !ok {
			bad = append(bad, batch.RowError{
				Row: row, Reason: fmt.Sprintf("%q is not a timestamp of the layout", shortened(text)),
			})
			return
		}
		values[row] = v
	})
	return []*batch.Column{batch.FixedColumn(r.typ, values, nil)}, bad
}

// stored turns an instant into the column's value: the wall time in zone where the type has none.
func (r *timeReader) stored(t time.Time) (int64, bool) {
	seconds := t.Unix()
	if r.typ.Zone == "" {
		_, offset := t.In(r.zone).Zone()
		seconds += int64(offset)
	}
	return inUnit(seconds, int64(t.Nanosecond()), 1e9, r.typ.Unit.PerSecond())
}

// pattern reads by a layout of package time.
func (r *timeReader) pattern(text []byte) (int64, bool) {
	t, err := time.ParseInLocation(r.layout, string(text), r.zone)
	if err != nil {
		return 0, false
	}
	return r.stored(t)
}

// iso8601 reads without offset as wall time in zone.
func (r *timeReader) iso8601(text []byte, zoned batch.Type) (int64, bool) {
	wall := batch.TimestampOf(batch.Nanosecond, "")
	v, ok := batch.ParseTimestamp(text, wall)
	if !ok {
		wall.Zone = "UTC" // with an offset, or beyond what nanoseconds reach
		if v, ok = batch.ParseTimestamp(text, wall); !ok {
			return r.farISO(text, zoned)
		}
		return r.stored(time.Unix(floorDiv(v, 1e9), v-floorDiv(v, 1e9)*1e9))
	}
	seconds := floorDiv(v, 1e9)
	nanos := v - seconds*1e9
	if r.typ.Zone != "" {
		seconds = instantOf(seconds, r.zone)
	}
	return inUnit(seconds, nanos, 1e9, r.typ.Unit.PerSecond())
}

// farISO reads dates before 1677 and after 2262 in the type's own unit.
func (r *timeReader) farISO(text []byte, zoned batch.Type) (int64, bool) {
	wall := zoned
	wall.Zone = ""
	per := zoned.Unit.PerSecond()
	v, ok := batch.ParseTimestamp(text, wall)
	if !ok {
		zoned.Zone = "UTC"
		if v, ok = batch.ParseTimestamp(text, zoned); !ok {
			return 0, false
		}
		seconds := floorDiv(v, per)
		return r.stored(time.Unix(seconds, (v-seconds*per)*(1e9/per)))
	}
	if r.typ.Zone == "" {
		return v, true
	}
	seconds := floorDiv(v, per)
	return inUnit(instantOf(seconds, r.zone), v-seconds*per, per, per)
}

// count reads units since 1970, with a fraction.
func (r *timeReader) count(text []byte) (int64, bool) {
	from, to := r.epoch.PerSecond(), r.typ.Unit.PerSecond()
	if v, ok := batch.ParseInt(text); ok {
		seconds := floorDiv(v, from)
		return inUnit(seconds, v-seconds*from, from, to)
	}
	digits := int32(math.Round(math.Log10(float64(1e9 / from))))
	v, ok := batch.ParseDecimal(text, 38, digits)
	if nanos := int64(v.LowBits()); ok && v.HighBits() == nanos>>63 {
		seconds := floorDiv(nanos, 1e9)
		return inUnit(seconds, nanos-seconds*1e9, 1e9, to)
	}
	return 0, false
}
