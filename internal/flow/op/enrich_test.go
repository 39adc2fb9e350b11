package op

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
)

// lookupFake answers from a table of typed columns and records what it is asked.
type lookupFake struct {
	table  *batch.Batch
	calls  []string
	opened int
	closed int
	err    error
}

func (l *lookupFake) Open(context.Context) error { l.opened++; return nil }

func (l *lookupFake) Close() error { l.closed++; return nil }

func (l *lookupFake) Lookup(_ context.Context, keys *batch.Batch) (*batch.Batch, []int32, error) {
	if l.err != nil {
		return nil, nil, l.err
	}
	var call []byte
	rows := make([]int32, keys.Len())
	for i := range keys.Len() {
		call = batch.AppendRow(call, keys, i)
		rows[i] = -1
		for row := range l.table.Rows() {
			equal := true
			for k, field := range keys.Schema().Fields() {
				c := l.table.Column(l.table.Schema().Index(field.Name))
				equal = equal && fmt.Sprint(c.Value(row)) == fmt.Sprint(keys.Column(k).Value(i))
			}
			if equal {
				rows[i] = int32(row)
				break
			}
		}
	}
	l.calls = append(l.calls, string(call))
	return l.table, rows, nil
}

// describedFake can say its columns before the first answer.
type describedFake struct{ *lookupFake }

func (l describedFake) Discover(context.Context) (*batch.Schema, error) {
	return l.table.Schema(), nil
}

func venues(t testing.TB) *lookupFake {
	return &lookupFake{table: dense(t, "code string; name string; lot decimal(8,2); open bool; since date; n int64",
		[]any{"SH", "Shanghai", "100", true, "1990-11-26", int64(-1)},
		[]any{"HK", "Hong Kong", nil, false, nil, int64(1 << 62)},
		[]any{"XX", "bad lot", "123456.5", nil, nil, nil})}
}

func enriched(t testing.TB, l connector.Lookup, configure func(*EnrichConfig)) *enrich {
	t.Helper()
	env := Env{Lookup: func(string, map[string]any) (connector.Lookup, error) { return l, nil }}
	return made(t, Enrich(), env, func(c *EnrichConfig) {
		c.Lookup = LookupConfig{Type: "fake"}
		c.On = []KeyColumn{{"venue", "code"}}
		c.Columns = []LookupColumn{
			{Name: "name", Type: "string"},
			{Name: "lot", Type: "decimal(6,2)"},
			{Name: "is_open", From: "open", Type: "bool"},
			{Name: "since", Type: "date"},
			{Name: "n", Type: "int64"},
		}
		configure(c)
	}).(*enrich)
}

func TestEnrichAsksDistinctKeysOnce(t *testing.T) {
	fake := venues(t)
	e := enriched(t, fake, func(*EnrichConfig) {})
	in := lazy(t, "id int64; venue string; name string", "1|SH|a", "2|HK|b", "3|SH|c", "4||d", "5|ZZ|e", "6|SH|f").
		Select([]int32{0, 1, 2, 3, 4})
	want := []string{
		`{"id":1,"venue":"SH","name":"Shanghai","lot":100.00,"is_open":true,"since":"1990-11-26","n":-1}`,
		`{"id":2,"venue":"HK","name":"Hong Kong","lot":null,"is_open":false,"since":null,"n":4611686018427387904}`,
		`{"id":3,"venue":"SH","name":"Shanghai","lot":100.00,"is_open":true,"since":"1990-11-26","n":-1}`,
		`{"id":4,"venue":null,"name":null,"lot":null,"is_open":null,"since":null,"n":null}`,
		`{"id":5,"venue":"ZZ","name":null,"lot":null,"is_open":null,"since":null,"n":null}`,
	}
	same(t, "first", lines(t, apply(t, e, in), 0), want...)
	bound, err := e.Bind(in.Schema())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		out := &Output{}
		if err := bound.Apply(in, out); err != nil {
			t.Fatal(err)
		}
		same(t, "again", lines(t, out, 0), want...)
	}
	// Misses are kept, too, NULL is never asked for, and binding again keeps the answers.
	same(t, "calls", fake.calls, `{"code":"SH"}{"code":"HK"}{"code":"ZZ"}`)
	if err := e.Close(); err != nil || fake.opened != 1 || fake.closed != 1 {
		t.Errorf("opened %d times, closed %d times, %v", fake.opened, fake.closed, err)
	}
}

func TestEnrichOnMissing(t *testing.T) {
	in := lazy(t, "id int64; venue string", "1|SH", "2|ZZ", "3|", "4|XX")
	badLot := `4 : answer's column lot: "123456.50" is not a value of type decimal(6,2)`
	drops := enriched(t, venues(t), func(c *EnrichConfig) { c.OnMissing, c.Prefix = "drop", "v_" })
	out := apply(t, drops, in)
	same(t, "drop", lines(t, out, 0), `{"id":1,"venue":"SH","v_name":"Shanghai","v_lot":100.00,"v_is_open":true,"v_since":"1990-11-26","v_n":-1}`)
	same(t, "drop refused", refusals(out), badLot)
	refuses := enriched(t, venues(t), func(c *EnrichConfig) { c.OnMissing = "dead_letter" })
	out = apply(t, refuses, operations(in, "++-+"))
	same(t, "refused", refusals(out), `2 venue: no answer for "ZZ"`, badLot)
	same(t, "delete", lines(t, out, 0), `+{"id":1,"venue":"SH","name":"Shanghai","lot":100.00,"is_open":true,"since":"1990-11-26","n":-1}`,
		`-{"id":3,"venue":null,"name":null,"lot":null,"is_open":null,"since":null,"n":null}`)
}

func TestEnrichTypesOfTheLookup(t *testing.T) {
	untyped := func(c *EnrichConfig) { c.Columns = []LookupColumn{{Name: "lot"}, {Name: "opened", From: "since"}} }
	e := enriched(t, describedFake{venues(t)}, untyped)
	out := apply(t, e, lazy(t, "venue string", "SH"))
	same(t, "rows", lines(t, out, 0), `{"venue":"SH","lot":100.00,"opened":"1990-11-26"}`)
	_, err := enriched(t, venues(t), untyped).Bind(schemaOf(t, "venue string"))
	fails(t, err, "columns.lot: needs a type")
	_, err = enriched(t, describedFake{venues(t)}, func(c *EnrichConfig) { c.Columns = []LookupColumn{{Name: "zz"}} }).
		Bind(schemaOf(t, "venue string"))
	fails(t, err, `the lookup has no column "zz"`)
	_, err = e.Bind(schemaOf(t, "other string"))
	fails(t, err, `on.venue: no column "venue"`)
}

func TestEnrichFailures(t *testing.T) {
	in := lazy(t, "venue string", "SH")
	broken := venues(t)
	broken.err = &connector.Error{Op: "ask", Class: connector.Transient, Err: errors.New("gone")}
	_, err := tryApply(enriched(t, broken, func(*EnrichConfig) {}), in)
	fails(t, err, "look up in fake: ask: gone")
	var classified *connector.Error
	if !errors.As(err, &classified) || classified.Class != connector.Transient {
		t.Error("the class of the failure is lost")
	}
	_, err = tryApply(enriched(t, venues(t), func(c *EnrichConfig) {
		c.Columns = []LookupColumn{{Name: "zz", Type: "int64"}}
	}), in)
	fails(t, err, `the answer has no column "zz"`)
	_, err = tryApply(enriched(t, venues(t), func(c *EnrichConfig) {
		c.Columns = []LookupColumn{{Name: "since", Type: "bool"}}
	}), in)
	fails(t, err, "column since is date, which cannot become bool")
	_, err = tryApply(made(t, Enrich(), Env{}, func(c *EnrichConfig) {
		c.On, c.Columns = []KeyColumn{{"venue", "code"}}, []LookupColumn{{Name: "n", Type: "int64"}}
	}), in)
	fails(t, err, "cannot answer here")
}

func TestEnrichCacheExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := venues(t)
		e := enriched(t, fake, func(c *EnrichConfig) {
			c.Cache = CacheConfig{MaxEntries: 100, TTL: time.Minute, NegativeTTL: time.Second}
		})
		in := lazy(t, "venue string", "SH", "ZZ")
		bound, err := e.Bind(in.Schema())
		if err != nil {
			t.Fatal(err)
		}
		for _, pause := range []time.Duration{0, 2 * time.Second, 2 * time.Minute} {
			<-time.After(pause)
			if err := bound.Apply(in, &Output{}); err != nil {
				t.Fatal(err)
			}
		}
		same(t, "calls", fake.calls, `{"code":"SH"}{"code":"ZZ"}`, `{"code":"ZZ"}`, `{"code":"SH"}{"code":"ZZ"}`)
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestEnrichWithoutCache(t *testing.T) {
	fake := venues(t)
	e := enriched(t, fake, func(c *EnrichConfig) { c.Cache.MaxEntries = 0 })
	in := lazy(t, "venue string", "SH", "SH")
	bound, err := e.Bind(in.Schema())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := bound.Apply(in, &Output{}); err != nil {
			t.Fatal(err)
		}
	}
	same(t, "calls", fake.calls, `{"code":"SH"}`, `{"code":"SH"}`)
}

func TestRateLimitPaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := made(t, RateLimit(), Env{Context: t.Context()}, func(c *RateLimitConfig) {
			c.RowsPerSecond, c.Burst = 100, 10
		})
		start := time.Now()
		for range 4 {
			out := apply(t, r, operations(numbers(t, 0, 60), string(make60('~'))))
			if out.Parts[0].Batch.Len() != 60 {
				t.Fatal("rows were lost")
			}
		}
		if took := time.Since(start); took < 2250*time.Millisecond || took > 2350*time.Millisecond {
			t.Errorf("240 rows at 100 a second took %v", took)
		}
	})
}

func make60(mark byte) []byte {
	marks := make([]byte, 60)
	for i := range marks {
		marks[i] = mark
	}
	return marks
}

func TestRateLimitStops(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	stopped := errors.New("stopped")
	cancel(stopped)
	r := made(t, RateLimit(), Env{Context: ctx}, func(c *RateLimitConfig) { c.RowsPerSecond = 1 })
	if _, err := tryApply(r, numbers(t, 0, 60)); !errors.Is(err, stopped) {
		t.Errorf("error %v", err)
	}
	if _, err := tryMake(RateLimit(), Env{}, func(*RateLimitConfig) {}); err == nil {
		t.Error("a rate of 0 was accepted")
	}
}
