package ingest

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tapeline/tapeline/internal/market"
)

// statementScope asks one stock for statements from 2022 on.
func statementScope(t *testing.T, final string) (Scope, market.Instrument) {
	p := market.Provider{Name: "vendor", Offers: []market.Offer{{
		Dataset: market.Fundamental, Markets: []market.MIC{market.XSHG}, Shapes: market.BySymbol,
	}}}
	one := instrument(1)
	return Scope{
		Provider: p, Instruments: []market.Instrument{one}, Datasets: []string{market.Fundamental},
		Span: market.Interval{From: day(t, "2022-01-01"), To: day(t, "2022-12-31")}, Final: day(t, final),
		Held: map[string]Held{market.Fundamental: {}}, asked: Held{},
	}, one
}

// TestPlanStatements: quarters are asked for, not days; none that is held, even between two that are not.
func TestPlanStatements(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, final string
		held, asked []string // days
		want        []string
		gaps        string
	}{
		{"at first", "2022-12-31", nil, nil, []string{"2022-03-31..2022-09-30"}, "2022-03-31..2022-06-30"},
		{"before the first quarter ended", "2022-03-31", nil, nil, nil, "empty"},
		{"the day after", "2022-04-01", nil, nil, []string{"2022-03-31..2022-03-31"}, "empty"},
		{"asked yesterday", "2022-04-10", nil, []string{"2022-04-09"}, nil, "empty"},
		{"asked a week ago", "2022-04-10", nil, []string{"2022-04-03"}, []string{"2022-03-31..2022-03-31"}, "empty"},
		{"it came", "2022-04-20", []string{"2022-03-31"}, nil, nil, "empty"},
		{"due since yesterday", "2022-05-01", nil, []string{"2022-04-30"}, []string{"2022-03-31..2022-03-31"}, "empty"},
		{"overdue", "2022-05-31", nil, []string{"2022-05-01"}, nil, "empty"},
		{"twice the time", "2022-06-01", nil, []string{"2022-05-01"}, []string{"2022-03-31..2022-03-31"}, "empty"},
		{"settled", "2022-07-30", nil, []string{"2022-07-29"}, []string{"2022-03-31..2022-03-31"}, "2022-03-31"},
		{"a clock set back", "2022-04-10", nil, []string{"2022-04-09", "2023-01-01"}, nil, "empty"},
		{
			"one in between is held", "2022-12-31",
			[]string{"2022-06-30"},
			nil,
			[]string{"2022-03-31..2022-03-31", "2022-09-30..2022-09-30"},
			"2022-03-31",
		},
		{"nothing ended since", "2022-12-31", []string{"2022-03-31", "2022-06-30", "2022-09-30"}, nil, nil, "empty"},
	} {
		s, one := statementScope(t, c.final)
		for _, text := range c.held {
			s.Held[market.Fundamental][one.Symbol.String()] = s.Held[market.Fundamental][one.Symbol.String()].Add(
				market.Interval{From: day(t, text), To: day(t, text)})
		}
		for _, text := range c.asked {
			s.asked[one.Symbol.String()] = s.asked[one.Symbol.String()].Add(
				market.Interval{From: day(t, text), To: day(t, text)})
		}
		var got []string
		for _, u := range s.Plan().Units() {
			got = append(got, u.From.String()+".."+u.To.String())
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: planned (-want +got):\n%s", c.name, diff)
		}
		if got := s.Gaps(market.Fundamental, one).String(); got != c.gaps {
			t.Errorf("%s: the gaps are %s, want %s", c.name, got, c.gaps)
		}
	}
}

// TestStatementsMayCome: a proof of statements holds only when all of them were settled.
func TestStatementsMayCome(t *testing.T) {
	t.Parallel()
	for final, want := range map[string]bool{"2022-12-31": true, "2023-04-30": true, "2023-05-01": false, "": true} {
		r := Report{Final: final, Asked: Ask{Datasets: []string{market.Fundamental}, From: "2022-01-01", To: "2022-12-31"}}
		if got := r.mayCome(); got != want {
			t.Errorf("final %s: %t, want %t", final, got, want)
		}
		if r.Asked.Datasets[0] = market.Bar1D; r.mayCome() {
			t.Errorf("final %s: bars may come yet", final)
		}
	}
}
