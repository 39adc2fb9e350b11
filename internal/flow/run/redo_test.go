package run

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/connector/conntest"
	"github.com/tapeline/tapeline/internal/vfs/simfs"
)

// texts returns operation and values of each row.
func texts(b *batch.Batch) (out []string) {
	for i := range b.Len() {
		row := b.Row(i)
		out = append(out, b.Operation(row).String()+string(batch.AppendRow(nil, b, row)))
	}
	return out
}

func redoRows(from, to int) *batch.Batch {
	b := conntest.Rows(conntest.Schema(conntest.AllTypes()...), from, to, 0)
	operations := make([]batch.Operation, b.Rows())
	for i := range operations {
		operations[i] = batch.Operation(i % 3)
	}
	return b.WithOperations(operations)
}

// What is replayed has every type's values, tables and operations, in order and without the rows
// that were not selected.
func TestRedoKeepsRows(t *testing.T) {
	l := newRedoLog(simfs.New(), "state", "run-sink-0")
	var wantTables, want []string
	for i, table := range []string{"", "a b", "ü"} {
		rows := redoRows(20*i, 20*i+20)
		if i == 1 {
			rows = rows.Select([]int32{0, 3, 4, 19})
		}
		if err := l.append(table, rows); err != nil {
			t.Fatal(err)
		}
		wantTables = append(wantTables, table)
		want = append(want, texts(rows)...)
	}
	if err := l.sync(); err != nil {
		t.Fatal(err)
	}
	object := l.stateObject
	l.close()
	var gotTables, got []string
	err := l.replay(object, func(chunk connector.Chunk) error {
		gotTables = append(gotTables, chunk.Table)
		got = append(got, texts(chunk.Batch)...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" || !slices.Equal(gotTables, wantTables) {
		t.Errorf("tables %q, rows: %s", gotTables, diff)
	}
	if err := l.remove(); err != nil {
		t.Error(err)
	}
	if err := l.replay(object, nil); err == nil {
		t.Error("a removed file was replayed")
	}
}

// No byte of the file can change, and none can be missing.
func TestDamagedRedoIsRefused(t *testing.T) {
	disk := simfs.New()
	l := newRedoLog(disk, "state", "run-sink-0")
	for i := range 2 {
		if err := l.append("t", conntest.Rows(conntest.Schema(batch.Of(batch.Int64)), i, i+3, 0)); err != nil {
			t.Fatal(err)
		}
	}
	object := l.stateObject
	l.close()
	f, err := disk.Open(l.name)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	with := func(data []byte) error {
		f, err := disk.Create(l.name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(data); err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
		return l.replay(object, func(connector.Chunk) error { return nil })
	}
	if err := with(data); err != nil {
		t.Fatal(err)
	}
	for at := range data {
		bad := slices.Clone(data)
		bad[at] ^= 0x20
		if err := with(bad); err == nil {
			t.Errorf("byte %d of %d was changed and the file accepted", at, len(data))
		}
		if err := with(data[:at]); err == nil {
			t.Errorf("%d of %d bytes were accepted", at, len(data))
		}
	}
	object.Bytes, object.CRC32C = int64(len(data))/2, 0
	if err := with(data); err == nil {
		t.Error("a part of the file was accepted")
	}
}

// FuzzRedo: arbitrary rows read back as they were written, and arbitrary bytes read as none.
func FuzzRedo(f *testing.F) {
	f.Add("t", []byte("some text"), []byte{0, 1, 2})
	f.Fuzz(func(t *testing.T, table string, text, operations []byte) {
		b := batch.NewBuilder(conntest.Schema(batch.Of(batch.Binary)))
		all := make([]batch.Operation, 0, len(operations))
		for i, o := range operations {
			b.Column(0).Int(int64(i))
			b.Column(1).Bytes(text[:min(i, len(text))])
			all = append(all, batch.Operation(o%3))
		}
		rows, err := b.Batch()
		if err != nil {
			t.Fatal(err)
		}
		rows = rows.WithOperations(all)
		l := newRedoLog(simfs.New(), "state", "run-sink-0")
		if err := l.append(table, rows); err != nil {
			t.Fatal(err)
		}
		object := l.stateObject
		l.close()
		err = l.replay(object, func(chunk connector.Chunk) error {
			if chunk.Table != table || !slices.Equal(texts(chunk.Batch), texts(rows)) {
				t.Errorf("table %q has %d rows, want %q with %d", chunk.Table, chunk.Batch.Len(), table,
					rows.Len())
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		_, err = readRedo(bytes.NewReader(text), int64(len(text)))
		if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, errDamaged) {
			t.Errorf("%d bytes: %v", len(text), err)
		}
	})
}
