package store

import (
	"database/sql"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/market"
)

// oneFile makes a store of a segment in a file and a blob, and returns the file.
func oneFile(t *testing.T) (dir, file string) {
	t.Helper()
	dir = t.TempDir()
	s, err := Open(dir, Config{})
	must(t, err)
	w, err := s.Lock(t.Context(), "test")
	must(t, err)
	_, err = w.Commit(t.Context(), put(benchBars(t, 0, 10, day("2024-01-01"), 200)))
	must(t, err)
	_, err = w.Commit(t.Context(), Changes{Puts: map[string][]*batch.Batch{
		market.AdjFactor: {factor(t, pufa, "2024-03-01")},
	}})
	must(t, err)
	must(t, w.Unlock())
	must(t, s.Close())
	files, err := filepath.Glob(filepath.Join(dir, market.Bar1D, "*", "*.parquet"))
	must(t, err)
	if len(files) != 1 {
		t.Fatalf("files %q", files)
	}
	return dir, files[0]
}

func factor(t *testing.T, symbol, date string) *batch.Batch {
	t.Helper()
	d, _ := market.DatasetByName(market.AdjFactor)
	b := batch.NewBuilder(d.Schema)
	for i, f := range d.Schema.Fields() {
		switch f.Name {
		case "symbol":
			b.Column(i).Text(symbol)
		case "ex_date":
			b.Column(i).Int(int64(day(date)))
		default:
			must(t, b.Column(i).Any("1.250000"))
		}
	}
	out, err := b.Batch()
	must(t, err)
	return out
}

// TestDamagedFilesAreFound: a segment that is cut, altered, or gone is an error that names it, whether it
// is decoded as a whole or read by the page; verify finds it too.
func TestDamagedFilesAreFound(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(file string, raw []byte) error{
		"cut":       func(file string, raw []byte) error { return os.WriteFile(file, raw[:len(raw)-100], 0o600) },
		"no footer": func(file string, raw []byte) error { return os.WriteFile(file, make([]byte, len(raw)), 0o600) },
		"flipped": func(file string, raw []byte) error {
			for at := 100; at < len(raw)-100; at += 50 {
				raw[at] ^= 1
			}
			return os.WriteFile(file, raw, 0o600)
		},
		"gone": func(file string, _ []byte) error { return os.Remove(file) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, file := oneFile(t)
			raw, err := os.ReadFile(file)
			must(t, err)
			must(t, damage(file, raw))
			for _, whole := range []int64{-1, wholeRows} {
				s := open(t, dir, Config{wholeRows: whole})
				v := view(t, s, 0)
				_, pointErr := v.Point(market.Bar1D, "600003.XSHG", 0, 0, nil)
				_, datedErr := v.Point(market.Bar1D, "600003.XSHG", day("2024-02-01"), day("2024-02-02"), nil)
				_, crossErr := v.Cross(market.Bar1D, day("2024-02-01"), nil)
				_, latestErr := v.Latest(market.Bar1D, "600003.XSHG")
				var scanErr error
				for _, scanErr = range v.Scan(market.Bar1D, Range{}, nil) {
					continue
				}
				for what, err := range map[string]error{
					"point": pointErr, "dated": datedErr, "cross": crossErr, "latest": latestErr, "scan": scanErr,
				} {
					if !errors.Is(err, ErrCorrupt) {
						t.Errorf("%s by %d rows: %v", what, whole, err)
					}
				}
				w := lock(t, s)
				if _, err := w.Commit(t.Context(), put(benchBars(t, 0, 10, day("2024-02-01"), 3))); !errors.Is(err, ErrCorrupt) &&
					!strings.Contains(fmt.Sprint(err), "no such file") {
					t.Errorf("commit over it: %v", err)
				}
				must(t, w.Unlock())
				if problems, err := s.Verify(t.Context(), nil); err != nil || len(problems) != 1 ||
					problems[0].Place != filepath.ToSlash(strings.TrimPrefix(file, dir+string(filepath.Separator))) {
					t.Errorf("verify: %v %v", problems, err)
				}
			}
		})
	}
}

// TestCatalogThatSaysOtherwise: verify compares every bound, reads compare the number of rows.
func TestCatalogThatSaysOtherwise(t *testing.T) {
	t.Parallel()
	for change, want := range map[string]string{
		`rows = rows + 1`:                    "the catalog says",
		`first_id = 5`:                       "instrument",
		`from_date = from_date + 3`:          "date",
		`lo = 9, hi = 9`:                     "commit",
		`checksum = checksum + 1`:            "checksum",
		`dataset = 77`:                       "does not name its dataset",
		`file = 'bar_1d/2024/other.parquet'`: "no such file",
		`bytes = bytes + 1`:                  "bytes",
	} {
		t.Run(change, func(t *testing.T) {
			t.Parallel()
			dir, _ := oneFile(t)
			db, err := sql.Open("sqlite", filepath.Join(dir, CatalogName))
			must(t, err)
			_, err = db.ExecContext(t.Context(), `PRAGMA foreign_keys = off; UPDATE segment SET `+change+` WHERE id = 1`)
			must(t, err)
			must(t, db.Close())
			s := open(t, dir, Config{})
			problems, err := s.Verify(t.Context(), nil)
			must(t, err)
			if len(problems) != 1 || !strings.Contains(problems[0].Message, want) {
				t.Errorf("verify: %v, want %q", problems, want)
			}
		})
	}
	dir, _ := oneFile(t)
	db, err := sql.Open("sqlite", filepath.Join(dir, CatalogName))
	must(t, err)
	_, err = db.ExecContext(t.Context(), `UPDATE segment SET rows = rows + 1; DELETE FROM blob`)
	must(t, err)
	must(t, db.Close())
	for _, whole := range []int64{-1, wholeRows} {
		v := view(t, open(t, dir, Config{wholeRows: whole}), 0)
		if _, err := v.Cross(market.Bar1D, day("2024-02-01"), nil); !errors.Is(err, ErrCorrupt) {
			t.Errorf("rows that the catalog counts otherwise: %v", err)
		}
		if _, err := v.Point(market.AdjFactor, pufa, 0, 0, nil); !errors.Is(err, ErrCorrupt) {
			t.Errorf("a blob that is gone: %v", err)
		}
	}
}

// TestForeignCatalogs are refused by name.
func TestForeignCatalogs(t *testing.T) {
	t.Parallel()
	dir, _ := oneFile(t)
	name := filepath.Join(dir, CatalogName)
	db, err := sql.Open("sqlite", name)
	must(t, err)
	_, err = db.ExecContext(t.Context(), `PRAGMA user_version = 99`)
	must(t, err)
	must(t, db.Close())
	_, err = Open(dir, Config{})
	wants(t, "a newer format", err, "its format is 99")
	other := t.TempDir()
	must(t, os.WriteFile(filepath.Join(other, CatalogName), []byte(strings.Repeat("no database ", 1000)), 0o600))
	if _, err := Open(other, Config{}); !errors.Is(err, ErrCorrupt) {
		t.Errorf("no database: %v", err)
	}
	if _, err := Open(filepath.Join(name, "below"), Config{}); err == nil {
		t.Error("a store below a file is opened")
	}
}

// TestStatsAndLeases: sizes by dataset with what is retired; the lease of a reader at work is kept.
func TestStatsAndLeases(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	dir, _ := oneFile(t)
	s := open(t, dir, Config{HorizonShare: 1e9})
	w := lock(t, s)
	_, err := w.Commit(ctx, put(benchBars(t, 0, 10, day("2024-09-01"), 120)))
	must(t, err)
	before := view(t, s, 2)
	_, err = w.Compact(ctx, true)
	must(t, err)
	stats, err := s.Stats(ctx)
	must(t, err)
	if len(stats) != 2 || stats[0].Dataset != market.AdjFactor || stats[1].Dataset != market.Bar1D || stats[0].Blobs != 1 ||
		stats[1].Rows != 3200 || stats[1].RetiredBytes == 0 || stats[1].Segments != 1 || stats[1].Uncompacted != 0 {
		t.Errorf("stats %+v", stats)
	}
	expires := func() (at int64) {
		must(t, s.catalog.db.QueryRowContext(ctx, `SELECT max(expires) FROM lease`).Scan(&at))
		return at
	}
	old := expires()
	before.renewed = before.renewed.Add(-leaseTime)
	if got, err := before.Point(market.Bar1D, "600003.XSHG", 0, 0, nil); err != nil || got.Len() != 200 {
		t.Errorf("as of commit 2: %v", err)
	}
	if got := expires(); got <= old {
		t.Errorf("the lease ends at %s, as before", time.Unix(0, got))
	}
}

// TestUnknownOutcome: when nobody can say whether a transaction is committed, the writer stops.
func TestUnknownOutcome(t *testing.T) {
	t.Parallel()
	var s *Store
	cut := errors.New("cut")
	armed := false
	s, err := Open(t.TempDir(), Config{fault: func(stage string) error {
		if !armed || stage != "committed" {
			return nil
		}
		return errors.Join(cut, s.catalog.db.Close())
	}})
	must(t, err)
	w, err := s.Lock(t.Context(), "test")
	must(t, err)
	armed = true
	_, err = w.Commit(t.Context(), put(threeBars(t)))
	wants(t, "a commit without outcome", err, "outcome is not known")
	_, err = w.apply(t.Context(), draft{})
	wants(t, "the next one", err, "no known outcome")
	must(t, w.Unlock())
	_ = s.Close() // its database is closed
}

// TestConversions takes columns of other types than the dataset's, NULLs where none may be, and what is
// too large: the rows that fit are written, the others named.
func TestConversions(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), Config{})
	d, err := s.dataset(s.state, market.Bar1D)
	must(t, err)
	in := inward{d, s.symbols, false}
	good := bars(t, bar{pufa, day("2024-01-02"), 1, true}, bar{pufa, day("2024-01-03"), 2, true}, bar{pufa, day("2024-01-04"), 3, true})
	column := func(name string, typ batch.Type, nullable bool, cells ...any) *batch.Batch {
		a := batch.NewAppender(typ)
		for _, cell := range cells {
			if cell == nil {
				a.Null()
				continue
			}
			must(t, a.Any(cell))
		}
		i := good.Schema().Index(name)
		fields := slices.Clone(good.Schema().Fields())
		fields[i] = batch.Field{Name: name, Type: typ, Nullable: nullable}
		columns := slices.Clone(good.Columns())
		columns[i] = a.Column()
		return batch.New(batch.NewSchema(fields...), columns, 3)
	}
	text := batch.Of(batch.String)
	for _, c := range []struct {
		what   string
		b      *batch.Batch
		bad    []int
		reason string
	}{
		{"text for numbers", column("volume", text, true, "12", "x", nil), []int{1}, "x"},
		{"NULL where required", column("open", batch.DecimalOf(18, 4), true, "1.5", nil, "2"), []int{1}, "NULL"},
		{"too large", column("open", batch.DecimalOf(38, 4), true, "1.5", "99999999999999999999.5", "2"), []int{1}, ""},
		{"a symbol that is NULL", column("symbol", text, true, pufa, nil, pufa), []int{1}, "NULL"},
		{"symbols that are numbers", column("symbol", batch.Of(batch.Int64), false, int64(1), int64(2), int64(3)), []int{0, 1, 2}, "symbols are text"},
		{"a date as text", column("date", text, false, "2024-01-02", "2024-13-02", "2024-01-04"), []int{1}, ""},
	} {
		block, refused, err := in.block(c.b)
		must(t, err)
		var rows []int
		for _, e := range refused {
			rows = append(rows, e.Row)
			if !strings.Contains(e.Reason, c.reason) {
				t.Errorf("%s: %s", c.what, e.Reason)
			}
		}
		if !slices.Equal(rows, c.bad) || block.Len() != 3-len(c.bad) {
			t.Errorf("%s: rows %v are refused, %d stay", c.what, rows, block.Len())
		}
		must(t, block.SetLen(block.Len()))
	}
}

// TestMinuteBars are kept by month and read by day; a key of three columns ends with an instant.
func TestMinuteBars(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	for _, whole := range []int64{-1, wholeRows} {
		s := open(t, t.TempDir(), Config{wholeRows: whole, fileRows: 1})
		w := lock(t, s)
		d, _ := market.DatasetByName(market.BarMin)
		made := func(symbols ...string) *batch.Batch {
			b := batch.NewBuilder(d.Schema)
			for _, symbol := range symbols {
				for n := range 6 {
					at := time.Date(1969, 12, 30, 12, 0, 0, 0, time.UTC).Add(time.Duration(n) * 12 * time.Hour)
					for i, f := range d.Schema.Fields() {
						switch {
						case f.Name == "symbol":
							b.Column(i).Text(symbol)
						case f.Name == "freq":
							b.Column(i).Text("5m")
						case f.Name == d.Time:
							b.Column(i).Int(at.UnixMicro())
						case f.Nullable:
							b.Column(i).Null()
						case f.Type.Kind == batch.String:
							b.Column(i).Text("x")
						case f.Type.Kind == batch.Bool:
							b.Column(i).Bool(true)
						case f.Type.Kind == batch.Decimal:
							must(t, b.Column(i).Any(strconv.Itoa(n+1)))
						default:
							b.Column(i).Int(int64(n))
						}
					}
				}
			}
			out, err := b.Batch()
			must(t, err)
			return out
		}
		for _, symbols := range [][]string{{"600000.XSHG", "600001.XSHG"}, {"600001.XSHG", "600002.XSHG"}} {
			_, err := w.Commit(ctx, Changes{Puts: map[string][]*batch.Batch{market.BarMin: {made(symbols...)}}})
			must(t, err)
		}
		v := view(t, s, 0)
		for date, want := range map[string]int{"1969-12-30": 3, "1969-12-31": 6, "1970-01-01": 6, "1970-01-02": 3} {
			b, err := v.Cross(market.BarMin, day(date), nil)
			must(t, err)
			if b.Len() != want {
				t.Errorf("%s: %d rows, want %d", date, b.Len(), want)
			}
			b, err = v.Point(market.BarMin, "600001.XSHG", day(date)-1, day(date)+1, []string{d.Time})
			must(t, err)
			if b.Len() < 3 || b.Len() > 6 {
				t.Errorf("around %s: %d rows", date, b.Len())
			}
		}
		if problems, err := s.Verify(ctx, nil); err != nil || len(problems) > 0 {
			t.Errorf("verify: %v %v", problems, err)
		}
	}
}

// TestRestatedCells has values that become NULL and the reverse, floats that differ in their bits only,
// and a row that was not final.
func TestRestatedCells(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := open(t, t.TempDir(), Config{})
	w := lock(t, s)
	rows := bars(t, bar{pufa, 1, 10, true}, bar{pufa, 2, 10, false})
	volume := rows.Schema().Index("volume")
	without := rows.Replace(volume, batch.NullColumn(batch.Of(batch.Int64), 2))
	for _, b := range []*batch.Batch{rows, without, rows} {
		_, err := w.Commit(ctx, put(b))
		must(t, err)
	}
	var got []string
	for b, err := range view(t, s, 0).Scan(Restatements, Range{}, []string{"commit", "key", "column", "old", "new"}) {
		must(t, err)
		got = append(got, lines(b)...)
	}
	want := []string{"2 " + pufa + " 1970-01-02 volume 30 NULL", "3 " + pufa + " 1970-01-02 volume NULL 30"}
	if !slices.Equal(got, want) {
		t.Errorf("restatements %q, want %q", got, want)
	}
	float := func(v float64) *batch.Batch {
		b := batch.NewBuilder(batch.NewSchema(batch.Field{Name: "id", Type: batch.Of(batch.Int64)},
			batch.Field{Name: "v", Type: batch.Of(batch.Float64), Nullable: true}))
		b.Column(0).Int(1)
		b.Column(1).Float(v)
		out, err := b.Batch()
		must(t, err)
		return out
	}
	sink := testSink(t, Connector(), SinkConfig{Writer: w, Dataset: "floats", Key: []string{"id"}}, 1)
	must(t, sink.Recover(ctx, connector.Epoch{}, nil))
	seqs := []Seq{s.state.seq}
	for n, v := range []float64{math.NaN(), math.NaN(), 0, math.Copysign(0, -1)} {
		must(t, sink.Write(ctx, connector.Chunk{Batch: float(v)}))
		must(t, sink.Decide(ctx, connector.Epoch{Number: uint64(n + 1)}))
		seqs = append(seqs, s.state.seq-seqs[0])
	}
	if !slices.Equal(seqs[1:], []Seq{1, 1, 2, 3}) {
		t.Errorf("commits %v: NaN again must write nothing, the other zero must", seqs[1:])
	}
	must(t, sink.Close())
}

// TestManySymbolsInOneCommit reads what is stored by a range of instruments instead of one by one.
func TestManySymbolsInOneCommit(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), Config{wholeRows: -1})
	w := lock(t, s)
	const symbols = 1200
	first := benchBars(t, 0, symbols, day("2024-01-01"), 2)
	_, err := w.Commit(t.Context(), put(first))
	must(t, err)
	seq, err := w.Commit(t.Context(), put(first))
	if err != nil || seq != 1 {
		t.Errorf("the same rows again: commit %d, %v", seq, err)
	}
	_, err = w.Commit(t.Context(), put(benchBars(t, 0, symbols+1, day("2024-01-02"), 2)))
	must(t, err)
	journal, err := s.Journal(t.Context(), 1, 0)
	must(t, err)
	if got := journal[0].Changed[0]; got.New != symbols+2 || got.Changed != 0 {
		t.Errorf("%+v", got)
	}
}
