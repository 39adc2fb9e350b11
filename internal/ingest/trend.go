package ingest

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tapeline/tapeline/internal/store"
)

// Trend compares the newest sync of a store with earlier ones of about the same work.
type Trend struct {
	Run      string       `json:"run,omitempty"` // the newest sync that ended
	Compared []TrendRun   `json:"compared"`      // newest first, that one included
	Figures  []TrendValue `json:"figures"`
	Warnings []string     `json:"warnings"` // what became slower by more than a tenth
}

// TrendRun is one of the syncs that are compared.
type TrendRun struct {
	Run        string    `json:"run"`
	Started    time.Time `json:"started"`
	Seconds    float64   `json:"seconds"`
	Records    int64     `json:"records"`
	Throughput float64   `json:"throughput"` // records a second
	MemoryMB   float64   `json:"memory_mb,omitempty"`
}

// TrendValue is a figure of the newest sync beside the median of the earlier ones.
type TrendValue struct {
	Name    string  `json:"name"`
	Unit    string  `json:"unit"`
	Newest  float64 `json:"newest"`
	Usual   float64 `json:"usual"`   // median
	Change  float64 `json:"change"`  // share by which the newest is faster; below 0: slower
	Slower  bool    `json:"slower"`  // by more than a tenth
	Earlier int     `json:"earlier"` // how many it is compared with
}

// regression is the share by which a sync must be slower than usual for a warning.
const regression = 0.10

// Bounds of what is compared.
const (
	trendReports = 200 // newest reports that are looked through
	trendRuns    = 20  // earlier syncs that are compared
	trendFactor  = 2   // records and symbols may differ by this
	trendShare   = 0.1 // of the time, from which a phase is judged
)

// ReadTrend compares the newest sync of a store with earlier ones.
func ReadTrend(ctx context.Context, s *store.Store) (*Trend, error) {
	saved, err := s.Reports(ctx, ReportKind, trendReports)
	if err != nil {
		return nil, fmt.Errorf("read the reports of %s: %w", s.Dir(), err)
	}
	var reports []Report
	for _, one := range saved {
		var r Report
		if err := json.Unmarshal(one.JSON, &r); err != nil {
			return nil, fmt.Errorf("report of run %s in %s: %w", one.Run, s.Dir(), err)
		}
		if r.Status == StatusComplete || r.Status == StatusShort {
			reports = append(reports, r)
		}
	}
	return newTrend(reports), nil
}

// newTrend compares reports, newest first.
func newTrend(reports []Report) *Trend {
	t := &Trend{Compared: []TrendRun{}, Figures: []TrendValue{}, Warnings: []string{}}
	if len(reports) == 0 {
		return t
	}
	newest := reports[0]
	t.Run = newest.Run
	var earlier []Report
	for _, r := range reports {
		if !newest.alike(r) || len(t.Compared) > trendRuns {
			continue
		}
		t.Compared = append(t.Compared, TrendRun{
			Run: r.Run, Started: r.Started, Seconds: r.TotalDuration, Records: r.TotalRecords,
			Throughput: r.OverallThroughput, MemoryMB: r.indicator("memory"),
		})
		if r.Run != newest.Run {
			earlier = append(earlier, r)
		}
	}
	if len(earlier) == 0 {
		return t
	}
	t.judge("sync", func(r Report) (speed, bool) {
		return speed{r.TotalRecords, r.TotalDuration}, true
	}, newest, earlier)
	for _, p := range newest.Phases {
		if p.Share < trendShare {
			continue
		}
		t.judge("phase "+p.Name, func(r Report) (speed, bool) {
			i := slices.IndexFunc(r.Phases, func(o Phase) bool { return o.Name == p.Name })
			if i < 0 || (r.Phases[i].Records > 0) != (p.Records > 0) {
				return speed{}, false
			}
			return speed{r.Phases[i].Records, r.Phases[i].Duration}, true
		}, newest, earlier)
	}
	return t
}

// speed is how long so many records took; without records the time alone counts.
type speed struct {
	records int64
	seconds float64
}

func (s speed) value() (value float64, unit string) {
	if s.records > 0 {
		return float64(s.records) / max(s.seconds, 1e-9), "records/s"
	}
	return s.seconds, "s"
}

// judge compares one figure.
func (t *Trend) judge(name string, of func(Report) (speed, bool), newest Report, earlier []Report) {
	now, _ := of(newest)
	v := TrendValue{Name: name}
	v.Newest, v.Unit = now.value()
	var values []float64
	for _, r := range earlier {
		if s, ok := of(r); ok {
			value, _ := s.value()
			values = append(values, value)
		}
	}
	if len(values) == 0 {
		return
	}
	v.Usual, v.Earlier = median(values), len(values)
	switch {
	case v.Usual <= 0 || v.Newest <= 0:
	case now.records > 0:
		v.Change = v.Newest/v.Usual - 1
	default:
		v.Change = v.Usual/v.Newest - 1 // as speeds: twice the time is half of it
	}
	const exact = 1e-9
	v.Slower = v.Change < -regression-exact
	t.Figures = append(t.Figures, v)
	if v.Slower {
		t.Warnings = append(t.Warnings, fmt.Sprintf("%s is %.0f %% slower than usual: %.4g %s, the median of %d earlier is %.4g",
			name, -100*v.Change, v.Newest, v.Unit, v.Earlier, v.Usual))
	}
}

// alike reports whether two syncs did about the same work.
func (r *Report) alike(o Report) bool {
	near := func(a, b int64) bool {
		return (a > 0) == (b > 0) && a <= trendFactor*b && b <= trendFactor*a
	}
	return r.Provider == o.Provider && near(r.TotalRecords, o.TotalRecords) && near(int64(r.Symbols), int64(o.Symbols))
}

// indicator returns the value of an indicator, 0 where it was not measured.
func (r *Report) indicator(name string) float64 {
	for _, i := range r.Indicators {
		if i.Name == name && i.Value != nil {
			return *i.Value
		}
	}
	return 0
}

func median(values []float64) float64 {
	sorted := slices.Clone(values)
	slices.SortFunc(sorted, cmp.Compare[float64])
	half := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[half]
	}
	return (sorted[half-1] + sorted[half]) / 2
}

// Text returns the comparison for people.
func (t *Trend) Text() string {
	var b strings.Builder
	if len(t.Compared) < 2 {
		b.WriteString("trend: there is no earlier sync of about the same work to compare with\n")
		return b.String()
	}
	fmt.Fprintf(&b, "trend of %d syncs of about the same work\n", len(t.Compared))
	for _, v := range t.Figures {
		fmt.Fprintf(&b, "  %-15s %.4g %s, usually %.4g (%+.0f %%)\n", v.Name, v.Newest, v.Unit, v.Usual, 100*v.Change)
	}
	for _, r := range t.Compared {
		fmt.Fprintf(&b, "  sync %s %.2f s, %d records, %.0f/s, %.0f MB\n", r.Started.Local().Format(time.DateTime), r.Seconds,
			r.Records, r.Throughput, r.MemoryMB)
	}
	for _, w := range t.Warnings {
		fmt.Fprintf(&b, "  warning: %s\n", w)
	}
	return b.String()
}
