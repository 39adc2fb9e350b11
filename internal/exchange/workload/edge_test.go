package workload_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/tapeline/tapeline/internal/exchange/book"
	"github.com/tapeline/tapeline/internal/exchange/order"
)

// TestEdges are short flows that books of other projects got wrong: one step a line, and behind it what
// traded (taker<maker qty@price), what was cancelled (x) and what was rejected (!).
func TestEdges(t *testing.T) {
	cases := map[string]string{
		"cancel in the middle of a price": `
			buy 1 10@100
			buy 2 10@100
			buy 3 10@100
			cancel 2: x2
			sell 4 20@100 ioc: 4<1 10@100, 4<3 10@100`,
		"cancel at the head of a price": `
			buy 1 10@100
			buy 2 10@100
			buy 3 10@100
			cancel 1: x1
			sell 4 20@100 ioc: 4<2 10@100, 4<3 10@100`,
		"scattered cancels": `
			buy 1 10@100
			buy 2 10@100
			buy 3 10@100
			buy 4 10@100
			buy 5 10@100
			cancel 2: x2
			cancel 4: x4
			sell 6 30@100 ioc: 6<1 10@100, 6<3 10@100, 6<5 10@100`,
		"several prices, the best first, whatever came first": `
			sell 1 10@102
			sell 2 10@101
			sell 3 10@100
			buy 4 30@102 ioc: 4<3 10@100, 4<2 10@101, 4<1 10@102
			buy 5 1@90
			buy 6 1@95
			buy 7 1@92
			sell 8 3@90 ioc: 8<6 1@95, 8<7 1@92, 8<5 1@90`,
		"the rest of a sweep is the best price": `
			sell 1 10@100
			sell 2 10@101
			buy 3 25@102: 3<1 10@100, 3<2 10@101
			sell 4 5@102 ioc: 4<3 5@102
			cancel 3: !3`,
		"a limit order stops at its price": `
			sell 1 5@100
			sell 2 10@105
			buy 3 12@102: 3<1 5@100
			sell 4 7@102 ioc: 4<3 7@102
			cancel 2: x2`,
		"a replacement that trades does so at the other's price": `
			sell 1 10@100
			buy 2 10@90
			replace 2 10@105: 2<1 10@100
			buy 3 10@200
			sell 4 10@210
			replace 4 10@195: 4<3 10@200`,
		"a replacement leaves the others of its price": `
			buy 1 10@100
			buy 2 10@100
			replace 1 10@99
			sell 3 10@100 ioc: 3<2 10@100`,
		"a part of a part": `
			sell 1 10@100
			buy 2 4@100: 2<1 4@100
			replace 1 6@101
			buy 3 9@101 ioc: 3<1 6@101, x3
			cancel 1: !1
			replace 1 5@101: !1`,
		"what is left is counted exactly": `
			sell 1 20@100
			buy 2 8@100 ioc: 2<1 8@100
			buy 3 12@100 ioc: 3<1 12@100
			buy 4 5@100 ioc: x4`,
		"a maker keeps its place between takers": `
			buy 1 10@100
			buy 2 10@100
			buy 3 10@100
			sell 5 15@100 ioc: 5<1 10@100, 5<2 5@100
			sell 6 10@100 ioc: 6<2 5@100, 6<3 5@100`,
		"an id is free when its order is done": `
			buy 1 10@100
			cancel 1: x1
			sell 1 10@200
			buy 2 10@200 ioc: 2<1 10@200
			sell 1 1@300
			sell 1 1@300: !1`,
		"orders nobody knows": `
			cancel 999: !999
			replace 999 5@100: !999
			buy 1 1@1
			cancel 1: x1
			cancel 1: !1
			replace 1 1@2: !1`,
		"a side that was empty": `
			buy 1 10@100
			cancel 1: x1
			buy 2 8@95
			sell 3 8@95 ioc: 3<2 8@95
			sell 4 7@100
			sell 5 7@101
			cancel 4: x4
			buy 6 7@101 ioc: 6<5 7@101`,
		"prices far apart": `
			sell 1 10@2000000000
			buy 2 1@-2000000000
			buy 3 10@2000000000 ioc: 3<1 10@2000000000
			sell 4 1@-2000000000 ioc: 4<2 1@-2000000000`,
		"post-only, whole or nothing, market": `
			sell 1 10@100
			buy 2 1@100 post: !2
			buy 3 11@100 fok: !3
			buy 4 10@100 fok: 4<1 10@100
			sell 5 3@50
			sell 6 3@60
			buy 7 7@0 market: 7<5 3@50, 7<6 3@60, x7`,
		"a reduction keeps the place, an increase loses it": `
			buy 1 10@100
			buy 2 10@100
			reduce 1 4
			sell 3 1@100 ioc: 3<1 1@100
			replace 1 6@100
			sell 4 1@100 ioc: 4<2 1@100
			replace 1 5@100
			reduce 2 9: x2
			sell 5 9@100 ioc: 5<1 5@100, x5`,
	}
	for name, flow := range cases {
		t.Run(name, func(t *testing.T) {
			set := book.NewSet()
			set.AddSymbol()
			for step := range strings.Lines(strings.TrimSpace(flow)) {
				step, want, _ := strings.Cut(strings.TrimSpace(step), ": ")
				command := parseStep(t, step)
				if got := told(set.Apply(&command, nil)); got != want {
					t.Fatalf("%s: got %q, want %q", step, got, want)
				}
			}
		})
	}
}

// parseStep reads "buy 1 10@100 ioc", "replace 1 10@99", "reduce 1 4" or "cancel 1".
func parseStep(t *testing.T, step string) order.Command {
	t.Helper()
	word := strings.Fields(step)
	c := order.Command{Order: uint64(number(t, word[1]))}
	switch word[0] {
	case "buy", "sell":
		c.Kind = order.New
		if word[0] == "sell" {
			c.Side = order.Sell
		}
	case "cancel":
		c.Kind = order.Cancel
		return c
	case "replace":
		c.Kind = order.Replace
	case "reduce":
		c.Kind, c.Qty = order.Reduce, number(t, word[2])
		return c
	}
	qty, price, _ := strings.Cut(word[2], "@")
	c.Qty, c.Price = number(t, qty), int32(number(t, price))
	if len(word) > 3 {
		switch word[3] {
		case "ioc":
			c.TIF = order.IOC
		case "fok":
			c.TIF = order.FOK
		case "post":
			c.Flags = order.PostOnly
		case "market":
			c.Type = order.Market
		}
	}
	return c
}

func number(t *testing.T, text string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// told writes events as the flows do; that an order was taken or changed goes without saying.
func told(events []order.Event) string {
	var out []string
	for _, e := range events {
		switch e.What {
		case order.Traded:
			out = append(out, fmt.Sprintf("%d<%d %d@%d", e.Order, e.Maker, e.Qty, e.Price))
		case order.Cancelled:
			out = append(out, fmt.Sprintf("x%d", e.Order))
		case order.Rejected:
			out = append(out, fmt.Sprintf("!%d", e.Order))
		}
	}
	return strings.Join(out, ", ")
}
