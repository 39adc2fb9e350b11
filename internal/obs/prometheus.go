package obs

import (
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

var _ prometheus.Collector = (*Registry)(nil)

// Handler serves the registry and the process's own figures in Prometheus' text format.
func (r *Registry) Handler() http.Handler {
	all := prometheus.NewRegistry()
	all.MustRegister(r, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return promhttp.HandlerFor(all, promhttp.HandlerOpts{})
}

// Describe describes nothing: the figures come and go with workflows.
func (r *Registry) Describe(chan<- *prometheus.Desc) {}

// Collect sends all figures as they are now; histograms as summaries.
func (r *Registry) Collect(metrics chan<- prometheus.Metric) {
	r.each(func(help string, s Sample) {
		names := make([]string, len(s.Labels))
		values := make([]string, len(s.Labels))
		for i, l := range s.Labels {
			names[i], values[i] = l.Name, strings.ToValidUTF8(l.Value, "?")
		}
		desc := prometheus.NewDesc(s.Name, help, names, nil)
		var metric prometheus.Metric
		var err error
		switch {
		case s.Quantiles != nil:
			q := s.Quantiles
			metric, err = prometheus.NewConstSummary(desc, uint64(q.Count), q.Sum.Seconds(),
				map[float64]float64{
					0.5: q.P50.Seconds(), 0.9: q.P90.Seconds(),
					0.99: q.P99.Seconds(), 0.999: q.P999.Seconds(),
				}, values...)
		case strings.HasSuffix(s.Name, "_total"):
			metric, err = prometheus.NewConstMetric(desc, prometheus.CounterValue, s.Value, values...)
		default:
			metric, err = prometheus.NewConstMetric(desc, prometheus.GaugeValue, s.Value, values...)
		}
		if err != nil {
			metric = prometheus.NewInvalidMetric(desc, err)
		}
		metrics <- metric
	})
}
