package expr

import (
	"math"

	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"github.com/tapeline/tapeline/batch"
)

const groupNumber = "Numbers"

func numberFunctions() []entry {
	define := func(signature, doc string, bind func(c *call) *node, examples ...Example) entry {
		return entry{
			Function: Function{Group: groupNumber, Signature: signature, Doc: doc, Examples: examples},
			bind:     bind,
		}
	}
	out := []entry{
		define("abs(x: number) -> number", "The absolute value.", bindAbs, Example{"abs(-3)", "3"},
			Example{"abs(decimal('-1.50', 5, 2))", "1.50"}),
		define("sign(x: number) -> int64", "-1, 0 or 1.", bindSign, Example{"sign(-2.5)", "-1"}),
		define("round(x: number, digits?: int) -> number",
			"Rounded to that many digits after the point (0 by default, a literal), half away from zero. "+
				"A decimal gets that scale.", bindRound, Example{"round(2.5)", "3"},
			Example{"round(decimal('1.005', 6, 3), 2)", "1.01"}),
		define("floor(x: number) -> number", "The largest whole number not above x.",
			bindWhole(math.Floor, -1), Example{"floor(-1.5)", "-2"}),
		define("ceil(x: number) -> number", "The smallest whole number not below x.",
			bindWhole(math.Ceil, 1), Example{"ceil(1.2)", "2"}),
		define("trunc(x: number) -> number", "x without its fraction.", bindWhole(math.Trunc, 0),
			Example{"trunc(-1.5)", "-1"}),
		define("mod(x: number, y: number) -> number",
			"The remainder of x / y with the sign of x; x % y is the same.",
			func(c *call) *node { return c.arithmetic(remainder, c.args[0], c.args[1], c.at) },
			Example{"mod(-7, 3)", "-1"}),
		define("div(x: int, y: int) -> int64", "The whole part of x / y.", bindDiv,
			Example{"div(7, 2)", "3"}, Example{"div(-7, 2)", "-3"}),
		define("least(values...: any) -> any",
			"The smallest value; NULLs are left out. min(...) is the same.", bindExtreme(less),
			Example{"least(3, nil, 2.5)", "2.5"}),
		define("greatest(values...: any) -> any",
			"The largest value; NULLs are left out. max(...) is the same.", bindExtreme(greater),
			Example{"greatest('a', 'c', 'b')", "c"}),
	}
	return append(out, floatFunctions()...)
}

func floatFunctions() []entry {
	float := func(name, doc string, compute func(float64) float64, examples ...Example) entry {
		return entry{
			Function: Function{
				Group: groupNumber, Signature: name + "(x: float) -> float64", Doc: doc, Examples: examples,
			},
			run: func(_ *frame, a []value) (value, string) { return floatValue(compute(a[0].float())), "" },
		}
	}
	return []entry{
		float("sqrt", "The square root; NaN below zero.", math.Sqrt, Example{"sqrt(9)", "3"}),
		float("exp", "e to the power of x.", math.Exp, Example{"exp(0)", "1"}),
		float("ln", "The natural logarithm.", math.Log, Example{"ln(1)", "0"}),
		float("log10", "The logarithm to base 10.", math.Log10, Example{"log10(1000)", "3"}),
		float("log2", "The logarithm to base 2.", math.Log2, Example{"log2(8)", "3"}),
		float("sin", "The sine of radians.", math.Sin, Example{"sin(0)", "0"}),
		float("cos", "The cosine of radians.", math.Cos, Example{"cos(0)", "1"}),
		float("tan", "The tangent of radians.", math.Tan, Example{"tan(0)", "0"}),
		float("radians", "Degrees as radians.", func(x float64) float64 { return x / 180 * math.Pi },
			Example{"radians(0)", "0"}),
		{
			Function: Function{
				Group: groupNumber, Signature: "power(x: float, y: float) -> float64",
				Doc:      "x to the power of y; x ** y is the same.",
				Examples: []Example{{"power(2, 10)", "1024"}, {"2 ** 0.5 > 1.41", "true"}},
			},
			run: func(_ *frame, a []value) (value, string) {
				return floatValue(math.Pow(a[0].float(), a[1].float())), ""
			},
		},
		{
			Function: Function{
				Group: groupNumber, Signature: "is_nan(x: float) -> bool", Doc: "Whether x is not a number.",
				Examples: []Example{{"is_nan(float('NaN'))", "true"}},
			},
			run: func(_ *frame, a []value) (value, string) {
				return boolValue(math.IsNaN(a[0].float())), ""
			},
		},
	}
}

func bindAbs(c *call) *node {
	typ := c.args[0].typ
	switch typ.Kind {
	case batch.Int64:
		return c.node(typ, func(_ *frame, a []value) (value, string) {
			v := a[0].int()
			if v == math.MinInt64 {
				return nullValue(), reasonOverflow
			}
			return intValue(max(v, -v)), ""
		})
	case batch.Float64:
		return c.node(typ, func(_ *frame, a []value) (value, string) {
			return floatValue(math.Abs(a[0].float())), ""
		})
	case batch.Decimal:
		return c.node(typ, func(_ *frame, a []value) (value, string) {
			return decimalValue(a[0].decimal().Abs()), ""
		})
	}
	return c.args[0]
}

func bindSign(c *call) *node {
	typ := c.args[0].typ
	zero := value{}
	return c.node(batch.Of(batch.Int64), func(_ *frame, a []value) (value, string) {
		order, _ := compareNumbers(typ, a[0], typ, zero)
		return intValue(int64(order)), ""
	})
}

func bindRound(c *call) *node {
	digits := 0
	if len(c.args) > 1 {
		var ok bool
		if digits, ok = c.constantInt(1, -18, 38); !ok {
			return c.null(c.at)
		}
	}
	x := c.args[0]
	c.args = c.args[:1]
	switch {
	case x.typ.Kind == batch.Decimal:
		return c.roundDecimal(x, digits)
	case x.typ.Kind == batch.Float64:
		return c.node(x.typ, func(_ *frame, a []value) (value, string) {
			return floatValue(roundFloat(a[0].float(), digits)), ""
		})
	case digits >= 0:
		return x
	}
	return c.node(x.typ, func(_ *frame, a []value) (value, string) {
		d, _ := rescale(asDecimal(x.typ, a[0]), 0, digits, 38)
		d, _ = rescale(d, digits, 0, 38)
		if x.typ.Kind == batch.Int64 && !small(d) || x.typ.Kind == batch.Uint64 && d.HighBits() != 0 {
			return nullValue(), reasonOverflow
		}
		return uintValue(d.LowBits()), ""
	})
}

func (c *call) roundDecimal(x *node, digits int) *node {
	from := int(x.typ.Scale)
	if digits >= from {
		return x
	}
	scale := max(0, digits)
	whole := int(x.typ.Precision) - from + 1
	typ := batch.DecimalOf(min(38, whole+scale), scale)
	return c.node(typ, func(_ *frame, a []value) (value, string) {
		d, _ := rescale(a[0].decimal(), from, digits, 38)
		d, ok := rescale(d, digits, scale, 38)
		if !ok {
			return nullValue(), reasonOverflow
		}
		return decimalValue(d), ""
	})
}

// roundFloat rounds half away from zero, by the shortest decimal text of the float where scaling
// would not be exact.
func roundFloat(v float64, digits int) float64 {
	if digits == 0 || math.IsNaN(v) || math.IsInf(v, 0) {
		return math.Round(v)
	}
	if digits < 0 {
		factor := math.Pow10(-digits)
		return math.Round(v/factor) * factor
	}
	if math.Abs(v) >= 1e15 || digits > 18 {
		return v
	}
	d, ok := floatToDecimal(v, batch.DecimalOf(38, digits))
	if !ok {
		return v
	}
	return decimalToFloat(d, digits)
}

func bindWhole(compute func(float64) float64, direction int) func(c *call) *node {
	return func(c *call) *node {
		x := c.args[0]
		switch x.typ.Kind {
		case batch.Float64:
			return c.node(x.typ, func(_ *frame, a []value) (value, string) {
				return floatValue(compute(a[0].float())), ""
			})
		case batch.Decimal:
			scale := int(x.typ.Scale)
			typ := batch.DecimalOf(min(38, int(x.typ.Precision)-scale+1), 0)
			return c.node(typ, func(_ *frame, a []value) (value, string) {
				d := a[0].decimal()
				whole := truncated(d, scale)
				if d.Sign() == direction && compareDecimals(whole, 0, d, scale) != 0 {
					whole = whole.Add(decimal128.FromI64(int64(direction)))
				}
				return decimalValue(whole), ""
			})
		}
		return x
	}
}

func bindDiv(c *call) *node {
	return c.node(batch.Of(batch.Int64), func(_ *frame, a []value) (value, string) {
		x, y := a[0].int(), a[1].int()
		switch {
		case y == 0:
			return nullValue(), reasonZero
		case y == -1 && x == math.MinInt64:
			return nullValue(), reasonOverflow
		}
		return intValue(x / y), ""
	})
}

func bindExtreme(wanted comparison) func(c *call) *node {
	return func(c *call) *node {
		c.args = c.unified(c.args, c.at, "the values of "+c.entry.Name)
		typ := c.args[0].typ
		if typ.Kind == batch.Null || c.err != nil {
			return c.args[0]
		}
		if typ.Nested() || typ.Kind == batch.JSON || typ.Kind == batch.Foreign {
			return c.fail(c.at, "", "%s does not compare %s", c.entry.Name, typ)
		}
		n := &node{op: opCall, name: c.entry.Name, typ: typ, args: c.args, at: c.at}
		n.run = func(_ *frame, args []value) (value, string) {
			best := nullValue()
			for _, v := range args {
				if v.null {
					continue
				}
				if best.null {
					best = v
					continue
				}
				if order, ok := compareValues(typ, v, typ, best); ok && wanted.holds(order) {
					best = v
				}
			}
			return best, ""
		}
		return c.folded(n)
	}
}
