package expr

import "github.com/tapeline/tapeline/batch"

const (
	groupNull = "NULL and choice"
	groupCast = "Conversion"
)

// nullFunctions handle NULL; all of them are rewritten to operators.
func nullFunctions() []entry {
	return []entry{
		{
			Function: Function{
				Group: groupNull, Signature: "coalesce(values...: any) -> any",
				Doc:      "The first value that is not NULL. The operator ?? does the same for two.",
				Examples: []Example{{"coalesce(nil, nil, 'a', 'b')", "a"}, {"nil ?? 3", "3"}},
			},
			bind: func(c *call) *node { return c.coalesce(c.args, c.at) },
		},
		{
			Function: Function{
				Group: groupNull, Signature: "nullif(x: any, y: any) -> any",
				Doc:      "NULL where x equals y, otherwise x.",
				Examples: []Example{{"nullif('', '')", "NULL"}, {"nullif(5, 0)", "5"}},
			},
			bind: bindNullIf,
		},
		{
			Function: Function{
				Group: groupNull, Signature: "is_null(x: any) -> bool",
				Doc:      "Whether x is NULL; x == nil does the same.",
				Examples: []Example{{"is_null(nil)", "true"}, {"is_null(0)", "false"}},
			},
			bind: func(c *call) *node { return c.isNull(c.args[0], c.at) },
		},
		{
			Function: Function{
				Group: groupNull, Signature: "is_not_null(x: any) -> bool",
				Doc:      "Whether x is not NULL; x != nil does the same.",
				Examples: []Example{{"is_not_null('')", "true"}},
			},
			bind: func(c *call) *node { return c.not(c.isNull(c.args[0], c.at)) },
		},
		{
			Function: Function{
				Group: groupNull, Signature: "between(x: any, low: any, high: any) -> bool",
				Doc:      "x >= low and x <= high.",
				Examples: []Example{{"between(5, 1, 10)", "true"}, {"between('b', 'c', 'd')", "false"}},
			},
			bind: func(c *call) *node {
				return c.logical(opAnd, c.comparison(greaterEqual, c.args[0], c.args[1], c.at),
					c.comparison(lessEqual, c.args[0], c.args[2], c.at), c.at)
			},
		},
		{
			Function: Function{
				Group: groupNull, Signature: "col(name: string) -> any",
				Doc: "The column of that name, for names that are not words: col('Order Date'). " +
					"The name is a literal.",
			},
			bind: func(c *call) *node {
				name, ok := c.constantText(0)
				if !ok {
					return c.null(c.at)
				}
				return c.identifier(name, c.args[0].at)
			},
		},
	}
}

func bindNullIf(c *call) *node {
	x, y := c.args[0], c.args[1]
	same := c.comparison(equal, x, y, c.at)
	if c.err != nil {
		return same
	}
	typ := widened(x.typ)
	x = c.coerce(x, typ)
	return c.folded(&node{
		op: opConditional, typ: typ, args: []*node{same, c.coerce(c.null(c.at), typ), x}, at: c.at,
	})
}

// castFunctions convert; each has a try_ form that gives NULL instead of failing the row.
func castFunctions() []entry {
	kinds := []struct {
		name, result, doc string
		examples, tries   []Example
	}{
		{
			"int", "int64", "A 64-bit integer: of a text that is one, of a number without its fraction.",
			[]Example{{"int('42')", "42"}, {"int(2.9)", "2"}},
			[]Example{{"try_int('4x')", "NULL"}},
		},
		{
			"uint", "uint64", "An unsigned 64-bit integer, by the rules of int.",
			[]Example{{"uint('18446744073709551615')", "18446744073709551615"}},
			[]Example{{"try_uint(-1)", "NULL"}},
		},
		{
			"float", "float64", "A 64-bit float, the nearest to x.",
			[]Example{{"float('1e3')", "1000"}},
			[]Example{{"try_float('n/a')", "NULL"}},
		},
		{
			"bool", "bool", "A bool: of true/false, t/f, yes/no, y/n, 1/0 in any case, of a number " +
				"whether it is not zero.",
			[]Example{{"bool('Yes')", "true"}, {"bool(0)", "false"}},
			[]Example{{"try_bool('x')", "NULL"}},
		},
	}
	var out []entry
	for _, k := range kinds {
		for _, try := range []bool{false, true} {
			f := Function{Group: groupCast, Doc: k.doc, Examples: k.examples}
			f.Signature = k.name + "(x: any) -> " + k.result
			if try {
				f.Doc, f.Examples = "As "+k.name+", but NULL where x cannot be converted.", k.tries
				f.Signature = "try_" + f.Signature
			}
			typ, _ := batch.ParseType(k.result)
			out = append(out, entry{
				Function: f, bind: func(c *call) *node { return c.convert(typ, try) },
			})
		}
	}
	return append(out, castDecimalFunctions()...)
}

func castDecimalFunctions() []entry {
	decimal := func(try bool) func(c *call) *node {
		return func(c *call) *node {
			precision, scale := 38, 10
			ok := true
			if len(c.args) > 1 {
				precision, ok = c.constantInt(1, 1, 38)
				scale = 0
			}
			if len(c.args) > 2 && ok {
				scale, ok = c.constantInt(2, 0, precision)
			}
			if !ok {
				return c.null(c.at)
			}
			return c.convert(batch.DecimalOf(precision, scale), try)
		}
	}
	return []entry{
		{
			Function: Function{
				Group: groupCast, Signature: "decimal(x: any, precision?: int, scale?: int) -> decimal",
				Doc: "An exact decimal of that many digits in all and after the point, rounding half " +
					"away from zero; without them decimal(38,10).",
				Examples: []Example{{"decimal('12.345', 10, 2)", "12.35"}, {"decimal(7, 10, 2)", "7.00"}},
			},
			bind: decimal(false),
		},
		{
			Function: Function{
				Group: groupCast, Signature: "try_decimal(x: any, precision?: int, scale?: int) -> decimal",
				Doc:      "As decimal, but NULL where x cannot be converted.",
				Examples: []Example{{"try_decimal('1,5', 10, 2)", "NULL"}},
			},
			bind: decimal(true),
		},
		{
			Function: Function{
				Group: groupCast, Signature: "to_string(x: any) -> string",
				Doc: "The canonical text: ISO 8601 times, exact decimals, the shortest floats, JSON for " +
					"nested values. string(x) is the same.",
				Examples: []Example{{"to_string(12.50)", "12.5"}, {"string(true)", "true"}},
			},
			bind: func(c *call) *node { return c.convert(batch.Of(batch.String), false) },
		},
		{
			Function: Function{
				Group: groupCast, Signature: "to_binary(x: bytes) -> binary",
				Doc:      "The bytes of a text.",
				Examples: []Example{{"hex(to_binary('az'))", "617a"}},
			},
			bind: func(c *call) *node { return c.convert(batch.Of(batch.Binary), false) },
		},
		{
			Function: Function{
				Group: groupCast, Signature: "to_duration(x: int, unit: string) -> duration",
				Doc:      "A duration of x units: 'second', 'millisecond', 'microsecond' or 'nanosecond'.",
				Examples: []Example{{"int(to_duration(5, 'second'))", "5"}},
			},
			bind: bindDuration,
		},
	}
}

// convert makes an explicit cast of the first argument.
func (c *call) convert(typ batch.Type, try bool) *node {
	x := c.args[0]
	if x.typ.Equal(typ) {
		return x
	}
	if x.typ.Kind == batch.Null {
		return c.coerce(x, typ)
	}
	if !castable(x.typ, typ) {
		return c.fail(x.at, "", "%s cannot be converted to %s", x.typ, typ)
	}
	if x.literal != "" && typ.Kind == batch.Decimal {
		x = constant(batch.String, stringValue(x.literal), x.at)
	}
	if x.typ.Numeric() || x.typ.Kind == batch.Null {
		x = c.widen(x)
	}
	out := &node{op: opCast, typ: typ, args: []*node{x}, at: c.at, try: try}
	if x.typ.Equal(typ) {
		return x
	}
	return c.folded(out)
}

// castable reports whether some value of one type converts to the other.
func castable(from, to batch.Type) bool {
	switch {
	case to.Kind == batch.String:
		return true
	case from.Kind == batch.Foreign || from.Nested():
		return false
	case from.Text():
		return from.Kind != batch.Binary || to.Kind == batch.Binary
	case from.Numeric() || from.Kind == batch.Bool:
		return to.Numeric() || to.Kind == batch.Bool && from.Kind != batch.Bool
	case from.Kind == batch.Duration:
		return to.Numeric() && to.Kind != batch.Decimal
	}
	return false
}
