package op

// All returns every built-in operator.
func All() []Spec {
	return []Spec{
		Filter(), Select(), Drop(), Rename(), Compute(), Cast(), Parse(), Flatten(), Explode(),
		Route(), Union(), Limit(), Sample(), Validate(), Enrich(), RateLimit(), Dedupe(),
	}
}
