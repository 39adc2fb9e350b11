// Package obs is the one path of measurements: counters, gauges, histograms, phases, and the meter
// of a workflow's node.
//
// Path of one figure: a task adds to Node or Counter (one atomic) -> Registry.Snapshot for reports
// and progress, or Registry.Collect for Prometheus.
//
// Invariants: names are tapeline_<floor>_<noun>_<unit>; one name has at most maxSeries label sets,
// later ones are counted together under "other"; nothing is allocated for a histogram before its
// first value; reading never stops a writer for longer than one value takes.
//
// The package neither prints nor listens, and knows nothing of what is measured.
package obs
