package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/flow/expr"
	"github.com/tapeline/tapeline/internal/sqlkit/sqltest"
)

// pushable are columns that take part, each with values as SQL and literals as the expression
// language writes them.
var pushable = []struct {
	name, typ        string
	values, literals []string
}{
	{"b", "boolean", []string{"true", "false"}, []string{"true", "false"}},
	{"i2", "smallint", []string{"-32768", "0", "7", "32767"}, []string{"7", "0", "40000", "-32768"}},
	{"i4", "integer", []string{"-2147483648", "-1", "7", "2147483647"}, []string{"7", "-1", "3000000000"}},
	{
		"i8", "bigint",
		[]string{"-9223372036854775808", "9007199254740993", "7", "9223372036854775807"},
		[]string{"7", "9007199254740993", "9223372036854775807"},
	},
	{
		"f4", "real",
		[]string{"'NaN'", "'Infinity'", "'-Infinity'", "'-0'", "0", "0.1", "1e-45", "3.4028235e38"},
		[]string{"0.0", "0.1", "3.4028235e38", "7", "-1.5"},
	},
	{
		"f8", "double precision",
		[]string{"'NaN'", "'Infinity'", "'-Infinity'", "'-0'", "0", "0.1", "5e-324", "1.7976931348623157e308"},
		[]string{"0.0", "0.1", "-0.0", "1.7976931348623157e308", "5e-324", "7"},
	},
	{
		"n", "numeric(12,3)",
		[]string{"'NaN'", "0", "12.300", "-999999999.999", "999999999.999", "0.001"},
		[]string{"12.3", "0", "0.001", "12.3001", "-999999999.999", "1e30"},
	},
	{
		"d", "date",
		[]string{"'infinity'", "'-infinity'", "'2024-02-29'", "'1969-12-31'", "'4713-01-01 BC'", "'5874897-12-31'"},
		[]string{"'2024-02-29'", "'1969-12-31'", "'0001-01-01'", "'9999-12-31'"},
	},
	{
		"t", "timestamp",
		[]string{
			"'infinity'", "'-infinity'", "'2024-02-29 12:00:00.000001'", "'1969-12-31 23:59:59.999999'",
			"'4713-01-01 BC'", "'294246-12-31'", "'294276-12-31'",
		},
		[]string{"'2024-02-29T12:00:00.000001'", "'2024-02-29T12:00:00.0000015'", "'1969-12-31T23:59:59.999999'", "'2024-02-29'"},
	},
	{
		"z", "timestamptz",
		[]string{"'infinity'", "'-infinity'", "'2024-02-29 12:00+02'", "'1970-01-01 00:00+00'", "'294276-12-31 00:00+00'"},
		[]string{"'2024-02-29T10:00:00Z'", "'2024-02-29T12:00:00+02:00'", "'1970-01-01'"},
	},
	{"s", "text", texts, textLiterals},
	{"v", "varchar(40)", texts, textLiterals},
	{"c", "char(12)", texts, textLiterals},
	{"u", "text COLLATE blind", texts, textLiterals},
	// These take no part, and must not spoil the others.
	{"e", "mood", []string{"'low'", "'high'"}, []string{"'low'", "'mid'"}},
	{"o", "positive", []string{"1", "7"}, []string{"1", "7"}},
	{"w", "numeric", []string{"'NaN'", "'Infinity'", "1.5", "12345678901234567890123456789012345"}, []string{"1.5", "7"}},
	{"g", "uuid", []string{"'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"}, []string{"'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"}},
}

var (
	texts = []string{
		"''", "'a'", "'A'", "'a '", "'ä'", "'b''c'", `'\'`, "'é'", "'e\u0301'", "'日本'", "'a%'", "'Z'",
	}
	textLiterals = []string{
		"''", "'a'", "'A'", "'a '", "'ä'", `"b'c"`, `'\\'`, "'é'", "'日本'", "'m'", `'a\u0000'`,
	}
)

// TestPushedFiltersLoseNothing drives random conditions with and without the server's help.
func TestPushedFiltersLoseNothing(t *testing.T) {
	f := newFixture(t)
	f.exec("CREATE COLLATION blind (provider = icu, locale = 'und-u-ks-level1', deterministic = false); " +
		"CREATE TYPE mood AS ENUM ('low', 'high'); CREATE DOMAIN positive AS integer CHECK (value > 0)")
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	f.randomTable(random)
	config := f.sourceConfig("mixed")
	all := f.reading(config, "", nil)
	if len(all.rejected) == 0 || len(all.rows) == 0 {
		t.Fatalf("%d rows and %d refused ones, want some of each", len(all.rows), len(all.rejected))
	}
	pushed, saved := 0, 0
	conditions := 60
	if os.Getenv("TAPELINE_SOAK") == "1" {
		conditions = 3000
	}
	for range conditions {
		condition := randomCondition(random, 3)
		x, err := expr.Parse(condition)
		if err != nil {
			t.Fatalf("%s: %v", condition, err)
		}
		if config.NonFinite = "reject"; random.IntN(4) == 0 {
			config.NonFinite = "null"
		}
		want := f.reading(config, condition, nil)
		got := f.reading(config, condition, x)
		if !slices.Equal(got.rows, want.rows) {
			t.Fatalf("%s\nkeeps %d rows, with the server's help %d", condition, len(want.rows), len(got.rows))
		}
		if !slices.Equal(got.failed, want.failed) {
			t.Fatalf("%s\nfails %v, with the server's help %v", condition, want.failed, got.failed)
		}
		for _, row := range got.rejected {
			if !slices.Contains(want.rejected, row) {
				t.Fatalf("%s\nrefuses %s, which is not refused without", condition, row)
			}
		}
		if got.pushed {
			pushed++
		}
		if got.arrived < want.arrived {
			saved++
		}
	}
	t.Logf("%d of %d conditions pushed, %d of them saved rows", pushed, conditions, saved)
	if pushed < conditions/4 || saved < conditions/8 {
		t.Errorf("%d conditions pushed, %d saved rows: the test tests little", pushed, saved)
	}
}

func (f *fixture) randomTable(random *rand.Rand) {
	var columns, rows []string
	for _, c := range pushable {
		columns = append(columns, c.name+" "+c.typ)
	}
	for range 400 {
		values := make([]string, len(pushable))
		for i, c := range pushable {
			values[i] = c.values[random.IntN(len(c.values))]
			// Few values that refuse a row, so that most rows have none.
			if odd := strings.Contains(values[i], "n") && c.typ != "boolean"; odd && random.IntN(4) > 0 ||
				random.IntN(5) == 0 {
				values[i] = "NULL"
			}
		}
		rows = append(rows, "("+strings.Join(values, ", ")+")")
	}
	f.exec("CREATE TABLE mixed (" + strings.Join(columns, ", ") + "); INSERT INTO mixed VALUES " +
		strings.Join(rows, ", "))
}

// randomCondition mixes pushable forms with others; what the language refuses is not written.
func randomCondition(random *rand.Rand, depth int) string {
	if depth > 0 && random.IntN(3) > 0 {
		left, right := randomCondition(random, depth-1), randomCondition(random, depth-1)
		switch random.IntN(8) {
		case 0:
			return "(" + left + " or " + right + ")"
		case 1:
			return "not (" + left + ")"
		}
		return left + " and " + right
	}
	c := pushable[random.IntN(len(pushable))]
	literal := func() string { return c.literals[random.IntN(len(c.literals))] }
	comparisons := []string{"==", "!=", "<", "<=", ">", ">="}
	compare := comparisons[random.IntN(len(comparisons))]
	if c.name == "b" {
		compare = comparisons[random.IntN(2)]
	}
	switch random.IntN(8) {
	case 0:
		return c.name + " == nil"
	case 1:
		return c.name + " != nil"
	case 2:
		return c.name + " in [" + literal() + ", " + literal() + "]"
	case 3:
		return "not (" + c.name + " " + compare + " " + literal() + ")"
	case 4:
		return literal() + " " + compare + " " + c.name
	}
	return c.name + " " + compare + " " + literal()
}

// TestPushedFilterStillRefuses: what has no form here refuses its row where the condition meets it.
func TestPushedFilterStillRefuses(t *testing.T) {
	f := newFixture(t)
	f.exec("CREATE TABLE odd (s text, n numeric(8,2), d date, w numeric); INSERT INTO odd VALUES " +
		"('a', 1, '2024-01-01', 1), ('b', 'NaN', '2024-01-01', 1), ('b', 1, '-infinity', 1), " +
		"('b', 1, '2024-01-01', 'NaN'), ('c', 9, '2024-01-01', 1)")
	for _, c := range []struct {
		condition         string
		arrived, rejected int
	}{
		{"s == 'a'", 1, 0},
		{"n < 2", 4, 3}, // the server's NaN is above all numbers
		{"n > 5", 2, 1},
		{"n == nil", 1, 1},
		{"n < 2 and s == 'a'", 2, 1},
		{"s == 'a' and n < 2", 1, 0},
		{"d > '2024-06-01'", 1, 1},
		{"s == 'c' and d < '2024-06-01' and n > 5", 1, 0},
		{"(s != 'b' or n > 5) and s == 'c'", 2, 1},
		{"(s != 'b' or w > 5) and s == 'c'", 5, 3},
	} {
		x, err := expr.Parse(c.condition)
		if err != nil {
			t.Fatal(err)
		}
		got := f.reading(f.sourceConfig("odd"), c.condition, x)
		if got.arrived != c.arrived || len(got.rejected) != c.rejected {
			t.Errorf("%s: %d rows arrive and %d are refused, want %d and %d",
				c.condition, got.arrived, len(got.rejected), c.arrived, c.rejected)
		}
	}
}

// TestPositionsBehindPushedFilters: the position of one condition is one for every other.
func TestPositionsBehindPushedFilters(t *testing.T) {
	f := newFixture(t)
	f.exec("CREATE TABLE many AS SELECT n AS id, n % 3 AS m FROM generate_series(1, 3000) n")
	ids := func(condition string, at connector.Position, most int) (out []int64, p connector.Position) {
		x, err := expr.Parse(condition)
		if err != nil {
			t.Fatal(err)
		}
		made, err := newSource(sqltest.Env(100), f.sourceConfig("many"))
		if err != nil {
			t.Fatal(err)
		}
		s := made.(*source)
		defer s.Close()
		if !f.push(s, x) {
			t.Fatalf("%s is not pushed", condition)
		}
		if err := s.Open(t.Context(), connector.Partition{}, at); err != nil {
			t.Fatal(err)
		}
		decode := s.NewDecode()
		for len(out) < most {
			chunk, err := s.Read(t.Context())
			if errors.Is(err, io.EOF) {
				return out, chunk.Position
			}
			if err == nil {
				chunk, err = decode(chunk)
			}
			if err != nil {
				t.Fatal(err)
			}
			for row := range chunk.Batch.Rows() {
				out = append(out, chunk.Batch.Columns()[0].Int(row))
			}
			p = chunk.Position
		}
		return out, p
	}
	all := func(from int64, m int64) (out []int64) {
		for id := from; id <= 3000; id++ {
			if id%3 == m {
				out = append(out, id)
			}
		}
		return out
	}
	first, at := ids("m == 1", nil, 200)
	for m := range int64(3) {
		rest, _ := ids(fmt.Sprintf("m == %d", m), at, 3000)
		if want := all(first[len(first)-1]+1, m); !slices.Equal(rest, want) {
			t.Errorf("m == %d resumed behind %d: %d rows, want %d", m, first[len(first)-1], len(rest), len(want))
		}
	}
}

// TestSourcesThatMustSeeEveryRow: where a position counts rows nothing is pushed.
func TestSourcesThatMustSeeEveryRow(t *testing.T) {
	f := newFixture(t)
	f.exec("CREATE TABLE plain (id int PRIMARY KEY, s text); CREATE VIEW shown AS SELECT * FROM plain")
	x, err := expr.Parse("s == 'a'")
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*sourceConfig){
		"incremental": func(c *sourceConfig) { c.Incremental.Column = "id" },
		"query":       func(c *sourceConfig) { c.Table, c.Query = "", "SELECT * FROM plain" },
		"view":        func(c *sourceConfig) { c.Table = "shown" },
		"off":         func(c *sourceConfig) { c.Pushdown = false },
	} {
		config := f.sourceConfig("plain")
		change(config)
		made, err := newSource(sqltest.Env(100), config)
		if err != nil {
			t.Fatal(err)
		}
		if f.push(made.(*source), x) {
			t.Errorf("%s: the filter is pushed", name)
		}
		_ = made.Close()
	}
}

// filtered is what a source and a filter behind it give.
type filtered struct {
	rows, rejected []string
	failed         []string // by the condition
	arrived        int
	pushed         bool
}

// reading reads a table, pushed being offered first, and filters by the condition.
func (f *fixture) reading(config *sourceConfig, condition string, pushed *expr.Expression) filtered {
	f.Helper()
	made, err := newSource(sqltest.Env(100), config)
	if err != nil {
		f.Fatal(err)
	}
	var out filtered
	s := made.(*source)
	if pushed != nil {
		out.pushed = f.push(s, pushed)
	}
	if err := s.Open(f.Context(), connector.Partition{}, nil); err != nil {
		f.Fatalf("%s: %v", condition, err)
	}
	defer s.Close()
	chunks, _ := f.readAll(s)
	for _, chunk := range chunks {
		for _, r := range chunk.Rejected {
			out.rejected = append(out.rejected, r.Record)
		}
		out.arrived += chunk.Batch.Len() + len(chunk.Rejected)
		kept := chunk.Batch
		if condition != "" {
			p, err := expr.Compile(condition, kept.Schema(), expr.Options{Condition: true})
			if err != nil {
				f.Fatal(err)
			}
			var bad []batch.RowError
			kept, bad = p.NewEval().Filter(kept)
			for _, e := range bad {
				out.failed = append(out.failed, e.Reason)
			}
		}
		for i := range kept.Len() {
			var line []byte
			for _, c := range kept.Columns() {
				line = append(batch.AppendJSON(line, c, kept.Row(i)), ' ')
			}
			out.rows = append(out.rows, string(line))
		}
	}
	return out
}

// push offers a condition and reports whether any part of it was taken.
func (f *fixture) push(s *source, x *expr.Expression) bool {
	f.Helper()
	_, err := s.Filter(context.WithoutCancel(f.Context()), func(schema *batch.Schema) []connector.Predicate {
		p, err := x.Bind(schema, expr.Options{Condition: true})
		if err != nil {
			f.Fatal(err)
		}
		var out []connector.Predicate
		for _, c := range p.Conjuncts() {
			if c.Predicate != nil {
				out = append(out, *c.Predicate)
			}
		}
		return out
	})
	if err != nil {
		f.Fatal(err)
	}
	return s.plan.pushed != ""
}
