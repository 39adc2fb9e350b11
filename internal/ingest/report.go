package ingest

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/tapeline/tapeline/internal/flow/run"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/obs"
	"github.com/tapeline/tapeline/internal/store"
)

// Status is how a sync ended.
type Status string

// The ways a sync ends.
const (
	StatusComplete    Status = "complete"    // everything expected is stored
	StatusShort       Status = "short"       // something is missing, and listed
	StatusFailed      Status = "failed"      // it could not go on
	StatusInterrupted Status = "interrupted" // the user stopped it
)

// ReportKind is the kind under which the store keeps reports of syncs.
const ReportKind = "sync"

// Report is what a sync did and proved, for people and programs.
type Report struct {
	Run      string    `json:"run"`
	Status   Status    `json:"status"`
	Error    string    `json:"error,omitempty"`
	Provider string    `json:"provider"`
	Store    string    `json:"store"`
	From     string    `json:"from"`
	To       string    `json:"to"`
	Freq     string    `json:"freq"`
	Final    string    `json:"final"` // the last day whose rows were final
	Asked    Ask       `json:"asked"`
	Started  time.Time `json:"started"`
	Finished time.Time `json:"finished"`

	Symbols   int `json:"symbols"`
	WorkUnits int `json:"work_units"`
	Planned   int `json:"planned_requests"`
	// DataRequests were answered for rows of datasets other than calendar and instrument.
	DataRequests int `json:"data_requests"`

	Rows     RowCounts       `json:"rows"`
	Datasets []DatasetReport `json:"datasets"`
	Missing  []Missing       `json:"missing"`
	// ConfirmedEmpty are days of which the provider said twice, in two syncs, that it has no row.
	ConfirmedEmpty []Missing `json:"confirmed_empty,omitempty"`
	Disagreements  []string  `json:"calendar_disagreements,omitempty"`
	Warnings       []string  `json:"warnings,omitempty"`
	Traffic        Traffic   `json:"provider_statistics"`

	Performance

	// ProvedBy is the run whose proof was taken over, as nothing was committed since; "": this one's own.
	ProvedBy string `json:"proved_by,omitempty"`
	Proof    int    `json:"proof_version"`

	Before int64 `json:"sequence_before"`
	After  int64 `json:"sequence_after"`
}

// RowCounts are what became of the rows received.
type RowCounts struct {
	Received    int64 `json:"received"`
	New         int64 `json:"new"`
	Changed     int64 `json:"changed"`
	Equal       int64 `json:"equal"`
	Quarantined int64 `json:"quarantined"`
}

// DatasetReport is what is held of one dataset, within the symbols and dates asked for.
type DatasetReport struct {
	Dataset     string `json:"dataset"`
	Symbols     int    `json:"symbols"`
	Expected    int    `json:"expected"` // rows; 0 where rows are events
	Stored      int    `json:"stored"`   // of those expected
	Missing     int    `json:"missing"`
	None        int    `json:"confirmed_empty"`
	Provisional int    `json:"provisional"` // fetched before they were final, and fetched again
	New         int64  `json:"rows_new"`
	Changed     int64  `json:"rows_changed"`
}

// Coverage is the stored share of what is expected.
func (d DatasetReport) Coverage() float64 {
	if d.Expected == 0 {
		return 1
	}
	return float64(d.Stored+d.None) / float64(d.Expected)
}

// String is a line for people.
func (d DatasetReport) String() string {
	text := fmt.Sprintf("%s: %d symbols", d.Dataset, d.Symbols)
	if d.Expected > 0 {
		text += fmt.Sprintf(", %d of %d expected rows stored (%.2f %%)", d.Stored, d.Expected, 100*d.Coverage())
	}
	if d.Provisional > 0 {
		text += fmt.Sprintf(", %d not final yet", d.Provisional)
	}
	if d.None > 0 {
		text += fmt.Sprintf(", %d confirmed to have none", d.None)
	}
	if d.Missing > 0 {
		text += fmt.Sprintf(", %d missing", d.Missing)
	}
	return text
}

// Missing are neighbouring sessions of one instrument that have no row.
type Missing struct {
	Dataset  string `json:"dataset"`
	Symbol   string `json:"symbol"`
	From     string `json:"from"`
	To       string `json:"to"`
	Sessions int    `json:"sessions"`
	Why      string `json:"why"`
}

// String is a line for people.
func (m Missing) String() string {
	dates := m.From
	if m.To != m.From {
		dates += ".." + m.To
	}
	return fmt.Sprintf("%s %s %s (%d): %s", m.Dataset, m.Symbol, dates, m.Sessions, m.Why)
}

func (s *Sync) newReport(r Request) *Report {
	started := time.Now()
	return &Report{
		Run:      fmt.Sprintf("sync-%s-%04x", started.UTC().Format("20060102T150405"), started.Nanosecond()&0xffff),
		Provider: s.Provider.Name, Store: s.Store.Dir(), From: r.Span.From.String(), To: r.Span.To.String(),
		Freq: r.Freq, Final: r.settled().String(), Asked: s.asked(r), Started: started, Datasets: []DatasetReport{}, Missing: []Missing{},
		Proof: proofVersion,
	}
}

// asked is what the request keeps, as later comparisons read it.
func (s *Sync) asked(r Request) Ask {
	ask := Ask{
		Provider: s.Provider.Name, Universe: s.Config.Sync.Universe, Datasets: r.Datasets, Freq: r.Freq,
		From: r.Span.From.String(), To: min(r.Span.To, r.settled()).String(),
	}
	if r.Index != (market.Symbol{}) {
		ask.Index = r.Index.String()
	}
	for _, symbol := range r.Symbols {
		ask.Symbols = append(ask.Symbols, symbol.String())
	}
	return ask
}

func (r *Report) plan(p Plan, s Scope) {
	r.Symbols, r.WorkUnits, r.Planned = len(s.Instruments), len(p.Work), p.Estimate(s.Provider).Requests
}

// maxDisagreements bounds how many days a report names.
const maxDisagreements = 20

func (r *Report) disagree(days []market.Disagreement) {
	for i, d := range days {
		if i == maxDisagreements {
			r.Disagreements = append(r.Disagreements, fmt.Sprintf("and %d more", len(days)-i))
			break
		}
		r.Disagreements = append(r.Disagreements, d.String())
	}
}

// addRun takes over what the engine counted.
func (r *Report) addRun(w run.Report) {
	if w.Error != "" {
		r.Error = w.Error
	}
}

// finish sums up.
func (j *job) finish(err error) {
	r := j.report
	r.Finished = time.Now()
	r.TotalDuration = r.Finished.Sub(r.Started).Seconds()
	r.Traffic = j.traffic()
	r.TotalRecords = r.Rows.Received
	if r.TotalDuration > 0 {
		r.OverallThroughput = float64(r.TotalRecords) / r.TotalDuration
	}
	j.measure()
	switch {
	case err != nil:
		r.Status, r.Error = StatusFailed, err.Error()
		if isInterrupt(err) {
			r.Status = StatusInterrupted
		}
	case len(r.Missing) > 0:
		r.Status = StatusShort
	default:
		r.Status = StatusComplete
	}
}

// measure fills what the monitor saw, and judges it.
func (j *job) measure() {
	r := j.report
	machine := obs.ReadMachine()
	s := seen{
		config: j.Config, cores: machine.Cores, total: r.TotalDuration, rows: r.Rows, traffic: r.Traffic,
		commits: r.After - r.Before, caches: j.Cache.statistics(), writing: j.writing.statistics(),
		used: j.monitor.summary(machine, r.Finished.Sub(r.Started)),
	}
	for _, t := range j.tallies {
		answered, refused := t.answered()
		s.units, s.refused = s.units+answered, s.refused+refused
	}
	r.Cache, r.Writer = s.caches, s.writing
	r.CatalogQueries, r.StoreReads = j.Store.Queries()-j.queries, j.Store.Reads()-j.reads
	r.Memory, r.Tuned, r.Cores = j.governor.statistics(), j.Tuned, machine.Cores
	r.Phases, r.MonitorError = s.used.phases, s.used.failure
	r.Bottlenecks = s.bottlenecks()
	r.Indicators, r.Recommendations = s.indicators(), s.recommendations(r.Bottlenecks)
}

// begin keeps what is asked for in the store before it is fetched: a run that is killed is one that was
// interrupted, whose gaps are known.
func (j *job) begin(ctx context.Context) error {
	r := j.report
	status := r.Status
	r.Status, r.Finished = StatusInterrupted, time.Now()
	err := j.save(ctx)
	r.Status = status
	return err
}

// save keeps the report in the store.
func (j *job) save(ctx context.Context) error {
	text, err := json.Marshal(j.report)
	if err != nil {
		return err
	}
	return j.Store.SaveReport(ctx, store.Report{
		Run: j.report.Run, Kind: ReportKind, Status: string(j.report.Status),
		Started: j.report.Started, Finished: j.report.Finished, JSON: text,
	})
}

// maxShown bounds the lines of missing data in the text of a report.
const maxShown = 20

// Text returns the report for people.
func (r *Report) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "sync %s %s: %d symbols, %s..%s, %.2f s\n", r.Provider, r.Status, r.Symbols, r.From, r.To, r.TotalDuration)
	fmt.Fprintf(&b, "  rows      %d received: %d new, %d changed, %d equal, %d quarantined (%.0f rows/s)\n",
		r.Rows.Received, r.Rows.New, r.Rows.Changed, r.Rows.Equal, r.Rows.Quarantined, r.OverallThroughput)
	fmt.Fprintf(&b, "  provider  %d requests (%d for data), %d logins, %d reconnects, %.1f ms a request\n",
		r.Traffic.Requests, r.DataRequests, r.Traffic.Logins, r.Traffic.Reconnects, r.Traffic.MeanRequestMS)
	for _, d := range r.Datasets {
		fmt.Fprintf(&b, "  coverage  %s\n", d)
	}
	b.WriteString(r.Performance.Text())
	for _, w := range r.Warnings {
		fmt.Fprintf(&b, "  warning   %s\n", w)
	}
	for _, d := range r.Disagreements {
		fmt.Fprintf(&b, "  calendar  %s\n", d)
	}
	for i, m := range r.Missing {
		if i == maxShown {
			fmt.Fprintf(&b, "  missing   and %d more; tapeline gaps --store %s lists them\n", len(r.Missing)-i, r.Store)
			break
		}
		fmt.Fprintf(&b, "  missing   %s\n", m)
	}
	return b.String()
}
