package store

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/market"
)

// oddCells appends values at the edges of a type, or beyond what a column may hold; it returns how many.
func oddCells(a *batch.Appender, t batch.Type) int {
	before := a.Len()
	switch t.Kind {
	case batch.String:
		for _, text := range []string{"", "\x00", "\xff\xfe", "line\nline", strings.Repeat("x", 1<<17)} {
			a.Text(text)
		}
	case batch.Decimal:
		for _, text := range []string{"0", "-1", "99999999999999", "-99999999999999"} {
			d, _ := decimal128.FromString(text, 38, int32(t.Scale))
			a.Decimal(d)
		}
		a.Decimal(decimal128.MaxDecimal128)
	case batch.Bool:
		a.Bool(false)
	case batch.Float64:
		a.Float(math.NaN())
		a.Float(math.Inf(-1))
	case batch.Date, batch.Int32:
		for _, v := range []int64{math.MinInt32, -1, 0, int64(market.MaxDate) + 1, math.MaxInt32} {
			a.Int(v)
		}
	default:
		for _, v := range []int64{-1, 0, 1<<7 - 1} {
			a.Int(v)
		}
		if t.Kind == batch.Int64 || t.Kind == batch.Timestamp {
			a.Int(math.MinInt64)
			a.Int(math.MaxInt64)
		}
	}
	a.Null()
	return a.Len() - before
}

// oddRows are rows of a dataset, each with one odd cell and a key of its own but for that.
func oddRows(t testing.TB, d market.Dataset) *batch.Batch {
	t.Helper()
	var counts []int
	total := 0
	for _, f := range d.Schema.Fields() {
		counts = append(counts, oddCells(batch.NewAppender(f.Type), f.Type))
		total += counts[len(counts)-1]
	}
	columns := make([]*batch.Column, d.Schema.Len())
	begin := 0
	for i, f := range d.Schema.Fields() {
		a := batch.NewAppender(f.Type)
		for row := 0; row < total; row++ {
			if row == begin {
				row += oddCells(a, f.Type) - 1
				continue
			}
			usualCell(a, f, row)
		}
		begin += counts[i]
		columns[i] = a.Column()
	}
	return batch.New(d.Schema, columns, total)
}

func usualCell(a *batch.Appender, f batch.Field, row int) {
	switch f.Type.Kind {
	case batch.String:
		if f.Name == "symbol" {
			a.Text(fmt.Sprintf("%06d.XSHG", 600000+row))
		} else {
			a.Text(fmt.Sprintf("t%d", row))
		}
	case batch.Bool:
		a.Bool(true)
	case batch.Decimal:
		a.Decimal(decimal128.FromI64(int64(row + 1)))
	case batch.Float64:
		a.Float(1)
	case batch.Date:
		a.Int(int64(day("2024-01-02")))
	default:
		a.Int(int64(row%100 + 1))
	}
}

// TestOddRowsRefuseNoEpoch: rows and units that cannot be stored go to quarantine, one by one; what came in
// the same epoch is committed.
func TestOddRowsRefuseNoEpoch(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	dir := filepath.Join(t.TempDir(), "store")
	s := testSink(t, Connector(), SinkConfig{Path: dir, Source: "sim"}, 1)
	must(t, s.Recover(ctx, connector.Epoch{}, nil))
	sent := map[string]int64{}
	for _, d := range market.Datasets() {
		b := oddRows(t, d)
		if err := s.Write(ctx, connector.Chunk{Table: d.Name, Batch: b}); err != nil {
			t.Errorf("%s: %v", d.Name, err)
		}
		sent[d.Name] = int64(b.Len())
	}
	good := threeBars(t)
	must(t, s.Write(ctx, connector.Chunk{Table: market.Bar1D, Batch: good}))
	decide(t, s, 1)
	st := open(t, dir, Config{})
	v := view(t, st, 0)
	if got := closes(t, v, Range{Symbols: []string{pufa}, From: day("2024-01-02"), To: day("2024-01-04")}); len(got) != 3 {
		t.Errorf("good rows are %q", got)
	}
	held := map[string]int64{}
	for b, err := range v.Scan(Quarantined, Range{}, []string{"dataset"}) {
		must(t, err)
		for _, name := range lines(b) {
			held[name]++
		}
	}
	for name, n := range sent {
		stored := int64(0)
		for b, err := range v.Scan(name, Range{}, nil) {
			must(t, err)
			stored += int64(b.Len())
		}
		if name == market.Bar1D {
			n += 3
		}
		// Some odd keys are another row's.
		if stored+held[name] > n || stored+held[name] < n-2 || held[name] == 0 {
			t.Errorf("%s: %d rows stored and %d held of %d", name, stored, held[name], n)
		}
	}
	problems, err := st.Verify(ctx, nil)
	must(t, err)
	if len(problems) > 0 {
		t.Error(problems)
	}
	must(t, s.Close())
}

// TestUnknowableUnitRefusesNoEpoch: a unit whose code names no instrument on its dates, and one beyond the
// calendar, become no coverage, but those beside them do.
func TestUnknowableUnitRefusesNoEpoch(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	dir := t.TempDir()
	st := open(t, dir, Config{})
	w := lock(t, st)
	_, err := w.Commit(ctx, put(bars(t, bar{"920047.BJSE", day("2024-06-03"), 7, true})))
	must(t, err)
	must(t, w.Alias(ctx, "920047.BJSE", "430047.BJSE",
		market.Interval{From: day("2020-01-01"), To: day("2024-05-31")}))
	s := testSink(t, Connector(), SinkConfig{Writer: w, Source: "sim"}, 1)
	must(t, s.Recover(ctx, connector.Epoch{}, nil))
	former, beyond := unit(0), unit(0)
	former.Symbol, former.From, former.To = "430047.BJSE", day("2024-07-01"), day("2024-07-31")
	beyond.To = market.MaxDate + 1
	must(t, s.Write(ctx, connector.Chunk{Table: market.Bar1D, Batch: threeBars(t)}))
	must(t, s.Write(ctx, units(t, unit(3), former, beyond)))
	decide(t, s, 1)
	v := view(t, st, 0)
	covered, err := v.Coverage(market.Bar1D, "1d", "sim")
	must(t, err)
	if got := covered[pufa].String(); got != "2024-01-02..2024-01-04" || len(covered) != 1 {
		t.Errorf("covered %v", covered)
	}
	var held []string
	for b, err := range v.Scan(Quarantined, Range{}, []string{"symbol", "rule", "message"}) {
		must(t, err)
		held = append(held, lines(b)...)
	}
	if len(held) != 2 || !slices.ContainsFunc(held, func(line string) bool {
		return strings.HasPrefix(line, "430047.BJSE unit ") && strings.Contains(line, "names no instrument on 2024-07-31")
	}) {
		t.Errorf("held %q", held)
	}
	if got := closes(t, v, Range{Symbols: []string{pufa}}); len(got) != 3 {
		t.Errorf("rows %q", got)
	}
}
