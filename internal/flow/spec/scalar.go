package spec

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tapeline/tapeline/connector"
)

// scalar fills a string, boolean, number, duration, size or time.
func (d *decoder) scalar(v *Value, target reflect.Value, k *key, path string) {
	want := article(kindName(target.Type()))
	if !v.scalar() {
		d.mismatch(v, path, want)
		return
	}
	hint := ""
	var err error
	switch target.Interface().(type) {
	case time.Duration:
		var duration time.Duration
		if duration, err = ParseDuration(v.Text); err == nil {
			target.SetInt(int64(duration))
		}
		hint = "write a number with a unit: 500ms, 30s, 5m, 1h, 2d"
	case connector.Size:
		var size connector.Size
		if size, err = ParseSize(v.Text); err == nil {
			target.SetInt(int64(size))
		}
		hint = "write bytes, or a number with a unit: 64KB, 64MB, 1.5GiB"
	case time.Time:
		var at time.Time
		if at, err = parseTime(v.Text); err == nil {
			target.Set(reflect.ValueOf(at))
		}
		hint = "write 2023-01-01T00:00:00Z, 2023-01-01 00:00:00 or 2023-01-01"
	default:
		hint, err = setBasic(v.Text, target)
	}
	if err != nil {
		d.mismatch(v, path, want).Hint = hint
		return
	}
	d.check(v, target, k, path)
}

func article(noun string) string {
	switch {
	case noun == "string":
		return "text"
	case strings.IndexByte("aeiou", noun[0]) >= 0:
		return "an " + noun
	}
	return "a " + noun
}

// setBasic fills a Go basic type.
func setBasic(text string, target reflect.Value) (hint string, err error) {
	switch target.Kind() {
	case reflect.String:
		target.SetString(text)
	case reflect.Bool:
		switch strings.ToLower(text) {
		case "true":
			target.SetBool(true)
		case "false":
			target.SetBool(false)
		default:
			return "write true or false; YAML 1.2 has no yes, no, on and off", strconv.ErrSyntax
		}
	case reflect.Float32, reflect.Float64:
		number, err := parseFloat(text)
		if err == nil && math.IsNaN(number) { // it is within no bounds and beyond none
			err = strconv.ErrRange
		}
		if err != nil {
			return "", err
		}
		target.SetFloat(number)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		number, err := parseInt(text)
		if err != nil || target.OverflowInt(number) {
			return integerHint(text), strconv.ErrRange
		}
		target.SetInt(number)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		number, err := strconv.ParseUint(text, 10, 64)
		if err != nil || target.OverflowUint(number) {
			return integerHint(text), strconv.ErrRange
		}
		target.SetUint(number)
	default:
		return "", fmt.Errorf("config type %s cannot be written in a document", target.Type())
	}
	return "", nil
}

// integerHint recognises numbers with separators and whole floats.
func integerHint(text string) string {
	digits := strings.NewReplacer("_", "", ",", "", "'", "").Replace(text)
	if number, err := strconv.ParseFloat(digits, 64); err == nil && number == math.Trunc(number) &&
		math.Abs(number) < 1<<53 {
		return fmt.Sprintf("write %d", int64(number))
	}
	return "write digits only"
}

// check holds a scalar to its enum and range.
func (d *decoder) check(v *Value, target reflect.Value, k *key, path string) {
	if k == nil {
		return
	}
	if len(k.enum) > 0 && target.Kind() == reflect.String && !slices.Contains(k.enum, v.Text) {
		d.report.errorf(v.Pos, path, "%s is not one of the values", v.shown()).Hint = didYouMean(v.Text, k.enum)
		return
	}
	if k.min != "" && compareBound(target, k.min) < 0 {
		d.report.errorf(v.Pos, path, "%s is below the least value %s", v.shown(), k.min)
	}
	if k.max != "" && compareBound(target, k.max) > 0 {
		d.report.errorf(v.Pos, path, "%s is above the greatest value %s", v.shown(), k.max)
	}
}

// compareBound compares a number, duration or size with a bound of its tag.
func compareBound(target reflect.Value, bound string) int {
	limit := reflect.New(target.Type()).Elem()
	var err error
	switch target.Interface().(type) {
	case time.Duration:
		var duration time.Duration
		duration, err = ParseDuration(bound)
		limit.SetInt(int64(duration))
	case connector.Size:
		var size connector.Size
		size, err = ParseSize(bound)
		limit.SetInt(int64(size))
	default:
		_, err = setBasic(bound, limit)
	}
	if err != nil {
		return 0
	}
	var difference float64
	switch {
	case target.CanInt():
		difference = float64(target.Int()) - float64(limit.Int())
	case target.CanUint():
		difference = float64(target.Uint()) - float64(limit.Uint())
	case target.CanFloat():
		difference = target.Float() - limit.Float()
	}
	switch {
	case difference < 0:
		return -1
	case difference > 0:
		return 1
	}
	return 0
}

// ParseDuration reads a Go duration (1h30m, 500ms) or whole days (2d); a bare 0 is zero. Negative
// durations are refused.
func ParseDuration(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil && n <= 36500 {
			return time.Duration(n) * 24 * time.Hour, nil
		}
	}
	duration, err := time.ParseDuration(text)
	if err == nil && duration < 0 {
		return 0, fmt.Errorf("duration %s: negative", text)
	}
	return duration, err
}

// ParseSize reads bytes: an integer, or a number with a unit. KB, MB, GB and TB are powers of
// 1000, KiB, MiB, GiB and TiB powers of 1024; case does not matter.
func ParseSize(text string) (connector.Size, error) {
	number := strings.TrimRight(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
	unit := strings.ToLower(text[len(number):])
	factor, ok := map[string]float64{
		"": 1, "b": 1, "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12, "k": 1e3, "m": 1e6, "g": 1e9,
		"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40,
	}[unit]
	value, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	switch {
	case err != nil || !ok:
		return 0, fmt.Errorf("size %q: not a number with a unit", text)
	case !(value >= 0) || value*factor >= math.MaxInt64:
		return 0, fmt.Errorf("size %q: out of range", text)
	}
	return connector.Size(value * factor), nil
}

func parseTime(text string) (at time.Time, err error) {
	for _, layout := range []string{
		time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04:05", time.DateOnly,
	} {
		if at, err = time.Parse(layout, text); err == nil {
			return at, nil
		}
	}
	return at, err
}
