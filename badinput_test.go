package tapeline_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tapeline/tapeline/internal/app"
	"github.com/tapeline/tapeline/internal/testenv"
)

// wantAll fails the test for every part that the text lacks.
func wantAll(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q is missing in:\n%s", part, text)
		}
	}
}

// wantNoFile fails the test when the output of a refused or failed run is there.
func wantNoFile(t *testing.T, name string) {
	t.Helper()
	if _, err := os.Stat(name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is there (%v), want nothing before a run completes", name, err)
	}
}

// A document that cannot run is refused at once, with the place of every problem and its remedy.
func TestDocumentRefused(t *testing.T) {
	const source = "name: refused\nsources:\n  in: {type: csv, config: {path: in.csv}}\n"
	const sink = "destinations:\n  out: {type: csv, inputs: [in], config: {path: out.csv}}\n"
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{
			"unknown key",
			"name: refused\nsources:\n  in: {type: csv, config: {path: in.csv, delimitr: ';'}}\n" + sink,
			[]string{`flow.yaml:3:42`, `sources.in.config.delimitr`, `did you mean delimiter?`},
		},
		{
			"unknown type",
			source + "destinations:\n  out: {type: cvs, inputs: [in], config: {path: out.csv}}\n",
			[]string{`flow.yaml:5:15`, `"cvs"`, `did you mean csv?`},
		},
		{
			"cycle",
			source + "transformations:\n" +
				"  a: {type: filter, inputs: [b], config: {condition: id > 0}}\n" +
				"  b: {type: filter, inputs: [a], config: {condition: id > 0}}\n" +
				"destinations:\n  out: {type: csv, inputs: [b], config: {path: out.csv}}\n",
			[]string{`flow.yaml:6:30`, `cycle: a -> b -> a`},
		},
		{
			"dangling input",
			source + "destinations:\n  out: {type: csv, inputs: [inn], config: {path: out.csv}}\n",
			[]string{`flow.yaml:5:29`, `no node has the id "inn"`, `did you mean in?`},
		},
		{
			"key twice",
			"name: refused\nsources:\n  in: {type: csv, config: {path: in.csv}}\n" +
				"  in: {type: csv, config: {path: other.csv}}\n" + sink,
			[]string{`flow.yaml:4:3`, `written twice`, `line 3`},
		},
		{
			"id twice",
			source + "destinations:\n  in: {type: csv, inputs: [in], config: {path: out.csv}}\n",
			[]string{`flow.yaml:5:3`, `id in is already a source`},
		},
		{
			"variable not set",
			"name: refused\nsources:\n  in: {type: csv, config: {path: \"${TAPELINE_NO_SUCH}\"}}\n" + sink,
			[]string{`flow.yaml:3:35`, `TAPELINE_NO_SUCH is not set`, `${TAPELINE_NO_SUCH:-value}`},
		},
		{
			"expression",
			source + "transformations:\n  some: {type: filter, inputs: [in], config: {condition: \"id >\"}}\n" +
				"destinations:\n  out: {type: csv, inputs: [some], config: {path: out.csv}}\n",
			[]string{`flow.yaml:5:`, `transformations.some.config.condition`, `^`},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			writeFile(t, filepath.Join(dir, "in.csv"), "id\n1\n")
			writeFile(t, filepath.Join(dir, "flow.yaml"), c.text)
			for _, verb := range []string{"lint", "run"} {
				got := tapelineIn(t, dir, nil, verb, "flow.yaml")
				// lint lets a variable be set later.
				if wantCode := 1; got.code != wantCode && (verb == "run" || c.name != "variable not set") {
					t.Errorf("%s: exit code %d, want %d", verb, got.code, wantCode)
				}
				wantAll(t, got.errors, c.want...)
			}
			wantNoFile(t, filepath.Join(dir, "out.csv"))
		})
	}
}

// A password never reaches the output, the report or the state folder, whatever goes wrong.
func TestSecretIsNotPrinted(t *testing.T) {
	const secret = "hunter2Secret"
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "in.csv"), "id\n1\n")
	const text = `name: secret
execution: {restart_strategy: {type: none}}
sources:
  in: {type: csv, config: {path: in.csv}}
destinations:
  out: {type: postgres, inputs: [in], config: {connection_string: %q, table: t}}
`
	writeFile(t, filepath.Join(dir, "variable.yaml"), fmt.Sprintf(text, "${DESK}"))
	printed := ""
	var printedSb127 strings.Builder
	for i, address := range []string{
		"postgres://me:" + secret + "@127.0.0.1:1/x",
		"postgres://me:" + secret + " @127.0.0.1:1/x",
		"postgres://me:" + secret + "@127.0.0.1:port/x",
		"host=127.0.0.1 port=1 user=me password=" + secret,
		"host=127.0.0.1 port=1 user=me password='" + secret + "' sslmode=nonsense",
	} {
		got := tapelineIn(t, dir, []string{"DESK=" + address}, "run", "variable.yaml", "--verbose",
			"--json", "--json-report", fmt.Sprintf("report%d.json", i))
		if got.code != 1 {
			t.Errorf("exit code %d, want 1\n%s", got.code, got.all())
		}
		printedSb127.WriteString(got.all())
	}
	printed += printedSb127.String()
	literal := fmt.Sprintf(text, "postgres://me:"+secret+"@127.0.0.1:1/x")
	writeFile(t, filepath.Join(dir, "literal.yaml"), literal)
	var printedSb143 strings.Builder
	for _, args := range [][]string{
		{"run", "literal.yaml", "--verbose"},
		{"lint", "literal.yaml"},
		{"explain", "literal.yaml"},
		{"explain", "literal.yaml", "--json"},
		{"history"},
		{"history", "--json"},
		{"lint", "literal.yaml", "--set", "destinations.out.config.tabel=x"},
		{"copy", "in.csv", "mysql:me:" + secret + "@tcp(127.0.0.1:1)/x?table=t", "--yaml"},
		{"copy", "in.csv", "mysq:me:" + secret + "@tcp(127.0.0.1:1)/x"},
		{"copy", "in.csv", "postgres:host=h password=" + secret, "--yaml"},
		{"diff", "in.csv", "postgres://me:" + secret + "@127.0.0.1:1/x?table=t"},
		{"copy", "in.csv", "postgrs://me:" + secret + "@127.0.0.1:1/x"},
		{"copy", "in.csv", "postgres://me:" + secret + "@127.0.0.1:1/x?nonsense=1"},
	} {
		printedSb143.WriteString(tapelineIn(t, dir, nil, args...).all())
	}
	printed += printedSb143.String()
	if at := strings.Index(printed, secret); at >= 0 {
		t.Errorf("the password is printed: ...%s", printed[max(0, at-200):at+len(secret)])
	}
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Base(name) == "literal.yaml" {
			return err
		}
		data, err := os.ReadFile(name)
		if bytes.Contains(data, []byte(secret)) {
			t.Errorf("the password is in %s", name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// numberedCSV writes a CSV file of n rows and returns its text.
func numberedCSV(t *testing.T, name string, n int) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("id,name\n")
	for i := range n {
		fmt.Fprintf(&b, "%d,name %d\n", i, i*7919%1_000_003)
	}
	writeFile(t, name, b.String())
	return b.String()
}

// pipe is a workflow of one source and one sink that does not restart.
func pipe(t *testing.T, dir, source, sink string) {
	t.Helper()
	writeFile(t, filepath.Join(dir, "flow.yaml"), fmt.Sprintf(`name: pipe
execution:
  checkpoint_interval: 20ms
  batch_size: 1000
  memory_limit: 1MB
  restart_strategy: {type: none}
sources:
  in: %s
destinations:
  out: %s
`, source, sink))
}

func TestTruncatedGzip(t *testing.T) {
	dir := t.TempDir()
	want := numberedCSV(t, filepath.Join(dir, "plain.csv"), 100_000)
	var b bytes.Buffer
	zip := gzip.NewWriter(&b)
	_, _ = zip.Write([]byte(want))
	_ = zip.Close()
	file := filepath.Join(dir, "in.csv.gz")
	writeFile(t, file, b.String()[:b.Len()/3])
	pipe(t, dir, "{type: csv, config: {path: in.csv.gz}}",
		"{type: csv, inputs: [in], config: {path: out.csv}}")
	got := tapelineIn(t, dir, nil, "run", "flow.yaml")
	if got.code != 1 {
		t.Errorf("exit code %d, want 1", got.code)
	}
	wantAll(t, got.errors, "in.csv.gz", "ends early", fmt.Sprintf("byte %d", b.Len()/3),
		"not written or copied completely")
	wantNoFile(t, filepath.Join(dir, "out.csv"))
	writeFile(t, file, b.String())
	mustRun(t, dir, nil, "run", "flow.yaml", "--fresh")
	if back, err := os.ReadFile(filepath.Join(dir, "out.csv")); err != nil || string(back) != want {
		t.Errorf("%d bytes after the file was replaced, want %d: %v", len(back), len(want), err)
	}
}

// A file that vanished between an interruption and the resumption fails the run by name, and the
// run completes when the file is back.
func TestVanishedFile(t *testing.T) {
	dir := t.TempDir()
	input := filepath.Join(dir, "in.csv")
	want := numberedCSV(t, input, 20_000)
	pipe(t, dir, "{type: csv, config: {path: in.csv}}",
		"{type: csv, inputs: [slow], config: {path: out.csv}}")
	slow := "transformations={slow: {type: rate_limit, inputs: [in], config: {rows_per_second: 10000}}}"
	c := &child{t: t, args: []string{"run", "flow.yaml", "--set", slow}}
	command, output := c.command()
	command.Dir = dir
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	awaitEpoch(t, filepath.Join(dir, ".tapeline"), "pipe")
	_ = command.Process.Kill()
	if err := command.Wait(); err == nil {
		t.Fatalf("the run was done before it could be killed\n%s", output)
	}
	if err := os.Rename(input, input+".away"); err != nil {
		t.Fatal(err)
	}
	got := tapelineIn(t, dir, nil, "run", "flow.yaml", "--set", slow)
	if got.code != 1 {
		t.Errorf("exit code %d, want 1\n%s", got.code, got.all())
	}
	wantAll(t, got.errors, "source in (csv)", "in.csv", "no such file")
	wantNoFile(t, filepath.Join(dir, "out.csv"))
	if err := os.Rename(input+".away", input); err != nil {
		t.Fatal(err)
	}
	mustRun(t, dir, nil, "run", "flow.yaml", "--set", slow, "--resume")
	if back, err := os.ReadFile(filepath.Join(dir, "out.csv")); err != nil || string(back) != want {
		t.Errorf("%d bytes after the file came back, want %d: %v", len(back), len(want), err)
	}
}

// awaitEpoch returns when a workflow that another process runs has committed a checkpoint.
func awaitEpoch(t *testing.T, state, workflow string) {
	t.Helper()
	parts, err := app.NewParts()
	if err != nil {
		t.Fatal(err)
	}
	engine, err := app.OpenEngine(parts, state, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if epoch, err := engine.AwaitEpoch(ctx, workflow, 1); epoch == 0 || err != nil {
		t.Fatalf("no checkpoint was committed in time: %v", err)
	}
}

// A write error in the middle fails the run by name; run again with room, nothing is lost or twice.
func TestDiskFull(t *testing.T) {
	if _, err := exec.LookPath("sh"); err != nil {
		testenv.Skip(t, "there is no shell to limit the size of files with")
	}
	for sink, config := range map[string]string{
		"csv": "{path: out.csv}", "json": "{path: out.ndjson}", "parquet": "{path: out.parquet}",
		"sqlite": "{path: out.db, table: t}",
	} {
		t.Run(sink, func(t *testing.T) {
			dir := t.TempDir()
			want := numberedCSV(t, filepath.Join(dir, "in.csv"), 200_000)
			pipe(t, dir, "{type: csv, config: {path: in.csv}}",
				fmt.Sprintf("{type: %s, inputs: [in], config: %s}", sink, config))
			// 512 blocks of 512 or 1024 bytes; the signal must not end the process. The limit holds for
			// the catalog too, and few checkpoints keep that below it however slow the machine is.
			command := exec.Command("sh", "-c",
				`trap "" XFSZ; ulimit -f 512; exec "$0" run flow.yaml --set execution.checkpoint_interval=5s`,
				os.Args[0])
			command.Dir, command.Env = dir, append(os.Environ(), "TAPELINE_CHILD=1")
			output, err := command.CombinedOutput()
			if code := command.ProcessState.ExitCode(); code != 1 {
				t.Fatalf("exit code %d, want 1: %v\n%s", code, err, output)
			}
			wantAll(t, string(output), "destination out ("+sink+")")
			mustRun(t, dir, nil, "run", "flow.yaml")
			back := mustRun(t, dir, nil, "copy", map[string]string{
				"csv": "out.csv", "json": "out.ndjson", "parquet": "out.parquet", "sqlite": "out.db?table=t",
			}[sink], "stdio:csv", "--quiet")
			if back.out != want {
				t.Errorf("%d bytes after the disk had room, want %d", len(back.out), len(want))
			}
		})
	}
}

// An output folder without permission is named; as root the child gives its rights up.
func TestPermissionDenied(t *testing.T) {
	dir, err := os.MkdirTemp("", "tapeline-permission")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	closed := filepath.Join(dir, "closed")
	for _, err := range []error{
		os.Mkdir(closed, 0o755), os.Chmod(dir, 0o777), os.Chmod(closed, 0o555),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	writeFile(t, filepath.Join(dir, "in.csv"), "id\n1\n")
	pipe(t, dir, "{type: csv, config: {path: in.csv}}",
		"{type: csv, inputs: [in], config: {path: closed/out.csv}}")
	command := exec.Command(os.Args[0], "run", "flow.yaml")
	command.Dir, command.Env = dir, append(os.Environ(), "TAPELINE_CHILD=1")
	if os.Getuid() == 0 {
		command.Path = filepath.Join(dir, "tapeline")
		withoutRoot(t, command)
	}
	output, err := command.CombinedOutput()
	if code := command.ProcessState.ExitCode(); code != 1 {
		t.Fatalf("exit code %d, want 1: %v\n%s", code, err, output)
	}
	wantAll(t, string(output), "destination out (csv)", "closed", "permission denied")
}

// withoutRoot makes the command run a copy of the test binary as a user without rights.
func withoutRoot(t *testing.T, command *exec.Cmd) {
	t.Helper()
	program, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(command.Path, program, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"flow.yaml", "in.csv"} {
		if err := os.Chmod(filepath.Join(command.Dir, name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const nobody = 65534
	command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
}

// dead reads the dead letters of the only run in a state folder.
func dead(t *testing.T, dir string) []deadLetter {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, ".tapeline", "state", "*", "dead", "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	var all []deadLetter
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(data)) {
			var d deadLetter
			if err := json.Unmarshal([]byte(line), &d); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			all = append(all, d)
		}
	}
	return all
}

// deadLetter is one line of the default dead letters.
type deadLetter struct {
	Node, Reason, Column, Origin, Text string
	Line                               int
}

// Ragged rows are dead letters with file and line, the others arrive, and the exit code says that
// the result is partial.
func TestRaggedRows(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "in.csv"), "id,name\n1,a\n2,b,c\n3\n4,d\n")
	pipe(t, dir, "{type: csv, config: {path: in.csv}}",
		"{type: csv, inputs: [in], config: {path: out.csv}}")
	got := tapelineIn(t, dir, nil, "run", "flow.yaml")
	if got.code != 3 {
		t.Errorf("exit code %d, want 3", got.code)
	}
	wantAll(t, got.errors, "2 rows", "tapeline dead", "on_error")
	back, err := os.ReadFile(filepath.Join(dir, "out.csv"))
	if want := "id,name\n1,a\n4,d\n"; err != nil || string(back) != want {
		t.Errorf("out.csv is %q, want %q: %v", back, want, err)
	}
	letters := dead(t, dir)
	if len(letters) != 2 {
		t.Fatalf("%d dead letters, want 2: %+v", len(letters), letters)
	}
	for i, want := range []deadLetter{{Line: 3, Text: "2,b,c"}, {Line: 4, Text: "3"}} {
		if d := letters[i]; d.Line != want.Line || d.Text != want.Text || d.Node != "in" ||
			filepath.Base(d.Origin) != "in.csv" || !strings.Contains(d.Reason, "want 2") {
			t.Errorf("dead letter %d is %+v, want line %d of in.csv, %q", i, d, want.Line, want.Text)
		}
	}
	for setting, want := range map[string]int{"dead_letter": 0, "drop": 0, "fail": 1} {
		got := tapelineIn(t, dir, nil, "run", "flow.yaml", "--fresh", "--set",
			"sources.in.on_error="+setting)
		if got.code != want {
			t.Errorf("on_error: %s: exit code %d, want %d\n%s", setting, got.code, want, got.errors)
		}
		if setting == "fail" {
			wantAll(t, got.errors, "source in (csv)", "in.csv:3", "3 cells, want 2", "on_error: dead_letter")
		}
	}
}

// The second file of a glob has other types: rows that do not fit are dead letters with their file
// and line where the type is needed; text that nobody reads as a number passes.
func TestTypeChangeBetweenFiles(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "part-1.csv"), "id,price\n1,10\n2,20\n")
	writeFile(t, filepath.Join(dir, "part-2.csv"), "id,price\n3,abc\n4,40\n")
	source := `{type: csv, config: {path: "part-*.csv"}}`
	pipe(t, dir, source, "{type: csv, inputs: [in], config: {path: out.csv}}")
	mustRun(t, dir, nil, "run", "flow.yaml")
	if got, want := lineCount(t, filepath.Join(dir, "out.csv")), 5; got != want {
		t.Errorf("%d lines, want %d", got, want)
	}
	pipe(t, dir, source, "{type: parquet, inputs: [in], config: {path: out.parquet}}")
	got := tapelineIn(t, dir, nil, "run", "flow.yaml", "--fresh")
	if got.code != 3 {
		t.Errorf("exit code %d, want 3\n%s", got.code, got.all())
	}
	back := mustRun(t, dir, nil, "copy", "out.parquet", "stdio:csv", "--quiet")
	if want := "id,price\n1,10\n2,20\n4,40\n"; back.out != want {
		t.Errorf("out.parquet holds %q, want %q", back.out, want)
	}
	letters := dead(t, dir)
	if len(letters) != 1 {
		t.Fatalf("%d dead letters, want 1: %+v", len(letters), letters)
	}
	if d := letters[0]; filepath.Base(d.Origin) != "part-2.csv" || d.Line != 2 || d.Column != "price" ||
		!strings.Contains(d.Reason, "abc") {
		t.Errorf("dead letter %+v, want column price of part-2.csv:2 and its text abc", d)
	}
}

// A record longer than max_record_bytes fails the run with its place and the remedy, in little
// memory, whatever its length.
func TestLongLine(t *testing.T) {
	size := 16 << 20
	if os.Getenv("TAPELINE_SOAK") == "1" {
		size = 1 << 30
	}
	for kind, text := range map[string][3]string{
		"csv":   {"id,name\n1,a\n2,", "\n3,c\n", "line 3"},
		"json":  {`{"id":1,"name":"a"}` + "\n" + `{"id":2,"name":"`, `"}` + "\n", "line 2"},
		"lines": {"a\n", "\nb\n", "line 2"},
	} {
		t.Run(kind, func(t *testing.T) {
			dir := t.TempDir()
			writeLong(t, filepath.Join(dir, "in"), text[0], size, text[1])
			pipe(t, dir, fmt.Sprintf("{type: %s, config: {path: in, max_record_bytes: 65536}}", kind),
				fmt.Sprintf("{type: %s, inputs: [in], config: {path: out}}", kind))
			command := exec.Command(os.Args[0], "run", "flow.yaml")
			command.Dir, command.Env = dir, append(os.Environ(), "TAPELINE_CHILD=1")
			output, peak, err := runMeasured(t, command)
			if code := command.ProcessState.ExitCode(); code != 1 {
				t.Fatalf("exit code %d, want 1: %v\n%s", code, err, output)
			}
			wantAll(t, output, "source in ("+kind+")", text[2], "65536 bytes", "max_record_bytes")
			wantNoFile(t, filepath.Join(dir, "out"))
			if peak > 200<<20 {
				t.Errorf("peak memory %d bytes on a line of %d, want at most 200 MiB", peak, size)
			}
		})
	}
}

// writeLong writes head, size bytes of one letter, and tail.
func writeLong(t *testing.T, name, head string, size int, tail string) {
	t.Helper()
	file, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	block := bytes.Repeat([]byte("x"), 1<<20)
	_, err = file.WriteString(head)
	for done := 0; done < size && err == nil; done += len(block) {
		_, err = file.Write(block)
	}
	if err == nil {
		_, err = file.WriteString(tail)
	}
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
}

// runMeasured runs a command to its end and returns what it printed and its peak resident memory.
// The kernel's figure in the exit status would include the parent's memory at the fork.
func runMeasured(t *testing.T, command *exec.Cmd) (output string, peakBytes int64, err error) {
	t.Helper()
	var b bytes.Buffer
	command.Stdout, command.Stderr = &b, &b
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	status := fmt.Sprintf("/proc/%d/status", command.Process.Pid)
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case err := <-ended:
			return b.String(), peakBytes, err
		case <-ticker.C:
			data, _ := os.ReadFile(status) // gone when the child has just ended
			_, after, _ := strings.Cut(string(data), "VmHWM:")
			var kib int64
			if _, err := fmt.Sscan(after, &kib); err == nil {
				peakBytes = max(peakBytes, kib<<10)
			}
		}
	}
}
