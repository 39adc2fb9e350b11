package op

import (
	"fmt"

	"github.com/tapeline/tapeline/batch"
)

// LimitConfig configures limit.
type LimitConfig struct {
	Rows int64 `yaml:"rows" required:"true" min:"0" doc:"rows to let pass in the whole run, from 0"`
}

// Limit lets the first rows pass and ends the sources behind which nothing else reads.
func Limit() Spec {
	return newSpec(Spec{
		Name:    "limit",
		Summary: "Lets the first rows pass.",
		Doc: "Rows are counted in the order of the input over the whole run: a resumed run goes on " +
			"counting. Once no more rows can pass, sources that feed nothing else stop. Upserts and " +
			"deletes are refused: a count of changes is not a count of rows.",
		Ordered: true, RefusesOperations: true,
	}, LimitConfig{}, func(_ Env, config *LimitConfig) (Operator, error) {
		if config.Rows < 0 {
			return nil, &ConfigError{"rows", fmt.Errorf("%d is below 0", config.Rows)}
		}
		return &limit{most: uint64(config.Rows)}, nil
	})
}

type limit struct {
	counter
	most uint64
}

var _ Stateful = (*limit)(nil)

// Bind has nothing to compile: the operator is its own binding.
func (l *limit) Bind(*batch.Schema) (Bound, error) { return l, nil }

// Apply cuts the batch where the limit is reached.
func (l *limit) Apply(b *batch.Batch, out *Output) error {
	if err := refuseOperations(b, "limit"); err != nil {
		return err
	}
	left := l.most - min(l.rows, l.most)
	if uint64(b.Len()) > left {
		b = b.Slice(0, int(left))
	}
	l.rows += uint64(b.Len())
	out.Emit(b)
	out.Done = l.rows >= l.most
	return nil
}
