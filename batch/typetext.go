package batch

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/tapeline/tapeline/internal/fault"
)

// ParseType reads a type as Type.String writes it, and the usual other names: int, integer, bigint,
// long, float, double, text, varchar, bytes, boolean, datetime, timestamptz, numeric. A decimal may
// be written decimal(12,4); a timestamp without arguments is timestamp(us), timestamptz is
// timestamp(us,UTC).
func ParseType(text string) (Type, error) {
	p := typeParser{text: text}
	t, err := p.parse()
	if err == nil && strings.TrimSpace(p.text) != "" {
		err = fmt.Errorf("unexpected %q after type", p.text)
	}
	switch {
	case err != nil && strings.HasPrefix(err.Error(), fmt.Sprintf("%q is", text)):
		return Type{}, err
	case err != nil:
		return Type{}, fmt.Errorf("type %q: %w", text, err)
	}
	return t, nil
}

// unknownType names what a word may have been meant to be, else all types.
func unknownType(word string) error {
	if near := fault.Nearest(word, kindNames[:Foreign]); near != "" {
		return fmt.Errorf("%q is not a type; did you mean %s?", word, near)
	}
	return fmt.Errorf("%q is not a type; the types are bool, int64, float64, decimal(p,s), string, "+
		"binary, json, date, time, timestamp(unit,zone), duration, list<t>, struct<name:t>, map<t,t> "+
		"and the smaller integers", word)
}

type typeParser struct{ text string }

func (p *typeParser) parse() (Type, error) {
	name := p.word()
	switch kind, ok := kindOf(name); {
	case !ok:
		return Type{}, unknownType(name)
	case name == "timestamptz":
		return TimestampOf(Microsecond, "UTC"), nil
	case kind == Decimal:
		return p.decimal()
	case kind == Time || kind == Timestamp || kind == Duration:
		return p.moment(kind)
	case kind == List || kind == Struct || kind == Map:
		return p.nested(kind)
	default:
		return Of(kind), nil
	}
}

func kindOf(name string) (Kind, bool) {
	switch name {
	case "int", "integer", "bigint", "long":
		return Int64, true
	case "smallint", "short":
		return Int16, true
	case "float", "double", "real":
		return Float64, true
	case "text", "varchar", "str", "utf8":
		return String, true
	case "bytes", "bytea", "blob":
		return Binary, true
	case "boolean":
		return Bool, true
	case "datetime", "timestamptz":
		return Timestamp, true
	case "numeric":
		return Decimal, true
	case "jsonb":
		return JSON, true
	}
	for k, n := range kindNames {
		if n == name && Kind(k) != Foreign {
			return Kind(k), true
		}
	}
	return Null, false
}

func (p *typeParser) word() string {
	p.text = strings.TrimLeft(p.text, " ")
	end := strings.IndexAny(p.text, "(<,>): ")
	if end < 0 {
		end = len(p.text)
	}
	word := p.text[:end]
	p.text = p.text[end:]
	return strings.ToLower(word)
}

// arguments reads an optional parenthesised list.
func (p *typeParser) arguments() ([]string, error) {
	if !strings.HasPrefix(p.text, "(") {
		return nil, nil
	}
	end := strings.IndexByte(p.text, ')')
	if end < 0 {
		return nil, fmt.Errorf("missing )")
	}
	arguments := strings.Split(p.text[1:end], ",")
	p.text = p.text[end+1:]
	for i := range arguments {
		arguments[i] = strings.TrimSpace(arguments[i])
	}
	return arguments, nil
}

func (p *typeParser) decimal() (Type, error) {
	arguments, err := p.arguments()
	if err != nil || len(arguments) == 0 {
		return DecimalOf(38, 10), err
	}
	precision, err := strconv.Atoi(arguments[0])
	if err != nil || precision < 1 || precision > 38 {
		return Type{}, fmt.Errorf("precision %q must be 1 to 38", arguments[0])
	}
	scale := 0
	if len(arguments) > 1 {
		scale, err = strconv.Atoi(arguments[1])
		if err != nil || scale < 0 || scale > precision {
			return Type{}, fmt.Errorf("scale %q must be 0 to %d", arguments[1], precision)
		}
	}
	return DecimalOf(precision, scale), nil
}

func (p *typeParser) moment(kind Kind) (Type, error) {
	t := Of(kind)
	arguments, err := p.arguments()
	if err != nil || len(arguments) == 0 {
		return t, err
	}
	switch arguments[0] {
	case "s":
		t.Unit = Second
	case "ms":
		t.Unit = Millisecond
	case "us":
		t.Unit = Microsecond
	case "ns":
		t.Unit = Nanosecond
	default:
		return Type{}, fmt.Errorf("unit %q must be s, ms, us or ns", arguments[0])
	}
	if len(arguments) > 1 && kind == Timestamp {
		if _, err := loadZone(arguments[1]); err != nil {
			return Type{}, fmt.Errorf("unknown zone %q: write a name as Europe/Berlin, UTC, or an offset as +02:00",
				arguments[1])
		}
		return TimestampOf(t.Unit, arguments[1]), nil
	}
	return t, nil
}

func (p *typeParser) nested(kind Kind) (Type, error) {
	if !strings.HasPrefix(p.text, "<") {
		return Type{}, fmt.Errorf("%s needs <...>", kind)
	}
	p.text = p.text[1:]
	var fields []Field
	for {
		f := Field{Nullable: true}
		if kind == Struct {
			end := strings.IndexByte(p.text, ':')
			if end < 0 {
				return Type{}, fmt.Errorf("struct members are name:type")
			}
			f.Name = strings.TrimSpace(p.text[:end])
			p.text = p.text[end+1:]
		}
		var err error
		if f.Type, err = p.parse(); err != nil {
			return Type{}, err
		}
		fields = append(fields, f)
		p.text = strings.TrimLeft(p.text, " ")
		if strings.HasPrefix(p.text, ",") {
			p.text = p.text[1:]
			continue
		}
		if !strings.HasPrefix(p.text, ">") {
			return Type{}, fmt.Errorf("missing > after %s", kind)
		}
		p.text = p.text[1:]
		break
	}
	switch {
	case kind == List && len(fields) == 1:
		return ListOf(fields[0].Type), nil
	case kind == Map && len(fields) == 2:
		return MapOf(fields[0].Type, fields[1].Type), nil
	case kind == Struct:
		return StructOf(fields...), nil
	}
	return Type{}, fmt.Errorf("%s cannot have %d types", kind, len(fields))
}
