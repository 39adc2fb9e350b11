package binance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/provider"
)

// barFields are the columns of a k-line behind its start, in the service's order.
var barFields = []provider.Field{
	{Name: "open", Column: "open", Form: provider.Decimal},
	{Name: "high", Column: "high", Form: provider.Decimal},
	{Name: "low", Column: "low", Form: provider.Decimal},
	{Name: "close", Column: "close", Form: provider.Decimal},
	{Name: "volume", Column: "volume", Form: provider.Float},
	{Name: "close time"},
	{Name: "quote volume", Column: "amount", Form: provider.Float},
	{Name: "trades", Column: "trades", Form: provider.Count},
	{Name: "taker base"},
	{Name: "taker quote"},
	{Name: "unused"},
}

var dailyLayout = provider.Layout{
	Dataset: market.Crypto1D,
	Fields:  append([]provider.Field{{Name: "open time", Column: "date", Form: provider.Millis}}, barFields...),
}

var minuteLayout = provider.Layout{
	Dataset: market.CryptoMin,
	Fields:  append([]provider.Field{{Name: "open time", Column: "ts", Form: provider.Millis}}, barFields...),
}

// span is one thing to ask for: a file, or k-lines.
type span struct {
	market.Interval

	file string // "2024-01"; "": over REST
}

// spans is the inquiry of one unit.
type spans struct {
	client *provider.Client
	unit   market.Unit
	code   string
	freq   frequency
	left   []span
	from   int64 // of the next page of the first span, in milliseconds; 0: its start
	again  bool  // days without a bar were asked for a second time
}

// fileQuestions is how many questions a file takes: one is for its check sum.
const fileQuestions = 2

// questions is how many pages the bars of an interval fill.
func (s *spans) questions(v market.Interval) int {
	bars := v.Days() * int(daily.length/s.freq.length)
	return (bars + pageRows - 1) / pageRows
}

// plan takes months that are over from files, where that takes fewer questions than their days that are wanted.
func (s *spans) plan(today market.Date) {
	rest := s.unit.Interval()
	for !rest.Empty() {
		month := market.PartitionMonth.Of(rest.From)
		piece := span{Interval: month.Intersect(rest)}
		if month.To < today && s.questions(piece.Interval) > fileQuestions {
			piece.file = market.PartitionMonth.Label(rest.From)
		}
		if last := len(s.left) - 1; piece.file == "" && last >= 0 && s.left[last].file == "" {
			s.left[last].To = piece.To
		} else {
			s.left = append(s.left, piece)
		}
		rest.From = piece.To + 1
	}
}

func (s *spans) layout() *provider.Layout {
	if s.freq.ours == daily.ours {
		return &dailyLayout
	}
	return &minuteLayout
}

// Next asks for the next page or file, and at last again for days without a bar.
func (s *spans) Next(ctx context.Context, rows []*provider.Rows) error {
	switch {
	case len(s.left) > 0:
		return s.one(ctx, rows[0])
	case s.again:
		return io.EOF
	}
	s.again = true
	return rows[0].Again(func(dates market.Interval) error {
		s.left = []span{{Interval: dates}}
		for len(s.left) > 0 {
			if err := s.one(ctx, rows[0]); err != nil {
				return err
			}
		}
		return nil
	})
}

// one asks for the next page or file.
func (s *spans) one(ctx context.Context, rows *provider.Rows) error {
	now := &s.left[0]
	if now.file != "" {
		found, err := s.month(ctx, now.file, rows)
		if err != nil {
			return err
		}
		if !found {
			now.file = ""
			return nil
		}
		s.left = s.left[1:]
		return nil
	}
	return s.page(ctx, *now, rows)
}

// page asks for k-lines from where the last page ended.
func (s *spans) page(ctx context.Context, now span, rows *provider.Rows) error {
	from, to := max(s.from, int64(now.From)*dayMillis), int64(now.To+1)*dayMillis-1
	place := fmt.Sprintf("klines %s %s from %s", s.code, s.freq.interval, time.UnixMilli(from).UTC().Format(time.RFC3339))
	answer, err := s.client.Do(ctx, provider.Request{
		Place: place, Path: "/api/v3/klines", Query: url.Values{
			"symbol": {s.code}, "interval": {s.freq.interval}, "limit": {strconv.Itoa(pageRows)},
			"startTime": {strconv.FormatInt(from, 10)}, "endTime": {strconv.FormatInt(to, 10)},
		},
	})
	if err != nil {
		return err
	}
	document, err := provider.Document(answer.Body)
	if err != nil {
		return err
	}
	if document[0] != '[' {
		return s.refused(document)
	}
	rows.At(place)
	n, last := 0, int64(0)
	var cells [][]byte
	for record := range document.Elements() {
		cells = record.Cells(cells[:0])
		if err := rows.Add(s.layout(), cells, record); err != nil {
			return err
		}
		n++
		if start, ok := record.First().Int(); ok {
			last = max(last, start)
		}
	}
	s.from = last + 1
	// A page that is not full may be one that the service cut: the bars behind it are asked for, until
	// there is none.
	if n == 0 || last < from || last+s.freq.length.Milliseconds() > to {
		s.left, s.from = s.left[1:], 0
	}
	return wait(ctx, answer.Header, s.client)
}

// refused says what the service's error means.
func (s *spans) refused(document provider.Value) error {
	return &provider.RefusalError{Rule: "refused", Err: fmt.Errorf(
		"klines of %s: code %s: %s", s.code, document.Member("code").Text(), document.Member("msg").Text())}
}

// classify finds what the service refuses about one question: status 400 with a code.
func classify(a *provider.Answer) error {
	if a.Status != http.StatusBadRequest {
		return nil
	}
	document, err := provider.Document(a.Body)
	if err != nil {
		return err
	}
	code, _ := document.Member("code").Int()
	rule := "refused"
	if code == -1121 {
		rule = "unknown_symbol"
	}
	return &provider.RefusalError{Rule: rule, Err: &connector.Error{
		Op: "ask " + Name, Class: connector.Permanent, Code: "binance_" + rule,
		Err: fmt.Errorf("code %d: %s", code, document.Member("msg").Text()),
	}}
}

// mostWeight is how much of a minute's 6,000 is spent before the next is waited for.
const mostWeight = 5_400

// wait waits for the next minute when the weight of this one is nearly spent.
func wait(ctx context.Context, header http.Header, c *provider.Client) error {
	used, err := strconv.Atoi(header.Get("X-Mbx-Used-Weight-1m"))
	if err != nil || used < mostWeight {
		return nil
	}
	now := c.Settings().Now()
	timer := time.NewTimer(now.Truncate(time.Minute).Add(time.Minute).Sub(now))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// pairs is the question for what is traded.
type pairs struct{ client *provider.Client }

// pairLayouts are the layouts of pairs, by the service's status.
var pairLayouts = map[bool]*provider.Layout{true: pairLayout(market.Listed), false: pairLayout(market.Delisted)}

func pairLayout(status string) *provider.Layout {
	return &provider.Layout{
		Dataset: market.Listing,
		Fields: []provider.Field{
			{Name: "symbol", Column: "symbol", Form: provider.Name}, {Name: "base/quote", Column: "name", Form: provider.TextForm},
		},
		Constants: []provider.Constant{{Column: "class", Text: market.Crypto.String()}, {Column: "status", Text: status}},
	}
}

// ask asks for all pairs at once.
func (p *pairs) ask(ctx context.Context, rows []*provider.Rows) error {
	document, err := p.client.JSON(ctx, provider.Request{
		Place: "exchangeInfo", Path: "/api/v3/exchangeInfo", Query: url.Values{"showPermissionSets": {"false"}},
	})
	if err != nil {
		return err
	}
	rows[0].At("exchangeInfo")
	n := 0
	for pair := range document.Member("symbols").Elements() {
		n++
		name := append(append(append([]byte(nil), pair.Member("baseAsset").Text()...), '/'), pair.Member("quoteAsset").Text()...)
		layout := pairLayouts[string(pair.Member("status").Text()) != "BREAK"]
		if err := rows[0].Add(layout, [][]byte{pair.Member("symbol").Text(), name}, pair); err != nil {
			return err
		}
	}
	if n == 0 {
		return &connector.Error{
			Op: "read exchangeInfo", Class: connector.Transient, Code: "binance_no_pairs",
			Err: errors.New("the answer lists no pair"),
		}
	}
	return nil
}

// listedOn returns the pairs that have a price now, whatever the day.
func listedOn(ctx context.Context, c *provider.Client, _ market.Date) (symbols []market.Symbol, err error) {
	document, err := c.JSON(ctx, provider.Request{Place: "ticker/price", Path: "/api/v3/ticker/price"})
	if err != nil {
		return nil, err
	}
	for pair := range document.Elements() {
		symbol, err := market.BinanceSpot.Parse(string(pair.Member("symbol").Text()), market.Crypto)
		if err != nil {
			return nil, fmt.Errorf("ticker/price: %w", err)
		}
		symbols = append(symbols, symbol)
	}
	return symbols, nil
}
