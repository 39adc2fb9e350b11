package tapeline_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tapeline/tapeline/internal/ingest"
	"github.com/tapeline/tapeline/internal/sim"
)

// killedSync is the real binary syncing from a simulated provider that counts what it is asked.
type killedSync struct {
	*child

	store    string
	endpoint string
	asked    atomic.Int64 // requests for bars and factors
}

func newKilledSync(t *testing.T) *killedSync {
	t.Helper()
	m, err := sim.Synthetic(11, 40, sim.DateOf(2021, 1, 1), sim.DateOf(2022, 12, 31))
	if err != nil {
		t.Fatal(err)
	}
	k := &killedSync{}
	server, err := sim.Start(t.Context(), "127.0.0.1:0", sim.Config{
		Market: m, RTT: 5 * time.Millisecond,
		OnRequest: func(r sim.Request) {
			if r.Type == "95" || r.Type == "15" {
				k.asked.Add(1)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	k.endpoint = server.Address()
	k.child = &child{t: t, env: []string{"TAPELINE_SYNC_COMMIT_INTERVAL_MS=50"}}
	k.asks("--endpoint", k.endpoint)
	return k
}

// asks makes the child a sync of an empty store.
func (k *killedSync) asks(provider ...string) {
	k.args = append(append([]string{"sync"}, provider...), "--from", "2021-01-01", "--to", "2022-12-31", "--quiet",
		"--state", k.t.TempDir(), "--store", "")
	k.fresh()
}

// fresh gives the sync an empty store.
func (k *killedSync) fresh() {
	k.store = filepath.Join(k.t.TempDir(), "store")
	k.args[len(k.args)-1] = k.store
}

// planned returns how many requests for data the plan says are left; -1 while it cannot know.
func (k *killedSync) planned() int64 {
	k.t.Helper()
	command, output := k.command()
	command.Args = append(command.Args, "--plan", "--json")
	command.Stdout = nil
	text, err := command.Output()
	if err != nil {
		k.t.Fatalf("plan: %v\n%s", err, output)
	}
	var p ingest.Preview
	if err := json.Unmarshal(text, &p); err != nil {
		k.t.Fatal(err)
	}
	if len(p.Reference) > 0 {
		return -1
	}
	return int64(len(p.Units))
}

// digest is all that the store holds, as the vendor sees it.
func (k *killedSync) digest() string {
	k.t.Helper()
	var digest strings.Builder
	for _, dataset := range []string{"bar_1d", "adj_factor", "calendar", "instrument"} {
		out := filepath.Join(k.t.TempDir(), dataset+".csv")
		export := &child{t: k.t, args: []string{
			"export", "--store", k.store, "--dataset", dataset, "--out", out, "--quiet", "--state", k.t.TempDir(),
		}}
		export.finish()
		fmt.Fprintf(&digest, "%s: %s\n", dataset, fileDigest(k.t, out))
	}
	return digest.String()
}

// finishPlanned ends the sync and checks that it asks what the plan says, and nothing that is covered.
func (k *killedSync) finishPlanned() {
	k.t.Helper()
	planned := k.planned()
	k.asked.Store(0)
	k.finish()
	if asked := k.asked.Load(); planned >= 0 && asked != planned {
		k.t.Fatalf("%d requests for data, the plan had %d", asked, planned)
	}
}

// TestKillSync kills a sync over and over: the store ends as if nobody had, and what was committed is
// not asked for again.
func TestKillSync(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	k := newKilledSync(t)
	whole := k.finish()
	want := k.digest()
	all := k.asked.Load()
	if k.finishPlanned(); k.asked.Load() != 0 {
		t.Fatalf("a sync of a complete store asks for data %d times", k.asked.Load())
	}
	killed, saved := 0, 0
	for round := 0; killed < crashPoints(); round++ {
		if round > 20*crashPoints() {
			t.Fatalf("only %d of %d kills hit a running process", killed, crashPoints())
		}
		k.fresh()
		for k.killAfter(time.Duration(random.Int64N(int64(whole)))) {
			killed++
			if random.IntN(3) == 0 {
				break
			}
		}
		if _, err := os.Stat(k.store); err == nil {
			if left := k.planned(); left >= 0 && left < all {
				saved++
			}
		}
		k.finishPlanned()
		if got := k.digest(); got != want {
			t.Fatalf("after %d kills the store is\n%swant\n%s", killed, got, want)
		}
	}
	t.Logf("%d kills, each to the undisturbed store; in %d rounds the last sync had less to ask", killed, saved)
	if saved == 0 {
		t.Error("no round had committed anything before its kills")
	}
}

// TestKillSyncByDate kills a sync that asks for whole days: the store ends as if nobody had.
func TestKillSyncByDate(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	m, err := sim.Synthetic(11, 40, sim.DateOf(2021, 1, 1), sim.DateOf(2022, 12, 31))
	if err != nil {
		t.Fatal(err)
	}
	k := &killedSync{child: &child{t: t, env: []string{
		"TAPELINE_SYNC_COMMIT_INTERVAL_MS=50", "TAPELINE_SYNC_ROUTE=date",
	}}}
	server, err := sim.StartTushare(t.Context(), "127.0.0.1:0", m, sim.WebConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	k.asks("--provider", "tushare", "--endpoint", server.Address())
	whole := k.finish()
	want := k.digest()
	points, killed := 1+crashPoints()/10, 0
	for round := 0; killed < points; round++ {
		if round > 20*points {
			t.Fatalf("only %d of %d kills hit a running process", killed, points)
		}
		k.fresh()
		for k.killAfter(time.Duration(random.Int64N(int64(whole)))) {
			if killed++; random.IntN(3) == 0 {
				break
			}
		}
		k.finish()
		if got := k.digest(); got != want {
			t.Fatalf("after %d kills the store is\n%swant\n%s", killed, got, want)
		}
	}
}

// An interrupt commits what was fetched, ends with 130, and the next sync goes on there.
func TestInterruptSync(t *testing.T) {
	k := newKilledSync(t)
	k.finish()
	want, all := k.digest(), k.asked.Swap(0)
	k.fresh()
	command, output := k.command()
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	for until := time.Now().Add(time.Minute); k.asked.Load() < 20; <-time.After(time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("no 20 requests within a minute\n%s", output)
		}
	}
	if err := command.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	_ = command.Wait()
	if code := command.ProcessState.ExitCode(); code != 130 {
		t.Fatalf("exit code %d, want 130\n%s", code, output)
	}
	wantAll(t, output.String(), "stopping: committing what was read", "the next sync goes on at the first missing interval")
	if left := k.planned(); left <= 0 || left >= all {
		t.Errorf("%d requests are left after an interrupt in the middle", left)
	}
	k.finishPlanned()
	if got := k.digest(); got != want {
		t.Errorf("after an interrupt the store is\n%swant\n%s", got, want)
	}
}
