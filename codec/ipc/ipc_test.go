package ipc

import (
	"bytes"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// stream returns a stream or file of one record with nested, dictionary and union columns.
func stream(t testing.TB, asFile bool) []byte {
	t.Helper()
	member := arrow.Field{Name: "i", Type: arrow.PrimitiveTypes.Int64, Nullable: true}
	metadata := arrow.NewMetadata([]string{"key"}, []string{"value"})
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "list", Type: arrow.ListOf(arrow.StructOf(member)), Metadata: metadata},
		{Name: "dictionary", Type: &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}},
		{Name: "union", Type: arrow.DenseUnionOf([]arrow.Field{member}, []arrow.UnionTypeCode{5})},
	}, &metadata)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	lists := b.Field(0).(*array.ListBuilder)
	words := b.Field(1).(*array.BinaryDictionaryBuilder)
	unions := b.Field(2).(*array.DenseUnionBuilder)
	for i := range 3 {
		lists.Append(true)
		lists.ValueBuilder().(*array.StructBuilder).Append(true)
		lists.ValueBuilder().(*array.StructBuilder).FieldBuilder(0).(*array.Int64Builder).Append(int64(i))
		if err := words.AppendString("word"); err != nil {
			t.Fatal(err)
		}
		unions.Append(5)
		unions.Child(0).(*array.Int64Builder).Append(int64(i))
	}
	var out bytes.Buffer
	var w interface {
		Write(record arrow.RecordBatch) error
		Close() error
	} = ipc.NewWriter(&out, ipc.WithSchema(schema))
	if asFile {
		var err error
		out.Reset()
		if w, err = ipc.NewFileWriter(&out, ipc.WithSchema(schema)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Write(b.NewRecordBatch()); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestSoundStreamsPassUnchanged(t *testing.T) {
	t.Parallel()
	data := stream(t, false)
	got, err := io.ReadAll(NewReader(bytes.NewReader(data)))
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d of %d bytes: %v", len(got), len(data), err)
	}
	for end := range len(data) - 8 {
		if _, err := io.ReadAll(NewReader(bytes.NewReader(data[:end]))); err == nil && end > 0 {
			// Between messages a stream may end without a mark.
			if _, err := ipc.NewReader(bytes.NewReader(data[:end])); err != nil {
				t.Errorf("cut at %d passes, arrow refuses it: %v", end, err)
			}
		}
	}
	file := stream(t, true)
	f, err := OpenFile(bytes.NewReader(file), int64(len(file)))
	if err != nil || len(f.Records) != 1 {
		t.Fatal(err)
	}
	if err := f.CheckRecord(0); err != nil {
		t.Error(err)
	}
}

// TestDamage alters bytes: the check never panics, and what it passes arrow reads without taking
// memory that the data does not account for.
func TestDamage(t *testing.T) {
	t.Parallel()
	for i, data := range [][]byte{stream(t, false), stream(t, true)} {
		refused := 0
		const rounds = 20_000
		for n := range uint64(rounds) {
			r := rand.New(rand.NewPCG(n, uint64(i)))
			damaged := bytes.Clone(data)
			for range r.IntN(3) + 1 {
				damaged[r.IntN(len(damaged))] = byte(r.Uint32())
			}
			var err error
			if i == 0 {
				_, err = io.Copy(io.Discard, NewReader(bytes.NewReader(damaged)))
			} else if f, openErr := OpenFile(bytes.NewReader(damaged), int64(len(damaged))); openErr != nil {
				err = openErr
			} else if len(f.Records) > 0 {
				err = f.CheckRecord(0)
			}
			if err != nil {
				refused++
			}
		}
		if refused == 0 || refused == rounds {
			t.Errorf("%d of %d damaged inputs are refused", refused, rounds)
		}
	}
}

func FuzzReader(f *testing.F) {
	f.Add(stream(f, false))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := io.ReadAll(NewReader(bytes.NewReader(data)))
		if err == nil && !bytes.HasPrefix(data, got) {
			t.Error("the bytes were changed")
		}
	})
}
