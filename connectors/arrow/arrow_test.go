package arrow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/testenv"
	"github.com/tapeline/tapeline/internal/vfs"
	"github.com/tapeline/tapeline/internal/vfs/simfs"
)

func newEnv(fsys vfs.FS, limits connector.Limits) connector.Env {
	return connector.Env{FS: fsys, Budget: connector.NewBudget(limits)}
}

func plenty() connector.Limits { return connector.Limits{Rows: 16384, Bytes: 64 << 20} }

// outcome is what a source delivered.
type outcome struct {
	batches   []*batch.Batch
	rows      []string
	positions []connector.Position
	counts    []int // rows up to each position
}

// read runs a source from a position to its end.
func read(t testing.TB, env connector.Env, cfg SourceConfig, at connector.Position) (outcome, error) {
	t.Helper()
	var out outcome
	s, err := Connector().Source.New(env, &cfg)
	if err != nil {
		return out, err
	}
	defer s.Close()
	if err := s.Open(t.Context(), connector.Partition{}, at); err != nil {
		return out, err
	}
	for {
		chunk, err := s.Read(t.Context())
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		out.batches = append(out.batches, chunk.Batch)
		out.rows = append(out.rows, spellRows(chunk.Batch)...)
		out.positions = append(out.positions, chunk.Position)
		out.counts = append(out.counts, len(out.rows))
	}
}

func openSink(t testing.TB, env connector.Env, cfg SinkConfig, epoch uint64, token []byte) connector.Transactional {
	t.Helper()
	s, err := Connector().Sink.New(env, &cfg)
	if err != nil {
		t.Fatal(err)
	}
	tx := s.(connector.Transactional)
	err = errors.Join(tx.Open(t.Context(), connector.Task{Run: "r", Count: 1}),
		tx.Recover(t.Context(), connector.Epoch{Number: epoch}, token))
	if err != nil {
		t.Fatal(err)
	}
	return tx
}

func commit(t testing.TB, tx connector.Transactional, epoch connector.Epoch) []byte {
	t.Helper()
	prepared, err := tx.Prepare(t.Context(), epoch)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(prepared.Sync(t.Context()), tx.Commit(t.Context(), epoch, prepared.Token)); err != nil {
		t.Fatal(err)
	}
	return prepared.Token
}

func writeAll(t testing.TB, env connector.Env, cfg SinkConfig, batches []*batch.Batch) {
	t.Helper()
	tx := openSink(t, env, cfg, 0, nil)
	for _, b := range batches {
		if err := tx.Write(t.Context(), connector.Chunk{Batch: b}); err != nil {
			t.Fatal(err)
		}
	}
	commit(t, tx, connector.Epoch{Number: 1, Final: true})
	if err := tx.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestIntegration holds each file against its JSON answer, and again after a trip through our sink
// in every format and codec.
func TestIntegration(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(testenv.Data(t, "arrow_ipc"), "*", "*.*"))
	if err != nil {
		t.Fatal(err)
	}
	checked, rows := 0, 0
	for _, path := range files {
		stem, binary := strings.CutSuffix(path, ".arrow_file")
		if !binary {
			if stem, binary = strings.CutSuffix(path, ".stream"); !binary {
				continue
			}
		}
		want := readAnswer(t, stem+".json.gz").rows()
		got, err := read(t, newEnv(vfs.OS{}, plenty()), SourceConfig{Path: path}, nil)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if diff := cmp.Diff(want, got.rows, emptyIsNil()); diff != "" {
			t.Errorf("%s: %s", path, diff)
		}
		checked++
		rows += len(want)
		for i, cfg := range []SinkConfig{{Format: "file"}, {Format: "stream", Compression: "zstd"}, {Format: "file", Compression: "lz4"}} {
			if len(got.batches) == 0 {
				continue
			}
			cfg.Path = filepath.Join(t.TempDir(), "out")
			writeAll(t, newEnv(vfs.OS{}, plenty()), cfg, got.batches)
			again, err := read(t, newEnv(vfs.OS{}, plenty()), SourceConfig{Path: cfg.Path}, nil)
			if diff := cmp.Diff(want, again.rows, emptyIsNil()); err != nil || diff != "" {
				t.Errorf("%s written as %d: %v %s", path, i, err, diff)
			}
		}
	}
	if checked != 48 {
		t.Errorf("%d files, want 48", checked)
	}
	t.Logf("%d files, %d rows", checked, rows)
}

func emptyIsNil() cmp.Option {
	return cmp.FilterValues(func(a, b []string) bool { return len(a) == 0 && len(b) == 0 }, cmp.Ignore())
}

// numbers returns a batch of rows with nulls, text and lists.
func numbers(from, rows int) *batch.Batch {
	b := batch.NewBuilder(batch.NewSchema(
		batch.Field{Name: "id", Type: batch.Of(batch.Int64)},
		batch.Field{Name: "text", Type: batch.Of(batch.String), Nullable: true},
		batch.Field{Name: "list", Type: batch.ListOf(batch.Of(batch.Int32)), Nullable: true}))
	for i := from; i < from+rows; i++ {
		b.Column(0).Int(int64(i))
		if i%5 == 0 {
			b.Column(1).Null()
			b.Column(2).Null()
			continue
		}
		b.Column(1).Text(fmt.Sprintf("row %d", i))
		for k := range i % 4 {
			b.Column(2).Element(0).Int(int64(k))
		}
		b.Column(2).List()
	}
	out, err := b.Batch()
	if err != nil {
		panic("numbers: " + err.Error())
	}
	return out
}

// TestResume continues at every position, in both formats and within record batches.
func TestResume(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"file", "stream"} {
		dir := t.TempDir()
		for i := range 2 {
			cfg := SinkConfig{Path: filepath.Join(dir, fmt.Sprintf("%d.arrow", i)), Format: format}
			writeAll(t, newEnv(vfs.OS{}, plenty()), cfg, []*batch.Batch{numbers(i*1000, 100), numbers(i*1000+100, 33)})
		}
		cfg := SourceConfig{Path: dir + "/*.arrow"}
		small := newEnv(vfs.OS{}, connector.Limits{Rows: 21, Bytes: 1 << 20})
		whole, err := read(t, small, cfg, nil)
		if err != nil || len(whole.rows) != 266 || len(whole.positions) < 14 {
			t.Fatal(len(whole.rows), len(whole.positions), err)
		}
		if want := spellRows(numbers(0, 100)); cmp.Diff(want, whole.rows[:100]) != "" {
			t.Fatal(cmp.Diff(want, whole.rows[:100]))
		}
		for i, position := range whole.positions {
			rest, err := read(t, small, cfg, position)
			if diff := cmp.Diff(whole.rows[whole.counts[i]:], rest.rows, emptyIsNil()); err != nil || diff != "" {
				t.Fatalf("%s position %d: %v %s", format, i, err, diff)
			}
		}
	}
}

func TestColumns(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.arrow")
	writeAll(t, newEnv(vfs.OS{}, plenty()), SinkConfig{Path: path}, []*batch.Batch{numbers(0, 3)})
	got, err := read(t, newEnv(vfs.OS{}, plenty()), SourceConfig{Path: path, Columns: []string{"text", "id"}}, nil)
	if diff := cmp.Diff([]string{"null|0", "row 1|1", "row 2|2"}, got.rows); err != nil || diff != "" {
		t.Error(err, diff)
	}
	_, err = read(t, newEnv(vfs.OS{}, plenty()), SourceConfig{Path: path, Columns: []string{"x"}}, nil)
	if err == nil || !strings.Contains(err.Error(), `no column "x"; it has id, text, list`) {
		t.Error(err)
	}
}

func TestWhatIsNoArrowIsRefused(t *testing.T) {
	t.Parallel()
	for text, code := range map[string]string{
		"": "file_corrupt", "ARROW1": "file_corrupt", "a,b\n1,2\n": "file_corrupt", "FEA1 and more": "feather_v1",
		"\xff\xff\xff\xff\x00\x00\x00\x7f": "file_corrupt",
	} {
		path := filepath.Join(t.TempDir(), "a.arrow")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		var e *connector.Error
		if _, err := read(t, newEnv(vfs.OS{}, plenty()), SourceConfig{Path: path}, nil); !errors.As(err, &e) || e.Code != code {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestFlights reads real rows within their limits and checks their sums.
func TestFlights(t *testing.T) {
	t.Parallel()
	path := filepath.Join(testenv.Data(t, "flights"), "flights-200k.arrow")
	got, err := read(t, newEnv(vfs.OS{}, connector.Limits{Rows: 5000, Bytes: 1 << 20}), SourceConfig{Path: path}, nil)
	if err != nil {
		t.Fatal(err)
	}
	sums := map[string]int64{}
	for _, b := range got.batches {
		for i, f := range b.Schema().Fields() {
			for row := range b.Len() {
				if v, ok := b.Column(i).Value(row).(int64); ok {
					sums[f.Name] += v
				}
			}
		}
	}
	want := map[string]int64{"delay": 1500159, "distance": 145847125}
	if diff := cmp.Diff(want, sums); diff != "" || len(got.rows) != 200_000 {
		t.Errorf("%d rows: %s", len(got.rows), diff)
	}
}

// crashJob writes four epochs of rows and commits each.
func crashJob(system vfs.FS, cfg SinkConfig, done *uint64, token *[]byte) error {
	s, err := Connector().Sink.New(connector.Env{FS: system}, &cfg)
	if err != nil {
		return err
	}
	tx, ctx := s.(connector.Transactional), context.Background()
	if err := tx.Open(ctx, connector.Task{Run: "r", Count: 1}); err != nil {
		return err
	}
	if err := tx.Recover(ctx, connector.Epoch{Number: *done}, *token); err != nil {
		return err
	}
	const epochs = 4
	for number := *done + 1; number <= epochs; number++ {
		for i := range 3 {
			chunk := connector.Chunk{Batch: numbers(int(number)*300+i*100, 100)}
			if err := tx.Write(ctx, chunk); err != nil {
				return err
			}
		}
		epoch := connector.Epoch{Number: number, Final: number == epochs}
		prepared, err := tx.Prepare(ctx, epoch)
		if err != nil {
			return err
		}
		if err := prepared.Sync(ctx); err != nil {
			return err
		}
		*done, *token = number, prepared.Token
		if err := tx.Commit(ctx, epoch, prepared.Token); err != nil {
			return err
		}
	}
	return tx.Close()
}

// TestSinkCrashes crashes at every change of the disk, recovers and goes on.
func TestSinkCrashes(t *testing.T) {
	t.Parallel()
	want := spellRows(numbers(300, 1200))
	for _, cfg := range []SinkConfig{
		{Path: "out/a.arrow"},
		{Path: "out/", Compression: "lz4"},
		{Path: "out/a.arrows"},
		{Path: "out/", Format: "stream", MinPartBytes: 10000},
	} {
		var done uint64
		var token []byte
		whole := newSystem(t)
		start := whole.Operations()
		if err := crashJob(whole, cfg, &done, &token); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, visible(t, whole)); diff != "" {
			t.Fatalf("%v: %s", cfg, diff)
		}
		for stop := start; stop < whole.Operations(); stop++ {
			system := newSystem(t)
			system.StopAt(stop)
			done, token = 0, nil
			if err := crashJob(system, cfg, &done, &token); !errors.Is(err, simfs.ErrStopped) {
				t.Fatalf("%v stopped at %d: %v", cfg, stop, err)
			}
			clone := system.CrashClone(rand.New(rand.NewPCG(uint64(stop), 7)))
			if err := crashJob(clone, cfg, &done, &token); err != nil {
				t.Fatalf("%v stopped at %d, epoch %d: %v", cfg, stop, done, err)
			}
			if diff := cmp.Diff(want, visible(t, clone)); diff != "" {
				t.Fatalf("%v stopped at %d: %s", cfg, stop, diff)
			}
		}
	}
}

func newSystem(t *testing.T) *simfs.FS {
	t.Helper()
	system := simfs.New()
	if err := errors.Join(system.MkdirAll("out"), system.SyncDir("out")); err != nil {
		t.Fatal(err)
	}
	return system
}

func visible(t *testing.T, system vfs.FS) []string {
	t.Helper()
	out, err := read(t, newEnv(system, plenty()), SourceConfig{Path: "out/*.arrow*"}, nil)
	if err != nil && !strings.Contains(err.Error(), "no file matches") {
		t.Fatal(err)
	}
	return out.rows
}

// TestDiskFull fails writes now and then: a repeated write doubles and loses nothing.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"out/a.arrow", "out/a.arrows"} {
		system := newSystem(t)
		s := openSink(t, newEnv(system, plenty()), SinkConfig{Path: path}, 0, nil)
		failed, n := 0, 0
		system.Inject(func(op simfs.Op, _ string) error {
			if n++; op == simfs.OpWrite && n%3 == 0 {
				return syscall.ENOSPC
			}
			return nil
		})
		for i := range 40 {
			err := errors.New("not written")
			for ; err != nil; failed++ {
				err = s.Write(t.Context(), connector.Chunk{Batch: numbers(i*5000, 5000)})
				var e *connector.Error
				if err != nil && (!errors.As(err, &e) || e.Class != connector.Transient || failed > 1000) {
					t.Fatal(err)
				}
			}
		}
		system.Inject(nil)
		commit(t, s, connector.Epoch{Number: 1, Final: true})
		if diff := cmp.Diff(spellRows(numbers(0, 200_000)), visible(t, system)); diff != "" || failed <= 40 {
			t.Errorf("%s: %d writes: %.2000s", path, failed, diff)
		}
	}
}

// FuzzRead: whatever a file holds, its source ends with rows or an error.
func FuzzRead(f *testing.F) {
	for _, cfg := range []SinkConfig{{Format: "file"}, {Format: "stream"}, {Format: "stream", Compression: "lz4"}, {Format: "file", Compression: "zstd"}} {
		cfg.Path = filepath.Join(f.TempDir(), "a")
		writeAll(f, newEnv(vfs.OS{}, plenty()), cfg, []*batch.Batch{numbers(0, 10)})
		data, err := os.ReadFile(cfg.Path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		system := simfs.New()
		file, err := system.Create("a.arrow")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.Write(data); err != nil {
			t.Fatal(err)
		}
		if _, err := read(t, newEnv(system, plenty()), SourceConfig{Path: "a.arrow"}, nil); err != nil {
			if _, ok := errors.AsType[*connector.Error](err); !ok {
				t.Errorf("unclassified: %v", err)
			}
		}
	})
}

const benchRows = 1_000_000

func BenchmarkWrite(b *testing.B) {
	batches := []*batch.Batch{}
	for from := 0; from < benchRows; from += 16384 {
		batches = append(batches, numbers(from, min(16384, benchRows-from)))
	}
	for _, compression := range []string{"none", "lz4", "zstd"} {
		b.Run(compression, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				cfg := SinkConfig{Path: filepath.Join(b.TempDir(), "a.arrow"), Compression: compression}
				writeAll(b, newEnv(vfs.OS{}, plenty()), cfg, batches)
			}
			b.ReportMetric(float64(benchRows)*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mrows/s")
		})
	}
}

func BenchmarkRead(b *testing.B) {
	for _, compression := range []string{"none", "lz4", "zstd"} {
		path := filepath.Join(b.TempDir(), "a.arrow")
		writeAll(b, newEnv(vfs.OS{}, plenty()), SinkConfig{Path: path, Compression: compression}, []*batch.Batch{numbers(0, benchRows)})
		b.Run(compression, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s, err := Connector().Source.New(newEnv(vfs.OS{}, plenty()), &SourceConfig{Path: path})
				if err != nil {
					b.Fatal(err)
				}
				if err := s.Open(b.Context(), connector.Partition{}, nil); err != nil {
					b.Fatal(err)
				}
				rows := 0
				for {
					chunk, err := s.Read(b.Context())
					if errors.Is(err, io.EOF) {
						break
					}
					if err != nil {
						b.Fatal(err)
					}
					rows += chunk.Batch.Len()
				}
				if err := s.Close(); err != nil || rows != benchRows {
					b.Fatal(rows, err)
				}
			}
			b.ReportMetric(float64(benchRows)*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mrows/s")
		})
	}
}
