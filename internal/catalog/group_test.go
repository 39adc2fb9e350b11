package catalog

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
)

// Writes that wait together share a transaction; one that fails takes back only its own change.
func TestGroupedWritesFailAlone(t *testing.T) {
	t.Parallel()
	c, _ := pair(t)
	refused := errors.New("refused")
	for _, test := range []struct {
		fails bool
		runs  int64 // of each change: once for all, or in a group and again alone
		rows  int
	}{{false, 5, 5}, {true, 10, 9}} {
		var runs atomic.Int64
		results := make(chan error)
		c.queue.turn <- struct{}{}
		for i := range 5 {
			fails := test.fails && i == 4
			go func() {
				results <- c.write(context.Background(), func(s *session) error {
					runs.Add(1)
					_, err := s.exec(`INSERT INTO workflows VALUES (?, '', '', 0)`,
						fmt.Sprintf("%d of %d", i, test.rows))
					if fails {
						return errors.Join(err, refused)
					}
					return err
				})
			}()
			for waiting(c) <= i {
				runtime.Gosched()
			}
		}
		<-c.queue.turn
		failures := 0
		for range 5 {
			if err := <-results; err != nil {
				failures++
				if !errors.Is(err, refused) {
					t.Errorf("%v, want the refusal", err)
				}
			}
		}
		var rows int
		if err := c.session.row(`SELECT count(*) FROM workflows`, nil, &rows); err != nil {
			t.Fatal(err)
		}
		if (failures == 1) != test.fails || rows != test.rows || runs.Load() != test.runs {
			t.Errorf("fails %t: %d failures, %d rows, changes ran %d times; want %d rows and %d",
				test.fails, failures, rows, runs.Load(), test.rows, test.runs)
		}
	}
}

// A read that waits together with a write does not see what is not synced yet.
func TestReadBesideWrite(t *testing.T) {
	t.Parallel()
	c, _ := pair(t)
	results := make(chan error)
	rows := -1
	c.queue.turn <- struct{}{}
	go func() {
		results <- c.write(context.Background(), func(s *session) error {
			_, err := s.exec(`INSERT INTO workflows VALUES ('orders', '', '', 0)`)
			return err
		})
	}()
	for waiting(c) < 1 {
		runtime.Gosched()
	}
	go func() {
		results <- c.read(context.Background(), func(s *session) error {
			return s.row(`SELECT count(*) FROM workflows`, nil, &rows)
		})
	}()
	for waiting(c) < 2 {
		runtime.Gosched()
	}
	<-c.queue.turn
	for range 2 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if rows != 0 {
		t.Errorf("the read saw %d rows, want 0", rows)
	}
}

func waiting(c *Catalog) int {
	c.queue.mu.Lock()
	defer c.queue.mu.Unlock()
	return len(c.queue.waiting)
}
