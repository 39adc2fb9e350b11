package op

import (
	"context"
	"errors"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/internal/credit"
)

// RateLimitConfig configures rate_limit.
type RateLimitConfig struct {
	RowsPerSecond float64 `yaml:"rows_per_second" required:"true" min:"0" doc:"rows to let pass per second, above 0"`
	Burst         int     `yaml:"burst" min:"0" doc:"rows that may pass at once after a pause; 0: a tenth of a second's rows"`
}

// RateLimit lets rows pass at a steady pace.
func RateLimit() Spec {
	return newSpec(Spec{
		Name:    "rate_limit",
		Summary: "Lets rows pass at a steady pace.",
		Doc: "A batch waits until all of its rows may pass, and the nodes before it wait, too, down " +
			"to the source. A checkpoint waits with it: keep `batch_size` of the source below a " +
			"second's rows. The pace holds for the node, whatever its parallelism. Rows, NULLs and " +
			"row operations pass unchanged.",
		Ordered: true,
	}, RateLimitConfig{}, newRateLimit)
}

type rateLimit struct {
	ctx  context.Context //nolint:containedctx // of the task attempt, as Env.Context says
	rate *credit.Rate
}

func newRateLimit(env Env, config *RateLimitConfig) (Operator, error) {
	if !(config.RowsPerSecond > 0) {
		return nil, &ConfigError{"rows_per_second", errors.New("must be above 0")}
	}
	burst := config.Burst
	if burst == 0 {
		burst = int(min(config.RowsPerSecond/10, 1<<30))
	}
	return &rateLimit{ctx: env.context(), rate: credit.NewRate(config.RowsPerSecond, burst)}, nil
}

// context returns the task's context, or one that never ends where there is no task.
func (e Env) context() context.Context {
	if e.Context == nil {
		return context.Background()
	}
	return e.Context
}

// Bind has nothing to compile: the operator is its own binding.
func (r *rateLimit) Bind(*batch.Schema) (Bound, error) { return r, nil }

// Apply waits for the batch's rows.
func (r *rateLimit) Apply(b *batch.Batch, out *Output) error {
	if err := r.rate.Wait(r.ctx, b.Len()); err != nil {
		return err
	}
	out.Emit(b)
	return nil
}
