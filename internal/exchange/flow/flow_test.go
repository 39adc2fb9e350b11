package flow_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tapeline/tapeline/internal/exchange"
	"github.com/tapeline/tapeline/internal/exchange/flow"
	"github.com/tapeline/tapeline/internal/vfs"
	"github.com/tapeline/tapeline/internal/vfs/simfs"
	"github.com/tapeline/tapeline/internal/wal"
)

func options() exchange.Options {
	return exchange.Options{Alone: true, Now: func() time.Time { return time.Unix(0, 77) }, Log: wal.Options{
		SegmentBytes: 16 * vfs.Block, FrameBytes: 2 * vfs.Block, ID: wal.ID{1},
	}}
}

// replay carries a flow through the venue of a disk, and returns reports and books.
func replay(disk *simfs.FS, text string, change func(*flow.Replay)) (reports, books string, res flow.Result, err error) {
	var r, b bytes.Buffer
	p := flow.Replay{
		FS: disk, Dir: "venue", Flow: flow.NewReader("orders.ndjson", strings.NewReader(text)), Depth: 3,
		Reports: flow.NewWriter(&r), Books: flow.NewWriter(&b), Options: options(),
	}
	if change != nil {
		change(&p)
	}
	res, err = p.Run(context.Background())
	err = errors.Join(err, p.Reports.Flush(), p.Books.Flush())
	return r.String(), b.String(), res, err
}

const orders = `{"op":"new","id":1,"symbol":"X","account":"a","side":"buy","type":"limit","tif":"gtc","price":"12.34","qty":"100"}
{"op":"new","id":2,"symbol":"X","account":"b","side":"sell","price":12.30,"qty":40,"ts":"2026-01-02T03:04:05Z"}

{"op":"new","id":3,"symbol":"Y \"z\"","side":"sell","type":"market","qty":"5"}
{"op":"new","id":4,"symbol":"X","side":"buy","price":"12.345","qty":"1"}
{"op":"new","id":5,"symbol":"X","side":"buy","type":"stop","stop_price":"12","price":"12.00","qty":"1"}
{"op":"new","id":6,"symbol":"X","side":"sell","price":"12.34","qty":"1","post_only":true}
{"op":"reduce","id":1,"qty":"10"}
{"op":"replace","id":1,"price":"12.35","qty":"20"}
{"op":"cancel","id":1}
{"op":"cancel","id":1}
{"op":"new","id":7,"symbol":"X","side":"buy","price":"11.99","qty":"0"}
{"op":"new","id":8,"symbol":"X","account":"b","side":"buy","price":"11.98","qty":"7"}
`

const reported = `{"seq":1,"kind":"accepted","id":1,"symbol":"X","side":"buy","account":"a","price":"12.34","qty":"100","leaves":"100"}
{"seq":2,"kind":"accepted","id":2,"symbol":"X","side":"sell","account":"b","price":"12.30","qty":"40","leaves":"40"}
{"seq":2,"kind":"trade","id":2,"taker":2,"maker":1,"symbol":"X","side":"sell","account":"b","price":"12.34","qty":"40","leaves":"0","maker_leaves":"60"}
{"seq":3,"kind":"accepted","id":3,"symbol":"Y \"z\"","side":"sell","qty":"5","leaves":"5"}
{"seq":3,"kind":"cancelled","id":3,"symbol":"Y \"z\"","side":"sell","qty":"5","leaves":"0","reason":"nothing_left"}
{"seq":0,"kind":"rejected","id":4,"symbol":"X","reason":"bad_price"}
{"seq":0,"kind":"rejected","id":5,"symbol":"X","reason":"bad_command"}
{"seq":4,"kind":"rejected","id":6,"symbol":"X","side":"sell","reason":"would_trade"}
{"seq":5,"kind":"replaced","id":1,"symbol":"X","side":"buy","account":"a","price":"12.34","qty":"50","leaves":"50"}
{"seq":6,"kind":"replaced","id":1,"symbol":"X","side":"buy","account":"a","price":"12.35","qty":"20","leaves":"20"}
{"seq":7,"kind":"cancelled","id":1,"symbol":"X","side":"buy","account":"a","price":"12.35","qty":"20","leaves":"0","reason":"asked"}
{"seq":8,"kind":"rejected","id":1,"reason":"unknown_order"}
{"seq":9,"kind":"rejected","id":7,"symbol":"X","side":"buy","reason":"bad_quantity"}
{"seq":10,"kind":"accepted","id":8,"symbol":"X","side":"buy","account":"b","price":"11.98","qty":"7","leaves":"7"}
`

// TestReplay: every line has its reports; what the venue cannot judge is refused before it.
func TestReplay(t *testing.T) {
	t.Parallel()
	disk := simfs.New()
	reports, books, res, err := replay(disk, orders, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(reported, reports); diff != "" {
		t.Error(diff)
	}
	want := `{"seq":10,"kind":"book","symbol":"X","bids":[["11.98","7"]],"asks":[]}
{"seq":10,"kind":"book","symbol":"Y \"z\"","bids":[],"asks":[]}
`
	if diff := cmp.Diff(want, books); diff != "" {
		t.Error(diff)
	}
	res.Seconds, res.Digest = 0, ""
	if diff := cmp.Diff(flow.Result{Lines: 12, Refused: 2, Trades: 1, Rejected: 3, Last: 10}, res); diff != "" {
		t.Error(diff)
	}
	// Once more: all is found in the log, reported again, and nothing is added.
	again, _, res, err := replay(disk, orders, nil)
	if err != nil || again != reports || res.Recovered != 10 || res.Last != 10 {
		t.Errorf("%v, %+v\n%s", err, res, cmp.Diff(reports, again))
	}
}

// TestReplayGoesOn: however often a flow is stopped, and however many commands are durable together, reports
// and books are the same.
func TestReplayGoesOn(t *testing.T) {
	t.Parallel()
	const every = 3
	_, books, _, err := replay(simfs.New(), orders, func(r *flow.Replay) { r.Every = every })
	if err != nil || strings.Count(books, "\n") != 6 {
		t.Fatalf("%v, books\n%s", err, books)
	}
	whole := simfs.New()
	if _, _, _, err := replay(whole, orders, func(r *flow.Replay) { r.Group = 2 }); err != nil {
		t.Fatal(err)
	}
	stopped := 0
	for stop := range whole.Operations() {
		disk := simfs.New()
		disk.StopAt(stop)
		cut, _, _, err := replay(disk, orders, func(r *flow.Replay) { r.Group = 2 })
		if !errors.Is(err, simfs.ErrStopped) {
			t.Fatalf("stopped at %d: %v", stop, err)
		}
		if !strings.HasPrefix(reported, cut) {
			t.Fatalf("stopped at %d, reported were\n%s", stop, cut)
		}
		if cut != "" {
			stopped++
		}
		disk.StopAt(-1)
		reports, got, res, err := replay(disk, orders, func(r *flow.Replay) { r.Group, r.Every = 1+stop%4, every })
		if err != nil || reports != reported || got != books || res.Last != 10 {
			t.Fatalf("stopped at %d: %v, %+v\n%s%s", stop, err, res, cmp.Diff(reported, reports), cmp.Diff(books, got))
		}
	}
	if stopped < 5 {
		t.Errorf("something had been reported before %d stops only", stopped)
	}
}

// TestOtherFlow: a folder that another flow was carried through is refused.
func TestOtherFlow(t *testing.T) {
	t.Parallel()
	fewer, _, _ := strings.Cut(orders, `{"op":"reduce"`)
	for what, text := range map[string]string{
		"line 2 differs":     strings.Replace(orders, "12.30", "12.31", 1),
		"line 1 differs":     strings.Replace(orders, `"X"`, `"XX"`, 1),
		"line 13 differs":    strings.Replace(orders, `"id":8,"symbol":"X","account":"b"`, `"id":8,"symbol":"X","account":"a"`, 1),
		"it has fewer lines": fewer,
	} {
		disk := simfs.New()
		if _, _, _, err := replay(disk, orders, nil); err != nil {
			t.Fatal(err)
		}
		_, _, _, err := replay(disk, text, nil)
		if other := (&flow.OtherFlowError{}); !errors.As(err, &other) || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestBadLines: a line that is no order flow ends the replay with file, line, field and remedy; what came before
// it counts.
func TestBadLines(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		`{"op":"new","id":9`:                          "orders.ndjson:2: no JSON object: unexpected EOF",
		`[]`:                                          "want flow.line",
		`{"op":"new","id":9} {}`:                      "more than one value in the line",
		`{"op":"knew","id":9}`:                        `orders.ndjson:2: op: "knew" is not known (did you mean new?)`,
		`{"id":9}`:                                    "op: missing (want cancel, new, reduce, replace)",
		`{"op":"deposit","id":9}`:                     `op: "deposit" is not known (this version's venue does not have it`,
		`{"op":"cancel"}`:                             "id: missing",
		`{"op":"cancel","id":-1}`:                     "id: a JSON number -1, want uint64",
		`{"op":"cancel","id":1,"symbl":"X"}`:          `unknown field "symbl" (did you mean symbol?)`,
		`{"op":"new","id":9,"side":"buy"}`:            "symbol: missing",
		`{"op":"new","id":9,"symbol":"X"}`:            "side: missing (want buy, sell)",
		`{"op":"new","id":9,"symbol":"X","side":"b"}`: `side: "b" is not known`,
		`{"op":"new","id":9,"symbol":"X","side":"buy","type":"limits"}`:                                     "did you mean limit?",
		`{"op":"new","id":9,"symbol":"X","side":"buy","tif":"gtx"}`:                                         `tif: "gtx" is not known`,
		`{"op":"new","id":9,"symbol":"X","side":"buy","qty":"1"}`:                                           "price: missing",
		`{"op":"new","id":9,"symbol":"X","side":"buy","price":"1"}`:                                         "qty: missing",
		`{"op":"new","id":9,"symbol":"X","side":"buy","price":"1e3","qty":"1"}`:                             `price: "1e3" is no number`,
		`{"op":"new","id":9,"symbol":"X","side":"buy","price":"1","qty":"one"}`:                             `qty: "one" is no number`,
		`{"op":"new","id":9,"symbol":"` + strings.Repeat("x", 57) + `","side":"buy","price":"1","qty":"1"}`: "a name has 1 to 56",
		strings.Repeat("x", 2<<20): "a line of more than 1048576 bytes",
	} {
		disk := simfs.New()
		first := orders[:strings.Index(orders, "\n")+1]
		reports, _, _, err := replay(disk, first+line+"\n"+first, nil)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "orders.ndjson:2: ") {
			t.Errorf("%.80s: %v, want %s", line, err, want)
		}
		if reports != reported[:strings.Index(reported, "\n")+1] {
			t.Errorf("%.80s: reported was %q", line, reports)
		}
	}
}

// FuzzReader: a line gives an entry or a *LineError, whatever it holds.
func FuzzReader(f *testing.F) {
	for line := range strings.Lines(orders) {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r := flow.NewReader("f", bytes.NewReader(text))
		for {
			e, err := r.Next()
			if errors.Is(err, io.EOF) {
				return
			}
			if bad := (&flow.LineError{}); err != nil && (!errors.As(err, &bad) || bad.Line < 1) {
				t.Fatalf("%v (%T)", err, err)
			}
			if err != nil {
				return
			}
			_ = fmt.Sprint(e)
		}
	})
}
