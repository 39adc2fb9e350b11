package op

import "maps"

// Example shows an operator at work. The documentation prints it, and a test runs it.
type Example struct {
	Config string        // YAML
	Given  []string      // rows it reads, YAML mappings
	Gives  []ExampleRows // rows that come out
}

// ExampleRows are the rows of one output, in any order.
type ExampleRows struct {
	Port string // "" for operators with one output; dead_letter for refused rows
	Rows []string
}

func gives(rows ...string) ExampleRows { return ExampleRows{Rows: rows} }

func refuses(rows ...string) ExampleRows { return ExampleRows{"dead_letter", rows} }

// Examples returns the example of each operator.
func Examples() map[string]Example {
	all := columnExamples()
	maps.Copy(all, rowExamples())
	return all
}

// columnExamples are of operators that change columns.
func columnExamples() map[string]Example {
	return map[string]Example{
		"select": {
			"{columns: [price, id]}",
			[]string{"{id: 1, name: a, price: 2.5}"},
			[]ExampleRows{gives("{price: 2.5, id: 1}")},
		},
		"drop": {
			"{columns: [name]}",
			[]string{"{id: 1, name: a, price: 2.5}"},
			[]ExampleRows{gives("{id: 1, price: 2.5}")},
		},
		"rename": {
			"{columns: {px: price}}",
			[]string{"{id: 1, px: 2.5}"},
			[]ExampleRows{gives("{id: 1, price: 2.5}")},
		},
		"compute": {
			"{columns: {total: price * qty, dear: total > 100}}",
			[]string{"{price: 20.50, qty: 10}", "{price: 1.25, qty: 2}", "{price: null, qty: 2}"},
			[]ExampleRows{gives("{price: 20.50, qty: 10, total: 205.00, dear: true}",
				"{price: 1.25, qty: 2, total: 2.50, dear: false}", "{price: null, qty: 2, total: null, dear: null}")},
		},
		"cast": {
			"{columns: {id: int64, day: date}}",
			[]string{"{id: '7', day: '2024-02-29'}", "{id: x, day: '2024-02-29'}", "{id: null, day: null}"},
			[]ExampleRows{
				gives("{id: 7, day: 2024-02-29}", "{id: null, day: null}"), refuses("{node: cast, column: id}"),
			},
		},
		"parse": {
			"{column: message, format: json, fields: {symbol: {path: data.s, type: string}, price: {path: data.p, type: float64}}, drop_source: true}",
			[]string{`{message: '{"data": {"s": "BTCUSDT", "p": "1.5"}}'}`, `{message: '{"data": {"s": "ETHUSDT"}}'}`, "{message: '{'}"},
			[]ExampleRows{
				gives("{symbol: BTCUSDT, price: 1.5}", "{symbol: ETHUSDT, price: null}"), refuses("{node: parse}"),
			},
		},
		"flatten": {
			"{}",
			[]string{"{id: 1, at: {x: 3, y: 4}}", "{id: 2, at: null}"},
			[]ExampleRows{gives("{id: 1, at_x: 3, at_y: 4}", "{id: 2, at_x: null, at_y: null}")},
		},
		"union": {
			"{columns: {id: int64, name: string}, extra: drop}",
			[]string{"{id: 1, name: a, note: x}", "{id: 2, name: null, note: y}"},
			[]ExampleRows{gives("{id: 1, name: a}", "{id: 2, name: null}")},
		},
		"enrich": {
			"{lookup: {type: sqlite, config: {path: companies.db, table: companies}}, on: {symbol: ticker}, columns: {company: {from: name, type: string}}}",
			[]string{"{symbol: AAPL, qty: 1}", "{symbol: XXXX, qty: 2}", "{symbol: null, qty: 3}"},
			[]ExampleRows{gives("{symbol: AAPL, qty: 1, company: Apple}", "{symbol: XXXX, qty: 2, company: null}",
				"{symbol: null, qty: 3, company: null}")},
		},
	}
}

// rowExamples are of operators that keep, repeat, split or delay rows.
func rowExamples() map[string]Example {
	return map[string]Example{
		"filter": {
			"{condition: status == 'active' and price > 10}",
			[]string{
				"{id: 1, status: active, price: 20.5}", "{id: 2, status: closed, price: 20.5}",
				"{id: 3, status: active, price: null}",
			},
			[]ExampleRows{gives("{id: 1, status: active, price: 20.5}")},
		},
		"explode": {
			"{columns: [bid], position: level}",
			[]string{"{symbol: a, bid: [10, 9]}", "{symbol: b, bid: []}"},
			[]ExampleRows{gives("{symbol: a, bid: 10, level: 1}", "{symbol: a, bid: 9, level: 2}")},
		},
		"route": {
			"{routes: {large: qty >= 100, small: qty > 0}, default: rest}",
			[]string{"{id: 1, qty: 500}", "{id: 2, qty: 5}", "{id: 3, qty: null}"},
			[]ExampleRows{
				{"large", []string{"{id: 1, qty: 500}"}},
				{"small", []string{"{id: 2, qty: 5}"}},
				{"rest", []string{"{id: 3, qty: null}"}},
			},
		},
		"limit": {
			"{rows: 2}", []string{"{id: 1}", "{id: 2}", "{id: 3}"}, []ExampleRows{gives("{id: 1}", "{id: 2}")},
		},
		"sample": {
			"{every: 3}",
			[]string{"{id: 1}", "{id: 2}", "{id: 3}", "{id: 4}"},
			[]ExampleRows{gives("{id: 1}", "{id: 4}")},
		},
		"validate": {
			"{rules: [{column: price, not_null: true, range: {min: 0}}, {name: spread, expression: bid <= ask}, {column: id, unique: true, on_failure: drop}]}",
			[]string{
				"{id: 1, price: 5, bid: 4, ask: 6}", "{id: 2, price: -5, bid: 4, ask: 6}",
				"{id: 3, price: 5, bid: 7, ask: 6}", "{id: 1, price: 5, bid: 4, ask: 6}",
			},
			[]ExampleRows{gives("{id: 1, price: 5, bid: 4, ask: 6}"), refuses("{column: price}", "{node: validate}")},
		},
		"rate_limit": {
			"{rows_per_second: 1000}", []string{"{id: 1}", "{id: null}"}, []ExampleRows{gives("{id: 1}", "{id: null}")},
		},
		"dedupe": {
			"{key: [id]}",
			[]string{"{id: 1, v: a}", "{id: 1, v: b}", "{id: null, v: c}", "{id: null, v: d}"},
			[]ExampleRows{gives("{id: 1, v: a}", "{id: null, v: c}")},
		},
	}
}
