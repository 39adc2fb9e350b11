package eastmoney

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/provider"
)

// pageRows is the most rows the service gives at once.
const pageRows = 100

// groups are the lists that together are the instruments.
var groups = []struct {
	name   string
	filter string
	layout provider.Layout
}{
	{"stocks", "m:0 t:6,m:0 t:80,m:0 t:81 s:2048,m:1 t:2,m:1 t:23", listLayout(market.Stock)},
	{"indices", "m:1 s:2,m:0 t:5", listLayout(market.Index)},
	{"ETFs", "b:MK0021,b:MK0022,b:MK0023,b:MK0024", listLayout(market.ETF)},
}

func listLayout(class market.Class) provider.Layout {
	return provider.Layout{
		Dataset: market.Listing,
		Fields: []provider.Field{
			{Name: "f13.f12", Column: "symbol", Form: provider.Name},
			{Name: "f14", Column: "name", Form: provider.TextForm},
			{Name: "f26", Column: "ipo_date", Form: provider.DateForm},
		},
		Constants: []provider.Constant{{Column: "class", Text: class.String()}, {Column: "status", Text: market.Listed}},
	}
}

// listed is one row of the list.
type listed struct {
	code, name, ipo []byte
	raw             provider.Value
}

// list reads the groups page by page.
type list struct {
	client *provider.Client
	group  int
	page   int // read last
	again  bool
	total  int64
	first  int // rows of the first page
	seen   map[string]bool
	rows   []listed // of the group
}

func newList(c *provider.Client) *list { return &list{client: c, seen: map[string]bool{}} }

// Next asks for the next page. The rows of a group are added when it is whole.
func (l *list) Next(ctx context.Context, rows []*provider.Rows) error {
	group := &groups[l.group]
	place := fmt.Sprintf("list of %s, page %d", group.name, l.page+1)
	document, err := l.client.JSON(ctx, request(l.client, listHost, "/api/qt/clist/get", place, url.Values{
		"pn": {strconv.Itoa(l.page + 1)}, "pz": {strconv.Itoa(pageRows)}, "po": {"0"}, "np": {"1"}, "fltt": {"1"},
		"invt": {"2"}, "fid": {"f12"}, "fs": {group.filter}, "fields": {"f12,f13,f14,f26"},
	}))
	if err != nil {
		return err
	}
	whole, err := l.read(document.Member("data"))
	if err != nil {
		// Once the list may have changed in the middle.
		if !l.again {
			*l = list{client: l.client, group: l.group, again: true, seen: map[string]bool{}}
			return nil
		}
		return &connector.Error{
			Op: "read " + place, Class: connector.Permanent, Code: "eastmoney_short_list", Err: err,
			Hint: "the service may have made its pages smaller; what is stored stays, and the universe is not shortened",
		}
	}
	if !whole {
		return nil
	}
	rows[0].At("list of " + group.name)
	for _, one := range l.rows {
		if err := rows[0].Add(&group.layout, [][]byte{one.code, one.name, one.ipo}, one.raw); err != nil {
			return err
		}
	}
	*l = list{client: l.client, group: l.group + 1, seen: map[string]bool{}}
	if l.group == len(groups) {
		return io.EOF
	}
	return nil
}

// read takes a page. Every page but the last must hold as many new rows as the first.
// invariant: a list that is shorter than it announces fails, and never shrinks the universe
func (l *list) read(data provider.Value) (whole bool, err error) {
	if data.Null() && l.page == 0 {
		return false, errors.New("the list is empty")
	}
	total, ok := data.Member("total").Int()
	if !ok || total < 1 {
		return false, fmt.Errorf("page %d announces no total after %d rows", l.page+1, len(l.seen))
	}
	if l.page > 0 && total != l.total {
		return false, fmt.Errorf("page %d announces %d rows, the first %d", l.page+1, total, l.total)
	}
	l.total = total
	before, got := len(l.seen), 0
	for one := range data.Member("diff").Elements() {
		got++
		code := append(append([]byte(nil), one.Member("f13").Text()...), '.')
		code = append(code, one.Member("f12").Text()...)
		l.seen[string(code)] = true
		row := listed{code: code, name: one.Member("f14").Text(), ipo: one.Member("f26").Text(), raw: one}
		if string(row.ipo) == "-" || string(row.ipo) == "0" {
			row.ipo = nil
		}
		l.rows = append(l.rows, row)
	}
	l.page++
	if l.page == 1 {
		l.first = got
	}
	if want := min(l.first, int(total)-before); got != want || len(l.seen) != before+got || got == 0 {
		return false, fmt.Errorf("page %d has %d rows, %d of them new, want %d: %d of %d are known",
			l.page, got, len(l.seen)-before, want, len(l.seen), total)
	}
	return int64(len(l.seen)) == total, nil
}
