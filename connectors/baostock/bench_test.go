package baostock

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/tapeline/tapeline/internal/market"
)

// benchFrame is an answer of 2,500 daily bars and what is needed to read it.
func benchFrame(b *testing.B) (zipped []byte, f frame, c call) {
	b.Helper()
	u := unit("bar_1d", "600000.XSHG", "2000-01-01", "2020-01-01")
	u.Source, u.State = Name, market.StateOK
	planned, err := calls([]market.Unit{u})
	if err != nil {
		b.Fatal(err)
	}
	c = planned[0]
	r := fakeRequest{typ: 95, parts: append([]string{c.query.String(), "me", "1", "10000"}, c.args...)}
	fields, rows := bars(2500)(r)
	zipped = answerFrame(r, fields, records(rows))
	reader := frameReader{source: bytes.NewReader(zipped)}
	if f, err = reader.next(nil); err != nil {
		b.Fatal(err)
	}
	if f.body, err = inflate(nil, f.body, maxFrame); err != nil {
		b.Fatal(err)
	}
	f.zipped = false
	return zipped, f, c
}

func rate(b *testing.B) { b.ReportMetric(float64(b.N)*2500/b.Elapsed().Seconds()/1e6, "Mrows/s") }

// decoded makes columns of an answer's body, as a page and its one piece.
func decoded(b *testing.B, r *recordReader, f frame, c *call) {
	b.Helper()
	p := pages.Get().(*page)
	p.refs.Store(1)
	p.number, p.marks, p.bounds, p.frame = 1, nil, p.bounds[:0], f
	if err := p.parse(c.query, c.args); err != nil {
		b.Fatal(err)
	}
	if err := p.split(&keySet{field: c.key}); err != nil {
		b.Fatal(err)
	}
	one := newPiece(p, 0, p.records(), c, 0, market.MaxDate, market.Unit{})
	if err := one.decode(r); err != nil || one.batch.Len() != 2500 {
		b.Fatalf("%d rows, %v", one.batch.Len(), err)
	}
	one.release()
	p.release()
}

// BenchmarkDecode is the way from an inflated answer to typed columns; its rival is
// BenchmarkDecodeEncodingJSON.
func BenchmarkDecode(b *testing.B) {
	_, f, c := benchFrame(b)
	var r recordReader
	b.SetBytes(int64(len(f.body)))
	b.ReportAllocs()
	for b.Loop() {
		decoded(b, &r, f, &c)
	}
	rate(b)
}

// BenchmarkDecodeEncodingJSON makes texts of the same answer.
func BenchmarkDecodeEncodingJSON(b *testing.B) {
	_, f, c := benchFrame(b)
	b.SetBytes(int64(len(f.body)))
	b.ReportAllocs()
	for b.Loop() {
		a, err := parseAnswer(c.query, c.args, 1, f)
		if err != nil {
			b.Fatal(err)
		}
		var list struct{ Record [][]string }
		if err := json.Unmarshal(a.data, &list); err != nil || len(list.Record) != 2500 {
			b.Fatal(err)
		}
	}
	rate(b)
}

// BenchmarkAnswer is the whole way of a compressed answer: frame, inflation, columns.
func BenchmarkAnswer(b *testing.B) {
	zipped, _, c := benchFrame(b)
	var r recordReader
	source := bytes.NewReader(nil)
	reader := frameReader{source: source}
	var memory []byte
	b.SetBytes(int64(len(zipped)))
	b.ReportAllocs()
	for b.Loop() {
		source.Reset(zipped)
		f, err := reader.next(memory)
		if err != nil {
			b.Fatal(err)
		}
		memory = f.memory
		decoded(b, &r, f, &c)
	}
	rate(b)
}

// BenchmarkSplit finds the records alone: what the network's goroutine does.
func BenchmarkSplit(b *testing.B) {
	_, f, c := benchFrame(b)
	var p page
	p.number = 1
	b.ReportAllocs()
	for b.Loop() {
		p.bounds = p.bounds[:0]
		var err error
		if p.answer, err = parseAnswer(c.query, c.args, 1, f); err != nil {
			b.Fatal(err)
		}
		if err := p.split(&keySet{field: c.key}); err != nil {
			b.Fatal(err)
		}
	}
	rate(b)
}

// BenchmarkInflate is zlib alone: what no client can do without.
func BenchmarkInflate(b *testing.B) {
	_, f, _ := benchFrame(b)
	zipped := zip(string(f.body))
	b.SetBytes(int64(len(f.body)))
	var memory []byte
	for b.Loop() {
		var err error
		if memory, err = inflate(memory, zipped, maxFrame); err != nil {
			b.Fatal(err)
		}
	}
	rate(b)
}
