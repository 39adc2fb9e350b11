package tapeline_test

import (
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/tapeline/tapeline/internal/app"
	"github.com/tapeline/tapeline/internal/ingest"
	"github.com/tapeline/tapeline/internal/sim"
	"github.com/tapeline/tapeline/internal/store"
	"github.com/tapeline/tapeline/internal/testenv"
)

// TestSyncDiskFull: a sync that finds no room says so and what to do; with room again the next one goes on,
// and the store is as if there always had been some.
func TestSyncDiskFull(t *testing.T) {
	if _, err := exec.LookPath("sh"); err != nil {
		testenv.Skip(t, "there is no shell to limit the size of files with")
	}
	m, err := sim.Synthetic(11, 120, sim.DateOf(2021, 1, 1), sim.DateOf(2022, 12, 31))
	if err != nil {
		t.Fatal(err)
	}
	server, err := sim.Start(t.Context(), "127.0.0.1:0", sim.Config{Market: m})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	k := &killedSync{child: &child{t: t, env: []string{"TAPELINE_SYNC_COMMIT_INTERVAL_MS=60000"}}}
	k.asks("--endpoint", server.Address())
	k.finish()
	want := k.digest()
	k.fresh()
	// 512 blocks of 512 or 1024 bytes hold no file of the store with all bars; the signal must not end the
	// process.
	command := exec.Command("sh", append([]string{"-c", `trap "" XFSZ; ulimit -f 512; exec "$0" "$@"`, os.Args[0]}, k.args...)...)
	command.Env = append(append(os.Environ(), "TAPELINE_CHILD=1"), k.env...)
	output, err := command.CombinedOutput()
	if code := command.ProcessState.ExitCode(); code != 1 {
		t.Fatalf("exit code %d, want 1: %v\n%s", code, err, output)
	}
	wantAll(t, string(output), "is the disk full? nothing is lost: free space and run again")
	k.finish()
	if got := k.digest(); got != want {
		t.Errorf("with room again the store is\n%swant\n%s", got, want)
	}
}

// TestSyncSecondProcess: while one process writes a store, the sync of another is refused by the first one's
// name, asks for nothing and changes nothing; reading goes on.
func TestSyncSecondProcess(t *testing.T) {
	k := newKilledSync(t)
	k.finish()
	want := k.digest()
	st, err := store.Open(k.store, store.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	w, err := st.Lock(t.Context(), "tapeline sync baostock")
	if err != nil {
		t.Fatal(err)
	}
	k.asked.Store(0)
	got := tapelineIn(t, t.TempDir(), k.env, k.args...)
	if got.code != 1 {
		t.Errorf("exit code %d, want 1\n%s", got.code, got.all())
	}
	wantAll(t, got.errors, "is being written by tapeline sync baostock (process "+strconv.Itoa(os.Getpid())+" on ",
		"wait until it ends, or stop that process")
	if after := k.digest(); after != want || k.asked.Load() != 0 {
		t.Errorf("%d requests while the store was locked, and it is\n%swant\n%s", k.asked.Load(), after, want)
	}
	if err := w.Unlock(); err != nil {
		t.Fatal(err)
	}
	k.finishPlanned()
}

// TestSyncClockSetBack: a clock that stands before days of which the store was kept is told of, and takes
// nothing away from the store.
func TestSyncClockSetBack(t *testing.T) {
	k := newKilledSync(t)
	parts, err := app.NewParts()
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	engine, err := app.OpenEngine(parts, t.TempDir(), log)
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	ahead := time.Now().AddDate(0, 0, 100)
	engine.Now = func() time.Time { return ahead }
	config := ingest.Defaults()
	config.Sync.Endpoint, config.Sync.Store = k.endpoint, k.store
	config.Sync.From, config.Sync.To = "2021-01-01", "2022-12-31"
	if report, err := engine.Sync(t.Context(), config, log, nil); err != nil || report.Status != ingest.StatusComplete {
		t.Fatal(err, report)
	}
	want := k.digest()
	k.asked.Store(0)
	args := append([]string{}, k.args...)
	for i, arg := range args {
		if arg == "--quiet" {
			args[i] = "--verbose"
		}
	}
	got := tapelineIn(t, t.TempDir(), k.env, args...)
	if got.code != 0 {
		t.Errorf("exit code %d, want 0\n%s", got.code, got.all())
	}
	const layout = "2006-01-02"
	wantAll(t, got.errors, "the clock says ", "the list of instruments was fetched on "+ahead.In(time.FixedZone("CST", 8*3600)).Format(layout)+" already",
		"set the clock right")
	if after := k.digest(); after != want || k.asked.Load() != 0 {
		t.Errorf("%d requests under the clock set back, and the store is\n%swant\n%s", k.asked.Load(), after, want)
	}
}
