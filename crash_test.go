package tapeline_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/tapeline/tapeline"
	"github.com/tapeline/tapeline/internal/testenv"
)

// TestMain makes the test binary the real binary when a test starts it as its child.
func TestMain(m *testing.M) {
	if os.Getenv("TAPELINE_CHILD") == "1" {
		os.Exit(tapeline.Main(os.Args[1:]))
	}
	os.Exit(runTests(m))
}

// productDir names the folder of a binary that several tests share.
const productDir = "TAPELINE_TEST_PRODUCT"

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "tapeline-product")
	if err != nil {
		panic(err.Error())
	}
	defer os.RemoveAll(dir)
	if err := os.Setenv(productDir, dir); err != nil {
		panic(err.Error())
	}
	return m.Run()
}

// child is the real binary on a state folder of its own.
type child struct {
	t    *testing.T
	args []string
	env  []string
}

func (c *child) command() (*exec.Cmd, *bytes.Buffer) {
	command := exec.Command(os.Args[0], c.args...)
	command.Env = append(append(os.Environ(), "TAPELINE_CHILD=1"), c.env...)
	output := &bytes.Buffer{}
	command.Stdout, command.Stderr = output, output
	return command, output
}

// finish runs the child to its end and fails the test when it fails.
func (c *child) finish(extra ...string) time.Duration {
	c.t.Helper()
	command, output := c.command()
	command.Args = append(command.Args, extra...)
	begun := time.Now()
	if err := command.Run(); err != nil {
		c.t.Fatalf("%s: %v\n%s", strings.Join(c.args, " "), err, output)
	}
	return time.Since(begun)
}

// killAfter starts the child and kills it after delay. It reports whether the child still ran.
func (c *child) killAfter(delay time.Duration) bool {
	c.t.Helper()
	command, output := c.command()
	if err := command.Start(); err != nil {
		c.t.Fatal(err)
	}
	timer := time.AfterFunc(delay, func() { _ = command.Process.Kill() })
	defer timer.Stop()
	err := command.Wait()
	if err == nil {
		return false
	}
	if status, ok := command.ProcessState.Sys().(syscall.WaitStatus); !ok || !status.Signaled() {
		c.t.Fatalf("%s failed by itself: %v\n%s", strings.Join(c.args, " "), err, output)
	}
	return true
}

// crashRows is how many rows the killed workflows move.
const crashRows = 100_000

// writeInput makes a CSV file.
func writeInput(t *testing.T, rows int) string {
	t.Helper()
	var b bytes.Buffer
	b.WriteString("id,symbol,price,note\n")
	for i := range rows {
		fmt.Fprintf(&b, "%d,S%04d,%d.%02d,\"note, %d\"\n", i, i%5000, i%900+1, i%100, i)
	}
	name := filepath.Join(t.TempDir(), "in.csv")
	if err := os.WriteFile(name, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// crashWorkflow is CSV -> filter -> sink with a checkpoint every few milliseconds.
func crashWorkflow(t *testing.T, input, sink string) string {
	t.Helper()
	text := fmt.Sprintf(`name: crash
execution: {checkpoint_interval: 20ms, parallelism: 1, restart_strategy: {type: fixed-delay, delay: 100ms, attempts: 1000000}}
sources:
  in: {type: csv, config: {path: %q}}
transformations:
  some: {type: filter, inputs: [in], config: {condition: "id %% 3 != 0"}}
destinations:
  out:
    inputs: [some]
%s`, input, sink)
	name := filepath.Join(t.TempDir(), "flow.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// crashPoints is how often the child is killed: reduced, or the full count of the acceptance.
func crashPoints() int {
	if os.Getenv("TAPELINE_SOAK") == "1" {
		return 100
	}
	return 8
}

// killAtRandomPoints runs the child once undisturbed, then over and over with kills, and compares
// the results by digest.
func killAtRandomPoints(t *testing.T, c *child, digest func() string) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	whole := c.finish("--fresh")
	want := digest()
	killed := 0
	for round := 0; killed < crashPoints(); round++ {
		if round > 20*crashPoints() {
			t.Fatalf("only %d of %d kills hit a running process", killed, crashPoints())
		}
		delay := time.Duration(random.Int64N(int64(whole)))
		c.args = append(c.args, "--fresh")
		hit := c.killAfter(delay)
		c.args = c.args[:len(c.args)-1]
		for hit {
			killed++
			if random.IntN(2) == 0 {
				break
			}
			hit = c.killAfter(time.Duration(random.Int64N(int64(whole))))
		}
		c.finish()
		if got := digest(); got != want {
			t.Fatalf("after kill %d (first at %v of %v): the result is %s, undisturbed it is %s",
				killed, delay, whole, got, want)
		}
	}
	t.Logf("%d kills, each resumed to the undisturbed result", killed)
}

// connect returns a connection and the name of a table of its own.
func connect(t *testing.T, dsn string) (*pgx.Conn, string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	table := fmt.Sprintf("crash_%d", time.Now().UnixNano())
	t.Cleanup(func() {
		ctx := context.Background()
		_, _ = conn.Exec(ctx, "drop table if exists "+table)
		_ = conn.Close(ctx)
	})
	return conn, table
}

// makeCrashTable makes a table whose column seq says in which order rows were written. Where a row
// lies does not: its place may be that of a row which a crash took.
func makeCrashTable(t *testing.T, dsn string) string {
	t.Helper()
	table := fmt.Sprintf("crash_%d", time.Now().UnixNano())
	onServer(t, dsn, func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, fmt.Sprintf(`create table %s
			(id bigint, symbol text, price double precision, note text, seq bigserial)`, table))
		return err
	})
	t.Cleanup(func() {
		onServer(t, dsn, func(ctx context.Context, conn *pgx.Conn) error {
			_, err := conn.Exec(ctx, "drop table "+table)
			return err
		})
	})
	return table
}

// onServer calls f with a connection of its own: the server may have been killed since the last.
func onServer(t *testing.T, dsn string, f func(context.Context, *pgx.Conn) error) {
	t.Helper()
	ctx := context.Background() // a cleanup comes after the test's context
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if err := f(ctx, conn); err != nil {
		t.Fatal(err)
	}
}

// awaitServer returns when the server has recovered so far that it lets a client in.
func awaitServer(t *testing.T, dsn string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, dsn)
		if err == nil {
			_ = conn.Close(ctx)
			return
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("the killed server does not come back: %v", err)
		}
	}
}

func postgresSink(dsn, table string) string {
	return fmt.Sprintf("    type: postgres\n    config: {connection_string: %q, table: %s, mode: replace}\n",
		dsn, table)
}

// tableDigest counts and hashes a table's rows and says whether they were written in order.
func tableDigest(t *testing.T, dsn, table string) string {
	t.Helper()
	var rows, distinct int64
	var ordered bool
	var sum string
	onServer(t, dsn, func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, fmt.Sprintf(`select count(*), count(distinct id),
			coalesce(bool_and(id > before), true),
			coalesce(sum(hashtextextended(concat_ws(',', id, symbol, price, note), 0)), 0)::text
			from (select *, coalesce(lag(id) over (order by seq), -1) as before from %s) t`, table)).
			Scan(&rows, &distinct, &ordered, &sum)
	})
	return fmt.Sprintf("%d rows, %d ids, ordered %t, hash %s", rows, distinct, ordered, sum)
}

func TestKillCSVToPostgres(t *testing.T) {
	dsn := testenv.Server(t, "TAPELINE_TEST_POSTGRES")
	table := makeCrashTable(t, dsn)
	flow := crashWorkflow(t, writeInput(t, crashRows), postgresSink(dsn, table))
	killAtRandomPoints(t, &child{
		t: t, args: []string{"run", flow, "--quiet", "--state", t.TempDir()},
	}, func() string { return tableDigest(t, dsn, table) })
}

// The server applies the filter, so that positions are those of the rows it lets through.
func TestKillPushedFilter(t *testing.T) {
	dsn := testenv.Server(t, "TAPELINE_TEST_POSTGRES")
	source, table := makeCrashTable(t, dsn), makeCrashTable(t, dsn)
	onServer(t, dsn, func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, fmt.Sprintf(`insert into %s select n, 'S' || n %% 50, n %% 900, 'note'
			from generate_series(1, %d) n`, source, crashRows))
		return err
	})
	flow := filepath.Join(t.TempDir(), "flow.yaml")
	writeFile(t, flow, fmt.Sprintf(`name: crash
execution: {checkpoint_interval: 20ms, parallelism: 1}
sources:
  in:
    type: postgres
    config: {connection_string: %q, table: %s, columns: [id, symbol, price, note]}
transformations:
  some: {type: filter, inputs: [in], config: {condition: "symbol in ['S1', 'S7', 'S8'] and price < 500 and id %% 3 != 0"}}
destinations:
  out:
    inputs: [some]
%s`, dsn, source, postgresSink(dsn, table)))
	killAtRandomPoints(t, &child{
		t: t, args: []string{"run", flow, "--quiet", "--state", t.TempDir()},
	}, func() string { return tableDigest(t, dsn, table) })
}

// Two PostgreSQL tables and an SQLite file in one workflow: one decides, the others follow; the keyed
// table gets each symbol over and over.
func TestKillSeveralDatabases(t *testing.T) {
	dsn := testenv.Server(t, "TAPELINE_TEST_POSTGRES")
	table := makeCrashTable(t, dsn)
	conn, keyed := connect(t, dsn)
	file := filepath.Join(t.TempDir(), "out.db")
	config := func(table, more string) string {
		return fmt.Sprintf("config: {connection_string: %q, table: %s, %s}", dsn, table, more)
	}
	sinks := fmt.Sprintf(`    type: postgres
    %s
  keyed:
    type: postgres
    inputs: [some]
    %s
  sqlite:
    type: sqlite
    inputs: [some]
    config: {path: %q, table: out, mode: replace}
`, config(table, "mode: replace"), config(keyed, "key: [symbol]"), file)
	flow := crashWorkflow(t, writeInput(t, crashRows/2), sinks)
	killAtRandomPoints(t, &child{
		t: t, args: []string{"run", flow, "--quiet", "--state", t.TempDir()},
	}, func() string {
		digest := tableDigest(t, dsn, table)
		var symbols string
		err := conn.QueryRow(t.Context(), fmt.Sprintf("select count(*) || ' symbols, hash ' || "+
			"sum(hashtext(t::text)::bigint) from %s t", keyed)).Scan(&symbols)
		if err != nil {
			t.Fatal(err)
		}
		// It is not emptied by the next run, which would find its rows already there.
		if _, err := conn.Exec(t.Context(), "truncate "+keyed); err != nil {
			t.Fatal(err)
		}
		return digest + "; " + symbols + "; " + sqliteDigest(t, file)
	})
}

// sqliteDigest hashes the rows of table out in the order of insertion.
func sqliteDigest(t *testing.T, file string) string {
	t.Helper()
	text := filepath.Join(t.TempDir(), "out.csv")
	(&child{t: t, args: []string{"copy", file + "?table=out", text, "--quiet"}}).finish()
	return fileDigest(t, text)
}

func TestKillCSVToCSV(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out.csv")
	flow := crashWorkflow(t, writeInput(t, crashRows), fmt.Sprintf("    type: csv\n    config: {path: %q}\n", out))
	killAtRandomPoints(t, &child{
		t: t, args: []string{"run", flow, "--quiet", "--state", t.TempDir()},
	}, func() string { return fileDigest(t, out) })
}

// ownServices returns a function that runs the services script on servers of the test's own, which
// are deleted when it ends.
func ownServices(t *testing.T, services string) func(args ...string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "tapeline-crash-db")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	script := func(args ...string) string {
		command := exec.Command(services, args...)
		for _, entry := range os.Environ() {
			if !strings.HasPrefix(entry, "TAPELINE_TEST_") {
				command.Env = append(command.Env, entry)
			}
		}
		command.Env = append(command.Env, "TAPELINE_SERVICES_DIR="+dir)
		out, err := command.Output()
		if err != nil {
			t.Fatalf("services %v: %v", args, err)
		}
		return string(out)
	}
	t.Cleanup(func() {
		script("wipe")
		_ = os.RemoveAll(dir)
	})
	return script
}

// The database is killed instead of the workflow, over and over while it runs: the run restarts
// from its last checkpoint until it is done.
func TestKillDatabaseDuringRun(t *testing.T) {
	script := ownServices(t, filepath.Join(testenv.Root(), "scripts", "services"))
	dsn := exported(t, script("start", "postgres"), "TAPELINE_TEST_POSTGRES")
	if dsn == "" {
		testenv.Skip(t, "a PostgreSQL server to kill cannot be had here")
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	table := makeCrashTable(t, dsn)
	c := &child{t: t, args: []string{
		"run", crashWorkflow(t, writeInput(t, crashRows), postgresSink(dsn, table)), "--quiet", "--fresh",
		"--state", t.TempDir(),
	}}
	whole := c.finish()
	want := tableDigest(t, dsn, table)
	killed, runs := 0, 0
	for ; killed < crashPoints(); runs++ {
		if runs > 20*crashPoints() {
			t.Fatalf("only %d of %d kills hit a running process", killed, crashPoints())
		}
		command, output := c.command()
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- command.Wait() }()
		for running := true; running; {
			timer := time.NewTimer(time.Duration(random.Int64N(int64(whole))))
			select {
			case err := <-ended:
				running = false
				if err != nil {
					t.Fatalf("after %d kills: %v\n%s", killed, err, output)
				}
			case <-timer.C:
				script("kill", "postgres")
				script("start", "postgres")
				awaitServer(t, dsn)
				killed++
			}
			timer.Stop()
		}
		if got := tableDigest(t, dsn, table); got != want {
			t.Fatalf("after %d kills: the result is %s, undisturbed it is %s", killed, got, want)
		}
	}
	t.Logf("%d kills of the database in %d runs, each with the undisturbed result", killed, runs)
}

// exported returns the value that a script of export lines gives a variable.
func exported(t *testing.T, script, variable string) string {
	t.Helper()
	out, err := exec.Command("bash", "-c", script+"\nprintf %s \"$"+variable+"\"").Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}
