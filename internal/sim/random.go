package sim

// mix hashes a seed and a number to 64 well-mixed bits (the finaliser of splitmix64): the values of
// any day can be had without those before it.
func mix(seed, n uint64) uint64 {
	x := seed + (n+1)*0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// below returns a number in [0, n) made of hash.
func below(hash uint64, n int64) int64 { return int64((hash >> 1) % uint64(n)) }

// between returns a number in [low, high] made of hash.
func between(hash uint64, low, high int64) int64 { return low + below(hash, high-low+1) }

// chance reports true with a probability of p.
func chance(hash uint64, p float64) bool { return float64(hash>>11)/(1<<53) < p }

// hashText hashes a text with a seed.
func hashText(seed uint64, text string) uint64 {
	for i := range len(text) {
		seed = mix(seed, uint64(text[i]))
	}
	return seed
}

// divide returns a/b rounded half away from zero; b > 0.
func divide(a, b int64) int64 {
	if a < 0 {
		return -((-a + b/2) / b)
	}
	return (a + b/2) / b
}
