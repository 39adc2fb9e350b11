package csv

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/vfs"
)

func newTestSink(t *testing.T, cfg SinkConfig, count int) *sink {
	t.Helper()
	made, err := newSink(connector.Env{FS: vfs.OS{}}, &cfg)
	if err != nil {
		t.Fatal(err)
	}
	s := made.(*sink)
	ctx := context.Background()
	if err := s.Open(ctx, connector.Task{Run: "r", Node: "out", Count: count}); err != nil {
		t.Fatal(err)
	}
	if err := s.Recover(ctx, connector.Epoch{}, nil); err != nil {
		t.Fatal(err)
	}
	return s
}

// end prepares, syncs and commits an epoch.
func (s *sink) end(epoch connector.Epoch) error {
	ctx := context.Background()
	prepared, err := s.Prepare(ctx, epoch)
	if err != nil {
		return err
	}
	return errors.Join(prepared.Sync(ctx), s.Commit(ctx, epoch, prepared.Token))
}

// copyRows reads a file, keeps some rows, and writes them.
func copyRows(t *testing.T, from SourceConfig, to SinkConfig, keep func(row int) bool) {
	t.Helper()
	s := newTestSink(t, to, 1)
	env := connector.Env{FS: vfs.OS{}, Budget: connector.NewBudget(connector.Limits{Rows: 50, Bytes: 2000})}
	source, err := newSource(env, &from)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	if err := source.Open(ctx, connector.Partition{}, nil); err != nil {
		t.Fatal(err)
	}
	decode, encode := source.(connector.Decoder).NewDecode(), s.NewEncode()
	number, epoch := 0, uint64(0)
	for {
		chunk, err := source.Read(ctx)
		if err != nil {
			break
		}
		if chunk, err = decode(chunk); err != nil {
			t.Fatal(err)
		}
		var rows []int32
		for row := range chunk.Batch.Rows() {
			if keep(number) {
				rows = append(rows, int32(row))
			}
			number++
		}
		chunk.Batch = chunk.Batch.Select(rows)
		release := chunk.Release
		if number%2 == 0 {
			if chunk, err = encode(chunk); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Write(ctx, chunk); err != nil {
			t.Fatal(err)
		}
		if chunk.Payload != nil {
			chunk.Release()
		}
		release()
		epoch++
		if err := s.end(connector.Epoch{Number: epoch}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.end(connector.Epoch{Number: epoch + 1, Final: true}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(source.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestCopyKeepsRows writes what it reads, in other dialects too, and reads it back.
func TestCopyKeepsRows(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	from := at(writeFile(t, dir+"/in.csv", messy(300)))
	from.SkipRows = 1
	want, err := read(from, usual(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]SinkConfig{
		"same.csv": {Header: true}, "tab.csv": {Header: true, Delimiter: "tab"}, "packed.csv.gz": {Header: true},
		"packed.csv.zst": {Header: true}, "null.csv": {Header: true, NullValue: `NULL`},
		"escape.csv": {Header: true, Escape: `\`}, "two.csv": {Header: true, Delimiter: "||"},
	} {
		to.Path = filepath.Join(dir, name)
		copyRows(t, from, to, func(int) bool { return true })
		back := at(to.Path)
		back.Delimiter, back.Escape = to.Delimiter, to.Escape
		back.NullValues = []string{to.NullValue}
		got, err := read(back, usual(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want.rows, got.rows); diff != "" || len(got.rejected) > 0 {
			t.Errorf("%s: %v %s", name, got.rejected, diff)
		}
	}
}

func TestCopyIsByteExact(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	text := "id,price,note\n1,1.50,\"a, b\"\n2,007.10,\n3,1e5,\"\"\n4,\"5\",x\n"
	from := at(writeFile(t, dir+"/in.csv", []byte(text)))
	to := SinkConfig{Header: true}
	to.Path = dir + "/out.csv"
	copyRows(t, from, to, func(int) bool { return true })
	got, err := os.ReadFile(to.Path)
	if err != nil || string(got) != text {
		t.Errorf("got %q (%v)", got, err)
	}
	copyRows(t, from, to, func(row int) bool { return row != 1 })
	got, err = os.ReadFile(to.Path)
	if want := strings.Replace(text, "2,007.10,\n", "", 1); err != nil || string(got) != want {
		t.Errorf("without a row: got %q (%v)", got, err)
	}
}

// TestTypedRoundTrip writes typed columns and reads them back under the same types.
func TestTypedRoundTrip(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rapid.Check(t, func(r *rapid.T) {
		texts := rapid.SliceOfN(rapid.StringMatching(`[a,"\n\\ ;|#é]{0,6}`), 1, 20).Draw(r, "texts")
		d := SinkConfig{Header: rapid.Bool().Draw(r, "header")}
		d.Path = dir + "/out.csv"
		d.Delimiter = rapid.SampledFrom([]string{",", ";", "|", "||", " "}).Draw(r, "delimiter")
		b := batch.NewBuilder(batch.NewSchema(
			batch.Field{Name: "t", Type: batch.Of(batch.String), Nullable: true},
			batch.Field{Name: "n", Type: batch.Of(batch.Float64), Nullable: true},
			batch.Field{Name: "d", Type: batch.DecimalOf(12, 3), Nullable: true},
		))
		want := [][]string{}
		rng := rand.New(rand.NewPCG(uint64(len(texts)), 7))
		for i, text := range texts {
			b.Column(0).Text(text)
			b.Column(1).Float(float64(rng.IntN(1000)) / 8)
			if i%3 == 0 {
				b.Column(2).Null()
			} else if err := b.Column(2).Any("1.250"); err != nil {
				r.Fatal(err)
			}
			want = append(want, []string{text, "", ""})
		}
		made, err := b.Batch()
		if err != nil {
			r.Fatal(err)
		}
		for i := range want {
			want[i][1], want[i][2] = cellText(made.Column(1), i), cellText(made.Column(2), i)
		}
		s := newTestSink(t, d, 1)
		if err := s.Write(context.Background(), connector.Chunk{Batch: made}); err != nil {
			r.Fatal(err)
		}
		if err := s.end(connector.Epoch{Number: 1, Final: true}); err != nil {
			r.Fatal(err)
		}
		back := at(d.Path)
		back.Header, back.Delimiter = &d.Header, d.Delimiter
		got, err := read(back, usual(), nil)
		if err != nil {
			r.Fatal(err)
		}
		if diff := cmp.Diff(want, got.rows); diff != "" {
			data, _ := os.ReadFile(d.Path)
			r.Fatalf("%q: %s", data, diff)
		}
	})
}

func TestSinkFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	from := at(writeFile(t, dir+"/in.csv", messy(300)))
	from.SkipRows = 1
	to := SinkConfig{Header: true}
	to.Path, to.MinPartBytes = dir+"/out/", 1000
	copyRows(t, from, to, func(int) bool { return true })
	parts, err := filepath.Glob(dir + "/out/part-r-out-00-*.csv")
	if err != nil || len(parts) < 3 {
		t.Fatalf("%d parts (%v), want several", len(parts), err)
	}
	want, err := read(from, usual(), nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := read(at(dir+"/out/*.csv"), usual(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.rows, got.rows); diff != "" {
		t.Error(diff)
	}
}

// TestColumnsAreKnownAfterRecover: rows of other columns are refused by the next process of a run
// too, or they would stand below the header of the first.
func TestColumnsAreKnownAfterRecover(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for _, long := range []string{"", strings.Repeat("long", 4<<10)} {
		cfg := SinkConfig{Header: true}
		cfg.Path = t.TempDir() + "/out.csv"
		write := func(s *sink, columns ...string) error {
			fields := make([]batch.Field, len(columns))
			for i, name := range columns {
				fields[i] = batch.Field{Name: name + long, Type: batch.Of(batch.Int64)}
			}
			b := batch.NewBuilder(batch.NewSchema(fields...))
			for i := range columns {
				b.Column(i).Int(int64(i))
			}
			made, err := b.Batch()
			if err != nil {
				t.Fatal(err)
			}
			return s.Write(ctx, connector.Chunk{Batch: made})
		}
		s := newTestSink(t, cfg, 1)
		first := connector.Epoch{Number: 1}
		err := write(s, "a", "b\xff")
		prepared, prepareErr := s.Prepare(ctx, first)
		if err := errors.Join(err, prepareErr, prepared.Sync(ctx), s.Close()); err != nil {
			t.Fatal(err)
		}
		if most := 64 << 10; len(prepared.Token) > most {
			t.Errorf("the token has %d bytes", len(prepared.Token))
		}
		for _, columns := range [][]string{{"b\xff", "a", "c"}, {"a", "b\xff"}} {
			made, err := newSink(connector.Env{FS: vfs.OS{}}, &cfg)
			if err != nil {
				t.Fatal(err)
			}
			s := made.(*sink)
			if err := errors.Join(s.Open(ctx, connector.Task{Run: "r", Node: "out", Count: 1}),
				s.Recover(ctx, first, prepared.Token)); err != nil {
				t.Fatal(err)
			}
			err = write(s, columns...)
			var e *connector.Error
			if len(columns) == 3 && (!errors.As(err, &e) || e.Code != "csv_columns_changed") ||
				len(columns) == 2 && err != nil {
				t.Errorf("%d columns: got %v", len(columns), err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Without a quote a text must not become two cells or two records.
func TestSinkWithoutQuoteRefusesRows(t *testing.T) {
	t.Parallel()
	cfg := SinkConfig{Header: true, Quote: "none"}
	cfg.Path = t.TempDir() + "/out.csv"
	s := newTestSink(t, cfg, 1)
	b := batch.NewBuilder(batch.NewSchema(
		batch.Field{Name: "n", Type: batch.Of(batch.Int64)}, batch.Field{Name: "s", Type: batch.Of(batch.String)}))
	for i, text := range []string{"a", "b,c", "d\ne", "f\r", "\"g\""} {
		b.Column(0).Int(int64(i))
		b.Column(1).Text(text)
	}
	made, err := b.Batch()
	if err != nil {
		t.Fatal(err)
	}
	var partial *connector.PartialError
	err = s.Write(t.Context(), connector.Chunk{Batch: made})
	if !errors.As(err, &partial) || len(partial.Rows) != 3 || partial.Rows[2].Row != 3 || partial.Rows[0].Column != "s" {
		t.Errorf("rows 1 to 3 are refused: %v", err)
	}
	if err := s.end(connector.Epoch{Number: 1, Final: true}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(cfg.Path)
	if want := "n,s\n0,a\n4,\"g\"\n"; err != nil || string(text) != want {
		t.Errorf("got %q (%v), want %q", text, err, want)
	}
}

func TestSinkRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cfg := SinkConfig{Header: true}
	cfg.Path = dir + "/out.csv"
	s := newTestSink(t, cfg, 1)
	b := batch.NewBuilder(batch.NewSchema(batch.Field{Name: "a", Type: batch.Of(batch.Int64)}))
	b.Column(0).Int(1)
	made, err := b.Batch()
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	var e *connector.Error
	err = s.Write(ctx, connector.Chunk{Batch: made.WithOperations([]batch.Operation{batch.Delete})})
	if !errors.As(err, &e) || e.Class != connector.Schema {
		t.Errorf("a delete: got %v", err)
	}
	if err := s.Write(ctx, connector.Chunk{Batch: made}); err != nil {
		t.Fatal(err)
	}
	other := made.WithColumns(batch.NewSchema(batch.Field{Name: "b", Type: batch.Of(batch.Int64)}), made.Columns())
	if err := s.Write(ctx, connector.Chunk{Batch: other}); !errors.As(err, &e) || e.Code != "csv_columns_changed" {
		t.Errorf("other columns: got %v", err)
	}
	many, err := newSink(connector.Env{FS: vfs.OS{}}, &cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := many.Open(ctx, connector.Task{Run: "r", Node: "out", Count: 2}); err == nil || !strings.Contains(err.Error(), "folder") {
		t.Errorf("two writers of one file: got %v", err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 || bytes.HasPrefix([]byte(entries[0].Name()), []byte("out")) {
		t.Errorf("the target appeared before the end: %v", entries)
	}
}
