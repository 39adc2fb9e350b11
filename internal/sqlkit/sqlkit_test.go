package sqlkit

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/fault"
)

func TestParseName(t *testing.T) {
	for text, want := range map[string]Name{
		"t": {"", "t"}, "s.t": {"s", "t"}, `"a.b"."c""d"`: {"a.b", `c"d`}, "`a`.b": {"a", "b"},
	} {
		if got, err := ParseName(text); got != want || err != nil {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", ".", "a.", ".a", "a.b.c", `"a`, `"a"b`, `""`} {
		if got, err := ParseName(text); err == nil {
			t.Errorf("%s: %v, want an error", text, got)
		}
	}
}

func TestExpand(t *testing.T) {
	got, err := Expand("copy.x_{table}", `other."my table"`)
	if want := (Name{"copy", "x_my table"}); got != want || err != nil {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := Expand("{table}", ""); err == nil {
		t.Error("no table name and no error")
	}
}

func TestQuotingCannotBeLeft(t *testing.T) {
	evil := "a\"b`c"
	for d, want := range map[Dialect]string{
		Postgres: "\"a\"\"b`c\"", SQLite: "\"a\"\"b`c\"", MySQL: "`a\"b``c`",
	} {
		if got := d.Quote(evil); got != want {
			t.Errorf("%s: %s", d, got)
		}
	}
	if got := MySQL.Literal(`it's \ `); got != `'it''s \\ '` {
		t.Error(got)
	}
}

func TestCreateTable(t *testing.T) {
	schema := batch.NewSchema(
		batch.Field{Name: "id", Type: batch.Of(batch.String)},
		batch.Field{Name: "n", Type: batch.DecimalOf(20, 4), Nullable: true},
		batch.Field{Name: "tags", Type: batch.ListOf(batch.Of(batch.Int32)), Nullable: true},
	)
	want := map[Dialect]string{
		Postgres: `CREATE TABLE IF NOT EXISTS "s"."t" (
  "id" text NOT NULL,
  "n" numeric(20,4),
  "tags" integer[],
  PRIMARY KEY ("id")
)`,
		SQLite: `CREATE TABLE IF NOT EXISTS "s"."t" (
  "id" TEXT NOT NULL,
  "n" DECIMAL TEXT(20,4),
  "tags" JSON TEXT,
  PRIMARY KEY ("id")
)`,
		MySQL: "CREATE TABLE IF NOT EXISTS `s`.`t` (\n  `id` VARCHAR(255) NOT NULL,\n" +
			"  `n` DECIMAL(20,4),\n  `tags` JSON,\n  PRIMARY KEY (`id`)\n)",
	}
	for d, text := range want {
		if diff := cmp.Diff(text, d.CreateTable(Name{"s", "t"}, schema, []string{"id"})); diff != "" {
			t.Errorf("%s: %s", d, diff)
		}
	}
	twice := batch.NewSchema(batch.Field{Name: "a"}, batch.Field{Name: "A"})
	if Postgres.CheckNames(Name{}, twice) != nil || MySQL.CheckNames(Name{}, twice) == nil {
		t.Error("names are compared without case by MySQL alone")
	}
}

func TestAfter(t *testing.T) {
	columns, values := []string{"a", "b"}, []string{"1", "'x'"}
	none, few := Ties{}, Ties{Keys: [][]string{{"'v'"}, {"'x'"}}}
	many := Ties{Keys: few.Keys, Ordered: true}
	wide := Ties{Keys: [][]string{{"2", "'v'"}, {"3", "'x'"}}}
	for _, c := range []struct {
		d               Dialect
		columns, values []string
		ties            Ties
		want            string
	}{
		{Postgres, columns[:1], values[:1], none, "a > 1"},
		{Postgres, columns, values, none, "(a, b) > (1, 'x')"},
		{MySQL, columns, values, none, "((a > 1) OR (a = 1 AND b > 'x'))"},
		{MySQL, columns, values, few, "a >= 1 AND NOT (a = 1 AND b IN ('v', 'x'))"},
		{Postgres, columns, values, many, "(a, b) > (1, 'x') AND NOT (a = 1 AND b IN ('v', 'x'))"},
		{
			Postgres, append(columns, "c"), append(values, "'y'"), wide,
			"a >= 1 AND NOT (a = 1 AND (b, c) IN ((2, 'v'), (3, 'x')))",
		},
		{
			SQLite, append(columns, "c"), append(values, "'y'"), wide,
			"a >= 1 AND NOT (a = 1 AND (b, c) IN (VALUES (2, 'v'), (3, 'x')))",
		},
	} {
		if got := c.d.After(c.columns, c.values, c.ties); got != c.want {
			t.Errorf("%s: %s, want %s", c.d, got, c.want)
		}
	}
}

func TestOnConflict(t *testing.T) {
	columns, key := []string{"id", "v"}, []string{"id"}
	for d, want := range map[Dialect][2]string{
		SQLite: {
			` ON CONFLICT ("id") DO UPDATE SET "v" = excluded."v"`, ` ON CONFLICT ("id") DO NOTHING`,
		},
		MySQL: {
			" ON DUPLICATE KEY UPDATE `v` = VALUES(`v`)", " ON DUPLICATE KEY UPDATE `id` = `id`",
		},
	} {
		got := [2]string{d.OnConflict(columns, key), d.OnConflict(key, key)}
		if got != want {
			t.Errorf("%s: %q", d, got)
		}
	}
}

func TestConvert(t *testing.T) {
	for _, c := range []struct {
		have, want string
		in, out    []any // out nil: refused
	}{
		{"int64", "int16", []any{int64(5), int64(40000), nil}, []any{"5", nil, ""}},
		{"int64", "decimal(10,2)", []any{int64(-5)}, []any{"-5.00"}},
		{"float64", "decimal(10,2)", []any{1.005, 0.1}, []any{"1.00", "0.10"}},
		{"float64", "int32", []any{3.0, 3.5}, []any{"3", nil}},
		{"decimal(10,2)", "int64", []any{"7.00", "7.50"}, []any{"7", nil}},
		{"decimal(10,4)", "decimal(5,2)", []any{"1.2500", "1.2345", "12345.0"}, []any{"1.25", nil, nil}},
		{"bool", "int64", []any{true, false}, []any{"1", "0"}},
		{"date", "timestamp(us)", []any{"2024-02-29"}, []any{"2024-02-29T00:00:00.000000"}},
		{
			"timestamp(ns)", "timestamp(us)",
			[]any{"1969-12-31T23:59:59.999999999"},
			[]any{"1969-12-31T23:59:59.999999"},
		},
		{"struct<a:int64>", "json", []any{map[string]any{"a": int64(1)}}, []any{`{"a":1}`}},
		{"list<int32>", "list<int64>", []any{[]any{int64(1), nil}}, []any{"[1,null]"}},
		{"int64", "float64", []any{int64(1 << 60), int64(1<<53 + 1)}, []any{"1152921504606847000", nil}},
		{"uint64", "float64", []any{"18446744073709551615", "7"}, []any{nil, "7"}},
		{"decimal(38,10)", "float64", []any{"0.1", "12345678901234567890.12", "-0.3"}, []any{"0.1", nil, "-0.3"}},
		{"float64", "float32", []any{1e39, 0.5}, []any{nil, "0.5"}},
		{"uint64", "int64", []any{"9", "18446744073709551615"}, []any{"9", nil}},
	} {
		have, err := batch.ParseType(c.have)
		if err != nil {
			t.Fatal(err)
		}
		want, err := batch.ParseType(c.want)
		if err != nil {
			t.Fatal(err)
		}
		if !Assignable(have, want) {
			t.Errorf("%s is not assignable to %s", have, want)
		}
		a := batch.NewAppender(have)
		for _, v := range c.in {
			if err := a.Any(v); err != nil {
				t.Fatal(err)
			}
		}
		out, bad := Convert(a.Column(), want, nil)
		refused := map[int]bool{}
		for _, e := range bad {
			refused[e.Row] = true
		}
		for row, text := range c.out {
			got := ""
			if !out.IsNull(row) {
				got = string(batch.AppendText(nil, out, row))
			}
			if refused[row] != (text == nil) || text != nil && got != text {
				t.Errorf("%s to %s, row %d: %q refused %t, want %v", have, want, row, got,
					refused[row], text)
			}
		}
	}
	for _, pair := range [][2]string{
		{"string", "int64"},
		{"string", "date"},
		{"timestamp", "timestamptz"},
		{"date", "int32"},
		{"bool", "float64"},
		{"json", "list<int64>"},
	} {
		have, _ := batch.ParseType(pair[0])
		want, _ := batch.ParseType(pair[1])
		if Assignable(have, want) {
			t.Errorf("%s is assignable to %s", have, want)
		}
	}
}

// fakeConn is one row of the epoch table under the statements Epochs sends.
type fakeConn struct {
	exists       bool
	epoch, fence int64
}

func (c *fakeConn) Exec(_ context.Context, sql string, args ...any) (int64, error) {
	switch {
	case strings.HasPrefix(sql, "INSERT"):
		if !c.exists {
			c.exists, c.fence = true, args[3].(int64)
		}
		return 0, nil
	case strings.Contains(sql, "SET fence"):
		if fence := args[0].(int64); c.fence <= fence {
			c.fence = fence
			return 1, nil
		}
	case strings.Contains(sql, "SET epoch"):
		if c.epoch == args[4].(int64) && c.fence == args[5].(int64) {
			c.epoch = args[0].(int64)
			return 1, nil
		}
	default:
		return 0, fmt.Errorf("unexpected %s", sql)
	}
	return 0, nil
}

func (c *fakeConn) Int(context.Context, string, ...any) (int64, bool, error) {
	return c.epoch, c.exists, nil
}

// TestEpochs: invariant: an epoch is committed once, by the newest owner of the task.
func TestEpochs(t *testing.T) {
	ctx, conn := t.Context(), &fakeConn{}
	claim := func(fence uint64) (*Epochs, error) {
		e := NewEpochs(SQLite, "", connector.Task{Run: "r", Node: "n", Fence: fence})
		return e, e.Claim(ctx, conn)
	}
	first, err := claim(1)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Advance(ctx, conn, 1); err != nil {
		t.Fatal(err)
	}
	first.Committed(1)
	if err := first.Advance(ctx, conn, 1); fault.ClassOf(err) != fault.Permanent {
		t.Errorf("epoch 1 again: %v", err)
	}
	second, err := claim(2)
	if err != nil || second.Last() != 1 {
		t.Fatalf("last %d, %v", second.Last(), err)
	}
	if err := first.Advance(ctx, conn, 2); fault.ClassOf(err) != fault.Permanent {
		t.Errorf("zombie: %v", err)
	}
	if _, err := claim(1); fault.ClassOf(err) != fault.Permanent {
		t.Errorf("lower fence: %v", err)
	}
	for number, token := range map[uint64][]byte{0: nil, 2: {}} {
		err := second.Recover(connector.Epoch{Number: number}, token)
		if fault.ClassOf(err) != fault.Permanent || !strings.Contains(err.Error(), "--fresh") {
			t.Errorf("a catalog at epoch %d beside a database at 1: %v", number, err)
		}
	}
}

// TestRedact: a password is hidden where it stands as one, and words that spell the same stay.
func TestRedact(t *testing.T) {
	for _, c := range []struct{ text, password, want string }{
		{"dial u:hunter2@h", "hunter2", "dial u:***@h"},
		{"dial tcp 127.0.0.1:1: connection refused", "t", "dial tcp 127.0.0.1:1: connection refused"},
		{"dial tcp: postgres://t:t@h/t?password=t&t=t", "t", "dial tcp: postgres://t:***@h/t?password=***&t=t"},
		{`user "tapeline" of host=h password=tapeline`, "tapeline", `user "tapeline" of host=h password=***`},
		{`host=h password='a b\'c' user=u`, "a b'c", "host=h password='***' user=u"},
		{`host=h password=a\ b user=u`, "a b", "host=h password=*** user=u"},
		{"mysql://u:p%40%2Fs@h, u:p@/s@tcp(h)", "p@/s", "mysql://u:***@h, u:***@tcp(h)"},
		{"the server says no-horse-battery is wrong", "no-horse-battery", "the server says *** is wrong"},
		{"no secret", "", "no secret"},
	} {
		cause := errors.New(c.text)
		err := Redact(fmt.Errorf("connect: %w", cause), c.password)
		if err.Error() != "connect: "+c.want || !errors.Is(err, cause) {
			t.Errorf("%s: got %q, want %q", c.password, err, c.want)
		}
	}
	if Redact(nil, "x") != nil {
		t.Error("no error became one")
	}
}
