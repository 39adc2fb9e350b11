package credit_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tapeline/tapeline/internal/credit"
	"pgregory.net/rapid"
)

// twin is the pool with lists in place of cleverness, and the machine that drives both.
type twin struct {
	pool     *credit.Pool
	capacity int64
	granted  []*request
	queue    []*request
}

type request struct {
	n      int64
	cancel context.CancelFunc
	err    error
	done   bool
}

func (w *twin) held() int64 {
	var sum int64
	for _, r := range w.granted {
		sum += r.n
	}
	return sum
}

func (w *twin) settle() {
	for len(w.queue) > 0 {
		first := w.queue[0]
		if w.held() > 0 && w.held()+first.n > w.capacity {
			return
		}
		w.granted = append(w.granted, first)
		w.queue = w.queue[1:]
	}
}

func (w *twin) Acquire(t *rapid.T) {
	ctx, cancel := context.WithCancel(context.Background())
	r := &request{n: rapid.Int64Range(0, 12).Draw(t, "n"), cancel: cancel}
	w.queue = append(w.queue, r)
	go func() {
		r.err = w.pool.Acquire(ctx, r.n)
		r.done = true
	}()
}

func (w *twin) TryAcquire(t *rapid.T) {
	n := rapid.Int64Range(0, 12).Draw(t, "n")
	want := len(w.queue) == 0 && (w.held() == 0 || w.held()+n <= w.capacity)
	if got := w.pool.TryAcquire(n); got != want {
		t.Fatalf("TryAcquire(%d): got %v, want %v", n, got, want)
	}
	if want {
		w.granted = append(w.granted, &request{n: n, cancel: func() {}, done: true})
	}
}

func (w *twin) Release(t *rapid.T) {
	if len(w.granted) == 0 {
		t.Skip("nothing held")
	}
	at := rapid.IntRange(0, len(w.granted)-1).Draw(t, "at")
	w.pool.Release(w.granted[at].n)
	w.granted[at].cancel()
	w.granted = slices.Delete(w.granted, at, at+1)
}

func (w *twin) Cancel(t *rapid.T) {
	if len(w.queue) == 0 {
		t.Skip("nothing waits")
	}
	at := rapid.IntRange(0, len(w.queue)-1).Draw(t, "at")
	r := w.queue[at]
	r.cancel()
	w.queue = slices.Delete(w.queue, at, at+1)
	synctest.Wait()
	if !r.done || !errors.Is(r.err, context.Canceled) {
		t.Fatalf("cancelled request: done %v, err %v", r.done, r.err)
	}
}

func (w *twin) Resize(t *rapid.T) {
	w.capacity = rapid.Int64Range(1, 10).Draw(t, "capacity")
	w.pool.Resize(w.capacity)
}

// Check compares pool and twin once all goroutines stand still.
func (w *twin) Check(t *rapid.T) {
	w.settle()
	synctest.Wait()
	if got, want := w.pool.Held(), w.held(); got != want {
		t.Fatalf("held: got %d, want %d", got, want)
	}
	for i, r := range w.granted {
		if !r.done || r.err != nil {
			t.Fatalf("grant %d: done %v, err %v", i, r.done, r.err)
		}
	}
	for i, r := range w.queue {
		if r.done {
			t.Fatalf("request %d passed its turn: err %v", i, r.err)
		}
	}
}

// bubble hides Deadline, which rapid asks for and synctest forbids.
type bubble struct{ *testing.T }

// TestPoolMatchesTwin drives a pool with many blocked requests and its twin by the same steps.
func TestPoolMatchesTwin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(bubble{t}, func(t *rapid.T) {
			capacity := rapid.Int64Range(1, 10).Draw(t, "capacity")
			machine := &twin{pool: credit.New(capacity), capacity: capacity}
			t.Repeat(rapid.StateMachineActions(machine))
			for _, r := range machine.queue {
				r.cancel()
			}
			synctest.Wait()
		})
	})
}

// TestPoolConcurrent checks the bound with real concurrency; the race detector does the rest.
func TestPoolConcurrent(t *testing.T) {
	t.Parallel()
	const capacity, workers, rounds = 10, 8, 500
	pool := credit.New(capacity)
	var under atomic.Int64
	var group sync.WaitGroup
	for worker := range workers {
		group.Go(func() {
			for i := range rounds {
				n := int64((worker+i)%capacity + 1)
				if err := pool.Acquire(t.Context(), n); err != nil {
					t.Errorf("acquire: %v", err)
					return
				}
				if now := under.Add(n); now > capacity {
					t.Errorf("%d under way, capacity %d", now, capacity)
				}
				under.Add(-n)
				pool.Release(n)
			}
		})
	}
	group.Wait()
	if got := pool.Held(); got != 0 {
		t.Errorf("held after all released: got %d, want 0", got)
	}
}

func TestWaitedAndCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pool := credit.New(4)
		if err := pool.Acquire(t.Context(), 9); err != nil {
			t.Fatalf("oversize request on an empty pool: %v", err)
		}
		cause := errors.New("drained")
		ctx, cancel := context.WithCancelCause(t.Context())
		result := make(chan error)
		go func() { result <- pool.Acquire(ctx, 1) }()
		<-time.After(2 * time.Second)
		if got := pool.Waited(); got != 2*time.Second {
			t.Errorf("while waiting: got %v, want 2s", got)
		}
		cancel(cause)
		if err := <-result; !errors.Is(err, cause) {
			t.Errorf("got %v, want the cause", err)
		}
		<-time.After(time.Second)
		if got := pool.Waited(); got != 2*time.Second {
			t.Errorf("after the wait: got %v, want 2s", got)
		}
	})
}

func TestReleaseTooMuchPanics(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("releasing more than held did not panic")
		}
	}()
	credit.New(4).Release(1)
}

func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := credit.NewRate(100, 10)
		start := time.Now()
		if err := r.Wait(t.Context(), 1010); err != nil {
			t.Fatal(err)
		}
		got, want := time.Since(start), 10*time.Second
		if diff := (got - want).Abs(); diff > time.Millisecond {
			t.Errorf("1010 credits at 100/s with a burst of 10: got %v, want %v", got, want)
		}
		cause := errors.New("stopped")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(cause) })
		if err := r.Wait(ctx, 1_000_000); !errors.Is(err, cause) {
			t.Errorf("got %v, want the cause", err)
		}
	})
}

func BenchmarkAcquireRelease(b *testing.B) {
	pool := credit.New(1 << 20)
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		if err := pool.Acquire(ctx, 100); err != nil {
			b.Fatal(err)
		}
		pool.Release(100)
	}
}

func TestChargeIsHeldAboveTheCapacity(t *testing.T) {
	p := credit.New(10)
	p.Charge(15)
	if p.TryAcquire(1) || p.Held() != 15 {
		t.Fatalf("%d held after a charge of 15", p.Held())
	}
	p.Release(15)
	if p.Most() != 15 {
		t.Errorf("at most %d were held, want 15", p.Most())
	}
	if !p.TryAcquire(10) {
		t.Error("nothing is free after the charge was released")
	}
}
