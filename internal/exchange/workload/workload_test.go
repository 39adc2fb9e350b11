package workload_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tapeline/tapeline/internal/exchange/book"
	"github.com/tapeline/tapeline/internal/exchange/order"
	"github.com/tapeline/tapeline/internal/exchange/workload"
	"github.com/tapeline/tapeline/internal/testenv"
)

func TestPublishedDigests(t *testing.T) {
	plan := workload.Plan{Scenarios: workload.Scenarios(), Orders: workload.Orders, Seed: workload.Seed, Rounds: 1}
	results, err := workload.Measure(t.Context(), plan)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if !r.Equal() || r.Published == "" {
			t.Errorf("%s: the reports' digest is %s, published is %q", r.Scenario, r.SHA256, r.Published)
		}
	}
	file := filepath.Join(testenv.Data(t, "matching_vectors"), "flash1", "correctness_hash.txt")
	list, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if line := r.SHA256 + "  " + r.Scenario + "_seed23_count1000000_reports.txt"; !strings.Contains(string(list), line) {
			t.Errorf("%s does not list %q", file, line)
		}
	}
}

func BenchmarkPublic(b *testing.B) {
	for _, scenario := range workload.Scenarios() {
		commands := scenario.Commands(workload.Orders, workload.Seed)
		b.Run(scenario.Name, func(b *testing.B) {
			b.ReportAllocs()
			out := make([]order.Event, 0, 1<<14)
			for b.Loop() {
				set := book.NewSet()
				set.AddSymbol()
				for i := range commands {
					if len(out) > 1<<12 {
						out = out[:0]
					}
					out = set.Apply(&commands[i], out)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(commands)), "ns/msg")
		})
	}
}
