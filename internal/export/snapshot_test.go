package export_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/google/go-cmp/cmp"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/internal/export"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/store"
)

func snapshotOf(s *store.Store, out string) export.Snapshot {
	return export.Snapshot{Store: s, Out: out, Layout: export.Plain, Sink: fileSinks("parquet")}
}

// readTable reads the files below a folder with a reader that shares no code with the writer.
func readTable(t *testing.T, dir string) []*batch.Batch {
	t.Helper()
	var names []string
	must(t, filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if strings.HasSuffix(path, ".parquet") {
			names = append(names, path)
		}
		return err
	}))
	var parts []*batch.Batch
	for _, name := range names {
		reader, err := file.OpenParquetFile(name, false)
		must(t, err)
		arrow, err := pqarrow.NewFileReader(reader, pqarrow.ArrowReadProperties{BatchSize: 1 << 16}, memory.DefaultAllocator)
		must(t, err)
		records, err := arrow.GetRecordReader(context.Background(), nil, nil)
		must(t, err)
		for records.Next() {
			part, err := batch.FromArrow(records.RecordBatch())
			must(t, err)
			parts = append(parts, part.Keep())
		}
		must(t, reader.Close())
	}
	return parts
}

// TestSnapshotsWhileOthersWrite: each snapshot is one commit, whole, whatever is committed and compacted
// meanwhile, and another reader finds what the manifest says. Commit n gives every row the volume n.
func TestSnapshotsWhileOthersWrite(t *testing.T) {
	t.Parallel()
	v := newVendor(t, 1)
	const commits = 30
	days := []market.Date{market.DateOf(2020, 3, 2), market.DateOf(2021, 6, 1), market.DateOf(2022, 9, 1)}
	first := make(chan struct{})
	written := make(chan error, 1)
	go func() { // as another process does
		err := func() error {
			for n := range commits {
				var list []map[string]any
				for _, symbol := range symbols() {
					for _, day := range days {
						bar := v.bar(symbol, day)
						bar["volume"] = int64(n + 1)
						list = append(list, bar)
					}
				}
				c := store.Changes{Puts: map[string][]*batch.Batch{market.Bar1D: {rows(t, market.Bar1D, list)}}}
				if _, err := v.writer.Commit(context.Background(), c); err != nil {
					return err
				}
				if n == 0 {
					close(first)
				}
				if n%4 == 3 {
					if _, err := v.writer.Compact(context.Background(), true); err != nil {
						return err
					}
				}
			}
			return nil
		}()
		written <- err
	}()
	<-first
	reader, err := store.Open(v.store.Dir(), store.Config{Existing: true})
	must(t, err)
	defer func() { must(t, reader.Close()) }()
	want := len(symbols()) * len(days)
	for done := false; !done; {
		select {
		case err := <-written:
			must(t, err)
			done = true
		default:
		}
		out := filepath.Join(t.TempDir(), "snapshot")
		m, err := snapshotOf(reader, out).Run(t.Context())
		must(t, err)
		got, volumes := 0, []int64{}
		for _, b := range readTable(t, filepath.Join(out, market.Bar1D)) {
			got += b.Len()
			volumes = append(volumes, batch.Values[int64](b.Column(b.Schema().Index("volume")))...)
		}
		if got != want || slices.Min(volumes) != int64(m.Sequence) || slices.Max(volumes) != int64(m.Sequence) {
			t.Fatalf("commit %d: %d rows, want %d, with volumes of commits %d to %d", m.Sequence, got, want,
				slices.Min(volumes), slices.Max(volumes))
		}
	}
}

// TestSnapshotIsTheTable: counts, sums and types of all datasets, deletes and replaced rows left out.
func TestSnapshotIsTheTable(t *testing.T) {
	t.Parallel()
	v := newVendor(t, 2)
	for range 40 {
		v.commit()
	}
	for _, layout := range []string{export.Plain, export.Hive} {
		out := filepath.Join(t.TempDir(), layout)
		s := snapshotOf(v.store, out)
		s.Layout = layout
		m, err := s.Run(t.Context())
		must(t, err)
		view, err := v.store.View(t.Context(), 0)
		must(t, err)
		if len(m.Datasets) < 5 || m.Sequence != view.Seq() {
			t.Fatalf("%d datasets as of %d, want all as of %d", len(m.Datasets), m.Sequence, view.Seq())
		}
		for _, d := range m.Datasets {
			stored := 0
			var texts []string
			for b, err := range view.Scan(d.Dataset, store.Range{}, nil) {
				must(t, err)
				stored += b.Len()
				texts = appendRows(texts, b)
			}
			var read []string
			for _, b := range readTable(t, filepath.Join(out, d.Dataset)) {
				read = appendRows(read, b)
				for _, c := range d.Columns {
					if got := b.Schema().Field(b.Schema().Index(c.Name)).Type.String(); got != c.Type {
						t.Errorf("%s.%s is %s, the manifest says %s", d.Dataset, c.Name, got, c.Type)
					}
				}
			}
			slices.Sort(texts)
			slices.Sort(read)
			if diff := cmp.Diff(texts, read); diff != "" || int64(stored) != d.Rows {
				t.Errorf("%s %s: %d rows, the manifest says %d (-stored +read):\n%s", layout, d.Dataset, stored, d.Rows, diff)
			}
		}
		must(t, view.Close())
		if name := m.Datasets[1].Files[0].Path; layout == export.Hive == !strings.Contains(name, "year=") {
			t.Errorf("layout %s has a file %s", layout, name)
		}
	}
}

func appendRows(into []string, b *batch.Batch) []string {
	for i := range b.Len() {
		into = append(into, string(batch.AppendRow(nil, b, b.Row(i))))
	}
	return into
}

// TestSnapshotTakesItsPlaceAsAWhole: what is there stays, unless it is a snapshot and force is used; what
// fails leaves nothing.
func TestSnapshotTakesItsPlaceAsAWhole(t *testing.T) {
	t.Parallel()
	v := newVendor(t, 3)
	dir := t.TempDir()
	out := filepath.Join(dir, "snapshot")
	s := snapshotOf(v.store, out)
	if _, err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "holds no commit yet") {
		t.Errorf("an empty store: %v", err)
	}
	v.commit()
	_, err := s.Run(t.Context())
	must(t, err)
	v.commit()
	if _, err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "holds the snapshot of commit 1 already") {
		t.Errorf("a second one: %v", err)
	}
	s.Force = true
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Run(ctx); err == nil {
		t.Error("an interrupted one ends well")
	}
	_, err = s.Run(t.Context())
	must(t, err)
	var m export.SnapshotManifest
	text, err := os.ReadFile(filepath.Join(out, export.ManifestName))
	must(t, err)
	must(t, json.Unmarshal(text, &m))
	if m.Sequence != 2 {
		t.Errorf("by force it shows commit %d", m.Sequence)
	}
	other := snapshotOf(v.store, dir) // holds another folder
	other.Force = true
	if _, err := other.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "is no snapshot: name another folder") {
		t.Errorf("a folder of others: %v", err)
	}
	must(t, os.Mkdir(out+".part", 0o755))
	s.Force = false
	if _, err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "another snapshot is being made") {
		t.Errorf("beside another: %v", err)
	}
	entries, err := os.ReadDir(dir)
	must(t, err)
	if len(entries) != 2 { // the snapshot, and the part of the other
		t.Errorf("left are %v", entries)
	}
}

// TestSnapshotAfterOneThatWasKilled: whatever the moment, what is left gives way by force, and only to it.
func TestSnapshotAfterOneThatWasKilled(t *testing.T) {
	t.Parallel()
	v := newVendor(t, 4)
	v.commit()
	for at, leave := range map[string]func(out string) error{
		"begun":            func(out string) error { return os.Mkdir(out+".part", 0o755) },
		"filled":           func(out string) error { return os.Rename(out, out+".part") },
		"between renames":  func(out string) error { return os.Rename(out, out+".old") },
		"before the sweep": func(out string) error { return os.CopyFS(out+".old", os.DirFS(out)) },
	} {
		dir := t.TempDir()
		s := snapshotOf(v.store, filepath.Join(dir, "snapshot"))
		_, err := s.Run(t.Context())
		must(t, err)
		must(t, leave(s.Out))
		if _, err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "--force") {
			t.Errorf("%s: without force: %v", at, err)
		}
		s.Force = true
		for range 2 {
			_, err = s.Run(t.Context())
			must(t, err)
			entries, err := os.ReadDir(dir)
			must(t, err)
			if len(entries) != 1 {
				t.Errorf("%s: left are %v", at, entries)
			}
		}
	}
	out := filepath.Join(t.TempDir(), "snapshot")
	for _, suffix := range []string{".part", ".old"} {
		precious := filepath.Join(out+suffix, "precious.txt")
		must(t, os.Mkdir(out+suffix, 0o755))
		must(t, os.WriteFile(precious, nil, 0o600))
		s := snapshotOf(v.store, out)
		s.Force = true
		if _, err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "is no snapshot") {
			t.Errorf("a folder of others at %s: %v", suffix, err)
		}
		if _, err := os.Stat(precious); err != nil {
			t.Error(err)
		}
		must(t, os.RemoveAll(out+suffix))
	}
}

// TestSnapshotKeepsNothingWaiting: the store may forget deletes, as nobody goes on from a snapshot.
func TestSnapshotKeepsNothingWaiting(t *testing.T) {
	t.Parallel()
	v := newVendor(t, 5)
	v.commit()
	_, err := snapshotOf(v.store, filepath.Join(t.TempDir(), "snapshot")).Run(t.Context())
	must(t, err)
	cursors, err := v.store.Cursors(t.Context())
	must(t, err)
	if len(cursors) > 0 {
		t.Errorf("the store waits for %v", cursors)
	}
}
