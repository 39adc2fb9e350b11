package op

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/internal/flow/expr"
)

// timeReader reads timestamps by a layout.
type timeReader struct {
	typ     batch.Type
	name    string
	pattern *expr.TimeReader // nil: iso or epoch
	epoch   batch.Unit       // of epoch layouts
	zone    *time.Location   // of texts without offset
	iso     bool
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
		if r.pattern, err = expr.NewTimeReader(p.config.Layout); err != nil {
			return &ConfigError{"layout", err}
		}
	}
	p.reader = r
	return nil
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
		case r.pattern != nil:
			var at time.Time
			if at, ok = r.pattern.Read(string(text), r.zone); ok {
				v, ok = r.stored(at)
			}
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
