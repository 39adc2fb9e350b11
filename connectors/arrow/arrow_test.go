package arrow

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/filetest"
	"github.com/tapeline/tapeline/internal/testenv"
	"github.com/tapeline/tapeline/internal/vfs"
	"github.com/tapeline/tapeline/internal/vfs/simfs"
)

func newEnv(fsys vfs.FS, limits connector.Limits) connector.Env {
	return filetest.Limited(fsys, limits)
}

func plenty() connector.Limits { return connector.Limits{Rows: 16384, Bytes: 64 << 20} }

// read spells rows so that types without a form of our own show too.
func read(t testing.TB, env connector.Env, cfg SourceConfig, at connector.Position) (filetest.Outcome, error) {
	t.Helper()
	out, err := filetest.Read(t, env, Connector(), &cfg, connector.Partition{}, at)
	out.Rows = nil
	for _, b := range out.Batches {
		out.Rows = append(out.Rows, spellRows(b)...)
	}
	return out, err
}

func writeAll(t testing.TB, env connector.Env, cfg SinkConfig, batches []*batch.Batch) {
	t.Helper()
	filetest.Write(t, env, Connector(), &cfg, batches...)
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
		if diff := filetest.Diff(want, got.Rows); diff != "" {
			t.Errorf("%s: %s", path, diff)
		}
		checked++
		rows += len(want)
		for i, cfg := range []SinkConfig{{Format: "file"}, {Format: "stream", Compression: "zstd"}, {Format: "file", Compression: "lz4"}} {
			if len(got.Batches) == 0 {
				continue
			}
			cfg.Path = filepath.Join(t.TempDir(), "out")
			writeAll(t, newEnv(vfs.OS{}, plenty()), cfg, got.Batches)
			again, err := read(t, newEnv(vfs.OS{}, plenty()), SourceConfig{Path: cfg.Path}, nil)
			if diff := filetest.Diff(want, again.Rows); err != nil || diff != "" {
				t.Errorf("%s written as %d: %v %s", path, i, err, diff)
			}
		}
	}
	if checked != 48 {
		t.Errorf("%d files, want 48", checked)
	}
	t.Logf("%d files, %d rows", checked, rows)
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
		if err != nil || len(whole.Rows) != 266 || len(whole.Positions) < 14 {
			t.Fatal(len(whole.Rows), len(whole.Positions), err)
		}
		if want := spellRows(numbers(0, 100)); cmp.Diff(want, whole.Rows[:100]) != "" {
			t.Fatal(cmp.Diff(want, whole.Rows[:100]))
		}
		for i, position := range whole.Positions {
			rest, err := read(t, small, cfg, position)
			if diff := filetest.Diff(whole.Rows[whole.Counts[i]:], rest.Rows); err != nil || diff != "" {
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
	if diff := cmp.Diff([]string{"null|0", "row 1|1", "row 2|2"}, got.Rows); err != nil || diff != "" {
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
	for _, b := range got.Batches {
		for i, f := range b.Schema().Fields() {
			for row := range b.Len() {
				if v, ok := b.Column(i).Value(row).(int64); ok {
					sums[f.Name] += v
				}
			}
		}
	}
	want := map[string]int64{"delay": 1500159, "distance": 145847125}
	if diff := cmp.Diff(want, sums); diff != "" || len(got.Rows) != 200_000 {
		t.Errorf("%d rows: %s", len(got.Rows), diff)
	}
}

func job(cfg SinkConfig, rows, epochs int) filetest.Job {
	j := filetest.Job{
		Connector: Connector(), Sink: &cfg, Source: &SourceConfig{Path: "out/*.arrow*"},
		Whole: !strings.HasSuffix(cfg.Path, "/"),
	}
	for number := range epochs {
		j.Epochs = append(j.Epochs, numbers(number*rows, rows))
	}
	return j
}

func TestSinkCrashes(t *testing.T) {
	t.Parallel()
	for _, cfg := range []SinkConfig{
		{Path: "out/a.arrow"},
		{Path: "out/", Compression: "lz4"},
		{Path: "out/", MinPartBytes: 15000},
		{Path: "out/a.arrows"},
		{Path: "out/", Format: "stream", MinPartBytes: 10000},
	} {
		job(cfg, 300, 4).Crashes(t)
	}
	for _, cfg := range []SinkConfig{{Path: "out/"}, {Path: "out/", Format: "stream"}} {
		job(cfg, 300, 5).Wider().Crashes(t)
	}
}

func TestDiskFull(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"out/a.arrow", "out/a.arrows"} {
		job(SinkConfig{Path: path}, 5000, 40).DiskFull(t)
	}
}

func TestNoRows(t *testing.T) {
	t.Parallel()
	want := numbers(0, 1).Schema()
	for _, cfg := range []SinkConfig{
		{Path: "out/a.arrow"}, {Path: "out/"}, {Path: "out/a.arrows"}, {Path: "out/", Format: "stream"},
	} {
		if schema, err := job(cfg, 5, 1).NoRows(t, true); err != nil || !schema.Equal(want) {
			t.Errorf("%+v: columns (%s), want (%s): %v", cfg, schema, want, err)
		}
		if strings.HasSuffix(cfg.Path, "/") {
			continue
		}
		if schema, err := job(cfg, 5, 1).NoRows(t, false); err != nil || schema.Len() != 0 {
			t.Errorf("%+v, columns not known: (%s), %v", cfg, schema, err)
		}
	}
}

// TestStreamEndsWithItsMark: also where the process that ends it wrote no row of it.
func TestStreamEndsWithItsMark(t *testing.T) {
	t.Parallel()
	system, cfg := simfs.New(), SinkConfig{Path: "a.arrows"}
	tx := filetest.Open(t, newEnv(system, plenty()), Connector(), &cfg, 0, nil)
	if err := tx.Write(t.Context(), connector.Chunk{Batch: numbers(0, 10)}); err != nil {
		t.Fatal(err)
	}
	token := filetest.Commit(t, tx, connector.Epoch{Number: 1})
	if err := tx.Close(); err != nil {
		t.Fatal(err)
	}
	tx = filetest.Open(t, newEnv(system, plenty()), Connector(), &cfg, 1, token)
	filetest.Commit(t, tx, connector.Epoch{Number: 2, Final: true})
	file, err := system.Open("a.arrows")
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(file)
	if err != nil || !bytes.HasSuffix(data, []byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}) {
		t.Errorf("it ends with % x (%v)", data[max(0, len(data)-8):], err)
	}
	out, err := read(t, newEnv(system, plenty()), SourceConfig{Path: "a.arrows"}, nil)
	if diff := filetest.Diff(spellRows(numbers(0, 10)), out.Rows); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
}

// FuzzRead: whatever a file holds, its source ends with rows or an error.
func FuzzRead(f *testing.F) {
	for _, cfg := range []SinkConfig{{Format: "file"}, {Format: "stream"}, {Format: "stream", Compression: "lz4"}, {Format: "file", Compression: "zstd"}} {
		cfg.Path = filepath.Join(f.TempDir(), "a")
		writeAll(f, newEnv(vfs.OS{}, plenty()), cfg, []*batch.Batch{numbers(0, 2)})
		data, err := os.ReadFile(cfg.Path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		filetest.Fuzz(t, Connector(), &SourceConfig{Path: "a.arrow"}, "a.arrow", data)
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
