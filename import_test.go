package tapeline_test

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/store"
)

// writeTDX makes a folder of TDX files with a record for each session since 2019.
func writeTDX(t *testing.T, symbols, days int) string {
	t.Helper()
	calendar, err := market.CalendarOf(market.XSHG)
	if err != nil {
		t.Fatal(err)
	}
	sessions, err := calendar.Open(market.DateOf(2019, 1, 2), calendar.Covers().To)
	if err != nil || len(sessions) < days {
		t.Fatal(len(sessions), err)
	}
	dir := t.TempDir()
	for i := range symbols {
		var raw []byte
		for n, d := range sessions[:days] {
			y, m, day := d.Civil()
			price := uint32(1000 + (n*7919+i*31)%500)
			for _, v := range []uint32{
				uint32(y*10000 + int(m)*100 + day), price, price + 9, price - 9, price + 3,
				math.Float32bits(1e7 + float32(n)), 1e6 + uint32(n)*37, 0,
			} {
				raw = binary.LittleEndian.AppendUint32(raw, v)
			}
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("sh%06d.day", 600000+i)), raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// storeDigest sums the rows of a store, in order, and the days they cover.
func storeDigest(t *testing.T, dir string) string {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	s, err := store.Open(dir, store.Config{Existing: true})
	check(err)
	defer func() { check(s.Close()) }()
	view, err := s.View(t.Context(), 0)
	check(err)
	defer func() { check(view.Close()) }()
	sum, rows := sha256.New(), 0
	var line []byte
	for b, err := range view.Ordered(store.Ordered{Dataset: market.Bar1D}) {
		check(err)
		for row := range b.Len() {
			line = line[:0]
			for _, c := range b.Columns() {
				line = append(batch.AppendText(line, c, b.Row(row)), ',')
			}
			sum.Write(line)
			rows++
		}
	}
	covered, err := view.Coverage(market.Bar1D, "1d", "tdx")
	check(err)
	for _, symbol := range slices.Sorted(maps.Keys(covered)) {
		fmt.Fprintf(sum, "%s %s\n", symbol, covered[symbol])
	}
	return fmt.Sprintf("%d rows of %d symbols covered, %x", rows, len(covered), sum.Sum(nil))
}

// TestKillImport kills an import over and over: run again, it leaves the store as if nobody had, and once
// more it finds nothing to write.
func TestKillImport(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	const symbols, days = 400, 600 // more rows than wait for one commit
	files := writeTDX(t, symbols, days)
	dir := ""
	c := &child{t: t}
	fresh := func() {
		dir = filepath.Join(t.TempDir(), "store")
		c.args = []string{"import", "--format", "tdx", "--quiet", "--state", t.TempDir(), "--store", dir, files}
	}
	fresh()
	whole := c.finish()
	want := storeDigest(t, dir)
	points := max(2, crashPoints()/3)
	killed := 0
	for round := 0; killed < points; round++ {
		if round > 20*points {
			t.Fatalf("only %d of %d kills hit a running process", killed, points)
		}
		fresh()
		for c.killAfter(time.Duration(random.Int64N(int64(whole)))) {
			killed++
			if random.IntN(2) == 0 {
				break
			}
		}
		c.finish()
		if got := storeDigest(t, dir); got != want {
			t.Fatalf("after kill %d: %s, undisturbed %s", killed, got, want)
		}
	}
	commits := func() int {
		t.Helper()
		s, err := store.Open(dir, store.Config{Existing: true})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = s.Close() }()
		entries, err := s.Journal(t.Context(), 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	before := commits()
	if c.finish(); commits() != before {
		t.Error("an import of what is stored wrote")
	}
}
