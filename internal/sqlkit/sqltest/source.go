package sqltest

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/fault"
	"github.com/tapeline/tapeline/internal/sqlkit"
)

// Source runs the tests of sources.
func Source(t *testing.T, open func(t testing.TB) *Database) {
	run(t, open, map[string]func(*Database){
		"resume": resume, "incremental ties": incrementalTies, "many ties": manyTies,
		"incremental runs": incrementalRuns, "initial value": initialValue,
		"nulls": incrementalNulls, "batch size": batchSize, "missing": missing, "lookup": lookup,
	})
}

// ExactSource runs the tests of sources whose databases keep long decimals exactly: not SQLite.
func ExactSource(t *testing.T, open func(t testing.TB) *Database) {
	run(t, open, map[string]func(*Database){"decimal order": decimalOrder})
}

func run(t *testing.T, open func(t testing.TB) *Database, tests map[string]func(*Database)) {
	t.Helper()
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { test(open(t)) })
	}
}

// moment is the type of a wall time.
func (d *Database) moment() string {
	return [...]string{"timestamp", "DATETIME", "DATETIME(6)"}[d.Dialect]
}

// insert inserts rows given as SQL values.
func (d *Database) insert(table string, rows ...string) {
	d.Helper()
	d.Exec("INSERT INTO " + table + " VALUES " + strings.Join(rows, ", "))
}

// numbered inserts rows from..to-1 made of a format with the number as %[1]d.
func (d *Database) numbered(table string, from, to int, format string) {
	d.Helper()
	rows := make([]string, 0, to-from)
	for i := from; i < to; i++ {
		rows = append(rows, fmt.Sprintf(format, i))
	}
	d.insert(table, rows...)
}

// resume reopens each kind of scan at every position it handed out.
func resume(d *Database) {
	d.Exec("CREATE TABLE plain (id BIGINT, tens INT)",
		"CREATE TABLE keyed (id BIGINT, tens INT, name VARCHAR(20), PRIMARY KEY (name, id))",
		"CREATE VIEW seen AS SELECT id, tens FROM plain")
	for i := range 500 {
		if i%100 == 0 {
			var plain, keyed []string
			for n := i; n < i+100; n++ {
				plain = append(plain, fmt.Sprintf("(%d, %d)", n, n/10))
				keyed = append(keyed, fmt.Sprintf("(%d, %d, 'it''s %03d')", n, n/10, n/10))
			}
			d.insert("plain", plain...)
			d.insert("keyed", keyed...)
		}
	}
	for name, config := range map[string]sqlkit.SourceConfig{
		"table":   {Table: "plain"},
		"key":     {Table: "keyed"},
		"view":    {Table: "seen", Columns: []string{"id"}},
		"query":   {Query: "SELECT id, tens FROM plain ORDER BY id"},
		"sorted":  {Table: "keyed", Incremental: sqlkit.Incremental{Column: "tens"}},
		"heap":    {Table: "plain", Incremental: sqlkit.Incremental{Column: "tens"}},
		"counted": {Table: "seen", Incremental: sqlkit.Incremental{Column: "tens"}},
	} {
		all, end := d.Read(config, 37, nil)
		got := IDs(all)
		if !slices.Equal(slices.Sorted(slices.Values(got)), Sequence(0, 500)) {
			d.Fatalf("%s: read %v", name, got)
		}
		seen := 0
		for _, chunk := range all {
			seen += chunk.Batch.Len()
			if rest, _ := d.Read(config, 100, chunk.Position); !slices.Equal(IDs(rest), got[seen:]) {
				d.Fatalf("%s: after %s: read %v", name, chunk.Position, IDs(rest))
			}
		}
		if rest, _ := d.Read(config, 100, end); len(rest) > 0 {
			d.Errorf("%s: after the end: read %v", name, IDs(rest))
		}
	}
}

// incrementalTies: rows that come later with the newest value are read once, wherever their key lies.
func incrementalTies(d *Database) {
	const newest = "'2024-01-02 00:00:00'"
	d.Exec("CREATE TABLE log (id INT, part INT, at " + d.moment() + ", PRIMARY KEY (id, part))")
	d.insert("log", "(1, 1, '2024-01-01 00:00:00')", "(5, 1, "+newest+")", "(5, 2, "+newest+")")
	config := sqlkit.SourceConfig{Table: "log", Incremental: sqlkit.Incremental{Column: "at"}}
	var at connector.Position
	for i, step := range []struct {
		insert []string
		want   []int64
	}{
		{nil, []int64{1, 5, 5}},
		{nil, nil},
		{[]string{"(3, 9, " + newest + ")", "(9, 1, " + newest + ")"}, []int64{3, 9}},
		{[]string{"(4, 1, " + newest + ")"}, []int64{4}},
		{nil, nil},
		{[]string{"(2, 1, '2024-01-03 00:00:00')", "(6, 1, " + newest + ")"}, []int64{6, 2}},
		{[]string{"(1, 2, '2024-01-03 00:00:00')"}, []int64{1}},
	} {
		if step.insert != nil {
			d.insert("log", step.insert...)
		}
		var chunks []connector.Chunk
		chunks, at = d.Read(config, 1+i%3, at)
		if diff := cmp.Diff(step.want, IDs(chunks)); diff != "" {
			d.Fatalf("run %d: %s", i+1, diff)
		}
	}
}

// manyTies: more rows of one value than a position names come once all the same, from any position,
// also those that an earlier run had named.
func manyTies(d *Database) {
	d.Exec("CREATE TABLE log (id INT PRIMARY KEY, at INT)")
	d.numbered("log", 2000, 2700, "(%d, 7)")
	config := sqlkit.SourceConfig{Table: "log", Incremental: sqlkit.Incremental{Column: "at"}}
	first, at := d.Read(config, 400, nil)
	if !slices.Equal(IDs(first), Sequence(2000, 2700)) {
		d.Fatalf("first run: %d rows", len(IDs(first)))
	}
	d.numbered("log", 0, 1000, "(%d, 7)")
	d.numbered("log", 3000, 3900, "(%d, 7)")
	want := append(Sequence(0, 1000), Sequence(3000, 3900)...)
	second, end := d.Read(config, 150, at)
	if !slices.Equal(IDs(second), want) {
		d.Fatalf("second run: %d rows", len(IDs(second)))
	}
	seen := 0
	for _, chunk := range second {
		seen += chunk.Batch.Len()
		if len(chunk.Position) > 64<<10 {
			d.Fatalf("a position of %d bytes", len(chunk.Position))
		}
		if rest, _ := d.Read(config, 500, chunk.Position); !slices.Equal(IDs(rest), want[seen:]) {
			d.Fatalf("after %d rows: %d follow, want %d", seen, len(IDs(rest)), len(want)-seen)
		}
	}
	d.insert("log", "(4000, 7)", "(4001, 8)")
	third, _ := d.Read(config, 500, end)
	if diff := cmp.Diff([]int64{4000, 4001}, IDs(third)); diff != "" {
		d.Errorf("third run: %s", diff)
	}
}

// incrementalRuns: each run reads what is new by columns of several types.
func incrementalRuns(d *Database) {
	d.Exec("CREATE TABLE log (id BIGINT PRIMARY KEY, at " + d.moment() + ", name VARCHAR(20), " +
		"amount DECIMAL(20,4), day DATE)")
	row := "(%[1]d, '2024-01-01 00:00:00.%06[1]d', 'n%06[1]d', %[1]d.25, '2024-02-%02[1]d')"
	d.numbered("log", 1, 11, row)
	ends := map[string]connector.Position{}
	columns := []string{"id", "at", "name", "amount", "day"}
	read := func(from, to int64) {
		for _, column := range columns {
			config := sqlkit.SourceConfig{
				Table: "log", Columns: []string{"id"}, Incremental: sqlkit.Incremental{Column: column},
			}
			chunks, end := d.Read(config, 3, ends[column])
			if diff := cmp.Diff(Sequence(from, to), IDs(chunks)); diff != "" {
				d.Errorf("by %s: %s", column, diff)
			}
			ends[column] = end
		}
	}
	read(1, 11)
	d.numbered("log", 11, 15, row)
	read(11, 15)
	read(15, 15)
}

// decimalOrder: neighbours that are one number as floats are two.
func decimalOrder(d *Database) {
	d.Exec("CREATE TABLE log (id INT PRIMARY KEY, n DECIMAL(25,0))")
	d.insert("log", "(1, 9007199254740992)", "(2, 9007199254740993)", "(3, 9007199254740994)")
	config := sqlkit.SourceConfig{Table: "log", Incremental: sqlkit.Incremental{Column: "n"}}
	chunks, _ := d.Read(config, 1, nil)
	for i, chunk := range chunks {
		rest, _ := d.Read(config, 5, chunk.Position)
		if diff := cmp.Diff(Sequence(int64(i)+2, 4), IDs(rest)); diff != "" {
			d.Errorf("after %s: %s", chunk.Position, diff)
		}
	}
}

// initialValue: an instant means the same whatever its offset; other texts are the database's own.
func initialValue(d *Database) {
	d.Exec("CREATE TABLE log (id INT PRIMARY KEY, at " + d.moment() + ", name VARCHAR(20))")
	d.insert("log", "(1, '2023-01-01 00:00:00', 'a')", "(2, '2023-01-01 08:00:00', 'b')",
		"(3, '2023-01-01 16:00:00', 'c')")
	for _, c := range []struct {
		column string
		value  any
		want   []int64
	}{
		{"at", "2023-01-01T00:00:00Z", []int64{2, 3}},
		{"at", "2023-01-01T16:00:00+08:00", []int64{3}},
		{"at", "2023-01-01 08:00:00", []int64{3}},
		{"id", 1, []int64{2, 3}},
		{"name", "a", []int64{2, 3}},
		{"name", "it's \\ more", []int64(nil)},
	} {
		config := sqlkit.SourceConfig{
			Table: "log", Incremental: sqlkit.Incremental{Column: c.column, InitialValue: c.value},
		}
		chunks, _ := d.Read(config, 10, nil)
		if diff := cmp.Diff(c.want, IDs(chunks)); diff != "" {
			d.Errorf("%s after %v: %s", c.column, c.value, diff)
		}
	}
}

// incrementalNulls: rows without a value are not read, and the log says so.
func incrementalNulls(d *Database) {
	d.Exec("CREATE TABLE log (id INT PRIMARY KEY, at INT)")
	d.insert("log", "(1, 10)", "(2, NULL)", "(3, 20)")
	var said strings.Builder
	env := Env(10)
	env.Log = slog.New(slog.NewTextHandler(&said, nil))
	for _, where := range []string{"", "id <> 2"} {
		said.Reset()
		config := sqlkit.SourceConfig{
			Table: "log", Where: where, Incremental: sqlkit.Incremental{Column: "at"},
		}
		s := d.Source(config, env, nil)
		if warned := strings.Contains(said.String(), "column=at"); warned != (where == "") {
			d.Errorf("where %q: warned %t: %s", where, warned, said.String())
		}
		_ = s.Close()
		chunks, _ := d.Read(config, 10, nil)
		if diff := cmp.Diff([]int64{1, 3}, IDs(chunks)); diff != "" {
			d.Error(diff)
		}
	}
}

// batchSize: the smaller of the engine's limit and the source's own counts.
func batchSize(d *Database) {
	d.Exec("CREATE TABLE log (id INT PRIMARY KEY)")
	d.numbered("log", 0, 100, "(%d)")
	for _, c := range []struct{ own, engine, most int }{{7, 50, 7}, {50, 7, 7}, {0, 9, 9}} {
		chunks, _ := d.Read(sqlkit.SourceConfig{Table: "log", BatchSize: c.own}, c.engine, nil)
		for i, chunk := range chunks {
			if n := chunk.Batch.Len(); n > c.most || n < c.most && i < len(chunks)-1 {
				d.Errorf("batch_size %d, engine %d: chunk %d has %d rows", c.own, c.engine, i, n)
			}
		}
		if !slices.Equal(IDs(chunks), Sequence(0, 100)) {
			d.Errorf("batch_size %d, engine %d: read %v", c.own, c.engine, IDs(chunks))
		}
	}
}

// missing tables and columns are named.
func missing(d *Database) {
	d.Exec("CREATE TABLE log (id INT PRIMARY KEY)")
	for want, config := range map[string]sqlkit.SourceConfig{
		"nowhere": {Table: "nowhere"},
		"absent":  {Table: "log", Incremental: sqlkit.Incremental{Column: "absent"}},
		"lacking": {Table: "log", Columns: []string{"lacking"}},
	} {
		s, err := d.Connector.Source.New(Env(1), d.Config(config))
		if err != nil {
			d.Fatal(err)
		}
		err = s.Open(context.Background(), connector.Partition{}, nil)
		_ = s.Close()
		class := fault.ClassOf(err)
		if err == nil || !strings.Contains(err.Error(), want) ||
			class != fault.Schema && class != fault.Permanent {
			d.Errorf("%s: class %s: %v", want, class, err)
		}
	}
}

// lookup finds rows by keys of several types, and not by those that are missing or NULL.
func lookup(d *Database) {
	d.Exec("CREATE TABLE city (id INT PRIMARY KEY, name VARCHAR(20), founded DATE)")
	d.insert("city", "(1, 'one', '2001-01-01')", "(2, 'two', NULL)", "(3, 'th\"ree', NULL)")
	l, err := d.Connector.Lookup.New(Env(1), d.Config(sqlkit.LookupConfig{Table: "city"}))
	if err != nil {
		d.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if err := l.Open(d.Context()); err != nil {
		d.Fatal(err)
	}
	for name, values := range map[string][]any{
		"id": {int64(3), int64(7), int64(1), nil}, "name": {`th"ree`, "x", "one", nil},
	} {
		typ := batch.Of(batch.Int64)
		if name == "name" {
			typ = batch.Of(batch.String)
		}
		b := batch.NewBuilder(batch.NewSchema(batch.Field{Name: name, Type: typ, Nullable: true}))
		for _, v := range values {
			if err := b.Column(0).Any(v); err != nil {
				d.Fatal(err)
			}
		}
		found, row, err := l.Lookup(d.Context(), built(d, b))
		if err != nil {
			d.Fatal(err)
		}
		if len(row) != 4 || row[0] < 0 || row[1] != -1 || row[2] < 0 || row[3] != -1 {
			d.Fatalf("by %s: rows %v", name, row)
		}
		got := []any{found.Column(1).Value(int(row[0])), found.Column(1).Value(int(row[2]))}
		if diff := cmp.Diff([]any{`th"ree`, "one"}, got); diff != "" {
			d.Errorf("by %s: %s", name, diff)
		}
	}
	// More keys than one statement takes.
	ids := People(d, 0, 1200, "x")
	keys := ids.WithColumns(batch.NewSchema(ids.Schema().Field(0)), ids.Columns()[:1])
	found, row, err := l.Lookup(d.Context(), keys)
	if err != nil || found.Len() != 3 || row[0] != -1 || row[1199] != -1 || row[2] < 0 {
		d.Errorf("1200 keys: %v", err)
	}
}
