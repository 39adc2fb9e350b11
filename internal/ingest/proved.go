package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"

	"github.com/tapeline/tapeline/internal/store"
)

// proofVersion grows when a proof looks at more than it did: what earlier ones proved is proved anew.
const proofVersion = 2

// recentProofs is how many reports are looked through for one.
const recentProofs = 10

// findProof takes over the proof of an earlier run that asked for the same and left the store complete,
// when nothing was committed since: rows change by commits only, so all of it still holds.
// invariant: a proof is taken over only at the very commit it was made at
func (j *job) findProof(ctx context.Context) (err error) {
	again := j.Config.Sync.EnableSmartBackfill // what is held may have to be asked for again
	if again || j.request.Span.To > j.request.settled() || len(j.unlisted) > 0 {
		return nil
	}
	view, err := j.Store.View(ctx, 0)
	if err != nil {
		return err
	}
	now := view.Seq()
	reports, err := j.Store.Reports(ctx, ReportKind, recentProofs)
	if err = errors.Join(err, view.Close()); err != nil {
		return err
	}
	for _, saved := range reports {
		if saved.Status != string(StatusComplete) {
			continue
		}
		var earlier Report
		if json.Unmarshal(saved.JSON, &earlier) == nil && earlier.proves(j.report.Asked, now) {
			j.takeOver(&earlier)
			return nil
		}
	}
	return nil
}

// proves reports whether a complete run proved all that is asked, at a commit.
func (r *Report) proves(ask Ask, at store.Seq) bool {
	if r.Proof != proofVersion || store.Seq(r.After) != at || !reflect.DeepEqual(r.Asked, ask) || r.mayCome() {
		return false
	}
	for _, d := range r.Datasets {
		if d.Provisional > 0 {
			return false
		}
	}
	return true
}

// takeOver fills the report with what the earlier run found.
func (j *job) takeOver(earlier *Report) {
	r := j.report
	r.Symbols, r.Datasets, r.ConfirmedEmpty = earlier.Symbols, earlier.Datasets, earlier.ConfirmedEmpty
	r.Disagreements, r.After, r.ProvedBy = earlier.Disagreements, earlier.After, earlier.Run
	if earlier.ProvedBy != "" {
		r.ProvedBy = earlier.ProvedBy
	}
	for i := range r.Datasets {
		r.Datasets[i].New, r.Datasets[i].Changed = 0, 0
	}
	j.proved = earlier
}
