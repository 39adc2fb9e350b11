package ingest_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tapeline/tapeline/internal/ingest"
)

// TestMarketsOfSeveralClocks: one sync keeps shares of Shanghai, Hong Kong, London and New York, each up to the
// last day that is final there: none is taken for final or missed by the clock of another.
func TestMarketsOfSeveralClocks(t *testing.T) {
	v := newFakeVendor(t, "2024-12-03T21:00") // 13:00 in London, 08:00 in New York
	v.listed = []string{"600001.XSHG", "00700.XHKG", "VOD.XLON", "IBM.XNYS"}
	v.config.Sync.From, v.config.Sync.To = "2024-11-28", ""
	bars := func() (list []string) {
		for _, asked := range v.asked {
			if asked[:3] == "bar" {
				list = append(list, asked[len("bar_1d "):])
			}
		}
		return list
	}
	report := v.want(ingest.StatusComplete)
	want := []string{ // 2024-11-28 is Thanksgiving
		"600001.XSHG 2024-11-28..2024-12-03", "00700.XHKG 2024-11-28..2024-12-03",
		"VOD.XLON 2024-11-28..2024-12-02", "IBM.XNYS 2024-11-29..2024-12-02",
	}
	if diff := cmp.Diff(want, bars()); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	if d := report.Datasets[0]; d.Provisional != 0 || d.Expected != 4+4+3+2 || d.Stored != d.Expected {
		t.Errorf("bars: %+v", d)
	}
	if found := v.gaps(); len(found.Missing) > 0 {
		t.Errorf("gaps: %s", found.Text())
	}
	v.want(ingest.StatusComplete)
	if len(v.asked) > 0 {
		t.Errorf("at the same time %v is asked for", v.asked)
	}
	// Who gives a last day gets bars of it that are not final, where it has begun.
	v.config.Sync.To = "2024-12-03"
	report = v.want(ingest.StatusComplete)
	if d := report.Datasets[0]; d.Provisional != 2 || d.Expected != 13 {
		t.Errorf("with today: %+v", d)
	}
	v.config.Sync.To = ""
	v.at("2024-12-04T08:30") // 00:30 in London, 19:30 in New York: all of the 3rd is final
	report = v.want(ingest.StatusComplete)
	want = []string{"VOD.XLON 2024-12-03", "IBM.XNYS 2024-12-03"}
	if diff := cmp.Diff(want, bars()); diff != "" {
		t.Errorf("the morning after (-want +got):\n%s", diff)
	}
	if d := report.Datasets[0]; d.Provisional != 0 || d.Expected != 15 || d.Stored != 15 || report.To != "2024-12-03" {
		t.Errorf("the morning after, up to %s: %+v", report.To, d)
	}
	if found := v.gaps(); len(found.Missing) > 0 || found.Asked[0].To != "2024-12-03" {
		t.Errorf("gaps: %s", found.Text())
	}
}
