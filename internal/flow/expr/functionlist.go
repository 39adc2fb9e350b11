package expr

import (
	"github.com/tapeline/tapeline/batch"
)

const groupList = "Lists and maps"

func listFunctions() []entry {
	define := func(signature, doc string, bind func(c *call) *node, examples ...Example) entry {
		return entry{
			Function: Function{Group: groupList, Signature: signature, Doc: doc, Examples: examples},
			bind:     bind,
		}
	}
	return []entry{
		define("list_get(list: list, index: int) -> any",
			"The element at index from 0 (negative from the end), NULL when there is none; list[0] is "+
				"the same.", bindListGet, Example{"list_get(split('a,b', ','), 1)", "b"}),
		define("list_contains(list: list, x: any) -> bool",
			"Whether an element equals x; x in list is the same.", bindListContains,
			Example{"'b' in split('a,b', ',')", "true"}),
		define("list_sum(list: list) -> number", "The sum of a list of numbers; NULLs are left out.",
			bindListSum, Example{"list_sum([1, 2, 3])", "6"}),
		define("list_min(list: list) -> any", "The smallest element; NULLs are left out.",
			bindListExtreme(less), Example{"list_min([3, 1, 2])", "1"}),
		define("list_max(list: list) -> any", "The largest element; NULLs are left out.",
			bindListExtreme(greater), Example{"list_max([3, 1, 2])", "3"}),
		define("list_join(list: list, separator: string) -> string",
			"The texts of the elements with the separator between them; NULLs are left out.",
			bindListJoin, Example{"list_join(split('a,b', ','), '-')", "a-b"}),
		define("map_get(map: map, key: any) -> any",
			"The value of a key, NULL when there is none; map['key'] is the same.", bindMapGet),
		define("map_contains(map: map, key: any) -> bool",
			"Whether the map has the key; key in map is the same.", bindMapContains),
	}
}

func elementType(list batch.Type) batch.Type { return widened(list.Fields[0].Type) }

func bindListGet(c *call) *node {
	return c.node(elementType(c.args[0].typ), func(_ *frame, a []value) (value, string) {
		n, i := int64(a[0].length()), a[1].int()
		if i < 0 {
			i += n
		}
		if i < 0 || i >= n {
			return nullValue(), ""
		}
		return a[0].element(int(i)), ""
	})
}

func scalar(t batch.Type) bool {
	return !t.Nested() && t.Kind != batch.JSON && t.Kind != batch.Foreign && t.Kind != batch.Null
}

func bindListContains(c *call) *node {
	typ := elementType(c.args[0].typ)
	x := c.args[1]
	if !scalar(typ) {
		return c.fail(c.at, "use any(list, predicate)", "list_contains does not compare %s", typ)
	}
	same := typ.Equal(widened(x.typ)) || typ.Numeric() && x.typ.Numeric() || x.typ.Kind == batch.Null
	if !same {
		return c.fail(x.at, "", "a list of %s does not contain %s", typ, x.typ)
	}
	x = c.coerce(x, widened(x.typ))
	c.args[1] = x
	return c.node(batch.Of(batch.Bool), func(_ *frame, a []value) (value, string) {
		for i := range a[0].length() {
			v := a[0].element(i)
			if v.null {
				continue
			}
			if order, ok := compareValues(typ, v, x.typ, a[1]); ok && order == 0 {
				return boolValue(true), ""
			}
		}
		return boolValue(false), ""
	})
}

func bindListSum(c *call) *node {
	typ := elementType(c.args[0].typ)
	if !typ.Numeric() {
		return c.fail(c.at, "", "list_sum needs a list of numbers, this is %s", c.args[0].typ)
	}
	out := typ
	if typ.Kind == batch.Decimal {
		out = batch.DecimalOf(38, int(typ.Scale))
	}
	adding := &node{op: opArithmetic, arithmetic: add, typ: out, args: []*node{{typ: out}, {typ: typ}}}
	return c.node(out, func(_ *frame, a []value) (value, string) {
		sum := value{}
		for i := range a[0].length() {
			v := a[0].element(i)
			if v.null {
				continue
			}
			var reason string
			if sum, reason = calculate(adding, sum, v); reason != "" {
				return nullValue(), reason
			}
		}
		return sum, ""
	})
}

func bindListExtreme(wanted comparison) func(c *call) *node {
	return func(c *call) *node {
		typ := elementType(c.args[0].typ)
		if !scalar(typ) {
			return c.fail(c.at, "", "%s does not compare %s", c.entry.Name, typ)
		}
		return c.node(typ, func(_ *frame, a []value) (value, string) {
			best := nullValue()
			for i := range a[0].length() {
				v := a[0].element(i)
				if v.null {
					continue
				}
				order, ok := 0, best.null
				if !best.null {
					order, ok = compareValues(typ, v, typ, best)
					ok = ok && wanted.holds(order)
				}
				if ok {
					best = v
				}
			}
			return best, ""
		})
	}
}

func bindListJoin(c *call) *node {
	typ := c.args[0].typ.Fields[0].Type
	return c.node(batch.Of(batch.String), func(f *frame, a []value) (value, string) {
		start, first := len(f.arena), true
		for i := range a[0].length() {
			v := a[0].element(i)
			if v.null {
				continue
			}
			if !first {
				f.arena = append(f.arena, a[1].text...)
			}
			first = false
			f.arena = render(f.arena, widened(typ), v)
		}
		return textValue(f.arena[start:]), ""
	})
}

// entryOf finds a key in a map value; -1 when it is not there.
func entryOf(m value, keyType batch.Type, key value) int {
	offsets, keys := m.column.Offsets(), m.column.Children()[0]
	for i := offsets[m.low]; i < offsets[m.low+1]; i++ {
		if order, ok := compareValues(keyType, load(keys, int(i)), keyType, key); ok && order == 0 {
			return int(i)
		}
	}
	return -1
}

func bindMapGet(c *call) *node {
	keyType, ok := c.mapKey()
	if !ok {
		return c.null(c.at)
	}
	return c.node(widened(c.args[0].typ.Fields[1].Type), func(_ *frame, a []value) (value, string) {
		i := entryOf(a[0], keyType, a[1])
		if i < 0 {
			return nullValue(), ""
		}
		return load(a[0].column.Children()[1], i), ""
	})
}

func bindMapContains(c *call) *node {
	keyType, ok := c.mapKey()
	if !ok {
		return c.null(c.at)
	}
	return c.node(batch.Of(batch.Bool), func(_ *frame, a []value) (value, string) {
		return boolValue(entryOf(a[0], keyType, a[1]) >= 0), ""
	})
}

// mapKey brings the key argument to the map's key type.
func (c *call) mapKey() (batch.Type, bool) {
	typ := widened(c.args[0].typ.Fields[0].Type)
	key := c.args[1]
	if !scalar(typ) || !typ.Equal(widened(key.typ)) && key.typ.Kind != batch.Null &&
		(!typ.Numeric() || key.literal == "") {
		c.fail(key.at, "", "the map's keys are %s, this is %s", typ, key.typ)
		return typ, false
	}
	c.args[1] = c.coerce(key, typ)
	return typ, c.err == nil
}
