package app

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/tapeline/tapeline/internal/market"
)

// tdxFolder writes files of a market: a day a session from 2019 on.
func tdxFolder(t testing.TB, symbols, days int) string {
	t.Helper()
	dir := t.TempDir()
	calendar, err := market.CalendarOf(market.XSHG)
	if err != nil {
		t.Fatal(err)
	}
	for i := range symbols {
		var raw []byte
		price := uint32(1000 + i)
		for d := market.DateOf(2019, 1, 2); len(raw) < days*32; d++ {
			if open, err := calendar.IsOpen(d); err != nil || !open {
				continue
			}
			y, m, day := d.Civil()
			price = max(100, price+uint32(int(d)*7919+i*31)%21-10)
			for _, v := range []uint32{
				uint32(y*10000 + int(m)*100 + day), price, price + 9, price - 9, price + 3,
				math.Float32bits(1e7 + float32(d)), 1e6 + uint32(d)*37, 0,
			} {
				raw = binary.LittleEndian.AppendUint32(raw, v)
			}
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("sh%06d.day", 600000+i)), raw, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// BenchmarkImportTDX imports into a new store.
func BenchmarkImportTDX(b *testing.B) {
	const symbols, days = 1000, 1200
	dir := tdxFolder(b, symbols, days)
	parts, err := NewParts()
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		engine, err := OpenEngine(parts, b.TempDir(), slog.New(slog.DiscardHandler))
		if err != nil {
			b.Fatal(err)
		}
		report, _, err := engine.Import(b.Context(), Import{
			Store: filepath.Join(b.TempDir(), "store"), Dataset: "bar_1d", Format: "tdx", Paths: []string{dir},
		}, slog.New(slog.DiscardHandler), nil)
		if err != nil || report.New != symbols*days {
			b.Fatal(err, report)
		}
		_ = engine.Close()
	}
	b.ReportMetric(float64(b.N)*symbols*days/b.Elapsed().Seconds(), "rows/s")
}
