package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/fault"
	"github.com/tapeline/tapeline/internal/sqlkit/sqltest"
)

// TestResume reopens each kind of scan at every position it handed out.
func TestResume(t *testing.T) {
	f := newFixture(t)
	f.exec(`CREATE TABLE plain AS SELECT i::int8 AS id, repeat('x', i % 700) AS pad, i / 10 AS tens
		FROM generate_series(0, 499) AS i;
		CREATE TABLE keyed (id int8 PRIMARY KEY, tens int);
		INSERT INTO keyed SELECT i, i / 10 FROM generate_series(0, 499) AS i;
		CREATE VIEW seen AS SELECT * FROM plain;
		CREATE TABLE parted (id int8, tens int) PARTITION BY RANGE (id);
		CREATE TABLE low PARTITION OF parted FOR VALUES FROM (0) TO (250);
		CREATE TABLE high PARTITION OF parted FOR VALUES FROM (250) TO (500);
		CREATE TABLE empty PARTITION OF parted FOR VALUES FROM (500) TO (900);
		INSERT INTO parted SELECT i, i / 10 FROM generate_series(0, 499) AS i`)
	cases := map[string]func(*sourceConfig){
		"physical":    func(c *sourceConfig) { c.Table = "plain" },
		"indexed":     func(c *sourceConfig) { c.Table = "keyed"; c.Where = "id >= 0" },
		"partitioned": func(c *sourceConfig) { c.Table = "parted" },
		"view":        func(c *sourceConfig) { c.Table = "seen"; c.Columns = []string{"id"} },
		"query":       func(c *sourceConfig) { c.Query = "SELECT * FROM keyed ORDER BY id;" },
		"key":         func(c *sourceConfig) { c.Table = "keyed"; c.Incremental.Column = "tens" },
		"ctid":        func(c *sourceConfig) { c.Table = "plain"; c.Incremental.Column = "tens" },
		"ties":        func(c *sourceConfig) { c.Table = "seen"; c.Incremental.Column = "tens" },
	}
	for name, configure := range cases {
		t.Run(name, func(t *testing.T) {
			config := f.sourceConfig("")
			configure(config)
			all, end := f.readAll(f.open(config, 37, nil))
			got := sqltest.IDs(all)
			if want := sqltest.Sequence(0, 500); !slices.Equal(slices.Sorted(slices.Values(got)), want) {
				t.Fatalf("read %v", got)
			}
			seen := 0
			for _, chunk := range all {
				seen += chunk.Batch.Len()
				rest, _ := f.readAll(f.open(config, 100, chunk.Position))
				if !slices.Equal(sqltest.IDs(rest), got[seen:]) {
					t.Fatalf("after %s: read %v", chunk.Position, sqltest.IDs(rest))
				}
			}
			if rest, _ := f.readAll(f.open(config, 100, end)); len(rest) != 0 {
				t.Errorf("after the end %s: read %v", end, sqltest.IDs(rest))
			}
		})
	}
}

func TestIncrementalRuns(t *testing.T) {
	f := newFixture(t)
	f.exec(`CREATE TABLE log (id int8 PRIMARY KEY, at timestamptz, amount numeric);
		INSERT INTO log SELECT i, '2024-01-01T00:00:00Z'::timestamptz + i * interval '1 hour', i / 7.0
		FROM generate_series(0, 99) AS i; INSERT INTO log VALUES (1000, NULL, NULL)`)
	for _, column := range []string{"at", "amount", "id"} {
		t.Run(column, func(t *testing.T) {
			config := f.sourceConfig("log")
			config.Columns = []string{"id"}
			config.Incremental.Column = column
			if column == "at" {
				config.Incremental.InitialValue = "2024-01-01T09:00:00Z"
			}
			first, end := f.readAll(f.open(config, 10, nil))
			want := map[string][]int64{
				"at": sqltest.Sequence(10, 100), "amount": sqltest.Sequence(0, 100),
				"id": append(sqltest.Sequence(0, 100), 1000),
			}[column]
			if diff := cmp.Diff(want, sqltest.IDs(first)); diff != "" {
				t.Fatal(diff)
			}
			f.exec(`INSERT INTO log VALUES (2000, '2030-01-01', 2000)`)
			second, _ := f.readAll(f.open(config, 10, end))
			if diff := cmp.Diff([]int64{2000}, sqltest.IDs(second)); diff != "" {
				t.Error(diff)
			}
			f.exec(`DELETE FROM log WHERE id = 2000`)
		})
	}
}

func TestPartitions(t *testing.T) {
	f := newFixture(t)
	f.exec(`CREATE TABLE wide AS SELECT i::int8 AS id, repeat(md5(i::text), 30) AS pad
		FROM generate_series(0, 19999) AS i`)
	config := f.sourceConfig("wide")
	made, err := newSource(sqltest.Env(1000), config)
	if err != nil {
		t.Fatal(err)
	}
	parts, err := made.(*source).Partitions(t.Context(), 4)
	if err != nil || len(parts) != 4 {
		t.Fatalf("partitions: %d, %v", len(parts), err)
	}
	var got []int64
	for _, part := range parts {
		s, err := newSource(sqltest.Env(1000), config)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Open(t.Context(), part, nil); err != nil {
			t.Fatal(err)
		}
		chunks, _ := f.readAll(s.(*source))
		if n := len(sqltest.IDs(chunks)); n < 3000 || n > 7000 {
			t.Errorf("partition %s has %d rows", part.ID, n)
		}
		got = append(got, sqltest.IDs(chunks)...)
		_ = s.Close()
	}
	slices.Sort(got)
	if !slices.Equal(got, sqltest.Sequence(0, 20000)) {
		t.Errorf("parts together have %d rows", len(got))
	}
}

func TestRejectedRows(t *testing.T) {
	f := newFixture(t)
	f.exec(`CREATE TABLE odd (id int8, n numeric, d date, a int[]);
		INSERT INTO odd VALUES (0, 1, '2024-01-01', '{1}'), (1, 'NaN', NULL, NULL),
		(2, 2, 'infinity', NULL), (3, 1e-11, NULL, NULL), (4, 1e30, NULL, NULL),
		(5, NULL, NULL, '{{1},{2}}'), (6, 6, '-infinity', NULL)`)
	chunks, _ := f.readAll(f.open(f.sourceConfig("odd"), 100, nil))
	if diff := cmp.Diff([]int64{0}, sqltest.IDs(chunks)); diff != "" {
		t.Error(diff)
	}
	if got := len(chunks[0].Rejected); got != 6 {
		t.Errorf("rejected %d: %+v", got, chunks[0].Rejected)
	}
	first := chunks[0].Rejected[0]
	if !strings.HasPrefix(first.Record, `{"id":1,`) || first.Place.Record != 2 {
		t.Errorf("rejected %+v", first)
	}
	config := f.sourceConfig("odd")
	config.NonFinite = "null"
	chunks, _ = f.readAll(f.open(config, 100, nil))
	if diff := cmp.Diff([]int64{0, 1, 2, 6}, sqltest.IDs(chunks)); diff != "" {
		t.Error(diff)
	}
	config.Numeric = "string"
	config.Columns = []string{"id", "n"}
	chunks, _ = f.readAll(f.open(config, 100, nil))
	if got := string(chunks[0].Batch.Column(1).Bytes(3)); got != "0.00000000001" {
		t.Errorf("numeric as string: %s", got)
	}
	config.Numeric = "float64"
	chunks, _ = f.readAll(f.open(config, 100, nil))
	if got := chunks[0].Batch.Column(1).Float(4); got != 1e30 {
		t.Errorf("numeric as float64: %v", got)
	}
}

func TestBackendKilledWhileReading(t *testing.T) {
	f := newFixture(t)
	f.exec(`CREATE TABLE big AS SELECT i::int8 AS id, repeat('x', 900) AS pad
		FROM generate_series(0, 49999) AS i`)
	config := f.sourceConfig("big")
	s := f.open(config, 100, nil)
	chunk, err := s.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	f.exec(fmt.Sprintf("SELECT pg_terminate_backend(%d)", s.session.conn.PID()))
	read, decode := int64(0), s.NewDecode()
	for err == nil {
		if chunk, err = decode(chunk); err != nil {
			break
		}
		read += int64(chunk.Batch.Len())
		position := chunk.Position
		chunk, err = s.Read(t.Context())
		if err != nil {
			chunk.Position = position
		}
	}
	if errors.Is(err, io.EOF) || fault.ClassOf(err) != fault.Transient {
		t.Fatalf("read after the kill: %v", err)
	}
	rest, _ := f.readAll(f.open(config, 5000, chunk.Position))
	if want := sqltest.Sequence(read, 50000); !slices.Equal(sqltest.IDs(rest), want) {
		t.Errorf("after %d rows the resumed source reads %d", read, len(sqltest.IDs(rest)))
	}
}

func TestReadStops(t *testing.T) {
	f := newFixture(t)
	f.exec(`CREATE TABLE one (id int8); INSERT INTO one VALUES (1)`)
	slow := f.sourceConfig("")
	slow.Query = "SELECT id, pg_sleep(600)::text AS nap FROM one"
	t.Run("context", func(t *testing.T) {
		s := f.open(slow, 10, nil)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			_, err := s.Read(ctx)
			done <- err
		}()
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("read: %v", err)
		}
	})
	t.Run("close", func(t *testing.T) {
		s := f.open(slow, 10, nil)
		done := make(chan error, 1)
		go func() {
			_, err := s.Read(t.Context())
			done <- err
		}()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := <-done; err == nil || errors.Is(err, io.EOF) {
			t.Errorf("read: %v", err)
		}
	})
}

func TestDiscover(t *testing.T) {
	f := newFixture(t)
	f.exec(`CREATE TABLE t (id int PRIMARY KEY, n numeric(12,2), tags text[], at timestamptz)`)
	s, err := newSource(sqltest.Env(10), f.sourceConfig("t"))
	if err != nil {
		t.Fatal(err)
	}
	schema, err := s.(connector.Discoverer).Discover(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := "id int32 not null, n decimal(12,2), tags list<string>, at timestamp(us,UTC)"
	if schema.String() != want {
		t.Errorf("schema %s, want %s", schema, want)
	}
	missing, err := newSource(sqltest.Env(10), f.sourceConfig("nowhere"))
	if err != nil {
		t.Fatal(err)
	}
	err = missing.(connector.Checker).Check(t.Context())
	if fault.ClassOf(err) != fault.Schema || !strings.Contains(err.Error(), "nowhere") {
		t.Errorf("missing table: %v", err)
	}
}

func TestSecretsStaySecret(t *testing.T) {
	for _, dsn := range []string{
		"postgres://u:hunter2@127.0.0.1:1/db?connect_timeout=2", "postgres://u:hunter2@[bad/",
		"host=127.0.0.1 port=1 password=hunter2 connect_timeout=2", "hunter2",
	} {
		_, err := connect(t.Context(), Connection{ConnectionString: dsn}, "n")
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", dsn, err)
		}
	}
}

func TestFromURL(t *testing.T) {
	got, err := fromURL("postgres://u@h/db?table=s.t&sslmode=disable&key=a,b")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"connection_string": "postgres://u@h/db?sslmode=disable", "table": "s.t",
		"key": []string{"a", "b"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestErrorClasses(t *testing.T) {
	f := newFixture(t)
	c := f.connection
	c.ConnectionString = strings.Replace(c.ConnectionString, "@", "wrong@", 1)
	if _, err := connect(t.Context(), c, "n"); fault.ClassOf(err) != fault.Auth {
		t.Errorf("wrong password: %v", err)
	}
	c.ConnectionString = "postgres://u@127.0.0.1:1/db?connect_timeout=2"
	if _, err := connect(t.Context(), c, "n"); fault.ClassOf(err) != fault.Transient {
		t.Errorf("no server: %v", err)
	}
	for code, want := range map[string]fault.Class{
		"08006": fault.Transient, "57P01": fault.Transient, "53300": fault.Transient,
		"53100": fault.Permanent, "28P01": fault.Auth, "42501": fault.Auth, "42P01": fault.Schema,
		"22P02": fault.Data, "23505": fault.Data, "40001": fault.Transient, "XX000": fault.Permanent,
	} {
		if got, _ := classOf(code); got != want {
			t.Errorf("%s: %s, want %s", code, got, want)
		}
	}
}

// TestFromKeyValues: a text of settings stays as it is, whatever its password holds.
func TestFromKeyValues(t *testing.T) {
	for text, want := range map[string]map[string]any{
		"host=h password='a b'":            {"connection_string": "host=h password='a b'"},
		"host=h user=u?table=t&key=a":      {"connection_string": "host=h user=u", "table": "t", "key": []string{"a"}},
		"host=h password='a?table=b'":      {"connection_string": "host=h password='a?table=b'"},
		"password='?x' user=u?mode=upsert": {"connection_string": "password='?x' user=u", "mode": "upsert"},
		`password='it\'s?table=x' host=h`:  {"connection_string": `password='it\'s?table=x' host=h`},
		"host=h password=a?b%zz":           {"connection_string": "host=h password=a?b%zz"},
	} {
		got, err := fromURL(text)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v %s", text, err, diff)
		}
	}
	for _, text := range []string{"postgres://u:a#b@h/d", "postgres://u:1/b@h/d", "postgres://u:1?b@h/d"} {
		if got, err := fromURL(text); err == nil || !strings.Contains(err.Error(), "%23") {
			t.Errorf("%s: %v, %v; want to be told how to write the password", text, got, err)
		}
	}
}
