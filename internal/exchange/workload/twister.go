package workload

import "math"

// twister is the 32-bit Mersenne Twister MT19937 (Matsumoto and Nishimura, 1998), whose numbers the public
// workloads are drawn from.
type twister struct {
	state [twisterSize]uint32
	next  int
}

const (
	twisterSize  = 624
	twisterShift = 397
)

func newTwister(seed uint32) *twister {
	t := &twister{next: twisterSize}
	t.state[0] = seed
	for i := 1; i < twisterSize; i++ {
		before := t.state[i-1]
		t.state[i] = 1812433253*(before^before>>30) + uint32(i)
	}
	return t
}

func (t *twister) uint32() uint32 {
	if t.next == twisterSize {
		t.twist()
	}
	y := t.state[t.next]
	t.next++
	y ^= y >> 11
	y ^= y << 7 & 0x9d2c5680
	y ^= y << 15 & 0xefc60000
	return y ^ y>>18
}

func (t *twister) twist() {
	for i := range t.state {
		y := t.state[i]&0x80000000 | t.state[(i+1)%twisterSize]&0x7fffffff
		next := t.state[(i+twisterShift)%twisterSize] ^ y>>1
		if y&1 != 0 {
			next ^= 0x9908b0df
		}
		t.state[i] = next
	}
	t.next = 0
}

// uniform returns one of 2^53 numbers in [0, 1).
func (t *twister) uniform() float64 {
	high, low := t.uint32()>>5, t.uint32()>>6
	return (float64(high)*(1<<26) + float64(low)) / (1 << 53)
}

// between returns an integer in [least, most].
func (t *twister) between(least, most uint32) uint32 {
	return least + uint32(t.uniform()*float64(most-least+1))
}

// smallest keeps logarithms finite.
const smallest = 1e-300

// normal returns a number of the standard normal distribution, by Box and Muller.
func (t *twister) normal() float64 {
	u, v := max(t.uniform(), smallest), t.uniform()
	return math.Sqrt(-2*math.Log(u)) * math.Cos(2*math.Pi*v)
}

// exponential returns a number of the exponential distribution with a rate.
func (t *twister) exponential(rate float64) float64 {
	return -math.Log(max(t.uniform(), smallest)) / rate
}
