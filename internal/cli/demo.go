package cli

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/tapeline/tapeline/examples"
	"github.com/tapeline/tapeline/internal/app"
	"github.com/tapeline/tapeline/internal/flow/run"
)

// demoEpoch is the checkpoint after which the demo kills its workflow.
const demoEpoch = 2

func (s *session) demoCommand() *cobra.Command {
	var keep string
	c := &cobra.Command{
		Use:   "demo",
		Short: "Show a whole job on made-up data: no network, no configuration",
		Long: "Runs generated trades through quality rules into a Parquet file and a SQLite table, kills " +
			"the run in the\nmiddle, resumes it, checks that nothing was lost or repeated, and queries the result. Then keeps a " +
			"market store:\na simulated provider, a sync, its report, a second sync that asks nothing, and a query.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			err := s.demo(ctx, keep)
			if ctx.Err() != nil {
				return &exitError{exitInterrupted, errors.New("demo: interrupted")}
			}
			return err
		},
	}
	c.Flags().StringVar(&keep, "keep", "", "work in this empty folder and leave the files there")
	return c
}

// demo is one demonstration: the real binary in child processes, in a folder of its own.
type demo struct {
	*session
	program string
	dir     string
	out     io.Writer // the story; with --json it goes to standard error
	result  demoResult
}

// demoResult is what --json prints.
type demoResult struct {
	RowsIn      int64            `json:"rows_in"`
	RowsOut     int64            `json:"rows_out"` // of each of the two sinks
	DeadLetters map[string]int64 `json:"dead_letters"`
	KilledAt    uint64           `json:"killed_after_checkpoint"` // 0: it was done before
	Bars        int              `json:"bars"`                    // stored by the sync
	Seconds     float64          `json:"seconds"`
}

func (s *session) demo(ctx context.Context, keep string) (err error) {
	begun := time.Now()
	d := &demo{session: s, dir: keep, out: s.out}
	if s.json {
		d.out = s.errors
	}
	if d.program, err = os.Executable(); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	if keep == "" {
		if d.dir, err = os.MkdirTemp("", "tapeline-demo-"); err != nil {
			return fmt.Errorf("demo: %w", err)
		}
		defer func() { err = errors.Join(err, os.RemoveAll(d.dir)) }()
	} else if err := emptyFolder(keep); err != nil {
		return err
	}
	if d.dir, err = filepath.Abs(d.dir); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	for _, step := range []func(context.Context) error{d.write, d.check, d.kill, d.resume, d.compare, d.query, d.market} {
		if err := step(ctx); err != nil {
			return fmt.Errorf("demo: %w", err)
		}
	}
	d.result.Seconds = time.Since(begun).Seconds()
	d.end(keep)
	if s.json {
		return s.printJSON(d.result)
	}
	return nil
}

// emptyFolder makes the folder and refuses one with files in it.
func emptyFolder(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(entries) > 0 {
		return usage("--keep %s: the folder is not empty", dir)
	}
	return os.MkdirAll(dir, 0o755)
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.out, format+"\n", args...) }

func (d *demo) path(name string) string { return filepath.Join(d.dir, name) }

// write puts the workflow into the folder and shows its shape.
func (d *demo) write(context.Context) error {
	d.say(`1. A workflow (examples/demo.yaml, here in %s):

   trades ──> checked ──> priced ──┬──> lake   trades.parquet
   made up    rules       notional ├──> desk   trades.db, table trades
                 └── rejected rows └─ checkpoints commit both together`, d.dir)
	return os.WriteFile(d.path("demo.yaml"), []byte(examples.Demo()), 0o644)
}

// check has the document linted and tested before it runs.
func (d *demo) check(ctx context.Context) error {
	d.say("\n2. Check it: every mistake with its line, and the tests it declares.")
	for _, args := range [][]string{{"lint", "demo.yaml"}, {"test", "demo.yaml"}} {
		command := d.child(ctx, args...)
		command.Stdout = d.out
		if err := command.Run(); err != nil {
			return err
		}
	}
	return nil
}

// child makes a command of this program in the demo's folder and shows it.
func (d *demo) child(ctx context.Context, args ...string) *exec.Cmd {
	shown := make([]string, len(args))
	for i, arg := range args {
		shown[i] = arg
		if strings.ContainsAny(arg, " ?*") {
			shown[i] = "'" + arg + "'"
		}
	}
	d.say("\n   $ tapeline %s", strings.Join(shown, " "))
	command := exec.CommandContext(ctx, d.program, args...)
	command.Dir = d.dir
	command.Env = append(os.Environ(), "OUT=.")
	command.Stderr = d.errors.out // the file itself, so that a child sees the terminal
	return command
}

// kill runs the workflow and kills it after a checkpoint or two.
func (d *demo) kill(ctx context.Context) error {
	engine, err := app.OpenEngine(d.parts, d.path(".tapeline"), d.logger())
	if err != nil {
		return err
	}
	defer engine.Close()
	d.say("\n3. Run it, and kill the process (SIGKILL) in the middle.")
	command := d.child(ctx, "run", "demo.yaml", "--json-report", "report.json")
	if err := command.Start(); err != nil {
		return err
	}
	running, ended := context.WithCancel(ctx)
	defer ended()
	awaited := make(chan error, 1)
	go func() {
		epoch, err := engine.AwaitEpoch(running, "demo", demoEpoch)
		d.result.KilledAt = epoch
		awaited <- errors.Join(err, ignoreFinished(command.Process.Kill()))
	}()
	failed := command.Wait()
	ended()
	if err := <-awaited; err != nil {
		return err
	}
	if failed == nil {
		d.result.KilledAt = 0
		d.say("\n   It was done before it could be killed: this machine is fast.")
		return nil
	}
	if status, ok := command.ProcessState.Sys().(syscall.WaitStatus); !ok || !status.Signaled() {
		return failed
	}
	return d.afterKill(ctx)
}

func ignoreFinished(err error) error {
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// afterKill tells what an observer sees while the workflow lies dead.
func (d *demo) afterKill(ctx context.Context) error {
	d.say("\n   Killed after checkpoint %d. A reader of the table sees whole checkpoints only:",
		d.result.KilledAt)
	rows, err := d.ask(ctx, "trades.db", "select count(*) as n from trades")
	if err != nil {
		return err
	}
	file := "is there"
	if _, err := os.Stat(d.path("trades.parquet")); err != nil {
		file = "is not there before it is complete"
	}
	d.say("   %s trades; the Parquet file %s.", thousands(rows[1][0]), file)
	return nil
}

// resume runs the workflow again and reads its report.
func (d *demo) resume(ctx context.Context) error {
	if d.result.KilledAt == 0 {
		d.say("\n4. What it did.")
	} else {
		d.say("\n4. Run it again: it goes on behind the last checkpoint.")
		command := d.child(ctx, "run", "demo.yaml", "--json-report", "report.json")
		if err := command.Run(); err != nil {
			return err
		}
	}
	data, err := os.ReadFile(d.path("report.json"))
	if err != nil {
		return err
	}
	var report run.Report
	if err := json.Unmarshal(data, &report); err != nil {
		return err
	}
	if d.result.DeadLetters, err = app.DeadReasons(d.path("rejected")); err != nil {
		return err
	}
	d.result.RowsIn = report.RowsIn
	dead := int64(0)
	d.say("\n   %12s rows read", count(report.RowsIn))
	reasons := make([]string, 0, len(d.result.DeadLetters))
	for reason := range d.result.DeadLetters {
		reasons = append(reasons, reason)
	}
	slices.Sort(reasons)
	for _, reason := range reasons {
		n := d.result.DeadLetters[reason]
		dead += n
		d.say("   %12s dead letters, rule broken: %s", count(-n), reason)
	}
	d.result.RowsOut = report.RowsIn - dead
	if dead != report.DeadLetters {
		return fmt.Errorf("%d dead letters are in the files, %d in the report", dead, report.DeadLetters)
	}
	d.say("   %12s rows must be in the file, and as many in the table", count(d.result.RowsOut))
	return nil
}

// compare puts the file beside the table in the database, and has it compare the two row by row.
func (d *demo) compare(ctx context.Context) error {
	d.say("\n5. Prove it: the file becomes a second table, and the database compares the two.")
	command := d.child(ctx, "copy", "trades.parquet", "trades.db?table=lake", "--quiet")
	if err := command.Run(); err != nil {
		return err
	}
	got, err := d.ask(ctx, "trades.db", `select (select count(*) from trades) as desk,
       (select count(*) from lake) as lake,
       (select count(distinct id) from trades) as ids,
       (select count(*) from (select * from trades except select * from lake)) as different`)
	if err != nil {
		return err
	}
	want := strconv.FormatInt(d.result.RowsOut, 10)
	if !slices.Equal(got[1], []string{want, want, want, "0"}) {
		return fmt.Errorf("%v are %v, want %s, %s, %s, 0", got[0], got[1], want, want, want)
	}
	d.say("   %s in the table, %s in the file, %s distinct ids, %s rows differ: exact.",
		thousands(got[1][0]), thousands(got[1][1]), thousands(got[1][2]), got[1][3])
	return nil
}

// query shows the result.
func (d *demo) query(ctx context.Context) error {
	d.say("\n6. Query it.")
	return d.show(ctx, "trades.db", `select symbol, count(*) as trades, sum(quantity) as quantity,
       round(sum(notional) / sum(quantity), 2) as average_price
       from trades group by symbol order by symbol`)
}

// show prints the answer of a query as a table.
func (d *demo) show(ctx context.Context, db, query string) error {
	rows, err := d.ask(ctx, db, query)
	if err != nil {
		return err
	}
	d.say("")
	table := tabwriter.NewWriter(d.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, row := range rows {
		for i := range row {
			row[i] = thousands(row[i])
		}
		fmt.Fprintf(table, "   %s\t\n", strings.Join(row, "\t"))
	}
	return table.Flush()
}

// ask queries a database through the sqlite connector and returns header and rows.
func (d *demo) ask(ctx context.Context, db, query string) ([][]string, error) {
	command := d.child(ctx, "copy", db+"?query="+query, "stdio:csv", "--quiet")
	var out bytes.Buffer
	command.Stdout = &out
	if err := command.Run(); err != nil {
		return nil, err
	}
	rows, err := csv.NewReader(&out).ReadAll()
	if err == nil && len(rows) < 2 {
		err = fmt.Errorf("query %q gave no row", query)
	}
	return rows, err
}

// thousands groups the digits of a whole number and leaves other text alone.
func thousands(text string) string {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return count(n)
	}
	return text
}

func (d *demo) end(keep string) {
	d.say("\nDone in %.1f s, all checks passed.", d.result.Seconds)
	if keep == "" {
		d.say("The folder is deleted; `tapeline demo --keep DIR` leaves the files. Next: tapeline new > flow.yaml")
		return
	}
	d.say("The files are in %s. Next: tapeline new > flow.yaml", d.dir)
}
