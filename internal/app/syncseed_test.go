package app

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"hash/maphash"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/tapeline/tapeline/internal/ingest"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/sim"
)

// wildFaults is everything a provider does wrong, at rates at which each sync of some hundred requests
// meets all of it.
const wildFaults = `
with 0.01 on 95: reset
with 0.01 on 95,15: drop
with 0.01 on 95: truncate
with 0.02 on 15,33,35,45: crc
with 0.01: error 10005001
with 0.005: error 10001001
with 0.02 on 95,15: duplicate
with 0.03 on 95,15: missing
with 0.5 on 45: missing
with 0.02 on 95: unsorted
with 0.02 on 95,15: short
with 0.2 on 45: short
with 0.005 on 95: stall 20ms
`

// soak returns the full count where full counts are asked for, else the small one.
func soak(small, full int) int {
	if os.Getenv("TAPELINE_SOAK") == "1" {
		return full
	}
	return small
}

// TestSyncSeeds: under a fault script no sync says that it is complete and is not, and the first one
// without faults makes the store what the oracle says.
func TestSyncSeeds(t *testing.T) {
	symbols, from := soak(40, 500), sim.DateOf(soak(2023, 2019), 1, 1)
	for seed := range uint64(soak(1, 20)) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			m, err := sim.Synthetic(seed, symbols, from, sim.DateOf(2023, 12, 31))
			if err != nil {
				t.Fatal(err)
			}
			rules, err := sim.ParseFaults(wildFaults)
			if err != nil {
				t.Fatal(err)
			}
			v := startVendor(t, sim.Config{Market: m, Faults: rules, Seed: seed})
			s := newSyncer(t, v, from.String(), "2023-12-31")
			want := oracleDigest(t, m)
			for range 3 {
				report, err := s.run()
				if report == nil || err != nil {
					t.Fatalf("%v\n%s", err, text(report))
				}
				v.take()
				differs := s.digest(want)
				if report.Status == ingest.StatusComplete && differs != "" {
					t.Fatalf("the sync says it is complete, and %s\n%s", differs, report.Text())
				}
			}
			v.SetFaults(nil)
			s.want(ingest.StatusComplete)
			if differs := s.digest(want); differs != "" {
				t.Fatalf("after a sync without faults %s", differs)
			}
			v.take()
			s.want(ingest.StatusComplete)
			if asked := v.take(); asked[askBars]+asked[askFactors] > 0 {
				t.Errorf("a sync of a complete store asks %v", asked)
			}
		})
	}
}

// digest is the rows of bars and factors by symbol: how many, and the sum of their hashes, so that
// their order does not count.
type digest map[string]tableSum

type tableSum struct {
	rows int
	sum  uint64
}

var hashSeed = maphash.MakeSeed()

// add adds rows of a CSV file: the columns named, of numbers what is not a zero behind the point.
func (d digest) add(t *testing.T, r io.Reader, table string, symbol func(string) string, columns ...string) {
	t.Helper()
	rows := csv.NewReader(r)
	rows.ReuseRecord = true
	head, err := rows.Read()
	if err != nil {
		t.Fatal(err)
	}
	at := make([]int, len(columns))
	for i, column := range columns {
		if at[i] = slices.Index(head, column); at[i] < 0 {
			t.Fatalf("no column %s among %v", column, head)
		}
	}
	var line []byte
	for {
		row, err := rows.Read()
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		key := table + " " + symbol(row[at[0]])
		line = append(line[:0], key...)
		for _, i := range at[1:] {
			value := row[i]
			if strings.Contains(value, ".") {
				value = strings.TrimRight(strings.TrimRight(value, "0"), ".")
			}
			line = append(append(line, '|'), value...)
		}
		sum := d[key]
		d[key] = tableSum{sum.rows + 1, sum.sum + maphash.Bytes(hashSeed, line)}
	}
}

// oracleDigest is what a store should hold of a market.
func oracleDigest(t *testing.T, m sim.Market) digest {
	t.Helper()
	d := digest{}
	var out bytes.Buffer
	canonical := func(code string) string {
		return code[3:] + "." + map[string]string{"sh": "XSHG", "sz": "XSHE"}[code[:2]]
	}
	if err := sim.WriteOracle(&out, m, m.Calendar().To()); err != nil {
		t.Fatal(err)
	}
	d.add(t, &out, market.Bar1D, canonical, "code", "date", "open", "high", "low", "close", "preclose",
		"volume", "amount", "turn", "tradestatus", "isST")
	out.Reset()
	if err := sim.WriteFactors(&out, m, m.Calendar().To()); err != nil {
		t.Fatal(err)
	}
	d.add(t, &out, market.AdjFactor, canonical, "code", "dividOperateDate", "foreAdjustFactor", "backAdjustFactor")
	return d
}

// digest compares what the store holds; "" where it is the same.
func (s *syncer) digest(want digest) string {
	s.t.Helper()
	got := digest{}
	same := func(symbol string) string { return symbol }
	got.add(s.t, bytes.NewReader(s.export(market.Bar1D)), market.Bar1D, same, "symbol", "date", "open", "high",
		"low", "close", "preclose", "volume", "amount", "turn", "trade_status", "is_st")
	got.add(s.t, bytes.NewReader(s.export(market.AdjFactor)), market.AdjFactor, same, "symbol", "ex_date",
		"fore_factor", "back_factor")
	var differ []string
	for key := range want {
		if got[key] != want[key] {
			differ = append(differ, fmt.Sprintf("%s (%d rows, want %d)", key, got[key].rows, want[key].rows))
		}
	}
	for key := range maps.Keys(got) {
		if _, ok := want[key]; !ok {
			differ = append(differ, fmt.Sprintf("%s (%d rows, want none)", key, got[key].rows))
		}
	}
	if len(differ) == 0 {
		return ""
	}
	slices.Sort(differ)
	return fmt.Sprintf("%d of %d differ: %s", len(differ), len(want), strings.Join(differ[:min(5, len(differ))], ", "))
}
