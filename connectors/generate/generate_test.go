package generate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
)

func allFields() []FieldConfig {
	return []FieldConfig{
		{Name: "id", Short: "sequence"},
		{Name: "status", Short: []any{"active", "inactive"}},
		{Name: "price", Type: "decimal(12,2)", Min: 1, Max: 1000},
		{Name: "at", Type: "timestamptz", Start: "2024-01-01T00:00:00Z", Step: "250ms"},
		{Name: "name", Type: "string", Prefix: "cust-", Min: 1, Max: 99},
		{Name: "code", Type: "string", Length: 23},
		{Name: "note", Values: []any{"a", "a text of more than sixteen bytes"}, NullShare: 0.3},
		{Name: "tiny", Short: "int8"},
		{Name: "big", Short: "uint64"},
		{Name: "ratio", Short: "float64"},
		{Name: "single", Short: "float32"},
		{Name: "yes", Short: "bool"},
		{Name: "day", Short: "date"},
		{Name: "level", Short: []any{1, 2, 3}},
		{Name: "half", Short: []any{0.5, 1}},
		{Name: "key", Type: "string", Sequence: true, Prefix: "k", Start: 10},
		{Name: "fee", Type: "decimal(9,4)", Values: []any{"0.5", 1}},
	}
}

func open(t testing.TB, cfg Config, limits connector.Limits, at connector.Position) connector.Source {
	t.Helper()
	env := connector.Env{Node: "rows", Budget: connector.NewBudget(limits)}
	source, err := Connector().Source.New(env, &cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := source.Open(t.Context(), connector.Partition{}, at); err != nil {
		t.Fatal(err)
	}
	return source
}

func readAll(t *testing.T, source connector.Source) (rows [][]any, at []connector.Position) {
	t.Helper()
	decode := source.(connector.Decoder).NewDecode()
	for {
		chunk, err := source.Read(t.Context())
		if errors.Is(err, io.EOF) {
			return rows, at
		}
		if err != nil {
			t.Fatal(err)
		}
		if chunk, err = decode(chunk); err != nil {
			t.Fatal(err)
		}
		for i := range chunk.Batch.Rows() {
			var row []any
			for _, c := range chunk.Batch.Columns() {
				row = append(row, fmt.Sprint(c.Value(i)))
			}
			rows = append(rows, row)
		}
		at = append(at, chunk.Position)
		chunk.Release()
	}
}

func TestRowsDependOnSeedAndNumberOnly(t *testing.T) {
	cfg := Config{Rows: 1000, Seed: 7, Fields: allFields()}
	whole, _ := readAll(t, open(t, cfg, connector.Limits{Rows: 1 << 20, Bytes: 1 << 30}, nil))
	parts, at := readAll(t, open(t, cfg, connector.Limits{Rows: 33, Bytes: 1 << 30}, nil))
	if diff := cmp.Diff(whole, parts); diff != "" {
		t.Errorf("batch size changed rows: %s", diff)
	}
	for k, position := range at {
		rest, _ := readAll(t, open(t, cfg, connector.Limits{Rows: 100, Bytes: 1 << 30}, position))
		want := whole[min(1000, 33*(k+1)):]
		if diff := cmp.Diff(want, rest, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("resumed after chunk %d: %s", k, diff)
		}
	}
	cfg.Seed = 8
	other, _ := readAll(t, open(t, cfg, connector.Limits{Rows: 100, Bytes: 1 << 30}, nil))
	if cmp.Equal(whole, other) {
		t.Error("seeds 7 and 8 make the same rows")
	}
	if got := whole[2][0]; got != "3" {
		t.Errorf("third id %v, want 3", got)
	}
	if got := whole[2][3]; got != "2024-01-01 00:00:00.5 +0000 UTC" {
		t.Errorf("third at %v", got)
	}
	if got := whole[2][15]; got != "k12" {
		t.Errorf("third key %v, want k12", got)
	}
}

func TestValuesStayInBoundsAndReachThem(t *testing.T) {
	cfg := Config{Rows: 20000, Fields: []FieldConfig{
		{Name: "n", Type: "int16", Min: -2, Max: 2},
		{Name: "d", Type: "decimal(4,1)", Min: "0.1", Max: "0.3"},
		{Name: "s", Values: []any{"a", "bb", "ccc"}, NullShare: 0.25},
	}}
	rows, _ := readAll(t, open(t, cfg, connector.Limits{Rows: 4096, Bytes: 1 << 30}, nil))
	counts := []map[any]int{{}, {}, {}}
	for _, row := range rows {
		for i, v := range row {
			counts[i][v]++
		}
	}
	for i, want := range []map[string]float64{
		{"-2": .2, "-1": .2, "0": .2, "1": .2, "2": .2},
		{"0.1": 1. / 3, "0.2": 1. / 3, "0.3": 1. / 3},
		{"a": .25, "bb": .25, "ccc": .25, "<nil>": .25},
	} {
		if len(counts[i]) != len(want) {
			t.Errorf("column %d has values %v", i, counts[i])
		}
		for value, share := range want {
			if got := float64(counts[i][value]) / 20000; got < share-.02 || got > share+.02 {
				t.Errorf("column %d: %s has share %.3f, want %.3f", i, value, got, share)
			}
		}
	}
}

func TestRateFollowsTheTimetable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := Config{Rows: 3000, Rate: 1000, Fields: []FieldConfig{
			{Name: "id", Short: "sequence"}, {Name: "due", Short: "emitted"},
		}}
		source := open(t, cfg, connector.Limits{Rows: 100, Bytes: 1 << 20, Age: 50 * time.Millisecond}, nil)
		decode := source.(connector.Decoder).NewDecode()
		start := time.Now()
		row := 0
		for row < 1000 {
			chunk, err := source.Read(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			chunk, _ = decode(chunk)
			if n := chunk.Batch.Rows(); n < 50 || n > 52 {
				t.Fatalf("chunk at row %d has %d rows, want 50 ms of them", row, n)
			}
			for i, due := range batch.Values[int64](chunk.Batch.Column(1)) {
				want := start.Add(time.Duration(row+i) * time.Millisecond).UnixNano()
				if due-want > 1000 || want-due > 1000 {
					t.Fatalf("row %d due %d ns off", row+i, due-want)
				}
			}
			row += chunk.Batch.Rows()
		}
		if took, want := time.Since(start), time.Duration(row-1)*time.Millisecond; took != want {
			t.Errorf("%d rows took %v, want %v", row, took, want)
		}
		<-time.After(time.Second) // the reader falls behind
		chunk, err := source.Read(t.Context())
		if err != nil || chunk.Payload.(window).rows != 100 {
			t.Errorf("late read: %v, %v; want a full batch of 100", chunk.Payload, err)
		}
	})
}

func TestReadEndsWithContextAndClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := Config{Rate: 0.001, Fields: []FieldConfig{{Name: "id", Short: "sequence"}}}
		source := open(t, cfg, connector.Limits{Rows: 10, Bytes: 1 << 20, Age: time.Hour}, nil)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { _, err := source.Read(ctx); ended <- err }()
		synctest.Wait()
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("read ended by %v", err)
		}
		go func() { _, err := source.Read(t.Context()); ended <- err }()
		synctest.Wait()
		if err := source.Close(); err != nil {
			t.Error(err)
		}
		if err := <-ended; !errors.Is(err, io.EOF) {
			t.Errorf("read ended by %v", err)
		}
	})
}

func TestConfigProblemsAreNamed(t *testing.T) {
	for _, test := range []struct {
		fields []FieldConfig
		want   string
	}{
		{nil, "fields: want a mapping"},
		{[]FieldConfig{{Name: "a", Short: "int65"}}, `fields.a: "int65" is not a type`},
		{[]FieldConfig{{Name: "a", Short: 5}}, "want a mapping, a list"},
		{[]FieldConfig{{Name: "a", Type: "int8", Min: 200}}, "fields.a: min"},
		{[]FieldConfig{{Name: "a", Type: "int64", Min: 2, Max: 1}}, "below min"},
		{[]FieldConfig{{Name: "a", Type: "int8", Sequence: true}}, "leaves int8 before row 1000"},
		{[]FieldConfig{{Name: "a", Short: "sequence"}, {Name: "a", Short: "bool"}}, "fields.a: named twice"},
		{[]FieldConfig{{Name: "a", Short: "list<int64>"}}, "cannot be made"},
		{[]FieldConfig{{Name: "a", Type: "timestamp", Step: "1ns"}}, "multiple of 1µs"},
		{[]FieldConfig{{Name: "a", Kind: "guess"}}, `unknown kind "guess"`},
		{[]FieldConfig{{Name: "a", Short: "string", NullShare: 2}}, "null_share"},
	} {
		_, err := Connector().Source.New(connector.Env{}, &Config{Rows: 1000, Fields: test.fields})
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v: error %v, want %q in it", test.fields, err, test.want)
		}
	}
	source := open(t, Config{Fields: allFields()}, connector.Limits{}, nil)
	if err := source.Open(t.Context(), connector.Partition{}, connector.Position("x")); err == nil {
		t.Error("a foreign position was accepted")
	}
}

func BenchmarkThreeColumns(b *testing.B) {
	cfg := Config{Fields: []FieldConfig{
		{Name: "id", Short: "sequence"},
		{Name: "status", Short: []any{"active", "inactive"}},
		{Name: "price", Type: "decimal(12,2)", Min: 1, Max: 1000},
	}}
	source := open(b, cfg, connector.Limits{Rows: 16384, Bytes: 1 << 20}, nil)
	decode := source.(connector.Decoder).NewDecode()
	rows := 0
	b.ReportAllocs()
	for b.Loop() {
		chunk, err := source.Read(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		chunk, _ = decode(chunk)
		rows += chunk.Batch.Rows()
		chunk.Release()
	}
	b.ReportMetric(float64(rows)/b.Elapsed().Seconds()/1e6, "Mrows/s")
}

// TestWaitingIsIdle: waiting for the timetable is told to the engine, so that it is no work.
func TestWaitingIsIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var idle time.Duration
		source, err := Connector().Source.New(connector.Env{
			Budget: connector.NewBudget(connector.Limits{Rows: 10, Bytes: 1 << 20, Age: time.Hour}),
			Idle:   func(waited time.Duration) { idle += waited },
		}, &Config{Rows: 30, Rate: 1, Fields: []FieldConfig{{Name: "id", Short: "sequence"}}})
		if err != nil {
			t.Fatal(err)
		}
		if err := source.Open(t.Context(), connector.Partition{}, nil); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if _, err := source.Read(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if idle != 29*time.Second {
			t.Errorf("%v of 29 s of waiting are called idle", idle)
		}
	})
}
