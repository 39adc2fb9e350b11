package expr

import (
	"strings"
	"testing"

	"github.com/tapeline/tapeline/batch"
)

func TestConjuncts(t *testing.T) {
	schema := batch.NewSchema(
		batch.Field{Name: "s", Type: batch.Of(batch.String), Nullable: true},
		batch.Field{Name: "i", Type: batch.Of(batch.Int32), Nullable: true},
		batch.Field{Name: "f", Type: batch.Of(batch.Float64), Nullable: true},
		batch.Field{Name: "n", Type: batch.DecimalOf(9, 2), Nullable: true},
		batch.Field{Name: "b", Type: batch.Of(batch.Bool), Nullable: true},
		batch.Field{Name: "d", Type: batch.Of(batch.Date), Nullable: true},
		batch.Field{Name: "t", Type: batch.TimestampOf(batch.Microsecond, "UTC"), Nullable: true},
		batch.Field{Name: "j", Type: batch.Of(batch.JSON), Nullable: true},
	)
	const no, fails, behind = "does not compare", "can fail", "before it"
	for _, test := range []struct{ condition, want string }{
		{"s == 'a'", "s = 'a'"},
		{"'a' == s and i > 5", "s = 'a' | i > 5 (s)"},
		{`s == "it's"`, "s = 'it''s'"},
		{"not (s == 'a') and not (i < 5)", "s <> 'a' | i >= 5 (s)"},
		{"not (f < 5) and not (f == 5)", no + " | f <> 5 (f)"}, // NaN is not below, and not above
		{"b and not b and b != true", "b = true | b = false (b) | b <> true (b b)"},
		{"s == nil and i != nil and not (n == nil)", "s is null | i is not null (s) | n is not null (s i)"},
		{"s in ['a', nil, 'b'] and i not in [1]", "s in ('a', 'b') | " + no},
		{"1 <= i <= 9", "i >= 1 | i <= 9 (i)"},
		{"i in 1..9", "i >= 1 | i <= 9 (i)"},
		{"n > 12.345 and n == 1", "n > 12.345 | n = 1.00 (n)"},
		{"i > 1.5 and f > 1", no + " | f > 1 (i)"},
		{"d >= '2024-01-01' and t < '2024-01-01'", "d >= '2024-01-01' | t < '2024-01-01T00:00:00.000000Z' (d)"},
		{"t < '2024-01-01T00:00:00.0000001Z' and s == 'a'", fails + " | " + behind}, // years beyond 2262
		{"s == 'a' or i == 1", no},
		{"(s == 'a' or i == 1) and b", no + " | b = true (s i)"},
		{"s startsWith 'a' and b", no + " | b = true (s)"},
		{"s == 'a' and 10 / i > 2 and b", "s = 'a' | " + fails + " | " + behind},
		{"j.a == 'x' and b", fails + " | " + behind},
		{"s == 'a' and i == i", "s = 'a' | " + no},
		{"true", no},
	} {
		p := mustCompile(t, test.condition, schema, Options{Condition: true})
		var got []string
		for _, c := range p.Conjuncts() {
			text := c.Why
			for _, word := range []string{no, fails, behind} {
				if strings.Contains(c.Why, word) {
					text = word
				}
			}
			if c.Predicate != nil {
				text = c.Predicate.String()
				if len(c.Predicate.After) > 0 {
					text += " (" + strings.Join(c.Predicate.After, " ") + ")"
				}
			}
			got = append(got, text)
		}
		if got := strings.Join(got, " | "); got != test.want {
			t.Errorf("%s\n got %s\nwant %s", test.condition, got, test.want)
		}
	}
}
