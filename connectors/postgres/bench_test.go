package postgres

import (
	"errors"
	"io"
	"testing"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/sqlkit"
)

// benchBlock returns one block as the server sends it, with its decoder.
func benchBlock(b *testing.B) (*decoder, block) {
	b.Helper()
	columns := fuzzColumns()
	pick := []column{columns[4], columns[8], columns[15], columns[14], columns[7]}
	fields := make([]batch.Field, len(pick))
	for i, c := range pick {
		fields[i] = batch.Field{Name: c.name, Type: c.typ, Nullable: true}
	}
	numeric := appendNumeric(nil, sqlkit.NewDecimal(0, 1234567), 2)[4:]
	row := frame(make([]byte, 8), []byte("active customer"), numeric, make([]byte, 8), make([]byte, 8))
	var frames []byte
	const rows = 10_000
	for range rows {
		frames = append(frames, row...)
	}
	return &decoder{columns: pick, schema: batch.NewSchema(fields...)},
		block{frames: frames, rows: rows}
}

func BenchmarkDecode(b *testing.B) {
	d, payload := benchBlock(b)
	b.SetBytes(int64(len(payload.frames)))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := d.decode(payload); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(payload.rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

func BenchmarkEncode(b *testing.B) {
	d, payload := benchBlock(b)
	in, _, err := d.decode(payload)
	if err != nil {
		b.Fatal(err)
	}
	t := &target{schema: in.Schema(), binary: true}
	for _, c := range d.columns {
		t.columns = append(t.columns, targetColumn{codec: c.codec, want: c.typ, binary: true})
	}
	s := &sink{config: &sinkConfig{}, targets: map[string][]*target{"": {t}}}
	encode := s.NewEncode()
	b.SetBytes(int64(len(payload.frames)))
	b.ReportAllocs()
	for b.Loop() {
		out, err := encode(connector.Chunk{Batch: in})
		if err != nil {
			b.Fatal(err)
		}
		out.Release()
	}
	b.ReportMetric(float64(payload.rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkCopyTable moves a table through source and sink in one goroutine each.
func BenchmarkCopyTable(b *testing.B) {
	f := newFixture(b)
	f.exec(`CREATE TABLE big AS SELECT i::int8 AS id, 'customer ' || i AS name,
		(i / 7.0)::numeric(12,2) AS amount, now() + i * interval '1 s' AS at, i / 3.0::float8 AS score
		FROM generate_series(1, 1000000) AS i`)
	b.Run("out", func(b *testing.B) {
		for b.Loop() {
			s := f.open(f.sourceConfig("big"), 16384, nil)
			f.drain(b, s, func(connector.Chunk) {})
		}
		b.ReportMetric(1e6*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
	})
	b.Run("both", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			f.exec("DROP TABLE IF EXISTS target, tapeline_epochs; CREATE TABLE target (LIKE big)")
			b.StartTimer()
			s := f.open(f.sourceConfig("big"), 16384, nil)
			sink := f.openSink(f.sinkConfig("target"), connector.Task{})
			encode := sink.NewEncode()
			chunks, done := make(chan connector.Chunk, 4), make(chan error, 1)
			go func() {
				for chunk := range chunks {
					if err := sink.Write(b.Context(), chunk); err != nil {
						done <- err
						return
					}
					chunk.Release()
				}
				done <- sink.Decide(b.Context(), connector.Epoch{Number: 1})
			}()
			f.drain(b, s, func(chunk connector.Chunk) {
				out, err := encode(chunk)
				if err != nil {
					b.Fatal(err)
				}
				chunks <- out
			})
			close(chunks)
			if err := <-done; err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(1e6*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
	})
}

func (f *fixture) drain(b *testing.B, s *source, use func(connector.Chunk)) {
	b.Helper()
	decode := s.NewDecode()
	for {
		chunk, err := s.Read(b.Context())
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			b.Fatal(err)
		}
		if chunk, err = decode(chunk); err != nil {
			b.Fatal(err)
		}
		use(chunk)
	}
}
