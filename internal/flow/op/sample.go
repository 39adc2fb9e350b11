package op

import (
	"errors"
	"fmt"
	"math"

	"github.com/tapeline/tapeline/batch"
)

// SampleConfig configures sample.
type SampleConfig struct {
	Rate  float64 `yaml:"rate" min:"0" max:"1" doc:"share of rows to keep, 0 to 1, each drawn on its own"`
	Seed  int64   `yaml:"seed" doc:"of the draw; the same seed keeps the same rows"`
	Every int64   `yaml:"every" min:"1" doc:"keep one row in this many, the first of each block; or the first rows of each block with first"`
	First int64   `yaml:"first" min:"1" doc:"rows to keep of each block of every rows"`
}

// Sample keeps a part of the rows.
func Sample() Spec {
	return newSpec(Spec{
		Name:    "sample",
		Summary: "Keeps a part of the rows.",
		Doc: "Either `rate`: each row is drawn on its own with that probability. Or `every`: of each " +
			"block of `every` rows the first, or the first `first`, are kept.\n\n" +
			"The choice depends on the seed and on the row's place in the input alone, not on how " +
			"rows come in batches: runs over the same input keep the same rows, and a resumed run " +
			"goes on where it stopped. Upserts and deletes are refused.",
		Ordered: true, RefusesOperations: true,
	}, SampleConfig{First: 1}, newSample)
}

type sample struct {
	counter
	config    SampleConfig
	threshold uint64 // of a 64-bit draw
	whole     bool
}

var _ Stateful = (*sample)(nil)

func newSample(_ Env, config *SampleConfig) (Operator, error) {
	switch {
	case (config.Every != 0) == (config.Rate != 0):
		return nil, errors.New("set either rate or every")
	case config.Every < 0 || config.First < 1:
		return nil, &ConfigError{"every", errors.New("every and first start at 1")}
	case config.Rate < 0 || config.Rate > 1 || math.IsNaN(config.Rate):
		return nil, &ConfigError{"rate", fmt.Errorf("%v is not between 0 and 1", config.Rate)}
	}
	s := &sample{config: *config, whole: config.Rate == 1}
	s.threshold = uint64(math.Ldexp(config.Rate, 63)) << 1
	return s, nil
}

// Bind has nothing to compile: the operator is its own binding.
func (s *sample) Bind(*batch.Schema) (Bound, error) { return s, nil }

// Apply narrows the batch.
func (s *sample) Apply(b *batch.Batch, out *Output) error {
	if err := refuseOperations(b, "sample"); err != nil {
		return err
	}
	kept := make([]int32, 0, b.Len())
	for i := range b.Len() {
		if s.draws(s.rows) {
			kept = append(kept, int32(b.Row(i)))
		}
		s.rows++
	}
	out.Emit(b.Select(kept))
	return nil
}

func (s *sample) draws(n uint64) bool {
	if s.config.Every > 0 {
		return n%uint64(s.config.Every) < uint64(s.config.First)
	}
	return s.whole || mix(uint64(s.config.Seed)*0x9e3779b97f4a7c15+mix(n)) < s.threshold
}

// mix spreads the bits of a number (splitmix64).
func mix(v uint64) uint64 {
	v += 0x9e3779b97f4a7c15
	v = (v ^ v>>30) * 0xbf58476d1ce4e5b9
	v = (v ^ v>>27) * 0x94d049bb133111eb
	return v ^ v>>31
}
