package eastmoney

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/provider"
)

const dailyPeriod = "101"

// columns are those asked for: stamp, open, close, high, low, lots, amount, turnover.
const columns = "f51,f52,f53,f54,f55,f56,f57,f61"

// barFields are the columns behind the stamp.
var barFields = []provider.Field{
	{Name: "open", Column: "open", Form: provider.Decimal},
	{Name: "close", Column: "close", Form: provider.Decimal},
	{Name: "high", Column: "high", Form: provider.Decimal},
	{Name: "low", Column: "low", Form: provider.Decimal},
	{Name: "volume", Column: "volume", Form: provider.Count, Times: lot},
	{Name: "amount", Column: "amount", Form: provider.Decimal},
}

var dailyLayout = provider.Layout{
	Dataset: market.Bar1D,
	Fields: join(
		provider.Field{Name: "date", Column: "date", Form: provider.DateForm}, barFields,
		provider.Field{Name: "turnover", Column: "turn", Form: provider.Decimal},
	),
	Constants: []provider.Constant{{Column: "trade_status", Text: "true"}},
}

// minuteLayouts are the layouts of bars of minutes, by frequency.
var minuteLayouts = func() map[string]*provider.Layout {
	all := map[string]*provider.Layout{}
	for freq, length := range map[string]time.Duration{
		"5m": 5 * time.Minute, "15m": 15 * time.Minute, "30m": 30 * time.Minute, "60m": time.Hour,
	} {
		all[freq] = &provider.Layout{
			Dataset: market.BarMin, Bar: length,
			Fields: join(
				provider.Field{Name: "time", Column: "ts", Form: provider.Clock, Also: "session_date"}, barFields,
				provider.Field{Name: "turnover"},
			),
		}
	}
	return all
}()

func join(first provider.Field, between []provider.Field, last provider.Field) []provider.Field {
	return append(append([]provider.Field{first}, between...), last)
}

// klines is the question for the bars of one symbol.
type klines struct {
	client *provider.Client
	unit   market.Unit
	secid  string
	period string
	layout *provider.Layout
}

// ask asks for all bars of the unit at once, and again for days without one.
func (k *klines) ask(ctx context.Context, rows []*provider.Rows) error {
	if err := k.between(ctx, k.unit.Interval(), rows[0]); err != nil {
		return err
	}
	return rows[0].Again(func(dates market.Interval) error { return k.between(ctx, dates, rows[0]) })
}

// between asks for the bars between two dates.
func (k *klines) between(ctx context.Context, dates market.Interval, rows *provider.Rows) error {
	compact := func(d market.Date) string { return strings.ReplaceAll(d.String(), "-", "") }
	place := fmt.Sprintf("kline %s %s", k.secid, dates)
	document, err := k.client.JSON(ctx, request(k.client, historyHost, "/api/qt/stock/kline/get", place, url.Values{
		"secid": {k.secid}, "klt": {k.period}, "fqt": {"0"}, "beg": {compact(dates.From)}, "end": {compact(dates.To)},
		"fields1": {"f1,f2,f3,f4,f5,f6"}, "fields2": {columns},
	}))
	if err != nil {
		return err
	}
	rows.At(place)
	return k.read(document, rows)
}

// read adds the bars of an answer.
func (k *klines) read(document provider.Value, rows *provider.Rows) error {
	data := document.Member("data")
	if data.Null() {
		if code, ok := document.Member("rc").Int(); !ok || code != 0 && code != 100 {
			return &provider.RefusalError{
				Rule: "refused", Err: fmt.Errorf("kline of %s: the service answers rc %d", k.secid, code),
			}
		}
		return &provider.RefusalError{
			Rule: "unknown_symbol", Err: fmt.Errorf("kline of %s: the service does not know it", k.secid),
		}
	}
	// The code alone does not tell 000001 of Shenzhen, a bank, from that of Shanghai, an index.
	number, code, _ := strings.Cut(k.secid, ".")
	place, got := data.Member("market"), string(data.Member("code").Text())
	if !place.Null() && string(place.Text()) != number {
		got = string(place.Text()) + "." + got
	}
	if got != code {
		return &connector.Error{
			Op: "read kline of " + k.secid, Class: connector.Transient, Code: "eastmoney_wrong_symbol",
			Err: fmt.Errorf("the answer is about %q", got),
		}
	}
	lines := data.Member("klines")
	if len(lines) == 0 || lines[0] != '[' {
		return &connector.Error{
			Op: "read kline of " + k.secid, Class: connector.Transient, Code: "eastmoney_no_klines",
			Err: errors.New("the answer has no list klines"),
		}
	}
	for line := range lines.Elements() {
		if err := rows.Add(k.layout, bytes.Split(line.Text(), []byte{','}), line); err != nil {
			return err
		}
	}
	return nil
}
