package sqltest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/fault"
	"github.com/tapeline/tapeline/internal/sqlkit"
)

const countPeople = "SELECT count(*), min(id), max(id), min(name), max(name) FROM people"

// Sink runs the tests of sinks.
func Sink(t *testing.T, open func(t testing.TB) *Database) {
	run(t, open, map[string]func(*Database){
		"epochs": epochs, "zombie": zombie, "round trip": roundTrip, "keyed": keyed,
		"key order": keyOrder, "odd keys": oddKeys, "replace a shared table": replaceShared,
		"replace late tables": replaceLate, "replace a lost epoch": replaceLost, "replace by nothing": replaceByNothing,
		"many tables": manyTables, "refused rows": refusedRows, "conflicts": conflicts,
		"names": names, "evolve": evolve, "evolve tables named by rows": evolveLate,
	})
}

// epochs: rows are visible when their epoch is committed, which happens once.
// invariant: an epoch is committed once, by the newest owner of the task.
func epochs(d *Database) {
	people := sqlkit.SinkConfig{Table: "people"}
	s := d.Sink(people, connector.Task{})
	s.Put("", People(d, 0, 10, "a"))
	s.Put("", People(d, 10, 20, "a"))
	d.Expect(countPeople, "0|~|~|~|~")
	s.Checkpoint(1)
	d.Expect(countPeople, "20|0|19|a|a")
	token := s.Checkpoint(2) // an epoch without rows
	s.Put("", People(d, 20, 30, "a"))
	_ = s.Close() // a crash before the decision

	s = d.Sink(people, connector.Task{})
	if n, err := s.Decided(d.Context()); n != 2 || err != nil {
		d.Fatalf("decided %d, %v", n, err)
	}
	s.Restore(2, token)
	d.Expect(countPeople, "20|0|19|a|a")
	s.Put("", People(d, 20, 30, "b"))
	s.Checkpoint(3)
	d.Expect(countPeople, "30|0|29|a|b")
	if err := s.Decide(d.Context(), connector.Epoch{Number: 3}); err == nil {
		d.Error("epoch 3 was committed twice")
	}
	for _, number := range []uint64{2, 4} {
		at := connector.Epoch{Number: number}
		if err := s.Recover(d.Context(), at, fmt.Appendf(nil, "1 %d", number)); err == nil {
			d.Errorf("epoch %d is not what the database holds", number)
		}
	}
}

// zombie: a process whose lease is gone cannot commit.
func zombie(d *Database) {
	people := sqlkit.SinkConfig{Table: "people"}
	before := d.Sink(people, connector.Task{Fence: 1})
	s := d.Sink(people, connector.Task{Fence: 2})
	before.Put("", People(d, 0, 10, "zombie"))
	err := before.Decide(d.Context(), connector.Epoch{Number: 1})
	if fault.ClassOf(err) != fault.Permanent || !errors.Is(err, connector.ErrEpochLost) {
		d.Errorf("zombie's commit: %v", err)
	}
	s.Put("", People(d, 0, 10, "owner"))
	s.Checkpoint(1)
	d.Expect(countPeople, "10|0|9|owner|owner")
	if _, err := d.TrySink(people, connector.Task{Fence: 1}); err == nil {
		d.Error("a lower fence was accepted")
	}
}

// every returns three rows of every type a sink creates columns for: null, lowest, highest.
func every(t testing.TB) *batch.Batch {
	t.Helper()
	values := []struct {
		typ       string
		low, high any
	}{
		{"bool", "false", "true"},
		{"int8", "-128", "127"},
		{"int16", "-32768", "32767"},
		{"int32", "-2147483648", "2147483647"},
		{"int64", "-9223372036854775808", "9223372036854775807"},
		{"uint8", "0", "255"},
		{"uint16", "0", "65535"},
		{"uint32", "0", "4294967295"},
		{"uint64", "0", "18446744073709551615"},
		{"float32", -3.4028234663852886e38, 3.4028234663852886e38},
		{"float64", -1.7976931348623157e308, 1.7976931348623157e308},
		{"decimal(15,2)", "-9999999999999.99", "9999999999999.99"},
		{
			"decimal(38,10)", "-7999999999999999999999999999.9999999999",
			"7999999999999999999999999999.9999999999",
		},
		{"string", "", "a'b\"c\\d\n\u00e9\U0001F600"},
		{"binary", []byte{}, []byte{0, 255, 39}},
		{"json", "null", `{"a": [1, 2.50]}`},
		{"date", "0001-01-01", "9999-12-31"},
		{"time", "00:00:00", "23:59:59.999999"},
		{"timestamp(us)", "0001-01-01T00:00:00", "9999-12-31T23:59:59.999999"},
		{"timestamp(us,UTC)", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"},
	}
	fields := make([]batch.Field, len(values))
	for i, v := range values {
		typ, err := batch.ParseType(v.typ)
		if err != nil {
			t.Fatal(err)
		}
		fields[i] = batch.Field{Name: fmt.Sprintf("c%d %s", i, typ.Kind), Type: typ, Nullable: true}
	}
	b := batch.NewBuilder(batch.NewSchema(fields...))
	for i, v := range values {
		for _, v := range []any{nil, v.low, v.high} {
			if err := b.Column(i).Any(v); err != nil {
				t.Fatalf("%s: %v", fields[i].Name, err)
			}
		}
	}
	return built(t, b)
}

// roundTrip: what a created table holds reads back as it was.
func roundTrip(d *Database) {
	in := every(d)
	s := d.Sink(sqlkit.SinkConfig{Table: "every"}, connector.Task{})
	s.Put("", in)
	s.Checkpoint(1)
	chunks, _ := d.Read(sqlkit.SourceConfig{Table: "every"}, 10, nil)
	if len(chunks) != 1 || len(chunks[0].Rejected) > 0 || chunks[0].Batch.Len() != 3 {
		d.Fatalf("read %+v", chunks)
	}
	text := func(c *batch.Column, row int) string {
		switch {
		case c.IsNull(row):
			return "NULL"
		case c.Type().Kind == batch.Float32:
			return fmt.Sprint(c.Value(row))
		case c.Type().Kind == batch.JSON: // jsonb has its own spacing
			return strings.ReplaceAll(string(c.Bytes(row)), " ", "")
		}
		// MySQL's DATETIME has no zone.
		return strings.TrimSuffix(string(batch.AppendText(nil, c, row)), "Z")
	}
	for i, c := range in.Columns() {
		for row := range 3 {
			if got, want := text(chunks[0].Batch.Column(i), row), text(c, row); got != want {
				d.Errorf("column %s, row %d: wrote %q, read %q as %s", in.Schema().Field(i).Name, row, want,
					got, chunks[0].Batch.Column(i).Type())
			}
		}
	}
}

// keyed: rows of equal key are replaced, and deletes honoured.
func keyed(d *Database) {
	s := d.Sink(sqlkit.SinkConfig{Table: "people", Key: []string{"id"}}, connector.Task{})
	s.Put("", People(d, 0, 10, "a"))
	s.Put("", People(d, 5, 15, "b"))
	operations := []batch.Operation{batch.Delete, batch.Upsert, batch.Delete}
	s.Put("", People(d, 0, 3, "c").WithOperations(operations))
	twice, bad := batch.Concat([]*batch.Batch{People(d, 3, 4, "first"), People(d, 3, 4, "last")})
	if len(bad) > 0 {
		d.Fatal(bad)
	}
	s.Put("", twice)
	s.Checkpoint(1)
	d.Expect("SELECT name, count(*), min(id) FROM people GROUP BY name ORDER BY name",
		"a|1|4", "b|10|5", "c|1|1", "last|1|3")

	plain := d.Sink(sqlkit.SinkConfig{Table: "plain"}, connector.Task{Node: "plain"})
	err := plain.Try("", People(d, 0, 3, "x").WithOperations(operations))
	if fault.ClassOf(err) != fault.Schema || !strings.Contains(err.Error(), "set key") {
		d.Errorf("deletes without a key: %v", err)
	}
}

// keyOrder: the last operation of a key counts, within a batch and across batches.
func keyOrder(d *Database) {
	s := d.Sink(sqlkit.SinkConfig{Table: "people", Key: []string{"id"}}, connector.Task{})
	b := batch.NewBuilder(People(d, 0, 0, "").Schema())
	var operations []batch.Operation
	for _, step := range []struct {
		id        int64
		name      string
		operation batch.Operation
	}{
		{0, "x", batch.Delete},
		{1, "x", batch.Delete},
		{1, "again", batch.Insert},
		{2, "gone", batch.Upsert},
		{2, "", batch.Delete},
		{3, "first", batch.Upsert},
		{3, "second", batch.Upsert},
		{99, "", batch.Delete},
	} {
		b.Column(0).Int(step.id)
		b.Column(1).Text(step.name)
		operations = append(operations, step.operation)
	}
	mixed := built(d, b).WithOperations(operations)
	s.Put("", People(d, 0, 5, "a"))
	s.Put("", mixed)
	s.Put("", mixed)
	s.Put("", People(d, 4, 5, "z").WithOperations([]batch.Operation{batch.Delete}))
	s.Put("", People(d, 4, 5, "back"))
	s.Checkpoint(1)
	d.Expect("SELECT id, name FROM people ORDER BY id", "1|again", "3|second", "4|back")
}

// oddKeys: a key with a NULL identifies no row and is refused, and keys are compared column by column.
func oddKeys(d *Database) {
	d.Exec("CREATE TABLE pairs (a VARCHAR(20), b VARCHAR(20), n BIGINT)", "CREATE UNIQUE INDEX pairs_key ON pairs (a, b)")
	s := d.Sink(sqlkit.SinkConfig{Table: "pairs", Key: []string{"a", "b"}}, connector.Task{})
	text := batch.Of(batch.String)
	b := batch.NewBuilder(batch.NewSchema(
		batch.Field{Name: "a", Type: text, Nullable: true}, batch.Field{Name: "b", Type: text, Nullable: true},
		batch.Field{Name: "n", Type: batch.Of(batch.Int64)}))
	// Where a database keeps zero bytes, they are no border between two columns.
	zero := "\x00"
	if d.Dialect == sqlkit.Postgres {
		zero = "-"
	}
	for i, row := range [][2]any{
		{"x", nil}, {"x", nil}, {"x", ""}, {nil, "x"}, {"p" + zero, "q"}, {"p", zero + "q"}, {"p", zero + "q"},
	} {
		for k, v := range row {
			if err := b.Column(k).Any(v); err != nil {
				d.Fatal(err)
			}
		}
		b.Column(2).Int(int64(i))
	}
	whole := built(d, b)
	collapsed, err := batch.LastPerKey(whole, []string{"a", "b"}) // as the engine does before a sink
	if err != nil {
		d.Fatal(err)
	}
	for _, rows := range []*batch.Batch{whole, collapsed} {
		var partial *connector.PartialError
		if err := s.Try("", rows); !errors.As(err, &partial) || len(partial.Rows) != 3 || partial.Rows[2].Row != 3 {
			d.Errorf("rows 0, 1 and 3 have no key, refused: %v", err)
		}
	}
	s.Checkpoint(1)
	d.Expect("SELECT n FROM pairs ORDER BY n", "2", "4", "6")
}

func replaceShared(d *Database) {
	d.Exec("CREATE TABLE people (id BIGINT, name VARCHAR(20), more BIGINT)")
	d.insert("people", "(77, 'old', 7)")
	s := d.Sink(sqlkit.SinkConfig{Table: "people", Mode: sqlkit.Replace}, connector.Task{})
	s.Put("x", People(d, 0, 3, "x"))
	s.Put("y", People(d, 3, 6, "y"))
	s.Put("y", Wider(People(d, 6, 9, "z")))
	s.Checkpoint(1)
	s.Put("later", People(d, 9, 12, "l"))
	s.Checkpoint(2)
	d.Expect("SELECT name, count(*) FROM people GROUP BY name ORDER BY name",
		"l|3", "x|3", "y|3", "z|3")
}

func replaceLate(d *Database) {
	for _, table := range []string{"x", "y"} {
		d.Exec("CREATE TABLE " + table + " (id BIGINT, name VARCHAR(20))")
		d.insert(table, "(77, 'old')")
	}
	config := sqlkit.SinkConfig{Table: "{table}", Mode: sqlkit.Replace}
	s := d.Sink(config, connector.Task{})
	s.Restore(0, nil)
	s.Put("a.x", People(d, 0, 3, "x"))
	s.Put("b.x", People(d, 3, 6, "x"))
	token := s.Checkpoint(1)
	_ = s.Close()

	s = d.Sink(config, connector.Task{}) // after a crash x is not emptied again, and y once
	s.Restore(1, token)
	s.Put("x", People(d, 6, 9, "x"))
	s.Put("y", People(d, 0, 3, "y"))
	s.Checkpoint(2)
	s.Put("y", People(d, 3, 5, "y"))
	s.Checkpoint(3)
	d.Expect("SELECT name, count(*) FROM x GROUP BY name", "x|9")
	d.Expect("SELECT name, count(*) FROM y GROUP BY name", "y|5")
}

// replaceLost: what an epoch emptied comes back with its loss.
func replaceLost(d *Database) {
	d.Exec("CREATE TABLE people (id BIGINT, name VARCHAR(20))")
	d.insert("people", "(77, 'old')")
	s := d.Sink(sqlkit.SinkConfig{Table: "people", Mode: sqlkit.Replace}, connector.Task{})
	s.Put("", People(d, 0, 3, "lost"))
	if err := s.Decide(d.Context(), connector.Epoch{}); !errors.Is(err, connector.ErrEpochLost) {
		d.Fatalf("commit of an epoch that was committed: %v", err)
	}
	d.Expect("SELECT name FROM people", "old")
	s.Put("", People(d, 0, 3, "new"))
	s.Checkpoint(1)
	d.Expect("SELECT name, count(*) FROM people GROUP BY name", "new|3")
}

// replaceByNothing: the columns of no rows empty the table, once.
func replaceByNothing(d *Database) {
	d.Exec("CREATE TABLE people (id BIGINT, name VARCHAR(20))")
	d.insert("people", "(77, 'old')")
	s := d.Sink(sqlkit.SinkConfig{Table: "people", Mode: sqlkit.Replace}, connector.Task{})
	s.Put("", People(d, 0, 0, "none"))
	s.Checkpoint(1)
	d.Expect("SELECT name FROM people")
	s.Put("", People(d, 0, 3, "new"))
	s.Put("", People(d, 0, 0, "none"))
	s.Checkpoint(2)
	d.Expect("SELECT name, count(*) FROM people GROUP BY name", "new|3")
}

func manyTables(d *Database) {
	s := d.Sink(sqlkit.SinkConfig{Table: "copy_{table}"}, connector.Task{})
	s.Put("a", People(d, 0, 3, "a"))
	s.Put("other.b", People(d, 0, 3, "b"))
	s.Checkpoint(1)
	d.Expect("SELECT name FROM copy_a UNION SELECT name FROM copy_b ORDER BY name", "a", "b")
}

// refusedRows: what the database refuses leaves the epoch's other rows; halving finds the row.
func refusedRows(d *Database) {
	d.Exec("CREATE TABLE people (id BIGINT PRIMARY KEY, name VARCHAR(20) NOT NULL CHECK (name <> 'bad'))")
	s := d.Sink(sqlkit.SinkConfig{Table: "people"}, connector.Task{})
	s.Put("", People(d, 0, 10, "ok"))
	for _, b := range []*batch.Batch{People(d, 10, 20, "bad"), People(d, 9, 11, "ok")} {
		err := s.Try("", b)
		if fault.ClassOf(err) != fault.Data || !strings.Contains(err.Error(), "people") {
			d.Errorf("refused: class %s: %v", fault.ClassOf(err), err)
		}
	}
	var refused []int64
	var halve func(b *batch.Batch)
	halve = func(b *batch.Batch) {
		err := s.Try("", b)
		switch n := b.Len(); {
		case err == nil:
		case fault.ClassOf(err) != fault.Data:
			d.Fatalf("halving: %v", err)
		case n == 1:
			refused = append(refused, b.Column(0).Int(b.Row(0)))
		default:
			halve(b.Slice(0, n/2).Keep())
			halve(b.Slice(n/2, n).Keep())
		}
	}
	halve(People(d, 5, 37, "ok"))
	if want := Sequence(5, 10); !slices.Equal(refused, want) {
		d.Errorf("refused %v, want %v", refused, want)
	}
	s.Checkpoint(1)
	d.Expect("SELECT count(*) FROM people", "37")
}

// conflicts between rows and an existing table name table, column and remedy.
func conflicts(d *Database) {
	d.Exec("CREATE TABLE fewer (id BIGINT)", "CREATE TABLE other (id DATE, name VARCHAR(20))",
		"CREATE TABLE narrow (id SMALLINT, name VARCHAR(20))",
		"CREATE TABLE wants (id BIGINT, name VARCHAR(20), since INT NOT NULL)")
	task := 0
	open := func(table string, create bool) *Writer {
		task++
		s, err := d.TrySink(sqlkit.SinkConfig{Table: table, Create: create},
			connector.Task{Node: fmt.Sprint("node", task)})
		if err != nil {
			d.Fatal(err)
		}
		return s
	}
	for table, want := range map[string][]string{
		"fewer":   {`table fewer has no column "name"`, "select operator"},
		"other":   {`column "id" of table other: rows have int64`, "cast operator"},
		"wants":   {`column "since"`, "table wants", "NOT NULL"},
		"nowhere": {"nowhere", "does not exist", "CREATE TABLE"},
	} {
		s := open(table, false)
		err := s.Try("", People(d, 0, 3, "x"))
		_ = s.Close() // a refused row leaves the epoch open, and with it SQLite's only write lock
		if fault.ClassOf(err) != fault.Schema {
			d.Errorf("%s: class %s: %v", table, fault.ClassOf(err), err)
			continue
		}
		for _, part := range want {
			if !strings.Contains(err.Error(), part) {
				d.Errorf("%s: %v does not say %q", table, err, part)
			}
		}
	}
	if d.Dialect == sqlkit.SQLite {
		return // any integer fits
	}
	s := open("narrow", false)
	err := s.Try("", People(d, 32766, 32769, "x"))
	var partial *connector.PartialError
	if !errors.As(err, &partial) || len(partial.Rows) != 1 || partial.Rows[0].Row != 2 ||
		partial.Rows[0].Column != "id" {
		d.Errorf("narrower integer: %v", err)
	}
	s.Checkpoint(1)
	d.Expect("SELECT id FROM narrow ORDER BY id", "32766", "32767")
}

// names that are reserved, spelled oddly or long are written and read as they are.
func names(d *Database) {
	for i, table := range []string{"select", "Order", "a b.c", `q"uo` + "`te", "\u4ef7\u683c", strings.Repeat("n", 60)} {
		quoted := `"` + strings.ReplaceAll(table, `"`, `""`) + `"`
		b := batch.NewBuilder(batch.NewSchema(
			batch.Field{Name: "from", Type: batch.Of(batch.Int64)},
			batch.Field{Name: "co\"l` umn", Type: batch.Of(batch.Int64)},
			batch.Field{Name: strings.Repeat("c", 60), Type: batch.Of(batch.Int64)},
		))
		for k := range 3 {
			b.Column(k).Int(int64(i))
		}
		rows := built(d, b)
		s := d.Sink(sqlkit.SinkConfig{Table: quoted, Key: []string{"from"}},
			connector.Task{Node: fmt.Sprint("node", i)})
		s.Put("", rows)
		s.Put("", rows)
		s.Checkpoint(1)
		chunks, _ := d.Read(sqlkit.SourceConfig{Table: quoted}, 10, nil)
		if !slices.Equal(IDs(chunks), []int64{int64(i)}) ||
			!slices.Equal(chunks[0].Batch.Schema().Names(), rows.Schema().Names()) {
			d.Errorf("table %s: read %v", table, IDs(chunks))
		}
	}
	long := strings.Repeat("n", 200)
	if d.Dialect == sqlkit.SQLite {
		return // names have no limit
	}
	s := d.Sink(sqlkit.SinkConfig{Table: long}, connector.Task{Node: "long"})
	err := s.Try("", People(d, 0, 1, "x"))
	if fault.ClassOf(err) != fault.Schema || !strings.Contains(err.Error(), "bytes") &&
		!strings.Contains(err.Error(), "characters") {
		d.Errorf("a name of 200 letters: class %s: %v", fault.ClassOf(err), err)
	}
}

func evolve(d *Database) {
	s := d.Sink(sqlkit.SinkConfig{Table: "people"}, connector.Task{})
	in := People(d, 0, 1, "x")
	s.Put("", in)
	s.Checkpoint(1)
	for range 2 { // repeating it changes nothing
		err := s.Decider.(connector.SchemaEvolver).Evolve(d.Context(), in.Schema(), Wider(in).Schema())
		if err != nil {
			d.Fatal(err)
		}
	}
	d.Expect("SELECT id, name, more FROM people", "0|x|~")
}

func evolveLate(d *Database) {
	config := sqlkit.SinkConfig{Table: "{table}"}
	narrow := People(d, 0, 2, "a")
	s := d.Sink(config, connector.Task{})
	s.Put("x", narrow)
	s.Put("y", narrow)
	token := s.Checkpoint(1)
	_ = s.Close()

	s = d.Sink(config, connector.Task{})
	s.Restore(1, token)
	wide := Wider(People(d, 2, 4, "b"))
	if err := s.Try("x", wide); err == nil {
		d.Error("a column that no Evolve announced was added")
	}
	err := s.Decider.(connector.SchemaEvolver).Evolve(d.Context(), narrow.Schema(), wide.Schema())
	if err != nil {
		d.Fatal(err)
	}
	s.Put("y", narrow) // opens the data transaction
	s.Put("x", wide)
	s.Checkpoint(2)
	d.Expect("SELECT id, more FROM x ORDER BY id", "0|~", "1|~", "2|2", "3|3")
	chunks, _ := d.Read(sqlkit.SourceConfig{Table: "y"}, 10, nil)
	if got := chunks[0].Batch.Schema().Names(); !slices.Equal(got, []string{"id", "name"}) {
		d.Errorf("y has the columns %v", got)
	}
}
