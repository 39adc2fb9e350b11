package store

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/store/segment"
)

// TestBoundsHoldFewRows has segments of different symbols, of the same symbols, and both: no piece of a
// long read may hold much more rows than asked for.
func TestBoundsHoldFewRows(t *testing.T) {
	t.Parallel()
	const commits, symbols, dates, piece = 12, 20, 40, 1000
	for name, commit := range map[string]func(n int) Changes{
		"disjoint": func(n int) Changes {
			return put(benchBars(t, n*symbols, symbols, day("2021-01-01"), dates))
		},
		"interleaved": func(n int) Changes {
			return put(benchBars(t, 0, symbols*dates, day("2021-01-01")+market.Date(n), 1))
		},
		"both": func(n int) Changes {
			return put(benchBars(t, n/2*symbols, symbols, day("2021-01-01")+market.Date(n%2*dates), dates))
		},
	} {
		for _, whole := range []int64{-1, wholeRows} {
			t.Run(fmt.Sprint(name, whole), func(t *testing.T) {
				t.Parallel()
				s := open(t, t.TempDir(), Config{wholeRows: whole, fileRows: 1, MemoryBytes: 1})
				w := lock(t, s)
				for n := range commits {
					_, err := w.Commit(t.Context(), commit(n))
					must(t, err)
				}
				v := view(t, s, 0)
				read, err := v.newWalk(v.plan(), market.Bar1D, Range{}, nil)
				must(t, err)
				partition := v.plan().partitions(read.dataset)[0]
				list := v.plan().segments[read.dataset.id][partition]
				bounds, err := read.bounds(t.Context(), list, piece)
				must(t, err)
				rows := 0
				for _, in := range bounds {
					runs, err := read.partition(t.Context(), v.plan(), partition, in)
					must(t, err)
					n := segment.RunsLen(runs)
					rows += n
					if n > 2*piece {
						t.Errorf("piece %v holds %d rows, asked for were %d", in, n, piece)
					}
				}
				if rows != commits*symbols*dates {
					t.Errorf("%d rows in %d pieces, want %d", rows, len(bounds), commits*symbols*dates)
				}
			})
		}
	}
}

// TestCompactionWritesWhileItReads: rows that wait for an output are bounded.
func TestCompactionWritesWhileItReads(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), Config{})
	w := lock(t, s)
	const commits, symbols, dates = 3, 300, 250
	for n := range commits {
		_, err := w.Commit(t.Context(), put(benchBars(t, n*symbols, symbols, day("2021-01-01"), dates)))
		must(t, err)
	}
	done, err := w.Compact(t.Context(), true)
	must(t, err)
	const most = outputRows
	if want := (commits*symbols*dates + most - 1) / most; done.Outputs < want || done.Rows != commits*symbols*dates {
		t.Errorf("%+v: want at least %d outputs", done, want)
	}
	for _, list := range s.state.segments[s.state.datasets[market.Bar1D].id] {
		for _, info := range list {
			if info.rows > most {
				t.Errorf("%s holds %d rows, at most %d were to wait", info.file, info.rows, most)
			}
		}
	}
	if problems, err := s.Verify(t.Context(), nil); err != nil || len(problems) > 0 {
		t.Errorf("verify: %v %v", problems, err)
	}
	rows := 0
	for b, err := range view(t, s, 0).Scan(market.Bar1D, Range{}, nil) {
		must(t, err)
		rows += b.Len()
	}
	if rows != commits*symbols*dates {
		t.Errorf("%d rows", rows)
	}
}

// TestReadsBesideAWriter scans in this process while another one commits, compacts and collects: each
// scan shows one commit, whole.
func TestReadsBesideAWriter(t *testing.T) {
	t.Parallel()
	if dir := os.Getenv(childFolder); dir != "" {
		s, err := Open(dir, Config{fileRows: 2, Horizon: 1})
		must(t, err)
		w, err := s.Lock(t.Context(), "child")
		must(t, err)
		for n := int64(1); ; n++ {
			_, err := w.Commit(t.Context(), put(bars(t, bar{pufa, market.Date(n), n, true},
				bar{"000001.XSHE", market.Date(n), n, true}, bar{"600519.XSHG", 1, n, true})))
			must(t, err)
			if n%5 == 0 {
				_, err = w.Compact(t.Context(), true)
				must(t, err)
			}
			_, err = fmt.Fprintf(os.Stdout, "commit %d\n", n)
			must(t, err)
		}
	}
	dir := t.TempDir()
	open(t, dir, Config{}) // makes it
	command := exec.Command(os.Args[0], "-test.run=^TestReadsBesideAWriter$")
	command.Env = append(os.Environ(), childFolder+"="+dir)
	output, err := command.StdoutPipe()
	must(t, err)
	must(t, command.Start())
	s := open(t, dir, Config{wholeRows: -1, Handles: 2, MemoryBytes: 1})
	scans, late := 0, 0
	for lines := bufio.NewScanner(output); lines.Scan(); {
		if !strings.HasPrefix(lines.Text(), "commit ") {
			t.Errorf("child: %s", lines.Text())
			continue
		}
		ok, err := scanOneCommit(t, s)
		switch {
		case errors.Is(err, ErrHorizon): // compacted and collected meanwhile, said so
			late++
		case err != nil:
			t.Error(err)
		case ok:
			scans++
		}
		if scans+late >= 60 {
			break
		}
	}
	must(t, command.Process.Kill())
	_ = command.Wait() // killed
	if scans < 5 {
		t.Errorf("%d scans were whole, %d came too late", scans, late)
	}
}

// scanOneCommit reads all rows of the newest commit and compares them with what the child wrote by then.
func scanOneCommit(t *testing.T, s *Store) (bool, error) {
	t.Helper()
	v, err := s.View(t.Context(), 0)
	if err != nil {
		return false, err
	}
	defer func() { must(t, v.Close()) }()
	var got []string
	for b, err := range v.Scan(market.Bar1D, Range{}, []string{"symbol", "volume"}) {
		if err != nil {
			return false, err
		}
		got = append(got, lines(b)...)
	}
	want := make([]string, 0, 2*int(v.Seq())+1)
	for n := range int64(v.Seq()) {
		want = append(want, fmt.Sprintf("%s %d", pufa, 3*(n+1)), fmt.Sprintf("000001.XSHE %d", 3*(n+1)))
	}
	want = append(want, fmt.Sprintf("600519.XSHG %d", 3*int64(v.Seq())))
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("commit %d shows %d rows: %q", v.Seq(), len(got), got)
	}
	return true, nil
}
