package tapeline_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// writeFlow makes a file of orders that meet each other, and some that nobody can take.
func writeFlow(t *testing.T, seed uint64, lines int) string {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, 3))
	var b bytes.Buffer
	for i := range lines {
		id := 1 + random.IntN(i+1)
		switch random.IntN(10) {
		case 0:
			fmt.Fprintf(&b, `{"op":"cancel","id":%d}`, id)
		case 1:
			fmt.Fprintf(&b, `{"op":"replace","id":%d,"price":"%d.%02d","qty":"%d"}`, id, 99+random.IntN(3),
				random.IntN(100), 1+random.IntN(50))
		case 2:
			fmt.Fprintf(&b, `{"op":"new","id":%d,"symbol":"S%d","side":"buy","price":"1.005","qty":"1"}`, i+1, random.IntN(9))
		default:
			side, tif := []string{"buy", "sell"}[random.IntN(2)], []string{"gtc", "gtc", "gtc", "ioc", "fok"}[random.IntN(5)]
			fmt.Fprintf(&b, `{"op":"new","id":%d,"symbol":"S%d","account":"a%d","side":%q,"type":"limit","tif":%q,`+
				`"price":"%d.%02d","qty":"%d"}`, i+1, random.IntN(9), random.IntN(50), side, tif, 99+random.IntN(3),
				random.IntN(100), 1+random.IntN(90))
		}
		b.WriteByte('\n')
	}
	name := filepath.Join(t.TempDir(), "flow.ndjson")
	if err := os.WriteFile(name, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestKillReplay kills a venue in the middle of a flow, over and over: what it had reported is what it reports
// in the end, its log holds at least that, and the rest follows as if nothing had happened.
func TestKillReplay(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	flow, dir := writeFlow(t, seed, 5_000), t.TempDir()
	venue, reports := filepath.Join(dir, "venue"), filepath.Join(dir, "reports.ndjson")
	c := &child{t: t, args: []string{"exchange", "replay", flow, "--data", venue, "--reports", reports, "--group", "8"}}
	recovered := &child{t: t, args: []string{"exchange", "recover", "--data", venue, "--json"}}
	read := func() string {
		text, err := os.ReadFile(reports)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		return string(text)
	}
	whole := c.finish()
	want := read()
	if n := strings.Count(want, `"kind":"trade"`); n < 200 || !strings.Contains(want, `"reason":"bad_price"`) {
		t.Fatalf("only %d trades, or no price off its steps", n)
	}
	points, killed, begun := crashPoints(), 0, 0
	if os.Getenv("TAPELINE_SOAK") == "1" {
		points = 200
	}
	for round := 0; killed < points; round++ {
		if round > 20*points {
			t.Fatalf("only %d of %d kills hit a running process", killed, points)
		}
		if err := errors.Join(os.RemoveAll(venue), os.RemoveAll(reports)); err != nil {
			t.Fatal(err)
		}
		for c.killAfter(time.Duration(random.Int64N(int64(whole)))) {
			killed++
			got := read()
			if !strings.HasPrefix(want, got) {
				t.Fatalf("kill %d: what was reported is not what a venue reports that nobody killed", killed)
			}
			if last := lastSequence(t, got); last > 0 {
				begun++
				command, output := recovered.command()
				var problems bytes.Buffer
				command.Stderr = &problems
				if err := command.Run(); err != nil {
					t.Fatalf("kill %d: recover: %v\n%s", killed, err, &problems)
				}
				var state struct {
					Last uint64   `json:"last"`
					Lost []uint64 `json:"lost"`
				}
				if err := json.Unmarshal(output.Bytes(), &state); err != nil || state.Last < last || len(state.Lost) > 0 {
					t.Fatalf("kill %d: sequence %d was reported, recovered is %s", killed, last, output)
				}
			}
			if random.IntN(3) == 0 {
				break
			}
		}
		c.finish()
		if read() != want {
			t.Fatalf("after %d kills the reports are others than undisturbed", killed)
		}
	}
	t.Logf("%d kills, %d of them after something was reported", killed, begun)
	if begun == 0 {
		t.Error("nothing was ever reported before a kill")
	}
}

// TestInterruptReplay: an interrupt ends a replay behind what is durable, and the same replay goes on.
func TestInterruptReplay(t *testing.T) {
	flow, dir := writeFlow(t, 1, 20_000), t.TempDir()
	venue, reports := filepath.Join(dir, "venue"), filepath.Join(dir, "reports.ndjson")
	c := &child{t: t, args: []string{"exchange", "replay", flow, "--data", venue, "--reports", reports, "--group", "1"}}
	command, output := c.command()
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	for { // until something was reported
		if info, err := os.Stat(reports); err == nil && info.Size() > 0 {
			break
		}
		if err := syscall.Kill(command.Process.Pid, 0); err != nil {
			t.Fatalf("%v\n%s", err, output)
		}
		runtime.Gosched()
	}
	if err := command.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := command.Wait(); command.ProcessState.ExitCode() != 130 ||
		!strings.Contains(output.String(), "interrupted; the same replay goes on where the log ends") {
		t.Fatalf("%v\n%s", err, output)
	}
	c.finish("--group", "256")
	got, err := os.ReadFile(reports)
	if err != nil {
		t.Fatal(err)
	}
	c.args[4] = filepath.Join(dir, "undisturbed")
	c.finish("--group", "256")
	if want, err := os.ReadFile(reports); err != nil || string(got) != string(want) {
		t.Errorf("reports differ from those of a replay that nobody interrupted: %v", err)
	}
}

// lastSequence returns the largest sequence in reports whose last line may be cut.
func lastSequence(t *testing.T, reports string) (last uint64) {
	t.Helper()
	for line := range strings.Lines(reports) {
		var report struct {
			Seq uint64 `json:"seq"`
		}
		if strings.HasSuffix(line, "\n") {
			if err := json.Unmarshal([]byte(line), &report); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			last = max(last, report.Seq)
		}
	}
	return last
}
