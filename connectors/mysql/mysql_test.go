package mysql

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/fault"
	"github.com/tapeline/tapeline/internal/sqlkit"
	"github.com/tapeline/tapeline/internal/sqlkit/sqltest"
)

func TestRejectedRows(t *testing.T) {
	f := newFixture(t)
	f.Exec("SET SESSION sql_mode = ''")
	f.Exec("CREATE TABLE odd (id BIGINT PRIMARY KEY, d DATE, t TIME)")
	f.Exec("INSERT INTO odd VALUES (1, '0000-00-00', NULL), (2, '2024-02-29', '23:59:59'), " +
		"(3, NULL, '-100:00:00')")
	chunks, _ := f.Read(sqlkit.SourceConfig{Table: "odd"}, 10, nil)
	if diff := cmp.Diff([]int64{2}, sqltest.IDs(chunks)); diff != "" {
		t.Error(diff)
	}
	if len(chunks[0].Rejected) != 2 || chunks[0].Rejected[0].Place.Record != 1 {
		t.Errorf("rejected %+v", chunks[0].Rejected)
	}
}

// TestSessionSettings: text is UTF-8 and values are refused rather than bent, whatever the connection
// string and the engine of the table.
func TestSessionSettings(t *testing.T) {
	f := newFixture(t)
	dsn := f.connection.ConnectionString
	separator := "?"
	if strings.Contains(dsn, "?") {
		separator = "&"
	}
	for _, setting := range []string{"charset=latin1", "collation=latin1_swedish_ci"} {
		other, err := connect(t.Context(), Connection{ConnectionString: dsn + separator + setting, Schema: f.connection.Schema})
		if err != nil {
			t.Fatal(err)
		}
		rows, err := other.Query(t.Context(), "SELECT HEX(CONVERT('né' USING utf8mb4)), @@character_set_results")
		if err != nil {
			t.Fatal(err)
		}
		found, err := sqlkit.Collect(rows)
		if err != nil || found[0][0] != "6EC3A9" || found[0][1] != "utf8mb4" {
			t.Errorf("%s: %v (%v)", setting, found, err)
		}
		_ = other.Close()
	}
	f.Exec("CREATE TABLE flat (id BIGINT, name VARCHAR(3)) ENGINE=MyISAM")
	s := f.Sink(sqlkit.SinkConfig{Table: "flat"}, connector.Task{})
	rows, _ := batch.Concat([]*batch.Batch{sqltest.People(t, 0, 1, "ok"), sqltest.People(t, 1, 2, "long name")})
	if err := s.Try("", rows); fault.ClassOf(err) != fault.Data {
		t.Errorf("a name was cut: %v", err)
	}
}

// TestInstantKeys: deletes and look-ups find an instant that is kept in UTC.
// A column that keeps no fraction of a second refuses rows rather than round them.
func TestFractionsAreNotRounded(t *testing.T) {
	f := newFixture(t)
	epoch := uint64(0)
	for ddl, want := range map[string]int{
		"at DATETIME, t TIME(6)": 2, "at DATETIME(6), t TIME": 2, "at TIMESTAMP(3) NULL, t TIME(3)": 1,
		"at DATETIME(6), t TIME(6)": 0,
	} {
		epoch++
		f.Exec("DROP TABLE IF EXISTS moments", "CREATE TABLE moments (id BIGINT, "+ddl+")")
		s := f.Sink(sqlkit.SinkConfig{Table: "moments"}, connector.Task{})
		var partial *connector.PartialError
		if err := s.Try("", sqltest.Moments(t, "")); want == 0 && err != nil || want > 0 &&
			(!errors.As(err, &partial) || len(partial.Rows) != want || !strings.Contains(err.Error(), "fraction")) {
			t.Errorf("%s: want %d rows refused: %v", ddl, want, err)
		}
		s.Checkpoint(epoch)
		f.Expect("SELECT COUNT(*) FROM moments", strconv.Itoa(4-want))
	}
}

func TestInstantKeys(t *testing.T) {
	f := newFixture(t)
	s := f.Sink(sqlkit.SinkConfig{Table: "stamps", Key: []string{"at"}, Create: true}, connector.Task{})
	builder := batch.NewBuilder(batch.NewSchema(
		batch.Field{Name: "at", Type: batch.TimestampOf(batch.Microsecond, "UTC")},
		batch.Field{Name: "n", Type: batch.Of(batch.Int64), Nullable: true}))
	for i := range 2 {
		if err := builder.Column(0).Any("2024-07-01T12:00:00.5Z"); err != nil {
			t.Fatal(err)
		}
		builder.Column(1).Int(int64(i))
	}
	b, err := builder.Batch()
	if err != nil {
		t.Fatal(err)
	}
	s.Put("", b)
	s.Put("", b.Select([]int32{0}).WithOperations([]batch.Operation{batch.Delete, batch.Delete}))
	s.Checkpoint(1)
	f.Expect("SELECT count(*) FROM stamps", "0")
}

// TestServerTypes reads columns that no sink creates.
func TestServerTypes(t *testing.T) {
	f := newFixture(t)
	f.Exec("CREATE TABLE kinds (id INT PRIMARY KEY, e ENUM('a','b'), s SET('x','y'), y YEAR, b BIT(9), " +
		"m MEDIUMINT UNSIGNED, ts TIMESTAMP(3) NULL, p POINT, f FLOAT, wide DECIMAL(65,10))")
	f.Exec("INSERT INTO kinds VALUES (1, 'b', 'x,y', 2024, b'100000001', 16777215, " +
		"'2024-01-02 03:04:05.678', ST_GeomFromText('POINT(1 2)'), 0.1, 1234567890.5)")
	chunks, _ := f.Read(sqlkit.SourceConfig{Table: "kinds"}, 10, nil)
	if len(chunks) != 1 || len(chunks[0].Rejected) > 0 {
		t.Fatalf("read %+v", chunks)
	}
	b := chunks[0].Batch
	want := "id int32 not null, e string, s string, y int16, b uint64, m uint32, " +
		"ts timestamp(us,UTC), p string, f float32, wide string"
	if got := b.Schema().String(); got != want {
		t.Errorf("schema %s", got)
	}
	var texts []string
	for _, c := range b.Columns() {
		texts = append(texts, string(batch.AppendText(nil, c, 0)))
	}
	wantTexts := []string{
		"1", "b", "x,y", "2024", "257", "16777215", "2024-01-02T03:04:05.678000Z", "POINT(1 2)", "0.1",
		"1234567890.5000000000",
	}
	if diff := cmp.Diff(wantTexts, texts); diff != "" {
		t.Error(diff)
	}
}

// TestEnumKeys: an ENUM is sorted by its number, and so continued by it.
func TestEnumKeys(t *testing.T) {
	f := newFixture(t)
	f.Exec("CREATE TABLE kinds (id INT, e ENUM('z','m','a'), PRIMARY KEY (e, id))",
		"INSERT INTO kinds VALUES (1, 'z'), (2, 'm'), (3, 'a'), (4, 'z')")
	for _, column := range []string{"", "e"} {
		config := sqlkit.SourceConfig{Table: "kinds", Incremental: sqlkit.Incremental{Column: column}}
		all, _ := f.Read(config, 1, nil)
		want := []int64{1, 4, 2, 3}
		if diff := cmp.Diff(want, sqltest.IDs(all)); diff != "" {
			t.Fatal(diff)
		}
		for i, chunk := range all {
			rest, _ := f.Read(config, 10, chunk.Position)
			if got := sqltest.IDs(rest); !slices.Equal(got, want[i+1:]) {
				t.Errorf("after %s: read %v, want %v", chunk.Position, got, want[i+1:])
			}
		}
	}
}

// TestKilledConnection loses the epoch's rows and says so.
func TestKilledConnection(t *testing.T) {
	f := newFixture(t)
	s := f.Sink(sqlkit.SinkConfig{Table: "people"}, connector.Task{})
	s.Put("", sqltest.People(t, 0, 10, "a"))
	id, _, err := s.Decider.(*sqlkit.Sink).Session().Int(t.Context(), "SELECT CONNECTION_ID()")
	if err != nil {
		t.Fatal(err)
	}
	f.Exec(fmt.Sprintf("KILL %d", id))
	err = s.Try("", sqltest.People(t, 10, 20, "a"))
	if !errors.Is(err, connector.ErrEpochLost) || fault.ClassOf(err) != fault.Transient {
		t.Fatalf("write after the kill: %v", err)
	}
	if n, err := s.Decided(t.Context()); n != 0 || err != nil {
		t.Errorf("decided %d, %v", n, err)
	}
	s.Put("", sqltest.People(t, 0, 10, "b"))
	s.Checkpoint(1)
	f.Expect("SELECT count(*), max(name) FROM people", "10|b")
}

func TestSecretsStaySecret(t *testing.T) {
	for _, dsn := range []string{
		"u:hunter2@tcp(127.0.0.1:1)/d?timeout=1s", "mysql://u:hunter2@127.0.0.1:1/d", "hunter2",
		"mysql://u:hunter2@[bad/",
	} {
		_, err := connect(t.Context(), Connection{ConnectionString: dsn})
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", dsn, err)
		}
	}
}

func TestFromURL(t *testing.T) {
	got, err := fromURL("mysql://u@h/d?table=s.t&timeout=1s")
	want := map[string]any{"connection_string": "mysql://u@h/d?timeout=1s", "table": "s.t"}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(err, diff)
	}
}

// TestFromDSN: the driver's own form stays as it is, whatever its password holds.
func TestFromDSN(t *testing.T) {
	for text, want := range map[string]map[string]any{
		"u:a b?/@:c@tcp(h:1)/d?table=t": {"connection_string": "u:a b?/@:c@tcp(h:1)/d", "table": "t"},
		"u:p@tcp(h)/d?charset=utf8mb4&table=s.t&timeout=1s": {
			"connection_string": "u:p@tcp(h)/d?charset=utf8mb4&timeout=1s", "table": "s.t",
		},
		"u:p@tcp(h)/d?timeout=1s": {"connection_string": "u:p@tcp(h)/d?timeout=1s"},
	} {
		got, err := fromURL(text)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v %s", text, err, diff)
		}
	}
}
