package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/conduitio/conduit/cmd/conduit/cli"
	"github.com/conduitio/conduit/pkg/conduit"
)

func main() {
	if output := os.Getenv("BENCH_OUTPUT"); output != "" {
		expect, err := strconv.Atoi(os.Getenv("BENCH_EXPECT"))
		if err != nil {
			fmt.Fprintln(os.Stderr, "conduit: read BENCH_EXPECT:", err)
			os.Exit(2)
		}
		go watch(output, expect)
	}
	cli.Run(conduit.DefaultConfig())
}

// watch counts the lines appended to path and interrupts this process at the expected number.
func watch(path string, expect int) {
	const pollInterval = 20 * time.Millisecond
	text := make([]byte, 1<<20)
	var file *os.File
	for lines := 0; lines < expect; {
		if file == nil {
			opened, err := os.Open(path)
			if err != nil {
				time.Sleep(pollInterval)
				continue
			}
			file = opened
		}
		n, err := file.Read(text)
		lines += bytes.Count(text[:n], []byte{'\n'})
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			time.Sleep(pollInterval)
		default:
			fmt.Fprintln(os.Stderr, "conduit: watch output:", err)
			os.Exit(1)
		}
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGINT); err != nil {
		fmt.Fprintln(os.Stderr, "conduit: interrupt:", err)
		os.Exit(1)
	}
}
