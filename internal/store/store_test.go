package store

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/internal/market"
)

// failer is what helpers need of a test, a property's included.
type failer interface {
	Helper()
	Fatal(args ...any)
}

func must(t failer, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// bar is one row of bar_1d as tests write it: the close says the rest.
type bar struct {
	symbol string
	date   market.Date
	close  int64 // in 1/10000
	final  bool
}

func day(text string) market.Date {
	d, err := market.ParseDate(text)
	if err != nil {
		panic("test: " + text)
	}
	return d
}

func bars(t failer, rows ...bar) *batch.Batch {
	t.Helper()
	d, _ := market.DatasetByName(market.Bar1D)
	b := batch.NewBuilder(d.Schema)
	for _, r := range rows {
		for i, f := range d.Schema.Fields() {
			c := b.Column(i)
			switch f.Name {
			case "symbol":
				c.Text(r.symbol)
			case "date":
				c.Int(int64(r.date))
			case "trade_status":
				c.Bool(true)
			case "final":
				c.Bool(r.final)
			case "is_st":
				c.Null()
			case "volume":
				c.Int(r.close * 3)
			default:
				must(t, c.Any(fmt.Sprintf("%d.%04d", r.close/10000, r.close%10000)))
			}
		}
	}
	out, err := b.Batch()
	must(t, err)
	return out
}

// lines renders a batch, one row a line.
func lines(b *batch.Batch) []string {
	out := make([]string, 0, b.Len())
	for row := range b.Len() {
		var parts []string
		for _, c := range b.Columns() {
			if c.IsNull(row) {
				parts = append(parts, "NULL")
				continue
			}
			parts = append(parts, string(batch.AppendText(nil, c, row)))
		}
		out = append(out, strings.Join(parts, " "))
	}
	return out
}

func open(t testing.TB, dir string, cfg Config) *Store {
	t.Helper()
	s, err := Open(dir, cfg)
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	return s
}

func lock(t testing.TB, s *Store) *Writer {
	t.Helper()
	w, err := s.Lock(t.Context(), "test")
	must(t, err)
	t.Cleanup(func() { must(t, w.Unlock()) })
	return w
}

func view(t testing.TB, s *Store, asOf Seq) *View {
	t.Helper()
	v, err := s.View(t.Context(), asOf)
	must(t, err)
	t.Cleanup(func() { must(t, v.Close()) })
	return v
}

func put(rows *batch.Batch) Changes {
	return Changes{Run: "r", Source: "test", Puts: map[string][]*batch.Batch{market.Bar1D: {rows}}}
}

// closes reads symbol, date and close of a range.
func closes(t testing.TB, v *View, r Range) []string {
	t.Helper()
	var out []string
	for b, err := range v.Scan(market.Bar1D, r, []string{"symbol", "date", "close"}) {
		must(t, err)
		out = append(out, lines(b)...)
	}
	return out
}

func TestCommitAndRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, Config{})
	w := lock(t, s)
	seq, err := w.Commit(t.Context(), put(bars(t,
		bar{"600000.XSHG", day("2024-01-02"), 66000, true}, bar{"000001.XSHE", day("2024-01-02"), 92000, true},
		bar{"600000.XSHG", day("2023-12-29"), 65000, true},
	)))
	must(t, err)
	if seq != 1 {
		t.Errorf("first commit is %d", seq)
	}
	again, err := w.Commit(t.Context(), put(bars(t, bar{"600000.XSHG", day("2024-01-02"), 66000, true})))
	must(t, err)
	if again != 1 {
		t.Errorf("rows that are stored made commit %d", again)
	}
	seq, err = w.Commit(t.Context(), put(bars(t,
		bar{"600000.XSHG", day("2024-01-02"), 67000, true}, bar{"600000.XSHG", day("2024-01-03"), 68000, true})))
	must(t, err)
	for _, r := range []*Store{s, open(t, dir, Config{})} {
		v := view(t, r, 0)
		want := []string{
			"600000.XSHG 2023-12-29 6.5000", "600000.XSHG 2024-01-02 6.7000", "600000.XSHG 2024-01-03 6.8000",
			"000001.XSHE 2024-01-02 9.2000",
		}
		if got := closes(t, v, Range{}); !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		cross, err := v.Cross(market.Bar1D, day("2024-01-02"), []string{"close", "symbol"})
		must(t, err)
		if got := lines(cross); !slices.Equal(got, []string{"6.7000 600000.XSHG", "9.2000 000001.XSHE"}) {
			t.Errorf("cross section %q", got)
		}
		point, err := v.Point(market.Bar1D, "600000.XSHG", day("2024-01-02"), 0, []string{"date"})
		must(t, err)
		if got := lines(point); !slices.Equal(got, []string{"2024-01-02", "2024-01-03"}) {
			t.Errorf("point %q", got)
		}
		latest, err := v.Latest(market.Bar1D, "600000.XSHG")
		must(t, err)
		if got := lines(latest); len(got) != 1 || !strings.Contains(got[0], "2024-01-03") {
			t.Errorf("latest %q", got)
		}
		past := view(t, r, 1)
		if got := closes(t, past, Range{Symbols: []string{"600000.XSHG"}, From: day("2024-01-01")}); !slices.Equal(
			got, []string{"600000.XSHG 2024-01-02 6.6000"}) {
			t.Errorf("as of 1: %q", got)
		}
		var restated []string
		for b, err := range v.Scan(Restatements, Range{}, []string{"commit", "dataset", "key", "column", "old", "new", "source"}) {
			must(t, err)
			restated = append(restated, lines(b)...)
		}
		if len(restated) == 0 || restated[len(restated)-2] != "2 bar_1d 600000.XSHG 2024-01-02 amount 6.6000 6.7000 test" {
			t.Errorf("restatements %q", restated)
		}
	}
	journal, err := s.Journal(t.Context(), 0, 0)
	must(t, err)
	if len(journal) != 2 || journal[1].Seq != seq ||
		journal[1].Changed[0] != (DatasetChange{market.Bar1D, 1, 1, 0}) {
		t.Errorf("journal %+v", journal)
	}
	problems, err := s.Verify(t.Context(), nil)
	must(t, err)
	if len(problems) > 0 {
		t.Errorf("verify: %v", problems)
	}
}

// TestWriterAsksNothing: whoever holds the lock is the only one who changes what readers plan from, so
// that its views and plans cost no query; without the lock the work of others is seen.
func TestWriterAsksNothing(t *testing.T) {
	t.Parallel()
	ctx, dir := t.Context(), t.TempDir()
	mine, others := open(t, dir, Config{}), open(t, dir, Config{})
	w, err := mine.Lock(ctx, "test")
	must(t, err)
	commit := func(w *Writer, date string) {
		t.Helper()
		_, err := w.Commit(ctx, put(bars(t, bar{pufa, day(date), 1, true})))
		must(t, err)
	}
	see := func(s *Store, want int) {
		t.Helper()
		v, err := s.View(ctx, 0)
		must(t, err)
		if got := closes(t, v, Range{}); len(got) != want {
			t.Errorf("%d rows are seen, want %d: %q", len(got), want, got)
		}
		must(t, v.Close())
	}
	commit(w, "2024-01-02")
	before, reads := mine.Queries(), mine.Reads()
	see(mine, 1)
	if n := mine.Queries() - before; n != 0 || mine.Reads() != reads+1 {
		t.Errorf("a view of the writer took %d queries and %d reads, want 0 and 1", n, mine.Reads()-reads)
	}
	commit(w, "2024-01-03")
	if n := mine.Queries() - before; n != 1 {
		t.Errorf("a commit took %d queries, want its transaction", n)
	}
	see(others, 2)
	must(t, w.Unlock())
	o := lock(t, others)
	commit(o, "2024-01-04")
	see(mine, 3)
	must(t, o.Unlock())
	commit(lock(t, mine), "2024-01-05")
	see(mine, 4)
}
