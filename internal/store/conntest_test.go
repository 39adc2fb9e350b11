package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector/conntest"
	"github.com/tapeline/tapeline/internal/market"
)

func heldTypes() []batch.Type {
	return []batch.Type{
		batch.Of(batch.Bool), batch.Of(batch.Int8), batch.Of(batch.Int16), batch.Of(batch.Int32),
		batch.Of(batch.Int64), batch.Of(batch.Uint8), batch.Of(batch.Uint16), batch.Of(batch.Uint32),
		batch.Of(batch.Float64), batch.DecimalOf(18, 4), batch.Of(batch.String), batch.Of(batch.JSON),
		batch.Of(batch.Date), batch.Of(batch.Time), batch.TimestampOf(batch.Microsecond, ""),
		batch.TimestampOf(batch.Microsecond, "UTC"), batch.Of(batch.Duration),
	}
}

// readBack returns the rows of dataset things.
func readBack(dir string) func(t testing.TB) [][]any {
	return func(t testing.TB) [][]any {
		if _, err := os.Stat(filepath.Join(dir, CatalogName)); err != nil {
			return nil
		}
		s, err := Open(dir, Config{})
		must(t, err)
		defer func() { must(t, s.Close()) }()
		v, err := s.View(t.Context(), 0)
		must(t, err)
		defer func() { must(t, v.Close()) }()
		var out [][]any
		for b, err := range v.Scan("things", Range{}, nil) {
			if errors.Is(err, ErrDataset) {
				return nil
			}
			must(t, err)
			for row := range b.Len() {
				var cells []any
				for _, c := range b.Columns() {
					cells = append(cells, c.Value(row))
				}
				out = append(out, cells)
			}
		}
		return out
	}
}

func thingsTarget(t testing.TB) conntest.Target {
	dir := filepath.Join(t.TempDir(), "store")
	return conntest.Target{
		Config:   map[string]any{"path": dir, "dataset": "things", "key": []string{"id"}},
		ReadBack: readBack(dir),
	}
}

// It counts goroutines and so runs alone.
func TestSinkConforms(t *testing.T) {
	conntest.Sink(t, conntest.SinkCase{
		Connector: Connector(), Types: heldTypes(), Target: thingsTarget, Keyed: thingsTarget,
		Refused: func(t testing.TB) (*batch.Batch, []int) {
			b := batch.NewBuilder(batch.NewSchema(
				batch.Field{Name: "id", Type: batch.Of(batch.Int64), Nullable: true},
				batch.Field{Name: "text", Type: batch.Of(batch.String), Nullable: true}))
			for row := range 6 {
				if row%3 == 1 {
					b.Column(0).Null()
				} else {
					b.Column(0).Int(int64(row))
				}
				b.Column(1).Text(strconv.Itoa(row))
			}
			out, err := b.Batch()
			must(t, err)
			return out, []int{1, 4}
		},
	})
}

// filled makes a store with bars in several commits, compacted and not.
func filled(t testing.TB) (dir string, want [][]any) {
	t.Helper()
	dir = t.TempDir()
	s, err := Open(dir, Config{})
	must(t, err)
	w, err := s.Lock(t.Context(), "test")
	must(t, err)
	first := day("2022-12-01")
	for commit := range 6 {
		var rows []bar
		for symbol := range 9 {
			for d := range 12 {
				rows = append(rows, bar{
					fmt.Sprintf("60%04d.XSHG", symbol), first + market.Date(8*commit+d), int64(10000 + commit*100 + symbol), true,
				})
			}
		}
		_, err := w.Commit(t.Context(), put(bars(t, rows...)))
		must(t, err)
		if commit == 3 {
			_, err := w.Compact(t.Context(), true)
			must(t, err)
		}
	}
	v, err := s.View(t.Context(), 0)
	must(t, err)
	for b, err := range v.Scan(market.Bar1D, Range{}, []string{"symbol", "date", "close", "is_st"}) {
		must(t, err)
		for row := range b.Len() {
			var cells []any
			for _, c := range b.Columns() {
				cells = append(cells, c.Value(row))
			}
			want = append(want, cells)
		}
	}
	must(t, v.Close())
	must(t, w.Unlock())
	must(t, s.Close())
	if len(want) != 9*(5*8+12) {
		t.Fatalf("the store holds %d rows", len(want))
	}
	return dir, want
}

// It counts goroutines and so runs alone.
func TestSourceConforms(t *testing.T) {
	dir, want := filled(t)
	conntest.Source(t, conntest.SourceCase{
		Connector: Connector(), Want: want,
		Config: func(testing.TB) any {
			return map[string]any{
				"path": dir, "dataset": market.Bar1D, "columns": []string{"symbol", "date", "close", "is_st"},
			}
		},
	})
}
