package catalog

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
)

// process identifies a process well enough to know that it is dead.
type process struct {
	host    string
	scope   string // where a pid means something: one boot and one pid namespace of a machine
	pid     int
	started string // tells a process from a later one with the same pid; empty where unknown
}

func thisProcess() process {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	pid := os.Getpid()
	p := process{host: host, scope: host, pid: pid, started: startOf(pid)}
	if runtime.GOOS != "linux" {
		return p
	}
	boot, bootErr := os.ReadFile("/proc/sys/kernel/random/boot_id")
	space, spaceErr := os.Readlink("/proc/self/ns/pid")
	if bootErr == nil && spaceErr == nil {
		p.scope = strings.TrimSpace(string(boot)) + "/" + space
	}
	return p
}

// knowsDead reports whether other is certainly gone. Of another machine, container or boot we
// know nothing, even with the same host name: its lease has to expire.
func (p process) knowsDead(other process) bool {
	if p.scope != other.scope {
		return false
	}
	if other.started != "" {
		return startOf(other.pid) != other.started
	}
	found, err := os.FindProcess(other.pid)
	if err != nil {
		return false
	}
	err = found.Signal(syscall.Signal(0))
	return errors.Is(err, os.ErrProcessDone) || errors.Is(err, syscall.ESRCH)
}

// startOf returns when a process started, in ticks since boot; empty when it is not there, is a
// zombie, or the system cannot say.
func startOf(pid int) string {
	if runtime.GOOS != "linux" {
		return ""
	}
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	// The second field is the program's name in parentheses and may itself contain any byte.
	const stateField, startField = 0, 19
	fields := strings.Fields(string(line[bytes.LastIndexByte(line, ')')+1:]))
	if len(fields) <= startField || fields[stateField] == "Z" || fields[stateField] == "X" {
		return ""
	}
	return fields[startField]
}
