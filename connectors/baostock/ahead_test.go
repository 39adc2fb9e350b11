package baostock

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/market"
)

// opened is a source of bars of so many symbols, one row each, open in the bubble of a synctest.
func opened(t *testing.T, f *fake, symbols int, at connector.Position) connector.Source {
	t.Helper()
	cfg := f.config()
	for i := range symbols {
		cfg.Units = append(cfg.Units, unit("bar_1d", fmt.Sprintf("%06d.XSHG", 600000+i), "2000-01-01", "2000-01-01"))
	}
	s, err := newSource(environment(), &cfg, newSessions())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Open(t.Context(), connector.Partition{}, at); err != nil {
		t.Fatal(err)
	}
	return s
}

func closed(t *testing.T, f *fake, s connector.Source) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	f.wait.Wait()
}

// read takes the chunks of the next unit, and returns it.
func read(t *testing.T, s connector.Source) (market.Unit, connector.Position) {
	t.Helper()
	decode := s.(connector.Decoder).NewDecode()
	for {
		chunk, err := s.Read(t.Context())
		if err == nil && chunk.Batch == nil {
			chunk, err = decode(chunk)
		}
		if err != nil {
			t.Fatal(err)
		}
		if chunk.Table == market.UnitTable {
			u, err := market.UnitAt(chunk.Batch, 0)
			if err != nil {
				t.Fatal(err)
			}
			return u, chunk.Position
		}
		if chunk.Release != nil {
			chunk.Release()
		}
	}
}

// TestAsksAhead counts the requests that a source makes while nobody reads from it: two answers wait at first,
// more when some were taken, never more than may, and each is about its own symbol.
func TestAsksAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const symbols = (answersWaiting + 5) * answersTaken
		f := &fake{t: t, rows: bars(1)}
		s := opened(t, f, symbols, nil)
		synctest.Wait()
		if n := f.count(KData.String()); n != 0 {
			t.Errorf("%d requests before the first Read", n)
		}
		for i := range symbols {
			u, _ := read(t, s)
			synctest.Wait()
			if want := fmt.Sprintf("%06d.XSHG", 600000+i); u.Symbol != want || u.State != market.StateOK || u.Rows != 1 {
				t.Errorf("unit %d is %+v, want one row of %s", i, u, want)
			}
			waiting := min(1+(i+1)/answersTaken, answersWaiting)
			if got, want := f.count(KData.String()), min(i+2+waiting, symbols); got != want {
				t.Errorf("%d requests after %d units, want %d", got, i+1, want)
			}
		}
		if _, err := s.Read(t.Context()); !errors.Is(err, io.EOF) {
			t.Errorf("behind the last unit: %v", err)
		}
		closed(t, f, s)
	})
}

// TestClosedWhileAsking ends a source whose requests ahead are answered, unanswered, or not read.
func TestClosedWhileAsking(t *testing.T) {
	for _, stalled := range []int{0, 2, 3, 4} { // which request gets no answer; the first is the login
		synctest.Test(t, func(t *testing.T) {
			f := &fake{t: t, rows: bars(1), answer: func(n int, _ fakeRequest) []byte {
				if n == stalled {
					return stall
				}
				return nil
			}}
			s := opened(t, f, 6, nil)
			if stalled != 2 {
				read(t, s)
			} else {
				ctx, cancel := context.WithCancel(t.Context())
				go func() {
					synctest.Wait()
					cancel()
				}()
				if _, err := s.Read(ctx); !errors.Is(err, context.Canceled) {
					t.Errorf("a Read that was ended: %v", err)
				}
			}
			synctest.Wait()
			closed(t, f, s)
		})
	}
}

// TestErrorsComeInOrder damages one answer: all units before it are handed over, its own request is named,
// and a source opened behind them asks for it again.
func TestErrorsComeInOrder(t *testing.T) {
	for name, damage := range map[string]func() []byte{
		"code":     func() []byte { return plainFrame(4, join("10005001", "系统错误")) },
		"reset":    func() []byte { return append([]byte("00.9.00\x01"), hangUp...) },
		"truncate": func() []byte { z := zip(strings.Repeat("x", 99)); return rawZipped(len(z)-3, z[:len(z)-3]) },
		"no list":  func() []byte { return zippedFrame("0\x01success\x01") },
		"banned":   func() []byte { return zippedFrame(join("10001011", "黑名单用户")) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				broken := true
				f := &fake{t: t, rows: bars(1)}
				f.answer = func(_ int, r fakeRequest) []byte {
					if r.typ == 95 && r.arg(0) == "sh.600003" && broken {
						return damage()
					}
					return nil
				}
				s := opened(t, f, 6, nil)
				var at connector.Position
				for range 3 {
					_, at = read(t, s)
				}
				_, err := s.Read(t.Context())
				var e *connector.Error
				if !errors.As(err, &e) {
					t.Fatalf("the damaged answer: %v", err)
				}
				if banned := e.Code == Name+"_blacklisted"; banned != (name == "banned") {
					t.Errorf("it is %v", err)
				} else if banned {
					synctest.Wait() // the service has seen what was asked ahead
					before := len(f.asked())
					if _, err := s.Read(t.Context()); err == nil || len(f.asked()) != before {
						t.Errorf("after the ban: %d requests more, %v", len(f.asked())-before, err)
					}
					closed(t, f, s)
					return
				}
				if !strings.Contains(e.Op, "sh.600003") {
					t.Errorf("it is attributed to %q: %v", e.Op, err)
				}
				broken = false
				again, _ := read(t, s) // the same source goes on
				closed(t, f, s)
				s = opened(t, f, 6, at)
				for _, want := range []string{"600003.XSHG", "600004.XSHG", "600005.XSHG"} {
					if u, _ := read(t, s); u.Symbol != want || again.Symbol != "600003.XSHG" {
						t.Errorf("after %s comes %s, want %s", again.Symbol, u.Symbol, want)
					}
				}
				closed(t, f, s)
			})
		})
	}
}

// TestRefusalGoesOn refuses the questions of some symbols while others are asked ahead.
func TestRefusalGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{t: t, rows: bars(1)}
		f.answer = func(_ int, r fakeRequest) []byte {
			if r.typ == 95 && (r.arg(0) == "sh.600000" || r.arg(0) == "sh.600002" || r.arg(0) == "sh.600003") {
				return plainFrame(4, join("10004011", "股票代码错误"))
			}
			return nil
		}
		s := opened(t, f, 5, nil)
		var got []string
		for range 5 {
			u, _ := read(t, s)
			got = append(got, fmt.Sprintf("%s %s", u.Symbol, u.State))
		}
		closed(t, f, s)
		expect(t, got, "600000.XSHG failed", "600001.XSHG ok", "600002.XSHG failed", "600003.XSHG failed", "600004.XSHG ok")
		if n := f.count(KData.String()); n != 5 {
			t.Errorf("%d requests, want 5", n)
		}
	})
}

// TestCutPages: a service whose pages are shorter than an answer has its pages asked for one after the
// other, once that is known.
func TestCutPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{t: t}
		f.rows = func(r fakeRequest) ([]string, [][]string) {
			r.parts[3] = "2"
			return bars(5)(r)
		}
		cfg := f.config()
		for _, symbol := range []string{"600000.XSHG", "600001.XSHG", "600002.XSHG", "600003.XSHG"} {
			cfg.Units = append(cfg.Units, unit("bar_1d", symbol, "2000-01-01", "2000-01-05"))
		}
		got, _ := told(t, cfg, nil, 100)
		f.wait.Wait()
		if len(got) != 4*5+4 {
			t.Errorf("%d rows:\n%s", len(got), strings.Join(got, "\n"))
		}
		var asked []string
		for _, r := range f.requests {
			if r.typ == 95 {
				asked = append(asked, r.arg(0)+" "+r.parts[2])
			}
		}
		// Two symbols were asked for before the first page was known to be cut, the fourth was not.
		if n := len(asked); n != 12 || strings.Join(asked[n-3:], ", ") != "sh.600003 1, sh.600003 2, sh.600003 3" {
			t.Errorf("asked for %s", strings.Join(asked, ", "))
		}
	})
}

// TestManyCalls: where a unit takes several questions, each waits for what the one before brought.
func TestManyCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{t: t, rows: names}
		cfg := f.config()
		cfg.Units = []market.Unit{
			{Dataset: "constituent", Symbol: "000300.XSHG", From: 19898, To: 19898},
			{Dataset: "constituent", Symbol: "000905.XSHG", From: 19898, To: 19898},
		}
		got, _ := told(t, cfg, nil, 100)
		f.wait.Wait()
		if len(got) != 4 {
			t.Errorf("%s", strings.Join(got, "\n"))
		}
	})
}

// TestGivenUpInTheMiddle: of a unit of several questions the second page of the first is refused. The
// rest of it is not asked for, and the next unit has its own answers.
func TestGivenUpInTheMiddle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{t: t}
		f.rows = func(r fakeRequest) ([]string, [][]string) {
			if r.typ == 95 {
				return bars(1)(r)
			}
			r.parts[3] = "1"
			return []string{"code", "dividOperateDate"}, [][]string{{r.arg(0), "2000-01-01"}}
		}
		f.answer = func(_ int, r fakeRequest) []byte {
			if r.typ == 13 && r.parts[2] == "2" {
				return plainFrame(4, join("10004011", "股票代码错误"))
			}
			return nil
		}
		cfg := f.config()
		cfg.Units = []market.Unit{
			unit("corp_action", "600000.XSHG", "2000-01-01", "2003-12-31"),
			unit("bar_1d", "600001.XSHG", "2000-01-01", "2000-01-01"),
			unit("bar_1d", "600002.XSHG", "2000-01-01", "2000-01-01"),
		}
		s, err := newSource(environment(), &cfg, newSessions())
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Open(t.Context(), connector.Partition{}, nil); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"corp_action 600000.XSHG failed", "bar_1d 600001.XSHG ok", "bar_1d 600002.XSHG ok"} {
			for {
				chunk, err := s.Read(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if chunk.Table == market.UnitTable {
					u, _ := market.UnitAt(chunk.Batch, 0)
					if got := fmt.Sprintf("%s %s %s", u.Dataset, u.Symbol, u.State); got != want {
						t.Errorf("got %s, want %s", got, want)
					}
					break
				}
				if chunk.Release != nil {
					chunk.Release()
				}
			}
		}
		closed(t, f, s)
		if n := f.count(DividendData.String()); n != 2 {
			t.Errorf("%d questions of a unit that was given up with the second", n)
		}
	})
}
