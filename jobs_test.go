package tapeline_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/tapeline/tapeline/internal/flow/run"
	"github.com/tapeline/tapeline/internal/testenv"
)

// outcome is how a child ended.
type outcome struct {
	code        int
	out, errors string
}

// all is everything the child printed.
func (o outcome) all() string { return o.out + o.errors }

// tapelineIn runs the real binary in a folder, with further environment variables, to its end.
func tapelineIn(t *testing.T, dir string, env []string, args ...string) outcome {
	t.Helper()
	command := exec.CommandContext(t.Context(), os.Args[0], args...)
	command.Dir = dir
	command.Env = append(append(os.Environ(), "TAPELINE_CHILD=1"), env...)
	var out, printed bytes.Buffer
	command.Stdout, command.Stderr = &out, &printed
	var exit *exec.ExitError
	if err := command.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", strings.Join(args, " "), err)
	}
	return outcome{command.ProcessState.ExitCode(), out.String(), printed.String()}
}

// mustRun runs the real binary in a folder of its state and fails the test when it fails.
func mustRun(t *testing.T, dir string, env []string, args ...string) outcome {
	t.Helper()
	got := tapelineIn(t, dir, env, args...)
	if got.code != 0 {
		t.Fatalf("%s: exit code %d\n%s", strings.Join(args, " "), got.code, got.all())
	}
	return got
}

// readReport reads a --json-report.
func readReport(t *testing.T, name string) run.Report {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var r run.Report
	if err := json.Unmarshal(data, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

func writeFile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func fileDigest(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%d bytes %x", len(data), sha256.Sum256(data))
}

func lineCount(t *testing.T, name string) int {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Count(data, []byte("\n"))
}

func queryCount(t *testing.T, conn *pgx.Conn, query string) int64 {
	t.Helper()
	var n int64
	if err := conn.QueryRow(t.Context(), query).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

// tableHash is the same for tables that hold the same rows, in whatever order.
func tableHash(t *testing.T, conn *pgx.Conn, table string) string {
	t.Helper()
	var hash string
	err := conn.QueryRow(t.Context(), fmt.Sprintf(`select count(*) || ' rows, hash ' ||
		coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) from %s t`, table)).Scan(&hash)
	if err != nil {
		t.Fatal(err)
	}
	return hash
}

// compareFile copies a file into a table like the given one by the server's own CSV reader and
// compares the two as multisets.
func compareFile(t *testing.T, conn *pgx.Conn, dir, file, table string) {
	t.Helper()
	mustRun(t, dir, nil, "copy", file, "back.csv", "--quiet", "--fresh")
	text, err := os.Open(filepath.Join(dir, "back.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer text.Close()
	if _, err := conn.Exec(t.Context(), fmt.Sprintf(
		"drop table if exists pg_temp.back; create temp table back (like %s)", table)); err != nil {
		t.Fatal(err)
	}
	copied := "copy pg_temp.back from stdin (format csv, header match)"
	if _, err := conn.PgConn().CopyFrom(t.Context(), text, copied); err != nil {
		t.Fatalf("%s: %v", copied, err)
	}
	got, want := tableHash(t, conn, "pg_temp.back"), tableHash(t, conn, table)
	if got != want {
		t.Errorf("%s holds %s; the table in PostgreSQL %s", file, got, want)
	}
}

// feed is the Binance capture on its way through examples/binance-feed.yaml.
type feed struct {
	*child
	dir   string
	conn  *pgx.Conn
	table string
}

func newFeed(t *testing.T) *feed {
	data := testenv.Data(t, "binance_feed_ndjson")
	dsn := testenv.Server(t, "TAPELINE_TEST_POSTGRES")
	conn, table := connect(t, dsn)
	dir := t.TempDir()
	return &feed{
		dir: dir, conn: conn, table: table,
		child: &child{
			t: t,
			args: []string{
				"run", filepath.Join(testenv.Root(), "examples", "binance-feed.yaml"), "--quiet",
				"--state", filepath.Join(dir, "state"), "--json-report", filepath.Join(dir, "report.json"),
				"--set", "execution.checkpoint_interval=50ms",
			},
			env: []string{
				"FEED=" + filepath.Join(data, "*.gz"), "OUT=" + dir, "PG_CONNECTION=" + dsn,
				"TABLE=" + table,
			},
		},
	}
}

// check compares what arrived with what is known of the capture.
func (f *feed) check() {
	f.t.Helper()
	for name, want := range map[string]int{
		"depth": 9985, "tickers": 90166, "trades": 27419, "snapshots": 2,
	} {
		if got := lineCount(f.t, filepath.Join(f.dir, name+".ndjson")); got != want {
			f.t.Errorf("%s: %d messages, want %d", name, got, want)
		}
	}
	const levels = 550_335
	if got := queryCount(f.t, f.conn, "select count(*) from "+f.table); got != levels {
		f.t.Errorf("%d levels in PostgreSQL, want %d", got, levels)
	}
	compareFile(f.t, f.conn, f.dir, "levels.parquet", f.table)
	report := readReport(f.t, filepath.Join(f.dir, "report.json"))
	if report.RowsIn != 127_572 || report.DeadLetters != 0 {
		f.t.Errorf("%d lines in, %d dead letters, want 127572 and 0", report.RowsIn, report.DeadLetters)
	}
}

func TestBinanceFeed(t *testing.T) {
	f := newFeed(t)
	whole := f.finish("--fresh")
	f.check()
	const kills = 2
	killed := 0
	for i := range kills {
		f.args = append(f.args, "--fresh")
		if f.killAfter(whole * time.Duration(i+1) / (kills + 1)) {
			killed++
		}
		f.args = f.args[:len(f.args)-1]
		f.finish()
		f.check()
	}
	t.Logf("%v undisturbed; %d of %d kills hit, each resumed to the exact result", whole, killed, kills)
	if killed == 0 {
		t.Error("no kill hit a running process")
	}
}

func TestKillCSVToParquet(t *testing.T) {
	dir := t.TempDir()
	sink := fmt.Sprintf("    type: parquet\n    config: {path: %q}\n", filepath.Join(dir, "out.parquet"))
	flow := crashWorkflow(t, writeInput(t, crashRows), sink)
	killAtRandomPoints(t, &child{
		t: t, args: []string{"run", flow, "--quiet", "--state", t.TempDir()},
	}, func() string { return readBack(t, dir, "out.parquet") })
}

// readBack copies a file to CSV and returns its size and hash: the rows in their order.
func readBack(t *testing.T, dir, file string) string {
	t.Helper()
	mustRun(t, dir, nil, "copy", file, "back.csv", "--quiet", "--fresh")
	return fileDigest(t, filepath.Join(dir, "back.csv"))
}

// flights copies 200,000 flights from one Arrow file to three sinks.
const flights = `name: flights
execution: {checkpoint_interval: 50ms}
sources:
  flights: {type: arrow, config: {path: "${FLIGHTS}"}}
destinations:
  lake: {type: parquet, inputs: [flights], config: {path: flights.parquet}}
  text: {type: csv, inputs: [flights], config: {path: flights.csv}}
  desk: {type: postgres, inputs: [flights], config: {connection_string: "${PG}", table: "${TABLE}", mode: replace}}
`

func TestFlights(t *testing.T) {
	data := testenv.Data(t, "flights")
	dsn := testenv.Server(t, "TAPELINE_TEST_POSTGRES")
	conn, table := connect(t, dsn)
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "flow.yaml"), flights)
	env := []string{
		"FLIGHTS=" + filepath.Join(data, "flights-200k.arrow"), "PG=" + dsn, "TABLE=" + table,
	}
	mustRun(t, dir, env, "run", "flow.yaml", "--quiet")
	var rows, delay, distance int64
	if err := conn.QueryRow(t.Context(), `select count(*), sum(delay), sum(distance)
		from `+table).Scan(&rows, &delay, &distance); err != nil {
		t.Fatal(err)
	}
	// The sums as Arrow's own library reads the file.
	if rows != 200_000 || delay != 1_500_159 || distance != 145_847_125 {
		t.Errorf("%d rows, delays %d, distances %d, want 200000, 1500159, 145847125", rows, delay, distance)
	}
	for _, file := range []string{"flights.parquet", "flights.csv"} {
		compareFile(t, conn, dir, file, table)
	}
}

// chinookTables are the tables of the Chinook shop with their rows.
func chinookTables() map[string]int64 {
	return map[string]int64{
		"album": 347, "artist": 275, "customer": 59, "employee": 8, "genre": 25, "invoice": 412,
		"invoice_line": 2240, "media_type": 5, "playlist": 18, "playlist_track": 8715, "track": 3503,
	}
}

// loadChinook loads the shop into a schema of its own.
func loadChinook(t *testing.T, conn *pgx.Conn, schema string) {
	t.Helper()
	file, err := os.Open(filepath.Join(testenv.Data(t, "sql_chinook"), "Chinook_PostgreSql.sql.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(unzipped)
	if err != nil {
		t.Fatal(err)
	}
	// The head of the script makes and enters a database, which is psql's business.
	_, script, ok := strings.Cut(string(text), `\c chinook;`)
	if !ok {
		t.Fatal("the script does not enter its database")
	}
	begin := fmt.Sprintf("create schema %[1]s; set search_path = %[1]s;", schema)
	if _, err := conn.PgConn().Exec(t.Context(), begin+script).ReadAll(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, _ = conn.Exec(context.Background(), "drop schema "+schema+" cascade")
	})
}

// mysqlDatabase makes a database of the test's own and returns its URL; "" without a server.
func mysqlDatabase(t *testing.T, name string) string {
	t.Helper()
	dsn := os.Getenv("TAPELINE_TEST_MYSQL")
	if dsn == "" {
		return ""
	}
	config, err := mysql.ParseDSN(dsn)
	if err != nil {
		t.Fatal(err)
	}
	server, err := sql.Open("mysql", dsn)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := server.ExecContext(t.Context(), "create database "+name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, _ = server.ExecContext(context.Background(), "drop database "+name)
		_ = server.Close()
	})
	return (&url.URL{
		Scheme: "mysql", User: url.UserPassword(config.User, config.Passwd), Host: config.Addr,
		Path: "/" + name,
	}).String()
}

// sortedLines copies a source to CSV and returns its header and sorted records.
func sortedLines(t *testing.T, dir, from string) []string {
	t.Helper()
	got := mustRun(t, dir, nil, "copy", from, "stdio:csv", "--quiet")
	lines := strings.Split(strings.TrimSuffix(got.out, "\n"), "\n")
	slices.Sort(lines[1:])
	return lines
}

func TestChinook(t *testing.T) {
	dsn := testenv.Server(t, "TAPELINE_TEST_POSTGRES")
	conn, schema := connect(t, dsn)
	loadChinook(t, conn, schema)
	dir := t.TempDir()
	target := map[string]func(table string) string{
		"sqlite": func(table string) string { return "chinook.db?table=" + table },
	}
	database := mysqlDatabase(t, schema)
	if database != "" {
		target["mysql"] = func(table string) string { return database + "?table=" + table }
	}
	total := int64(0)
	for table, rows := range chinookTables() {
		from := dsn + "&schema=" + schema + "&table=" + table
		want := sortedLines(t, dir, from)
		if got := queryCount(t, conn, "select count(*) from "+table); got != rows {
			t.Fatalf("%s: %d rows in PostgreSQL, want %d", table, got, rows)
		}
		for system, address := range target {
			mustRun(t, dir, nil, "copy", from, address(table), "--quiet")
			if diff := firstDifference(want, sortedLines(t, dir, address(table))); diff != "" {
				t.Errorf("%s in %s: %s", table, system, diff)
			}
		}
		total += rows
	}
	if total != 15_607 {
		t.Errorf("%d rows, want 15607", total)
	}
	if database == "" {
		testenv.Skip(t, "TAPELINE_TEST_MYSQL is not set; SQLite alone was compared")
	}
}

// firstDifference describes where two lists part; "" when they are equal.
func firstDifference(want, got []string) string {
	for i := range min(len(want), len(got)) {
		if want[i] != got[i] {
			return fmt.Sprintf("line %d is %s, want %s", i, got[i], want[i])
		}
	}
	if len(want) != len(got) {
		return fmt.Sprintf("%d lines, want %d", len(got), len(want))
	}
	return ""
}

// The demo checks its own result; this checks the demo.
func TestDemo(t *testing.T) {
	dir := t.TempDir()
	got := mustRun(t, dir, nil, "demo", "--json", "--keep", "kept")
	var result struct {
		RowsIn      int64            `json:"rows_in"`
		RowsOut     int64            `json:"rows_out"`
		DeadLetters map[string]int64 `json:"dead_letters"`
		KilledAfter uint64           `json:"killed_after_checkpoint"`
		Bars        int              `json:"bars"`
	}
	if err := json.Unmarshal([]byte(got.out), &result); err != nil {
		t.Fatalf("%v\n%s", err, got.all())
	}
	// The generator is seeded: so are the dead letters.
	dead := result.DeadLetters
	if result.RowsIn != 200_000 || result.RowsOut != 199_811 || len(dead) != 2 ||
		dead["price is known"] != 87 || dead["quantity is positive"] != 102 {
		t.Errorf("result %+v, want 200000 rows in, 199811 out, 87 and 102 dead letters", result)
	}
	if result.Bars != 61_938 { // so are the listings of the market
		t.Errorf("%d bars were synced, want 61938", result.Bars)
	}
	t.Logf("killed after checkpoint %d", result.KilledAfter)
	for _, name := range []string{"demo.yaml", "report.json", "trades.parquet", "trades.db", "bars.parquet"} {
		if info, err := os.Stat(filepath.Join(dir, "kept", name)); err != nil || info.Size() == 0 {
			t.Errorf("--keep left no %s: %v", name, err)
		}
	}
	for _, part := range []string{"SIGKILL", "dead letters", "exact", "AAPL", "sync baostock complete", "all checks passed"} {
		if !strings.Contains(got.errors, part) {
			t.Errorf("the demo does not say %q:\n%s", part, got.errors)
		}
	}
	again := tapelineIn(t, dir, nil, "demo", "--keep", "kept")
	if again.code != 2 || !strings.Contains(again.errors, "not empty") {
		t.Errorf("into a folder with files: exit code %d, %s, want 2", again.code, again.errors)
	}
}
