package json

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/tapeline/tapeline/batch"
)

// benchLines returns rows like those of the benchmark data: ten flat members, 206 bytes.
func benchLines(rows int) []byte {
	var text []byte
	state := uint64(42)
	next := func(n uint64) uint64 {
		state = state*6364136223846793005 + 1442695040888963407
		return state >> 33 % n
	}
	regions := []string{"north", "south", "east", "west", "apac", "emea", "latam"}
	statuses := []string{"active", "active", "active", "inactive", "suspended"}
	for i := range rows {
		price := float64(next(1_000_000))/1000 + 1
		quantity := next(10000) + 1
		text = fmt.Appendf(text, `{"customer_id":%d,"symbol":"%06d.SH","name":"cust-%d","region":"%s",`+
			`"status":"%s","price":%.3f,"qty":%d,"amount":%.2f,"updated_at":"2024-01-01T00:%02d:%02d.000Z",`+
			`"note":"note %s"}`+"\n", i+1, next(5000), next(900000)+100000, regions[next(7)], statuses[next(5)],
			price, quantity, price*float64(quantity), i/60%60, i%60, strconv.FormatUint(next(100000), 36))
	}
	return text
}

func report(b *testing.B, rows int) {
	b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mrows/s")
}

const benchRows = 8192

func benchDecoder(b *testing.B) (*Decoder, Block) {
	data := benchLines(benchRows)
	schema, whole := Infer(Block{Data: data}, Lines, 1000)
	reader, err := NewReader(Options{Schema: schema, Whole: whole})
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	return reader.NewDecoder(), Block{Data: data, Line: 1}
}

func benchDecode(b *testing.B, d *Decoder, block Block) Result {
	result, err := d.Decode(block)
	if err != nil || result.Batch.Rows() != benchRows {
		b.Fatal(err)
	}
	return result
}

func BenchmarkDecode(b *testing.B) {
	d, block := benchDecoder(b)
	for b.Loop() {
		benchDecode(b, d, block).Release()
	}
	report(b, benchRows)
}

func BenchmarkDecodeTyped(b *testing.B) {
	d, block := benchDecoder(b)
	for b.Loop() {
		result := benchDecode(b, d, block)
		if _, bad := result.Batch.Column(5).Typed(nil); len(bad) > 0 {
			b.Fatal(bad)
		}
		if _, bad := result.Batch.Column(6).Typed(nil); len(bad) > 0 {
			b.Fatal(bad)
		}
		result.Release()
	}
	report(b, benchRows)
}

func benchEncode(b *testing.B, in *batch.Batch) {
	e := NewEncoder(EncodeOptions{Newline: true})
	var out []byte
	for b.Loop() {
		var bad []batch.RowError
		var err error
		if out, bad, err = e.Append(out[:0], in); err != nil || len(bad) > 0 {
			b.Fatal(err, bad)
		}
	}
	b.SetBytes(int64(len(out)))
	report(b, in.Len())
}

func BenchmarkEncodeLazyTokens(b *testing.B) {
	d, block := benchDecoder(b)
	benchEncode(b, benchDecode(b, d, block).Batch)
}

func BenchmarkEncodeDense(b *testing.B) {
	d, block := benchDecoder(b)
	dense, bad := benchDecode(b, d, block).Batch.Dense()
	if len(bad) > 0 {
		b.Fatal(bad)
	}
	benchEncode(b, dense)
}

// BenchmarkEncodeLazyText writes text cells as a CSV source has them.
func BenchmarkEncodeLazyText(b *testing.B) {
	d, block := benchDecoder(b)
	in := benchDecode(b, d, block).Batch
	tokens, _ := in.Column(0).Spans()
	text := *tokens
	text.Syntax, text.Clean, text.Nulls, text.Quote, text.Escape = batch.Quoted, true, []string{""}, '"', '"'
	text.Offsets = append([]uint32(nil), text.Offsets...)
	for i := 0; i < len(text.Offsets); i += 2 {
		if text.Data[text.Offsets[i]] == '"' {
			text.Offsets[i]++
			text.Offsets[i+1]--
		}
	}
	columns := make([]*batch.Column, in.Schema().Len())
	for i, f := range in.Schema().Fields() {
		columns[i] = batch.LazyColumn(f.Type, &text, i)
	}
	benchEncode(b, batch.New(in.Schema(), columns, in.Rows()))
}

func BenchmarkCutElements(b *testing.B) {
	data := benchLines(benchRows)
	for i, ch := range data {
		if ch == '\n' {
			data[i] = ','
		}
	}
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if CutElements(data, false, 1<<30) == 0 {
			b.Fatal("no cut")
		}
	}
	report(b, benchRows)
}
