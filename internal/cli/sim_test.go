package cli

import (
	"bufio"
	"bytes"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/testscript"
)

// simProcess is the provider that a script has started, kept under the key of its zero value.
type simProcess struct {
	command *exec.Cmd
	out     *bufio.Reader
}

// setUp gives every script a place for its provider.
func setUp(env *testscript.Env) error {
	env.Values[simProcess{}] = &simProcess{}
	return nil
}

// startSim [VENDOR] ARG... starts tapeline sim, of baostock by default, on a free port and sets $SIM to its
// address.
func startSim(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("usage: sim [VENDOR] ARG...")
	}
	program, err := exec.LookPath("tapeline")
	ts.Check(err)
	p := ts.Value(simProcess{}).(*simProcess)
	vendor := "baostock"
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		vendor, args = args[0], args[1:]
	}
	p.command = exec.Command(program, append([]string{"sim", vendor, "--listen", "127.0.0.1:0"}, args...)...)
	p.command.Dir, p.command.Stderr = ts.Getenv("WORK"), os.Stderr
	p.command.Env = append(os.Environ(), "HOME="+ts.Getenv("HOME"))
	pipe, err := p.command.StdoutPipe()
	ts.Check(err)
	ts.Check(p.command.Start())
	process := p.command.Process // a script may start another
	ts.Defer(func() { _ = process.Kill() })
	p.out = bufio.NewReader(pipe)
	line, err := p.out.ReadString('\n')
	if err != nil {
		ts.Fatalf("sim ended: %v", p.command.Wait())
	}
	ts.Setenv("SIM", strings.TrimSpace(line))
	ts.Setenv("SIM_PID", strconv.Itoa(p.command.Process.Pid))
}

// endSim ends the provider by SIGTERM; what it printed goes to sim.out.
func endSim(ts *testscript.TestScript, neg bool, args []string) {
	p := ts.Value(simProcess{}).(*simProcess)
	ts.Check(p.command.Process.Signal(syscall.SIGTERM))
	rest, err := io.ReadAll(p.out)
	ts.Check(err)
	if err := p.command.Wait(); (err != nil) != neg {
		ts.Fatalf("sim ends with %v", err)
	}
	ts.Check(os.WriteFile(ts.MkAbs("sim.out"), rest, 0o600))
}

// askSim FILE sends the requests of a file, one a line as TYPE|FIELD|..., on one connection to $SIM,
// and writes the uncompressed answers into the file answers, with | for separators.
func askSim(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: simask FILE")
	}
	conn, err := net.DialTimeout("tcp", ts.Getenv("SIM"), time.Minute)
	ts.Check(err)
	defer conn.Close()
	in := bufio.NewReader(conn)
	var answers bytes.Buffer
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		kind, body, _ := strings.Cut(strings.TrimSpace(line), "|")
		body = strings.ReplaceAll(body, "|", "\x01")
		text := fmt.Sprintf("00.9.10\x01%s\x01%010d%s", kind, utf8.RuneCountInString(body), body)
		_, err := fmt.Fprintf(conn, "%s\x01%d\n", text, crc32.ChecksumIEEE([]byte(text)))
		ts.Check(err)
		var answer []byte
		for !bytes.HasSuffix(answer, []byte("<![CDATA[]]>\n")) {
			part, err := in.ReadBytes('\n')
			ts.Check(err)
			answer = append(answer, part...)
		}
		answers.Write(bytes.ReplaceAll(answer, []byte{1}, []byte("|")))
	}
	ts.Check(os.WriteFile(ts.MkAbs("answers"), answers.Bytes(), 0o600))
}
