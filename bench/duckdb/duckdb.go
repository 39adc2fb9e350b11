package duckdb

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// Child is a DuckDB process that answers one statement at a time, with one thread.
type Child struct {
	process *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
	used    time.Duration
}

// Start runs the binary on a database file, ":memory:" for none.
func Start(ctx context.Context, binary, database string) (*Child, error) {
	if _, err := os.Stat(binary); err != nil {
		return nil, fmt.Errorf("%w: run bench/peers/build duckdb", err)
	}
	c := &Child{process: exec.CommandContext(ctx, binary, "-serve", database, "-threads", "1")}
	c.process.Stderr = os.Stderr
	var err error
	if c.in, err = c.process.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.out = bufio.NewReader(out)
	return c, c.process.Start()
}

// Ask runs a statement of one line and returns how many rows it gave, and the first value of the last.
func (c *Child) Ask(format string, args ...any) (rows int, first int64, err error) {
	if _, err := fmt.Fprintf(c.in, format+"\n", args...); err != nil {
		return 0, 0, err
	}
	line, err := c.out.ReadString('\n')
	if err != nil {
		return 0, 0, err
	}
	if text, failed := strings.CutPrefix(line, "error "); failed {
		return 0, 0, errors.New(strings.TrimSpace(text))
	}
	var cpu int64
	if _, err := fmt.Sscan(line, &rows, &first, &cpu); err != nil {
		return 0, 0, fmt.Errorf("answer %q: %w", line, err)
	}
	c.used = time.Duration(cpu)
	return rows, first, nil
}

// CPU returns what the process had used when it last answered.
func (c *Child) CPU() time.Duration { return c.used }

// Close ends the process.
func (c *Child) Close() error { return errors.Join(c.in.Close(), c.process.Wait()) }
