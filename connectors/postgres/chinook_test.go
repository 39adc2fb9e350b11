package postgres

import (
	"compress/gzip"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/connectors/mysql"
	"github.com/tapeline/tapeline/connectors/sqlite"
	"github.com/tapeline/tapeline/internal/sqlkit/sqltest"
	"github.com/tapeline/tapeline/internal/testenv"
)

// loadChinook runs the database's script without its own database.
func (f *fixture) loadChinook() {
	f.Helper()
	file, err := os.Open(filepath.Join(testenv.Data(f, "sql_chinook"), "Chinook_PostgreSql.sql.gz"))
	if err != nil {
		f.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		f.Fatal(err)
	}
	script, err := io.ReadAll(unzipped)
	if err != nil {
		f.Fatal(err)
	}
	_, script2, ok := strings.Cut(string(script), `\c chinook;`)
	if !ok {
		f.Fatal("the script has changed")
	}
	f.exec(script2)
}

// configure returns a copy of a connector's defaults with the named fields set.
func configure(defaults any, fields map[string]string) any {
	config := reflect.New(reflect.TypeOf(defaults).Elem())
	config.Elem().Set(reflect.ValueOf(defaults).Elem())
	for name, value := range fields {
		config.Elem().FieldByName(name).SetString(value)
	}
	return config.Interface()
}

// sortedRows returns all rows as text, in order of the text.
func (f *fixture) sortedRows(s connector.Source, use func(connector.Chunk)) []string {
	f.Helper()
	if err := s.Open(f.Context(), connector.Partition{}, nil); err != nil {
		f.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	decode := func(c connector.Chunk) (connector.Chunk, error) { return c, nil }
	if d, ok := s.(connector.Decoder); ok {
		decode = d.NewDecode()
	}
	var out []string
	for {
		chunk, err := s.Read(f.Context())
		if errors.Is(err, io.EOF) {
			slices.Sort(out)
			return out
		}
		if err == nil {
			chunk, err = decode(chunk)
		}
		if err != nil || len(chunk.Rejected) > 0 {
			f.Fatalf("%v, rejected %v", err, chunk.Rejected)
		}
		use(chunk)
		for row := range chunk.Batch.Rows() {
			var text []byte
			for _, c := range chunk.Batch.Columns() {
				if c.IsNull(row) {
					text = append(text, "~|"...)
					continue
				}
				text = append(batch.AppendText(text, c, row), '|')
			}
			out = append(out, string(text))
		}
	}
}

// TestChinook copies the 11 tables to SQLite and to MySQL by one sink each, and reads them back.
func TestChinook(t *testing.T) {
	f := newFixture(t)
	f.loadChinook()
	path := filepath.Join(t.TempDir(), "chinook.db")
	dsn := testenv.Server(t, "TAPELINE_TEST_MYSQL")
	for _, to := range []struct {
		connector connector.Connector
		fields    map[string]string
	}{
		{sqlite.Connector(), map[string]string{"Path": path}},
		{mysql.Connector(), map[string]string{"ConnectionString": dsn}},
	} {
		t.Run(to.connector.Name, func(t *testing.T) {
			prefix := f.connection.Schema + "_"
			with := func(table string) map[string]string {
				out := map[string]string{"Table": table}
				maps.Copy(out, to.fields)
				return out
			}
			replace := with(prefix + "{table}")
			replace["Mode"] = "replace"
			sink, err := to.connector.Sink.New(sqltest.Env(1), configure(to.connector.Sink.Config, replace))
			if err != nil {
				t.Fatal(err)
			}
			run := f.texts("SELECT clock_timestamp()")[0]
			if err := sink.Open(t.Context(), connector.Task{Run: run, Node: "n", Count: 1}); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = sink.Close() }()
			tables := f.texts(`SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace =
				current_schema()::regnamespace ORDER BY 1`)
			want := map[string][]string{}
			total := 0
			for _, table := range tables {
				source, err := newSource(sqltest.Env(500), f.sourceConfig(table))
				if err != nil {
					t.Fatal(err)
				}
				want[table] = f.sortedRows(source, func(chunk connector.Chunk) {
					if err := sink.Write(t.Context(), chunk); err != nil {
						t.Fatal(err)
					}
				})
				total += len(want[table])
			}
			if err := sink.(connector.Decider).Decide(t.Context(), connector.Epoch{Number: 1}); err != nil {
				t.Fatal(err)
			}
			if len(tables) != 11 || total != 15607 {
				t.Errorf("%d tables of %d rows", len(tables), total)
			}
			for _, table := range tables {
				source, err := to.connector.Source.New(sqltest.Env(500),
					configure(to.connector.Source.Config, with(prefix+table)))
				if err != nil {
					t.Fatal(err)
				}
				got := f.sortedRows(source, func(connector.Chunk) {})
				if diff := cmp.Diff(want[table], got); diff != "" {
					t.Errorf("table %s: %s", table, diff[:min(len(diff), 2000)])
				}
			}
		})
	}
}
