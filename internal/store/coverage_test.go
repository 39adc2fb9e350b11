package store

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tapeline/tapeline/internal/market"
)

func sampleCoverage() []knowledge {
	return []knowledge{
		{market.StateOK, market.Interval{From: 19724, To: 19724}, []int32{universe, 1, 2, 3, 7, 9, 10}},
		{market.StateEmpty, market.Interval{From: -3, To: 19000}, []int32{5}},
		{"", market.Interval{From: 1, To: 2}, []int32{100}},
	}
}

func TestCoverageRoundTrip(t *testing.T) {
	t.Parallel()
	got, err := decodeCoverage(appendCoverage(nil, sampleCoverage()), 100)
	must(t, err)
	if diff := cmp.Diff(sampleCoverage(), got, cmp.AllowUnexported(knowledge{})); diff != "" {
		t.Error(diff)
	}
	day := []knowledge{{market.StateOK, market.Interval{From: 19724, To: 19724}, nil}}
	for n := int32(1); n <= 5500; n++ {
		day[0].instruments = append(day[0].instruments, n)
	}
	if size := len(appendCoverage(nil, day)); size > 12 {
		t.Errorf("a day of 5,500 instruments takes %d bytes", size)
	}
	if _, err := decodeCoverage(appendCoverage(nil, day), 5499); err == nil {
		t.Error("more instruments than there are were accepted")
	}
}

// FuzzCoverage: what is read was written like that, and never more than allowed.
func FuzzCoverage(f *testing.F) {
	f.Add(appendCoverage(nil, sampleCoverage()))
	f.Add([]byte{1, 1, 0, 0, 1, 0, 5})
	f.Fuzz(func(t *testing.T, raw []byte) {
		groups, err := decodeCoverage(raw, 1000)
		if err != nil {
			return
		}
		again, err := decodeCoverage(appendCoverage(nil, groups), 1000)
		must(t, err)
		if diff := cmp.Diff(groups, again, cmp.AllowUnexported(knowledge{})); diff != "" {
			t.Error(diff)
		}
		if !bytes.Equal(appendCoverage(nil, again), appendCoverage(nil, groups)) {
			t.Error("two encodings of one coverage")
		}
	})
}

// FuzzDefinition: a definition that is read is written again with the same meaning.
func FuzzDefinition(f *testing.F) {
	for _, m := range append(market.Datasets(), ownDatasets()...) {
		d, err := newDataset(m)
		must(f, err)
		text, err := d.definition()
		must(f, err)
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := parseDefinition("d", text)
		if err != nil {
			return
		}
		again, err := d.definition()
		must(t, err)
		e, err := parseDefinition("d", again)
		must(t, err)
		if !e.Schema.Equal(d.Schema) || e.Partition != d.Partition || e.Time != d.Time {
			t.Errorf("%s became %s", text, again)
		}
	})
}

func TestCoverageStates(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), Config{})
	w := lock(t, s)
	cover := func(state market.State, from, to string) {
		t.Helper()
		_, err := w.Commit(t.Context(), Changes{Coverage: []Cover{{
			Dataset: market.Bar1D, Freq: "1d", Source: "sim", Symbol: "600000.XSHG",
			Interval: market.Interval{From: day(from), To: day(to)}, State: state,
		}}})
		must(t, err)
	}
	cover(market.StateFailed, "2024-01-01", "2024-01-31")
	cover(market.StateOK, "2024-01-05", "2024-01-10")
	cover(market.StatePartial, "2024-01-08", "2024-01-12") // takes nothing away
	cover(market.StateEmpty, "2024-01-20", "2024-01-21")
	cover("", "2024-01-06", "2024-01-06") // to be asked again
	for range 2 * foldCoverage {          // written as a whole in between
		cover(market.StateOK, "2024-02-01", "2024-02-01")
		cover("", "2024-02-01", "2024-02-01")
	}
	for _, r := range []*Store{s, open(t, s.Dir(), Config{})} {
		v := view(t, r, 0)
		for state, want := range map[market.State]string{
			market.StateOK:      "2024-01-05,2024-01-07..2024-01-10",
			market.StateEmpty:   "2024-01-20..2024-01-21",
			market.StatePartial: "2024-01-11..2024-01-12",
			market.StateFailed:  "2024-01-01..2024-01-04,2024-01-13..2024-01-19,2024-01-22..2024-01-31",
		} {
			got, err := v.CoverageIn(market.Bar1D, "1d", "sim", state)
			must(t, err)
			if got["600000.XSHG"].String() != want {
				t.Errorf("%s: got %s, want %s", state, got["600000.XSHG"], want)
			}
		}
	}
}
