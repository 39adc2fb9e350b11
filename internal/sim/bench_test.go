package sim

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkBars makes the bars of one stock after another.
func BenchmarkBars(b *testing.B) {
	m := makeMarket(b, 1, 500)
	from, to := m.Calendar().From(), m.Calendar().To()
	list := m.Securities()
	var bars []Bar
	rows := 0
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		bars = m.Bars(bars[:0], list[i%len(list)].Code, from, to)
		rows += len(bars)
	}
	b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkAnswer makes whole answers of k-data: bars, text, compression.
func BenchmarkAnswer(b *testing.B) {
	m := makeMarket(b, 1, 500)
	list := m.Securities()
	for _, adjust := range []string{"3", "2"} {
		b.Run("adjust "+adjust, func(b *testing.B) {
			s := offlineSession(b, Config{Market: m})
			rows := 0
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				answer, err := s.answer(frame{kind: kindKData, fields: []string{
					"query_history_k_data_plus", "anonymous", "1", "10000", list[i%len(list)].Code, DailyFields,
					"2015-01-01", "2030-01-01", "d", adjust,
				}}, nil)
				if err != nil {
					b.Fatal(err)
				}
				rows += s.rows.count()
				b.SetBytes(int64(len(answer)))
			}
			b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// BenchmarkNewest asks for the last day only, as a daily increment does.
func BenchmarkNewest(b *testing.B) {
	m := makeMarket(b, 1, 500)
	to, list := lastOpen(m), m.Securities()
	var bars []Bar
	for i := 0; b.Loop(); i++ {
		bars = m.Bars(bars[:0], list[i%len(list)].Code, to, to)
	}
}

func makeMarket(t testing.TB, seed uint64, symbols int) Market {
	t.Helper()
	m, err := Synthetic(seed, symbols, DateOf(2019, time.January, 1), DateOf(2023, time.December, 31))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// lastOpen returns the last trading day.
func lastOpen(m Market) Date {
	days := m.Calendar().Open(m.Calendar().From(), m.Calendar().To())
	return days[len(days)-1]
}

// offlineSession returns a session that is logged in but has no connection.
func offlineSession(t testing.TB, config Config) *session {
	t.Helper()
	server, err := Start(t.Context(), "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(fmt.Errorf("start: %w", err))
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return &session{server: server, user: "anonymous", remote: "test"}
}
