package batch

import (
	"encoding/json"
	"math"
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func numberSeeds() []string {
	return []string{
		"0", "-0", "+7", "007", "1.5", ".5", "5.", "-.5e3", "1e22", "1e-22", "9007199254740993", "1_000", "0x10",
		"9223372036854775807", "-9223372036854775808", "9223372036854775808", "18446744073709551615",
		"18446744073709551616", "123456789012345678901234567890.12", "0.1e400", "1e-400", "NaN", "-Inf", "inf",
		"0.30000000000000004", "1.7976931348623159e308", "5e-324", "-", "+", ".", "", " 1", "1 ", "e5", "1e", "--1",
		"99999999999999999999999999999999999999", "100000000000000000000000000000000000000", "0.00", "-0.000",
		"1.0000000000000000000000000000000000001", "1e+05", "12e3", ".1e1", ".0", "1.25e1", "00000000000000000000000000000000000000001.5",
	}
}

func FuzzParseInt(f *testing.F) {
	for _, text := range numberSeeds() {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		want, err := strconv.ParseInt(text, 10, 64)
		if got, ok := ParseInt([]byte(text)); ok != (err == nil) || ok && got != want {
			t.Errorf("int %q: %d %t, want %d (%v)", text, got, ok, want, err)
		}
		unsigned, err := strconv.ParseUint(text, 10, 64)
		if got, ok := ParseUint([]byte(text)); ok != (err == nil) || ok && got != unsigned {
			t.Errorf("uint %q: %d %t, want %d (%v)", text, got, ok, unsigned, err)
		}
	})
}

func FuzzParseFloat(f *testing.F) {
	for _, text := range numberSeeds() {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		want, err := strconv.ParseFloat(text, 64)
		ok := err == nil && !strings.ContainsAny(text, "_xXpP")
		got, gotOK := ParseFloat([]byte(text))
		if ok != gotOK || ok && math.Float64bits(got) != math.Float64bits(want) {
			t.Errorf("%q: %v %t, want %v %t", text, got, gotOK, want, ok)
		}
	})
}

// plainDecimal is the grammar of decimals.
var plainDecimal = regexp.MustCompile(`^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$`)

func FuzzParseDecimal(f *testing.F) {
	for i, text := range numberSeeds() {
		f.Add(text, uint8(38-i%20), uint8(i%12))
		f.Add(text, uint8(38), uint8(10))
		f.Add(text, uint8(14), uint8(0))
		f.Add(text, uint8(19), uint8(2))
	}
	f.Fuzz(func(t *testing.T, text string, precision, scale uint8) {
		precision = precision%38 + 1
		scale %= precision + 1
		if _, exponent, _ := strings.Cut(strings.ToLower(text), "e"); len(exponent) > 4 {
			return // more than math/big should be asked for
		}
		got, ok := ParseDecimal([]byte(text), int32(precision), int32(scale))
		want, wantOK := ratDecimal(text, int(precision), int(scale))
		if ok != wantOK || ok && got.BigInt().Cmp(want) != 0 {
			t.Errorf("%q as decimal(%d,%d): %s %t, want %s %t", text, precision, scale, got.BigInt(), ok, want, wantOK)
		}
		if !ok {
			return
		}
		again, ok := ParseDecimal(AppendDecimal(nil, got, int(scale)), int32(precision), int32(scale))
		if !ok || again != got {
			t.Errorf("%q wrote %s", text, AppendDecimal(nil, got, int(scale)))
		}
	})
}

// ratDecimal reads a decimal by math/big.
func ratDecimal(text string, precision, scale int) (*big.Int, bool) {
	if !plainDecimal.MatchString(text) {
		return nil, false
	}
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		return nil, false
	}
	r.Mul(r, new(big.Rat).SetInt(power(scale)))
	if !r.IsInt() || new(big.Int).Abs(r.Num()).Cmp(power(precision)) >= 0 {
		return nil, false
	}
	return r.Num(), true
}

func power(n int) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil) }

func momentSeeds() []string {
	return []string{
		"2024-02-29", "2023-02-29", "2024/02/29", "20240229", "2024-2-9", "0000-01-01", "9999-12-31", "2024-02/29",
		"2024-02-29T23:59:60Z", "2024-02-29T23:59:59.123456789Z", "2024-02-29 01:02", "2024-02-29T01:02:03.1Z",
		"2024-02-29T01:02:03+05:30", "2024-02-29T01:02:03-0800", "2024-02-29T01:02:03+08", "2024-02-29t01:02:03z",
		"2024-02-29T01:02:03.0000000000Z", "2024-02-29T24:00:00Z", "1969-12-31T23:59:59.999Z", "2024-02-29 01:02:03 UTC",
		"2024-03-10T02:30:00", "01:02:03", "23:59", "24:00", "1:2:3", "01:02:03.5", "01:02:03,25", "", "T", "01:02:03.",
		"0008-01-01 00:00+00", "2000-01-01T00:00:00,0000000001Z",
	}
}

func FuzzParseDate(f *testing.F) {
	for _, text := range momentSeeds() {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var want time.Time
		found := false
		for _, layout := range []string{"2006-01-02", "2006/01/02", "20060102"} {
			if at, err := time.Parse(layout, text); err == nil && len(text) == len(layout) {
				want, found = at, true
			}
		}
		got, ok := ParseDate([]byte(text))
		if ok != found || ok && int64(got)*86400 != want.Unix() {
			t.Errorf("%q: %d %t, want %v %t", text, got, ok, want, found)
		}
		if ok {
			if again, ok := ParseDate(AppendDate(nil, int64(got))); !ok || again != got {
				t.Errorf("%q wrote %s", text, AppendDate(nil, int64(got)))
			}
		}
	})
}

var plainClock = regexp.MustCompile(`^([01]\d|2[0-3]):[0-5]\d(:[0-5]\d([.,]\d+)?)?$`)

func FuzzParseTime(f *testing.F) {
	for i, text := range momentSeeds() {
		f.Add(text, uint8(i))
		f.Add(text, uint8(3))
	}
	f.Fuzz(func(t *testing.T, text string, unit uint8) {
		u := Unit(unit % 4)
		want, found := int64(0), plainClock.MatchString(text)
		if found {
			want, found = ratClock(text, u)
		}
		got, ok := ParseTime([]byte(text), u)
		if ok != found || ok && got != want {
			t.Errorf("%q in %s: %d %t, want %d %t", text, u, got, ok, want, found)
		}
	})
}

// ratClock reads a clock exactly; ok false when the unit cannot hold it.
func ratClock(text string, unit Unit) (int64, bool) {
	parts := strings.Split(strings.Replace(text, ",", ".", 1), ":")
	sum := new(big.Rat)
	for _, part := range parts {
		r, _ := new(big.Rat).SetString(part)
		sum.Add(sum.Mul(sum, big.NewRat(60, 1)), r)
	}
	if len(parts) == 2 {
		sum.Mul(sum, big.NewRat(60, 1))
	}
	sum.Mul(sum, big.NewRat(unit.PerSecond(), 1))
	return sum.Num().Int64(), sum.IsInt()
}

// What time.Parse reads as RFC 3339 we read alike; what we read and write reads back.
func FuzzParseTimestamp(f *testing.F) {
	for i, text := range momentSeeds() {
		f.Add(text, uint8(i), uint8(i/4))
		f.Add(text, uint8(3), uint8(1))
		f.Add(text, uint8(0), uint8(2))
	}
	zones := []string{"", "UTC", "Asia/Shanghai", "America/New_York"}
	f.Fuzz(func(t *testing.T, text string, unit, zone uint8) {
		typ := TimestampOf(Unit(unit%4), zones[zone%4])
		got, ok := ParseTimestamp([]byte(text), typ)
		if want, err := time.Parse(time.RFC3339Nano, text); err == nil && typ.Zone != "" {
			checkRFC3339(t, text, typ, want, got, ok)
		}
		if want, err := time.Parse("2006-01-02T15:04:05", text); err == nil && len(text) == 19 && typ.Zone == "" {
			if per := typ.Unit.PerSecond(); inRange(want, per) && (!ok || got != want.Unix()*per) {
				t.Errorf("%q as %s: %d %t, want %v", text, typ, got, ok, want)
			}
		}
		if !ok {
			return
		}
		again, readable := ParseTimestamp(AppendTimestamp(nil, got, typ), typ)
		if year := time.Unix(got/typ.Unit.PerSecond(), 0).UTC().Year(); year > 0 && year < 9999 &&
			(!readable || again != got) {
			t.Errorf("%q as %s is %d, wrote %s", text, typ, got, AppendTimestamp(nil, got, typ))
		}
	})
}

func inRange(at time.Time, per int64) bool {
	return at.Unix() < math.MaxInt64/per-1 && at.Unix() > math.MinInt64/per+1
}

func checkRFC3339(t *testing.T, text string, typ Type, want time.Time, got int64, ok bool) {
	t.Helper()
	per := typ.Unit.PerSecond()
	step := int64(time.Second) / per
	// time.Parse drops digits beyond nanoseconds, takes hours of one digit, and offsets up to 24 h and
	// of 60 minutes.
	_, fraction, _ := strings.Cut(strings.ReplaceAll(text, ",", "."), ".")
	digits := len(fraction) - len(strings.TrimLeft(fraction, "0123456789"))
	if digits > 9 || len(text) < len("2006-01-02T15:04:05Z") || text[13] != ':' {
		return
	}
	if strings.HasSuffix(text, ":60") {
		return
	}
	if _, offset := want.Zone(); offset > 18*3600 || offset < -18*3600 {
		return
	}
	exact := int64(want.Nanosecond())%step == 0 && inRange(want, per)
	if exact != ok || ok && got != want.Unix()*per+int64(want.Nanosecond())/step {
		t.Errorf("%q as %s: %d %t, want %v", text, typ, got, ok, want)
	}
}

func FuzzParseType(f *testing.F) {
	for _, typ := range leafTypes() {
		f.Add(typ.String())
	}
	for _, text := range []string{
		"list<struct<a:int64,b:map<string,list<decimal(9,2)>>>>", "INT", "numeric", "decimal(39,1)", "decimal(5)",
		"timestamp(ns,Asia/Shanghai)", "timestamptz", "map<int64>", "list<", "struct<a>", "list<int64>>", "varchar(10)",
		"struct<>", "list<list<list<list<bool>>>>", "timestamp( ms , UTC )", "struct< a : int , b:text>",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		typ, err := ParseType(text)
		if err != nil {
			if !strings.Contains(err.Error(), strconv.Quote(text)) {
				t.Errorf("error %v does not name %q", err, text)
			}
			return
		}
		again, err := ParseType(typ.String())
		if err != nil || !again.Equal(typ) {
			t.Errorf("%q is %s, which reads as %s (%v)", text, typ, again, err)
		}
	})
}

func TestTypesReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		typ := drawType(t, 4)
		again, err := ParseType(typ.String())
		if err != nil || !again.Equal(typ) {
			t.Fatalf("%s reads as %s (%v)", typ, again, err)
		}
	})
	for text, want := range map[string]Type{
		"bigint": Of(Int64), "double": Of(Float64), "text": Of(String), "bytea": Of(Binary), "jsonb": Of(JSON),
		"timestamptz": TimestampOf(Microsecond, "UTC"), "numeric(8,3)": DecimalOf(8, 3), "decimal": DecimalOf(38, 10),
		"Boolean": Of(Bool), "smallint": Of(Int16), "datetime": Of(Timestamp),
	} {
		if got, err := ParseType(text); err != nil || !got.Equal(want) {
			t.Errorf("%s: %s %v, want %s", text, got, err, want)
		}
	}
}

// The text of a value reads back as the value, through a lazy column of the same type.
func TestTextReadsBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		typ := rapid.SampledFrom(lazyTypes()).Draw(t, "type")
		v := drawValue(t, typ, false)
		a := NewAppender(typ)
		appendBoxed(a, v)
		c := a.Column()
		text := AppendText(nil, c, 0)
		cell := &Spans{Data: text, Offsets: []uint32{0, uint32(len(text))}, Stride: 2, Step: 2}
		back, bad := LazyColumn(typ, cell, 0).Typed(nil)
		if len(bad) > 0 {
			t.Fatalf("%v of %s wrote %s: %v", v, typ, text, bad[0])
		}
		if diff := cmp.Diff(v, back.Value(0), equalValues()); diff != "" {
			t.Fatalf("%s wrote %s: %s", typ, text, diff)
		}
	})
}

// A JSON rendering is JSON, and says the values that encoding/json reads from it.
func TestJSONIsValid(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		typ := drawType(t, 3)
		v := drawValue(t, typ, true)
		a := NewAppender(typ)
		appendBoxed(a, v)
		text := AppendJSON(nil, a.Column(), 0)
		if !json.Valid(text) {
			t.Fatalf("%s: %s is not JSON", typ, text)
		}
		decoder := json.NewDecoder(strings.NewReader(string(text)))
		decoder.UseNumber()
		var got any
		if err := decoder.Decode(&got); err != nil {
			t.Fatal(err)
		}
		switch want := v.(type) {
		case string:
			if typ.Kind == String && got != strings.ToValidUTF8(want, "\ufffd") {
				t.Fatalf("%q became %s", want, text)
			}
		case int64, uint64, DecimalValue:
			if string(got.(json.Number)) != spell(typ, v) {
				t.Fatalf("%v became %s", v, text)
			}
		case []any:
			if len(got.([]any)) != len(want) {
				t.Fatalf("%v became %s", v, text)
			}
		case map[string]any:
			if len(got.(map[string]any)) != len(want) {
				t.Fatalf("%v became %s", v, text)
			}
		}
	})
}

func FuzzJSONString(f *testing.F) {
	for _, text := range []string{"", `a"b\c`, "\x00\x1f\u2028é🚀", "\xff\xfe", "a\xed\xa0\x80b", "\xf0\x9f"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		encoded := AppendJSONString(nil, text)
		var back string
		if err := json.Unmarshal(encoded, &back); err != nil {
			t.Fatalf("%q became %s: %v", text, encoded, err)
		}
		if utf8.ValidString(text) && back != text {
			t.Errorf("%q became %s", text, encoded)
		}
		if !utf8.ValidString(back) {
			t.Errorf("%q became text that is not UTF-8", text)
		}
		if own := string(AppendUnescapedJSON(nil, encoded[1:len(encoded)-1])); own != back {
			t.Errorf("%s unescapes to %q, encoding/json says %q", encoded, own, back)
		}
		quoted := []byte(`"` + text + `"`)
		if err := json.Unmarshal(quoted, &back); err == nil && utf8.ValidString(text) {
			if own := string(AppendUnescapedJSON(nil, []byte(text))); own != back {
				t.Errorf("%q unescapes to %q, encoding/json says %q", text, own, back)
			}
		}
	})
}

func TestParseBool(t *testing.T) {
	for text, want := range map[string]int{
		"true": 1, "T": 1, "YES": 1, "y": 1, "1": 1, "False": 0, "f": 0, "No": 0, "n": 0, "0": 0,
		"": -1, "2": -1, "truly": -1, "on": -1, "tru": -1,
	} {
		got, ok := ParseBool([]byte(text))
		if ok != (want >= 0) || ok && got != (want == 1) {
			t.Errorf("%q: %t %t", text, got, ok)
		}
	}
}

func TestFloatsAreShortAndExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := math.Float64frombits(rapid.Uint64().Draw(t, "bits"))
		text := AppendFloat(nil, v, 64)
		back, ok := ParseFloat(text)
		if !ok || back != v && !math.IsNaN(v) {
			t.Fatalf("%v wrote %s, which reads as %v", v, text, back)
		}
		if want := strconv.FormatFloat(v, 'g', -1, 64); strings.Count(string(text), "") > strings.Count(want, "")+25 {
			t.Fatalf("%v wrote %s", v, text)
		}
	})
	for v, want := range map[float64]string{1e20: "100000000000000000000", 1e21: "1e+21", 1e-6: "0.000001", 1e-7: "1e-07"} {
		if got := string(AppendFloat(nil, v, 64)); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestDecimalLimits(t *testing.T) {
	nines := strings.Repeat("9", 38)
	for text, ok := range map[string]bool{
		nines: true, "-" + nines: true, "1" + nines: false, "0000" + nines: true, "1e37": true, "1e38": false,
		nines + ".0": true, nines + ".1": false,
	} {
		if v, got := ParseDecimal([]byte(text), 38, 0); got != ok {
			t.Errorf("%s: %v %t, want %t", text, v.BigInt(), got, ok)
		}
	}
	if v, ok := ParseDecimal([]byte("-0"), 5, 2); !ok || v != (decimal128.Num{}) {
		t.Errorf("-0 is %v", v)
	}
}
