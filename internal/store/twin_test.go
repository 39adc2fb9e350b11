package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/internal/market"
)

// twinKey names a row of the naive twin.
type twinKey struct {
	symbol string
	date   market.Date
}

// twin is the store as a map, with all its former states.
type twin struct {
	rows    map[twinKey]int64
	history map[Seq]map[twinKey]int64
}

func twinSymbols() []string {
	return []string{"600000.XSHG", "000001.XSHE", "600519.XSHG", "430047.BJSE"}
}

// lines renders rows as a scan does: by partition, then by number of the instrument, then by date.
func (w *twin) lines(rows map[twinKey]int64, number func(string) int32, keep func(twinKey) bool) []string {
	keys := slices.DeleteFunc(slices.Collect(maps.Keys(rows)), func(k twinKey) bool { return !keep(k) })
	slices.SortFunc(keys, func(a, b twinKey) int {
		if c := a.date.Year() - b.date.Year(); c != 0 {
			return c
		}
		if c := number(a.symbol) - number(b.symbol); c != 0 {
			return int(c)
		}
		return int(a.date - b.date)
	})
	out := make([]string, 0, len(keys))
	for _, k := range keys {
		out = append(out, fmt.Sprintf("%s %s %d.%04d", k.symbol, k.date, rows[k]/10000, rows[k]%10000))
	}
	return out
}

// twinRun drives a store and its twin.
type twinRun struct {
	t   *rapid.T
	dir string
	cfg Config

	store  *Store
	writer *Writer
	twin   twin
	seen   map[twinKey]int64 // as an incremental reader has it
	seenAt Seq
}

func (r *twinRun) must(err error) {
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *twinRun) open() {
	var err error
	r.store, err = Open(r.dir, r.cfg)
	r.must(err)
	r.writer, err = r.store.Lock(context.Background(), "twin")
	r.must(err)
}

func (r *twinRun) close() {
	r.must(r.writer.Unlock())
	r.must(r.store.Close())
}

func (r *twinRun) key() twinKey {
	return twinKey{
		rapid.SampledFrom(twinSymbols()).Draw(r.t, "symbol"),
		day("2022-12-30") + market.Date(rapid.IntRange(0, 5).Draw(r.t, "day")),
	}
}

// commit makes a commit of random puts, deletes and replaced intervals.
func (r *twinRun) commit() {
	after := maps.Clone(r.twin.rows)
	c := Changes{Run: "twin", Source: "twin", Puts: map[string][]*batch.Batch{}, Deletes: map[string][]*batch.Batch{}}
	puts := map[twinKey]bool{}
	var rows, gone []bar
	for range rapid.IntRange(0, 6).Draw(r.t, "puts") {
		k := r.key()
		rows = append(rows, bar{k.symbol, k.date, int64(rapid.IntRange(1, 3).Draw(r.t, "close")), true})
		puts[k] = true
	}
	for range rapid.IntRange(0, 3).Draw(r.t, "deletes") {
		k := r.key()
		gone = append(gone, bar{k.symbol, k.date, 1, true})
		delete(after, k)
	}
	if rapid.IntRange(0, 3).Draw(r.t, "replace") == 0 {
		k := r.key()
		in := market.Interval{From: k.date, To: k.date + market.Date(rapid.IntRange(0, 3).Draw(r.t, "length"))}
		if rapid.Bool().Draw(r.t, "all symbols") {
			k.symbol = ""
		}
		c.Replace = append(c.Replace, Replace{market.Bar1D, k.symbol, in})
		maps.DeleteFunc(after, func(o twinKey, _ int64) bool {
			return (k.symbol == "" || k.symbol == o.symbol) && in.Contains(o.date)
		})
	}
	for _, b := range rows {
		after[twinKey{b.symbol, b.date}] = b.close
	}
	c.Puts[market.Bar1D] = []*batch.Batch{bars(r.t, rows...)}
	c.Deletes[market.Bar1D] = []*batch.Batch{bars(r.t, gone...)}
	before := r.store.state.seq
	seq, err := r.writer.Commit(context.Background(), c)
	r.must(err)
	if changed := !maps.Equal(after, r.twin.rows); changed != (seq != before) {
		r.t.Fatalf("rows changed: %t, commit %d after %d", changed, seq, before)
	}
	r.twin.rows = after
	r.twin.history[seq] = after
}

func (r *twinRun) scan(v *View, in Range) []string {
	out := []string{}
	for b, err := range v.Scan(market.Bar1D, in, []string{"symbol", "date", "close"}) {
		r.must(err)
		out = append(out, lines(b)...)
	}
	return out
}

func (r *twinRun) check(asOf Seq, rows map[twinKey]int64) {
	v, err := r.store.View(context.Background(), asOf)
	if errors.Is(err, ErrHorizon) {
		if asOf >= r.store.state.horizon {
			r.t.Fatalf("commit %d is refused, the horizon is %d", asOf, r.store.state.horizon)
		}
		return
	}
	r.must(err)
	defer func() { r.must(v.Close()) }()
	number := func(s string) int32 { return r.store.symbols.find(s, 0) }
	all := func(twinKey) bool { return true }
	compare := func(what string, got, want []string) {
		if !slices.Equal(got, want) {
			r.t.Fatalf("%s at commit %d: got %q, want %q", what, asOf, got, want)
		}
	}
	compare("scan", r.scan(v, Range{}), r.twin.lines(rows, number, all))
	k := r.key()
	cross, err := v.Cross(market.Bar1D, k.date, []string{"symbol", "date", "close"})
	if !errors.Is(err, ErrDataset) {
		r.must(err)
		compare("cross", lines(cross), r.twin.lines(rows, number, func(o twinKey) bool { return o.date == k.date }))
	}
	point, err := v.Point(market.Bar1D, k.symbol, k.date, k.date+2, []string{"symbol", "date", "close"})
	r.must(err)
	compare("point", lines(point), r.twin.lines(rows, number, func(o twinKey) bool {
		return o.symbol == k.symbol && o.date >= k.date && o.date <= k.date+2
	}))
	latest, err := v.Latest(market.Bar1D, k.symbol)
	r.must(err)
	want := r.twin.lines(rows, number, func(o twinKey) bool { return o.symbol == k.symbol })
	if latest.Len() != min(len(want), 1) || len(want) > 0 &&
		string(batch.AppendText(nil, latest.Column(1), 0)) != want[len(want)-1][len(k.symbol)+1:][:10] {
		r.t.Fatalf("latest of %s at %d: got %q, want the last of %q", k.symbol, asOf, lines(latest), want)
	}
}

// follow lets an incremental reader catch up: its rows equal the store's.
func (r *twinRun) follow() {
	v, err := r.store.View(context.Background(), 0)
	r.must(err)
	defer func() { r.must(v.Close()) }()
	if r.seenAt < r.store.state.floor {
		r.seen, r.seenAt = maps.Clone(r.twin.rows), v.Seq() // from a snapshot
		return
	}
	w, err := v.newWalk(v.plan(), market.Bar1D, Range{After: r.seenAt}, []string{"symbol", "date", "close"})
	r.must(err)
	w.deletes = true
	for _, p := range w.partitions(v.plan()) {
		b, err := w.partition(context.Background(), v.plan(), p, nil)
		r.must(err)
		out, err := w.finish(b)
		r.must(err)
		for row := range out.Len() {
			k := twinKey{string(out.Column(0).Bytes(row)), market.Date(out.Column(1).Int(row))}
			if out.Operation(row) == batch.Delete {
				delete(r.seen, k)
				continue
			}
			text := string(batch.AppendText(nil, out.Column(2), row))
			value, ok := batch.ParseDecimal([]byte(text), 18, 4)
			if !ok {
				r.t.Fatalf("close %q", text)
			}
			r.seen[k] = int64(value.LowBits())
		}
	}
	r.seenAt = v.Seq()
	if !maps.Equal(r.seen, r.twin.rows) {
		r.t.Fatalf("incremental reader at %d: got %v, want %v", r.seenAt, r.seen, r.twin.rows)
	}
}

// TestTwin drives the store beside a map.
// invariant: a tombstone goes only when nothing it hides and no reader that waits for it is left
func TestTwin(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp("", "twin")
		if err != nil {
			rt.Fatal(err)
		}
		defer func() { _ = os.RemoveAll(dir) }()
		r := &twinRun{
			t: rt, dir: dir, seen: map[twinKey]int64{},
			twin: twin{map[twinKey]int64{}, map[Seq]map[twinKey]int64{0: {}}},
			cfg: Config{
				fileRows: rapid.SampledFrom([]int{1, 4, 1000}).Draw(rt, "file rows"),
				Horizon:  rapid.SampledFrom([]time.Duration{1, time.Hour}).Draw(rt, "horizon"),
				Handles:  2, MemoryBytes: 4 << 10,
				wholeRows: rapid.SampledFrom([]int64{-1, 3, wholeRows}).Draw(rt, "whole rows"),
			},
		}
		r.open()
		defer r.close()
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			switch rapid.IntRange(0, 9).Draw(rt, "step") {
			case 0:
				_, err := r.writer.Compact(context.Background(), true)
				r.must(err)
			case 1:
				r.close()
				r.open()
			case 2:
				r.follow()
			case 3:
				seq := rapid.SampledFrom(slices.Sorted(maps.Keys(r.twin.history))).Draw(rt, "as of")
				if seq > 0 { // 0 is the newest
					r.check(seq, r.twin.history[seq])
				}
			default:
				r.commit()
			}
			r.check(0, r.twin.rows)
		}
		problems, err := r.store.Verify(context.Background(), nil)
		r.must(err)
		if len(problems) > 0 {
			rt.Fatalf("verify: %v", problems)
		}
	})
}
