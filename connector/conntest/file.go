package conntest

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
)

// FileCase is a connector that writes files and reads what it wrote. Its source and its sink are
// configured by the key path: a file, a glob, or for the sink a folder, which ends in a slash and
// gets part files.
type FileCase struct {
	Connector connector.Connector
	Suffix    string       // of file names, such as ".parquet"
	Without   []batch.Kind // kinds that come back as something else; documented limits

	// FixedColumns says that a single file keeps its first columns, though a folder follows a
	// changed schema.
	FixedColumns bool
}

// Files runs the conformance suite on the source, reading two files, and on the sink, writing one
// file and a folder.
func Files(t *testing.T, c FileCase) {
	t.Helper()
	types := slices.DeleteFunc(AllTypes(), func(typ batch.Type) bool {
		return slices.Contains(c.Without, typ.Kind)
	})
	t.Run("source", func(t *testing.T) {
		Source(t, SourceCase{
			Connector: c.Connector,
			Config: func(t testing.TB) any {
				dir := t.TempDir()
				for i, name := range []string{"a", "b"} {
					c.write(t, filepath.Join(dir, name+c.Suffix), Rows(Schema(types...), 40*i, 40*i+40, 0))
				}
				return map[string]any{"path": filepath.Join(dir, "*"+c.Suffix)}
			},
		})
	})
	t.Run("later files", func(t *testing.T) { LaterFiles(t, c) })
	for name, path := range map[string]string{"file": "/out" + c.Suffix, "folder": "/out/"} {
		t.Run(name, func(t *testing.T) {
			files := c.Connector
			if name == "file" { // takes one writer
				one := *files.Sink
				one.Capabilities.Parallel = false
				files.Sink = &one
			}
			Sink(t, SinkCase{
				Connector: files, Types: types, FixedColumns: c.FixedColumns && name == "file",
				Target: func(t testing.TB) Target {
					path := t.TempDir() + path
					return Target{
						Config:   map[string]any{"path": path},
						ReadBack: func(t testing.TB) [][]any { return c.readBack(t, path) },
					}
				},
			})
		})
	}
}

// LaterFiles reads files whose columns differ from the first one's: each file's rows have the first
// one's columns, NULL where the file lacks them, and then its own further ones. It is part of Files.
func LaterFiles(t *testing.T, c FileCase) {
	t.Helper()
	id, name := batch.Field{Name: "id", Type: batch.Of(batch.Int64)}, batch.Field{Name: "name", Type: batch.Of(batch.String)}
	note, day := batch.Field{Name: "note", Type: batch.Of(batch.String)}, batch.Field{Name: "day", Type: batch.Of(batch.Date)}
	dir := t.TempDir()
	for i, fields := range [][]batch.Field{{id, name}, {name, note, id}, {day, id}, {name}, {id, name}} {
		b := batch.NewBuilder(batch.NewSchema(fields...))
		for k, f := range fields {
			if f.Type.Kind == batch.String {
				b.Column(k).Text(fmt.Sprint(f.Name, " ", i))
			} else {
				b.Column(k).Int(int64(i))
			}
		}
		rows, err := b.Batch()
		if err != nil {
			t.Fatal(err)
		}
		c.write(t, filepath.Join(dir, fmt.Sprint(i, c.Suffix)), rows)
	}
	var got []string
	check := &sourceCheck{
		SourceCase: SourceCase{Connector: c.Connector},
		config:     map[string]any{"path": filepath.Join(dir, "*"+c.Suffix)},
	}
	source := check.open(t, usual(), connector.Partition{}, nil)
	for chunk, ok := source.next(); ok; chunk, ok = source.next() {
		dense, bad := chunk.Batch.Dense()
		if len(bad) > 0 {
			t.Errorf("a cell does not read as its type: %v", bad[0])
		}
		for i := range dense.Len() {
			got = append(got, string(batch.AppendRow(nil, dense, i)))
		}
		for _, f := range chunk.Batch.Schema().Fields() {
			if !f.Nullable && f.Name != id.Name && f.Name != name.Name {
				t.Errorf("column %s, which other files lack, is not nullable", f.Name)
			}
		}
		release(chunk)
	}
	source.close()
	want := []string{
		`{"id":0,"name":"name 0"}`, `{"id":1,"name":"name 1","note":"note 1"}`,
		`{"id":2,"name":null,"day":"1970-01-03"}`, `{"id":null,"name":"name 3"}`, `{"id":4,"name":"name 4"}`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	c.write(t, filepath.Join(dir, "9"+c.Suffix), Rows(batch.NewSchema(
		batch.Field{Name: "other", Type: batch.Of(batch.Int64)}), 0, 1, 0))
	source = check.open(t, usual(), connector.Partition{}, nil)
	var err error
	for err == nil {
		_, err = source.source.Read(t.Context())
	}
	source.close()
	if !strings.Contains(err.Error(), filepath.Join(dir, "9"+c.Suffix)) {
		t.Errorf("a file of other columns alone: %v", err)
	}
}

// write writes one file in a run of one epoch.
func (c FileCase) write(t testing.TB, path string, b *batch.Batch) {
	t.Helper()
	check := &sinkCheck{
		SinkCase: SinkCase{Connector: c.Connector}, target: Target{Config: map[string]any{"path": path}},
	}
	sink := check.restore(t, connector.Epoch{}, nil)
	sink.write(b)
	sink.commit(connector.Epoch{Number: 1, Final: true})
	sink.close()
}

// readBack returns the visible rows of a file, or of the parts in a folder; none when there is no
// file.
func (c FileCase) readBack(t testing.TB, path string) (rows [][]any) {
	t.Helper()
	if filepath.Base(path) == "out" {
		path = filepath.Join(path, "part-*")
	}
	files, err := filepath.Glob(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files { // one by one: the columns of the first need not be those of all
		check := &sourceCheck{
			SourceCase: SourceCase{Connector: c.Connector}, config: map[string]any{"path": file},
		}
		source := check.open(t, usual(), connector.Partition{}, nil)
		for chunk, ok := source.next(); ok; chunk, ok = source.next() {
			rows = append(rows, boxed(t, chunk.Batch)...)
			release(chunk)
		}
		source.close()
	}
	return rows
}

// boxed returns rows as an author's ReadBack would.
func boxed(t testing.TB, b *batch.Batch) [][]any {
	t.Helper()
	dense, bad := b.Dense()
	if len(bad) > 0 {
		t.Fatalf("cell does not read as its type: %v", bad[0])
	}
	rows := make([][]any, dense.Len())
	for i := range rows {
		for _, c := range dense.Columns() {
			rows[i] = append(rows[i], c.Value(i))
		}
	}
	return rows
}
