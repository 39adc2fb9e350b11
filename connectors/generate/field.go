package generate

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tapeline/tapeline/batch"
)

type kind uint8

const (
	kindRandom kind = iota
	kindSequence
	kindValues
	kindEmitted
)

func kindNames() []string { return []string{"random", "sequence", "values", "emitted"} }

// field is one column ready to be filled.
type field struct {
	name      string
	typ       batch.Type
	kind      kind
	seed      uint64
	nullBelow uint64 // draws below this are null

	base     int64  // sequence: first value; random: least. Unscaled, in the type's unit
	step     int64  // sequence: increment; emitted: ns of one unit
	span     uint64 // random: greatest minus least
	low      float64
	high     float64
	integers []int64 // values of integers, times, bools, unscaled decimals
	floats   []float64
	texts    []string
	short    []shortText // texts, when all are short
	prefix   string
	prefixed bool
	length   int
}

// width returns about how many bytes a row of the field takes.
func (f *field) width() int {
	if n := f.typ.Width(); n > 0 {
		return n
	}
	const offset = 4
	switch {
	case f.typ.Kind == batch.Bool:
		return 1
	case f.kind == kindValues:
		longest := 0
		for _, text := range f.texts {
			longest = max(longest, len(text))
		}
		return offset + longest
	case f.kind == kindSequence || f.prefixed:
		return offset + len(f.prefix) + 8
	}
	return offset + f.length
}

func parseFields(described []FieldConfig, seed uint64) ([]field, []error) {
	if len(described) == 0 {
		return nil, []error{fmt.Errorf("fields: want a mapping of column names to descriptions")}
	}
	var problems []error
	fields := make([]field, 0, len(described))
	seen := map[string]bool{}
	for _, d := range described {
		f := field{name: d.Name, seed: fieldSeed(seed, d.Name)}
		err := d.expand()
		if err == nil {
			err = f.build(d)
		}
		if err == nil && seen[d.Name] {
			err = fmt.Errorf("named twice")
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("fields.%s: %w", d.Name, err))
		}
		seen[d.Name] = true
		fields = append(fields, f)
	}
	return fields, problems
}

// fieldSeed gives each column draws of its own, whatever other columns there are.
func fieldSeed(seed uint64, name string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(name))
	return mix(seed+gamma) ^ mix(h.Sum64())
}

// expand replaces a short form by what it stands for and checks plain values.
func (d *FieldConfig) expand() error {
	switch short := d.Short.(type) {
	case nil:
	case string:
		if short == "sequence" || short == "emitted" {
			d.Kind = short
		} else {
			d.Type = short
		}
	case []any:
		d.Values = short
	default:
		return fmt.Errorf("want a mapping, a list of values, a type, sequence or emitted")
	}
	if d.Sequence && d.Kind == "" {
		d.Kind = "sequence"
	}
	if d.Length < 0 || d.Length > maxLength {
		return fmt.Errorf("length: want 1 to %d, got %d", maxLength, d.Length)
	}
	if !(d.NullShare >= 0 && d.NullShare <= 1) {
		return fmt.Errorf("null_share: want 0 to 1, got %v", d.NullShare)
	}
	return nil
}

const maxLength = 1 << 20

func (f *field) build(d FieldConfig) error {
	if d.Kind == "" {
		switch {
		case d.Values != nil:
			d.Kind = "values"
		case d.Start != nil || d.Step != nil:
			d.Kind = "sequence"
		default:
			d.Kind = "random"
		}
	}
	at := slices.Index(kindNames(), d.Kind)
	if at < 0 {
		return fmt.Errorf("unknown kind %q; the kinds are %s", d.Kind, strings.Join(kindNames(), ", "))
	}
	f.kind = kind(at)
	if d.Type == "" {
		d.Type = impliedType(f.kind, d.Values)
	}
	if d.Type == "" {
		return fmt.Errorf("type: required")
	}
	var err error
	if f.typ, err = batch.ParseType(d.Type); err != nil {
		return err
	}
	switch {
	case d.NullShare == 1:
		f.nullBelow = math.MaxUint64
	case d.NullShare > 0:
		f.nullBelow = uint64(d.NullShare * (1 << 63) * 2)
	}
	switch f.kind {
	case kindSequence:
		return f.buildSequence(d)
	case kindValues:
		return f.buildValues(d)
	case kindEmitted:
		if f.typ.Kind != batch.Timestamp {
			return fmt.Errorf("emitted is a timestamp, not %s", f.typ)
		}
		f.step = int64(time.Second) / f.typ.Unit.PerSecond()
		return nil
	}
	return f.buildRandom(d)
}

func impliedType(k kind, values []any) string {
	switch {
	case k == kindSequence:
		return "int64"
	case k == kindEmitted:
		return "timestamp(ns,UTC)"
	case k != kindValues || len(values) == 0:
		return ""
	}
	implied := ""
	for _, v := range values {
		var this string
		switch v.(type) {
		case int, int64, uint64:
			this = "int64"
		case float64:
			this = "float64"
		case bool:
			this = "bool"
		default:
			return "string"
		}
		switch {
		case implied == "" || implied == "int64" && this == "float64":
			implied = this
		case implied == "float64" && this == "int64" || implied == this:
		default:
			return "string"
		}
	}
	return implied
}

func (f *field) buildSequence(d FieldConfig) error {
	f.prefix = d.Prefix
	f.base, f.step = 1, 1
	var err error
	switch {
	case f.typ.Kind == batch.Timestamp || f.typ.Kind == batch.Time || f.typ.Kind == batch.Duration:
		f.base, f.step = 0, f.typ.Unit.PerSecond()
	case f.typ.Kind == batch.Date:
		f.base = 0
	case f.typ.Kind == batch.Decimal:
		f.step = int64(math.Pow10(int(f.typ.Scale)))
		f.base = f.step
	case !f.typ.Integer() && f.typ.Kind != batch.String:
		return fmt.Errorf("a sequence of %s cannot be made", f.typ)
	}
	if d.Start != nil {
		if f.base, err = f.integer(d.Start); err != nil {
			return fmt.Errorf("start: %w", err)
		}
	}
	if d.Step != nil {
		if f.step, err = f.increment(d.Step); err != nil {
			return fmt.Errorf("step: %w", err)
		}
	}
	return nil
}

// checkLast refuses a sequence that would leave its type before the last row.
func (f *field) checkLast(rows int64) error {
	if f.kind != kindSequence || rows < 2 || f.typ.Kind == batch.String {
		return nil
	}
	high, low := bits.Mul64(uint64(max(f.step, -f.step)), uint64(rows-1))
	last := f.base + f.step*(rows-1)
	fits := high == 0 && low <= math.MaxInt64 && (last < f.base) == (f.step < 0)
	if least, greatest := f.bounds(); f.typ.Integer() && f.typ.Kind != batch.Uint64 {
		fits = fits && last >= least && last <= greatest
	}
	if !fits {
		return fmt.Errorf("fields.%s: the sequence leaves %s before row %d", f.name, f.typ, rows)
	}
	return nil
}

// increment reads a step: a duration for times, whole days for dates, a number otherwise.
func (f *field) increment(v any) (int64, error) {
	moment := f.typ.Kind == batch.Timestamp || f.typ.Kind == batch.Time ||
		f.typ.Kind == batch.Duration
	if !moment && f.typ.Kind != batch.Date {
		return f.integer(v)
	}
	step, ok := v.(time.Duration)
	if !ok {
		var err error
		if step, err = time.ParseDuration(fmt.Sprint(v)); err != nil {
			return 0, fmt.Errorf("%v is not a duration such as 250ms", v)
		}
	}
	unit := 24 * time.Hour
	if moment {
		unit = time.Second / time.Duration(f.typ.Unit.PerSecond())
	}
	if step%unit != 0 {
		return 0, fmt.Errorf("%v is not a multiple of %v", step, unit)
	}
	return int64(step / unit), nil
}

func (f *field) buildValues(d FieldConfig) error {
	if len(d.Values) == 0 {
		return fmt.Errorf("values: required")
	}
	for i, v := range d.Values {
		switch {
		case f.typ.Text() && f.typ.Kind != batch.Binary:
			f.texts = append(f.texts, text(v))
		case f.typ.Kind == batch.Float64 || f.typ.Kind == batch.Float32:
			n, err := strconv.ParseFloat(text(v), 64)
			if err != nil {
				return fmt.Errorf("values[%d]: %q is not a number", i, text(v))
			}
			f.floats = append(f.floats, n)
		default:
			n, err := f.integer(v)
			if err != nil {
				return fmt.Errorf("values[%d]: %w", i, err)
			}
			f.integers = append(f.integers, n)
		}
	}
	f.short = shortTexts(f.texts)
	return nil
}

func (f *field) buildRandom(d FieldConfig) error {
	f.prefix, f.prefixed, f.length = d.Prefix, d.Prefix != "", d.Length
	if f.length == 0 {
		f.length = 8
	}
	switch {
	case f.typ.Kind == batch.Bool:
		f.integers = []int64{0, 1}
		return nil
	case f.typ.Kind == batch.Float64 || f.typ.Kind == batch.Float32:
		return f.floatBounds(d)
	case f.typ.Kind == batch.String:
		if d.Min != nil || d.Max != nil {
			f.prefixed = true
		}
	case f.typ.Width() == 0:
		return fmt.Errorf("random values of %s cannot be made; give values", f.typ)
	}
	least, greatest := f.bounds()
	var err error
	if d.Min != nil {
		if least, err = f.integer(d.Min); err != nil {
			return fmt.Errorf("min: %w", err)
		}
	}
	if d.Max != nil {
		if greatest, err = f.integer(d.Max); err != nil {
			return fmt.Errorf("max: %w", err)
		}
	}
	if f.typ.Kind == batch.Uint64 && uint64(greatest) < uint64(least) ||
		f.typ.Kind != batch.Uint64 && greatest < least {
		return fmt.Errorf("max: below min")
	}
	f.base, f.span = least, uint64(greatest)-uint64(least)
	return nil
}

func (f *field) floatBounds(d FieldConfig) error {
	f.low, f.high = 0, 1
	for _, bound := range []struct {
		key   string
		value any
		to    *float64
	}{{"min", d.Min, &f.low}, {"max", d.Max, &f.high}} {
		if bound.value == nil {
			continue
		}
		v, err := strconv.ParseFloat(text(bound.value), 64)
		if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("%s: %q is not a number", bound.key, text(bound.value))
		}
		*bound.to = v
	}
	if f.high < f.low {
		return fmt.Errorf("max: below min")
	}
	return nil
}

// bounds returns the default range of random values.
func (f *field) bounds() (least, greatest int64) {
	switch kind := f.typ.Kind; {
	case kind == batch.Date:
		return 0, 36524 // 1970 to 2069
	case kind == batch.Time:
		return 0, 86400*f.typ.Unit.PerSecond() - 1
	case kind == batch.Timestamp:
		return 0, 36525*86400*f.typ.Unit.PerSecond() - 1
	case kind == batch.Decimal:
		return 0, int64(math.Pow10(min(int(f.typ.Precision), 18))) - 1
	case kind == batch.Uint64:
		return 0, -1 // the bits of 2^64-1
	case kind >= batch.Uint8 && kind <= batch.Uint32:
		return 0, 1<<(8*f.typ.Width()) - 1
	case kind >= batch.Int8 && kind <= batch.Int32:
		half := int64(1) << (8*f.typ.Width() - 1)
		return -half, half - 1
	case kind == batch.String:
		return 0, 999_999
	}
	return math.MinInt64, math.MaxInt64
}

// integer reads a value as the int64 the column stores: unscaled decimals, times in their unit.
func (f *field) integer(v any) (int64, error) {
	typ := f.typ
	if typ.Kind == batch.String {
		typ = batch.Of(batch.Int64)
	}
	spelled := text(v)
	if t, ok := v.(time.Time); ok && typ.Zone == "" {
		spelled = t.Format("2006-01-02T15:04:05.999999999")
	}
	appender := batch.NewAppender(typ)
	if err := appender.Any(spelled); err != nil {
		return 0, err
	}
	column := appender.Column()
	switch {
	case typ.Kind == batch.Bool:
		if column.Bits().Get(0) {
			return 1, nil
		}
		return 0, nil
	case typ.Kind == batch.Decimal:
		unscaled := column.Value(0).(batch.DecimalValue).Unscaled.BigInt()
		if !unscaled.IsInt64() {
			return 0, fmt.Errorf("%v has more than 18 digits with its scale", v)
		}
		return unscaled.Int64(), nil
	case typ.Kind >= batch.Uint8 && typ.Kind <= batch.Uint64:
		return int64(column.Uint(0)), nil
	case typ.Width() == 0 || typ.Kind == batch.Float32 || typ.Kind == batch.Float64:
		return 0, fmt.Errorf("%s is no integer type", typ)
	}
	return column.Int(0), nil
}

// text spells a scalar of a document as schemas read it.
func text(v any) string {
	switch v := v.(type) {
	case time.Time:
		return v.Format(time.RFC3339Nano)
	case float64:
		return string(batch.AppendFloat(nil, v, 64))
	}
	return fmt.Sprint(v)
}
