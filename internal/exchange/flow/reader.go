package flow

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	"github.com/tapeline/tapeline/internal/exchange/order"
	"github.com/tapeline/tapeline/internal/fault"
	"github.com/tapeline/tapeline/internal/market"
)

// The generic profile: prices have two decimals, quantities none.
const (
	priceDecimals = 2
	mostLine      = 1 << 20 // bytes
)

// Entry is one line: a command that is for the venue to judge, or the reason why it is none.
type Entry struct {
	Line            int
	Command         order.Command // without numbers of symbol and account
	Symbol, Account string
	Reason          order.Reason // not None: refused before the venue
}

// LineError is a line that is no order flow.
type LineError struct {
	File  string
	Line  int
	Field string // "": the line as a whole
	Err   error
}

// Error returns "file:line: field: cause".
func (e *LineError) Error() string {
	if e.Field == "" {
		return fmt.Sprintf("%s:%d: %v", e.File, e.Line, e.Err)
	}
	return fmt.Sprintf("%s:%d: %s: %v", e.File, e.Line, e.Field, e.Err)
}

// Unwrap returns the cause.
func (e *LineError) Unwrap() error { return e.Err }

// text is a value given as a JSON string or number: its digits as they stand there.
type text string

// UnmarshalJSON takes strings and numbers.
func (t *text) UnmarshalJSON(raw []byte) error {
	if len(raw) > 0 && raw[0] == '"' {
		return json.Unmarshal(raw, (*string)(t))
	}
	var n json.Number
	if err := json.Unmarshal(raw, &n); err != nil {
		return err
	}
	*t = text(n)
	return nil
}

// line is a line of a flow file.
type line struct {
	Op       string  `json:"op"`
	ID       *uint64 `json:"id"`
	Symbol   string  `json:"symbol"`
	Account  string  `json:"account"`
	Side     string  `json:"side"`
	Type     string  `json:"type"`
	TIF      string  `json:"tif"`
	Price    text    `json:"price"`
	Qty      text    `json:"qty"`
	PostOnly bool    `json:"post_only"`
	TS       text    `json:"ts"` // when it came in; the venue takes its own time

	// What this version's venue does not have: orders with one of these are refused.
	Stop    text            `json:"stop_price"`
	Amount  text            `json:"notional"`
	Display text            `json:"display_qty"`
	Trail   text            `json:"trail"`
	Expires text            `json:"expire_ts"`
	OCO     json.RawMessage `json:"oco"`
	STP     string          `json:"stp"`
}

var (
	ops   = map[string]order.Kind{"new": order.New, "cancel": order.Cancel, "replace": order.Replace, "reduce": order.Reduce}
	sides = map[string]order.Side{"buy": order.Buy, "sell": order.Sell}
	types = map[string]order.Type{"limit": order.Limit, "market": order.Market}
	tifs  = map[string]order.TIF{"": order.GTC, "gtc": order.GTC, "ioc": order.IOC, "fok": order.FOK}
	// later are words of the format that no venue of this version takes.
	later = map[string][]string{
		"op":   {"deposit", "phase"},
		"type": {"stop", "stop_limit", "trailing_stop", "iceberg"},
		"tif":  {"day", "gtd"},
	}
)

// Reader reads a flow file, one JSON object a line. Blank lines are passed over.
type Reader struct {
	file  string
	lines *bufio.Scanner
	at    int
}

// NewReader returns a reader; file is how errors name it.
func NewReader(file string, r io.Reader) *Reader {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, mostLine)
	return &Reader{file: file, lines: lines}
}

// Next returns the next line; io.EOF after the last. A *LineError is one that cannot be read.
func (r *Reader) Next() (Entry, error) {
	for r.lines.Scan() {
		r.at++
		raw := bytes.TrimSpace(r.lines.Bytes())
		if len(raw) == 0 {
			continue
		}
		return r.entry(raw)
	}
	err := r.lines.Err()
	if err == nil {
		return Entry{}, io.EOF
	}
	r.at++
	if errors.Is(err, bufio.ErrTooLong) {
		err = fmt.Errorf("a line of more than %d bytes", mostLine)
	}
	return Entry{}, r.wrong("", err)
}

func (r *Reader) wrong(field string, err error) error {
	return &LineError{r.file, max(r.at, 1), field, err}
}

func (r *Reader) entry(raw []byte) (Entry, error) {
	var l line
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&l); err != nil {
		return Entry{}, r.wrong("", explain(err))
	}
	if d.More() {
		return Entry{}, r.wrong("", errors.New("more than one value in the line"))
	}
	e := Entry{Line: r.at, Symbol: l.Symbol, Account: l.Account}
	c := &e.Command
	var err error
	if c.Kind, err = word("op", l.Op, ops); err != nil {
		return e, r.wrong("op", err)
	}
	if l.ID == nil {
		return e, r.wrong("id", errors.New("missing: orders are told apart by their id"))
	}
	c.Order = *l.ID
	if c.Kind == order.New {
		return e, r.order(&l, &e)
	}
	if c.Kind == order.Cancel {
		return e, nil
	}
	return e, r.amounts(&l, &e, c.Kind == order.Replace)
}

// order reads what only new orders have.
func (r *Reader) order(l *line, e *Entry) (err error) {
	c := &e.Command
	if l.Symbol == "" {
		return r.wrong("symbol", errors.New("missing"))
	}
	if c.Side, err = word("side", l.Side, sides); err != nil {
		return r.wrong("side", err)
	}
	refused := l.Stop != "" || l.Amount != "" || l.Display != "" || l.Trail != "" || l.Expires != "" ||
		len(l.OCO) > 0 && string(l.OCO) != "null" || l.STP != ""
	if l.Type == "" {
		l.Type = "limit"
	}
	if slices.Contains(later["type"], l.Type) {
		refused = true
	} else if c.Type, err = word("type", l.Type, types); err != nil {
		return r.wrong("type", err)
	}
	if slices.Contains(later["tif"], l.TIF) {
		refused = true
	} else if c.TIF, err = word("tif", l.TIF, tifs); err != nil {
		return r.wrong("tif", err)
	}
	if refused {
		e.Reason = order.BadCommand
		return nil
	}
	if l.PostOnly {
		c.Flags |= order.PostOnly
	}
	return r.amounts(l, e, c.Type == order.Limit)
}

// amounts reads quantity and price. Numbers that the venue's steps do not allow are refused as an order, not as
// a line.
func (r *Reader) amounts(l *line, e *Entry, priced bool) error {
	c := &e.Command
	qty, err := market.ParseFixed(string(l.Qty), 0)
	switch {
	case l.Qty == "":
		return r.wrong("qty", errors.New("missing"))
	case errors.Is(err, market.ErrNumber):
		return r.wrong("qty", fmt.Errorf("%q is no number", l.Qty))
	case err != nil:
		e.Reason = order.BadQuantity
	}
	c.Qty = qty
	if !priced {
		return nil
	}
	price, err := market.ParseFixed(string(l.Price), priceDecimals)
	switch {
	case l.Price == "":
		return r.wrong("price", errors.New("missing"))
	case errors.Is(err, market.ErrNumber):
		return r.wrong("price", fmt.Errorf("%q is no number", l.Price))
	case err != nil || int64(int32(price)) != price:
		e.Reason = order.BadPrice
	}
	c.Price = int32(price)
	return nil
}

// word finds one of some words.
func word[T any](field, text string, words map[string]T) (T, error) {
	found, ok := words[text]
	if ok {
		return found, nil
	}
	var known []string
	for w := range words {
		if w != "" {
			known = append(known, w)
		}
	}
	slices.Sort(known)
	hint := "want " + strings.Join(known, ", ")
	switch near := fault.Nearest(text, known); {
	case slices.Contains(later[field], text):
		hint = "this version's venue does not have it; it has " + strings.Join(known, ", ")
	case near != "":
		hint = "did you mean " + near + "?"
	}
	if text == "" {
		return found, fmt.Errorf("missing (%s)", hint)
	}
	return found, fmt.Errorf("%q is not known (%s)", text, hint)
}

// explain says what is wrong with a line of JSON.
func explain(err error) error {
	if field, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		var known []string
		for f := range reflect.TypeFor[line]().Fields() {
			known = append(known, f.Tag.Get("json"))
		}
		hint := "the fields are " + strings.Join(known, ", ")
		if near := fault.Nearest(strings.Trim(field, `"`), known); near != "" {
			hint = "did you mean " + near + "?"
		}
		return fmt.Errorf("unknown field %s (%s)", field, hint)
	}
	if bad, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Errorf("%s: a JSON %s, want %s", bad.Field, bad.Value, bad.Type)
	}
	return fmt.Errorf("no JSON object: %w", err)
}
